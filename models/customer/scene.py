"""A customer at one moment: parts record events with it, and facts are read from it."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from config.parameters import Parameters
from models.customer.labels import Dropped, LabelsDropped
from models.customer.row import Row
from models.events.event import Event
from models.learning.lessons import Lesson
from models.learning.snapshot import Snapshot
from models.money import minor_per_unit

T = TypeVar("T")
#: For a deployment whose parts were always in force.
NOTHING_BEGUN: Mapping[str, int] = MappingProxyType({})


class Segmented(Protocol):
    """The segments that are declared; ``declared`` tells them from those of another file."""

    @property
    def declared(self) -> int: ...

    def names_at(self, scene: "Scene") -> list[str]:
        """The segments whose conditions the customer meets."""
        ...


class Context:
    """A partition's clock, and what all its customers share.

    ``clock_ms``: event time that the log has reached; ``label_delay_ms``: how long after its
    horizon a label waits for late events, 0 if the log's clock records are watermarks;
    ``check_in_ms``: from one check-in to the next.

    ``facts``: the reading of each fact, by name. ``named``: the events that rules name, by their
    key (`models.customer.named_events`); ``names``: the names of events, by the codes that rows
    have.

    ``is_rehearsal``: rules are evaluated, but what they would decide is only counted. ``is_quiet``:
    this is one of a person's ids, folded by itself; decisions and lessons come from the person
    alone. ``is_passed_on``: whether the event is late was judged where it arrived. ``witness``: is
    given the rules of each moment before they are evaluated; None but in a dry run.

    ``segments``: the declared segments, None without any; ``declared_ms``: since when these are
    declared, 0 if not known. ``begun_ms``: by code, when each part that was not always in force
    began.
    """

    __slots__ = (
        "_known",
        "_known_by",
        "_settled",
        "begun_ms",
        "check_in_ms",
        "clock_ms",
        "declared_ms",
        "facts",
        "is_passed_on",
        "is_quiet",
        "is_rehearsal",
        "label_delay_ms",
        "named",
        "names",
        "parameters",
        "segments",
        "snapshot",
        "witness",
    )

    def __init__(
        self,
        parameters: Parameters,
        snapshot: Snapshot,
        facts: "Mapping[str, Callable[[Scene], float | str]]",
        *,
        named: Mapping[str, str] = MappingProxyType({}),
        names: Mapping[bytes, str] = MappingProxyType({}),
        segments: Segmented | None = None,
        clock_ms: int = 0,
        label_delay_ms: int = 0,
    ) -> None:
        self.parameters = parameters
        self.snapshot = snapshot
        self.facts = facts
        self.named = named
        self.names = names
        self.segments = segments
        self.clock_ms = clock_ms
        self.label_delay_ms = label_delay_ms
        self.check_in_ms = parameters.churn.check_in_ms
        self.begun_ms = NOTHING_BEGUN
        self.declared_ms = 0
        self.is_rehearsal = False
        self.is_quiet = False
        self.is_passed_on = False
        self.witness: Callable[[Scene, str, Sequence[Any]], None] | None = None
        self._known: dict[Callable[[Context], Any], Any] = {}
        self._known_by = snapshot
        self._settled: dict[Callable[[Context], Any], Any] = {}

    def of(self, reading: "Callable[[Context], T]") -> T:
        """A reading of parameters and snapshot alone, which is the same for all customers and so
        computed once for each snapshot.
        """
        if self._known_by is not self.snapshot:
            self._known_by, self._known = self.snapshot, {}
        known = self._known
        if reading in known:
            return known[reading]  # type: ignore[no-any-return]  # the type is the reading's
        found = known[reading] = reading(self)
        return found

    def settled(self, reading: "Callable[[Context], T]") -> T:
        """A reading of parameters alone, computed once and for all."""
        settled = self._settled
        if reading in settled:
            return settled[reading]  # type: ignore[no-any-return]  # the type is the reading's
        found = settled[reading] = reading(self)
        return found


class Scene:
    """One customer at ``at_ms`` of event time, because of an ``event`` or a timer (None).

    Facts and readings are as of this moment, each computed once. Parts add to ``moments`` (names of
    the moments at which rules are evaluated) and ``lessons`` (for the trainer); in a rehearsal the
    rules that would have fired are in ``rehearsed``. ``dropped``: labels that teach nothing.
    ``settled``: lessons that are kept whatever this step finds out about the customer's consent.

    ``member_of``: the customer's segments, once they were asked for; ``turned``: those that were
    entered or left, each with its moment; ``segment``: the one for which rules are being evaluated.
    """

    __slots__ = (
        "_known",
        "at_ms",
        "context",
        "customer",
        "dropped",
        "event",
        "lessons",
        "member_of",
        "moments",
        "parameters",
        "rehearsed",
        "row",
        "segment",
        "settled",
        "snapshot",
        "turned",
    )

    def __init__(
        self, row: Row, customer: str, at_ms: int, context: Context, event: Event | None = None
    ) -> None:
        self.row = row
        self.customer = customer
        self.at_ms = at_ms
        self.context = context
        self.event = event
        self.parameters = context.parameters
        self.snapshot = context.snapshot
        self.moments: list[str] = []
        self.lessons: list[Lesson] = []
        self.settled: Sequence[Lesson] = ()
        self.rehearsed: list[str] = []
        self.dropped: list[LabelsDropped] = []
        self.member_of: list[str] | None = None
        self.turned: list[tuple[str, str]] = []
        self.segment = ""
        self._known: dict[Callable[[Scene], Any], Any] = {}

    def __getitem__(self, name: str) -> float | str:
        """The fact of this name."""
        return self.context.facts[name](self)

    def of(self, reading: "Callable[[Scene], T]") -> T:
        """The value of a reading at this moment."""
        known = self._known
        if reading in known:
            return known[reading]  # type: ignore[no-any-return]  # the type is the reading's
        found = known[reading] = reading(self)
        return found

    def forget(self) -> None:
        """Drop all readings once nothing more is asked: some refer to the scene, and would leave
        cycles to collect.
        """
        self._known.clear()

    def raise_moment(self, name: str) -> None:
        """Have this moment's rules evaluated after all parts have recorded the event or timer."""
        if name not in self.moments:
            self.moments.append(name)

    def teach(self, lesson: Lesson) -> None:
        """Send a lesson to the trainer."""
        self.lessons.append(lesson)

    def drop_labels(self, why: Dropped, count: int) -> None:
        """Count waiting labels that are dropped."""
        if count:
            self.dropped.append(LabelsDropped(why, count))

    def money(self, minor: float) -> float:
        """An amount of minor units, converted to the shop's currency."""
        return minor / minor_per_unit(self.parameters.money.currency)
