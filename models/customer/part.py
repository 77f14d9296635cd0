"""The contract of a part: one concern of customer relationship management, in one module.

A part keeps one flat state object a customer. The engine tells it the events it listens to and
runs its timers; whatever else is read of it, it declares: facts for rules, readings for other
parts, sections for the profile, sums for the population. Its line in `models.customer.registry` is
all that makes it work.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Any, Final, NamedTuple, TypeVar, get_args

from msgspec import Struct
from msgspec.structs import replace

from config.parameters import Parameters, Section
from models.customer.edges import Edge, never
from models.customer.motion import Moves
from models.customer.row import Kept
from models.customer.scene import Scene
from models.events.event import Event, EventType
from models.learning.lessons import Tally
from models.measures import Measure, Sample

S = TypeVar("S")
T = TypeVar("T")
#: Something that may be asked of a customer at a moment.
Reading = Callable[[Scene], T]
#: What is added to a sum of all customers: its key, the UTC day since 1970, the amount.
Sum = tuple[str, int, int]

#: The engine's own moment, the last of a step: something that a score depends on has changed.
SCORE: Final = "score"
#: Listens to every event that the customer did themselves, whatever its name.
INTERACTIONS: Final[frozenset[str]] = frozenset({"*"})
#: Listens to every event but those that count as nothing, because of what they were meant to be.
EVERYTHING: Final[frozenset[str]] = frozenset({"**"})
#: Listens to the events that the operator's rules name in `on`.
NAMED_BY_RULES: Final[frozenset[str]] = frozenset({"on"})
#: No part has more sums of all customers than this, unless it says how many: enough for a funnel
#: of five steps by eight channels, and little enough for /metrics.
KEYS_MAX: Final = 128


class Fact(NamedTuple):
    """A number or a text that rules may name. NaN, or an empty text, when it is not known.

    ``words``: how a receipt tells it; ``about``: how the list of facts does; ``moment``: the only
    moment it is known at, if there is one. ``least`` and ``most``: a number is never less or more;
    ``values``: a text is one of these, if it can be listed, so that rules with others are refused.
    ``whole``: a number, a count or a flag, never has a fraction.
    ``answers``: of a yes or no, 1 or 0, how each is told in ``words``: the no first.
    ``moves``: how time alone changes it; None where nobody can say, as of scores and of what decays
    or hangs on all customers. ``is_list``: a text of names with blanks between them.
    ``is_personal``: not known of whoever refuses that who they are decides.
    """

    read: Callable[[Scene], float | str]
    words: str
    about: str
    kind: type = float
    moment: str | None = None
    least: float = -inf
    most: float = inf
    values: Callable[[Parameters], Collection[str]] | None = None
    answers: tuple[str, str] | None = None
    whole: bool = False
    moves: Moves | None = None
    is_list: bool = False
    is_personal: bool = False

    def told(self, value: float | str) -> str:
        """The words of a known value."""
        said = self.answers[value != 0] if self.answers is not None else value
        return self.words.format(said)


class Timer(NamedTuple):
    """A deadline of a part, set with ``Row.set_due`` by its ``code``, which is kept in rows.

    ``run`` is called at exactly the time that was set. ``first`` and ``last``: before and after
    all other timers of the same millisecond. A time that was dealt with is not due again, unless
    the timer ``may_repeat``. One that ``waits_for_clock`` is not run by an event that comes later:
    an event does not say that everything before it has come. After one that ``brings_looks``, every
    part takes its `Part.look` at the customer.
    """

    code: str
    run: Callable[[Scene], None]
    first: bool = False
    last: bool = False
    may_repeat: bool = False
    waits_for_clock: bool = False
    brings_looks: bool = False


class Line(NamedTuple):
    """A line of a profile in words: what it is about, and what there is to say."""

    name: str
    words: str


class Basis(StrEnum):
    """What a section is made of besides the customer's own events: the parameters alone, what all
    customers are like, or models.
    """

    PARAMETERS = "parameters"
    POPULATION = "population"
    MODEL = "model"


class ProfileSection(NamedTuple):
    """A field of the profile, and how it reads in words.

    ``in_words`` is given the field's value, the moment of the profile in ISO 8601 and the currency.
    ``place`` orders the words, not the fields: lower comes first. ``edge``: when the section next
    changes by time alone; what grows or decays all the time does not count. Of a part that is
    switched off, the field is null: one that can be has a ``view`` that says so.
    """

    name: str
    view: Any
    read: Callable[[Scene], Any]
    in_words: Callable[[Any, str, str], Iterable[Line]] | None = None
    place: int = 500
    basis: Basis = Basis.PARAMETERS
    edge: Edge = never

    @property
    def field(self) -> tuple[Any, ...]:
        """The field of the profile's struct; one that may be null may also be missing."""
        may_be_null = type(None) in get_args(self.view)
        return (self.name, self.view, None) if may_be_null else (self.name, self.view)


class Told(NamedTuple):
    """What a part tells of all customers together, as sums of whole numbers by key and day.

    ``keys``: every key there may be, at most ``keys_max``; ``window_days``: how many days back, by
    event time, sums count, 0 for ever. Both may depend on what the operator set. ``samples``: the
    measures made of the sums within the window.
    """

    keys: Callable[[Parameters], Collection[str]]
    window_days: Callable[[Parameters], int]
    measures: tuple[Measure, ...]
    samples: Callable[[Mapping[str, int], Parameters], Iterable[Sample]]
    keys_max: int = KEYS_MAX


def _follows_from_nothing(_scene: Scene, _before: Any, _other: Any, _sign: int) -> None:
    """For parts whose state alone says everything."""


def _hears_nothing(_state: Any, _event: Event, _scene: Scene) -> None:
    """For parts that only timers or decisions change."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Part(Kept[S]):
    """One concern, as the engine and everything around it know it; its state is `Kept` in rows.

    ``listens``: names of events, or `INTERACTIONS`, `EVERYTHING` or `NAMED_BY_RULES`; ``record`` is
    called for no other, and not for those that ``check`` refuses by raising ``Rejected``, for what
    it knows of the customer.
    ``events``: the shapes of the events this part owns; ``adds``: more fields of others' events.
    ``look`` is called at each decision point, the end of a purchase day or a check-in, after all
    timers: for a part whose state says where the customer stood when last looked at.
    ``unprofiled`` is called when a customer says that they refuse that who they are decides: for a
    part that keeps nothing of them then that decisions would go by.
    ``moments``: the moments it raises, in words. ``offers`` are readings for other parts, and
    ``reads`` are those of theirs that it asks for; the parts they belong to come earlier in the
    registry. ``united``: the state of one person of the states of their ids; ``reunited`` is
    called when the row's state was made anew in this way, because ``other``, an id's state, came
    (sign 1) or went (-1), with the state ``before``: it sets the timers that follow from the
    state, and tells of all customers what that changed. The sign is 0 for an id that is counted
    with this customer all the while, and only has another row by now.
    """

    about: str
    united: Callable[[Sequence[S], Parameters], S]
    reunited: Callable[[Scene, S, S, int], None] = _follows_from_nothing
    parameters: type[Section] | None = None
    has_own_file: bool = False
    events: Mapping[str, EventType] = field(default_factory=dict)
    adds: Mapping[str, type[Struct]] = field(default_factory=dict)
    listens: Collection[str] = frozenset()
    check: Callable[[S, Event, Parameters], None] | None = None
    record: Callable[[S, Event, Scene], None] = _hears_nothing
    timers: tuple[Timer, ...] = ()
    look: Callable[[Scene], None] | None = None
    unprofiled: Callable[[Scene], None] | None = None
    moments: Mapping[str, str] = field(default_factory=dict)
    offers: tuple[Reading[Any], ...] = ()
    reads: tuple[Reading[Any], ...] = ()
    facts: Mapping[str, Fact] = field(default_factory=dict)
    sections: tuple[ProfileSection, ...] = ()
    population: Told | None = None

    def __repr__(self) -> str:
        return f"Part({self.name})"

    def is_on(self, parameters: Parameters) -> bool:
        """Whether the operator has it switched on; a part without a switch always is."""
        if self.parameters is None:
            return True
        return bool(getattr(parameters.of(self.parameters), "enabled", True))

    @property
    def has_switch(self) -> bool:
        """Whether an operator can switch the part on and off."""
        return self.parameters is not None and "enabled" in self.parameters.__struct_fields__

    def switched(self, parameters: Parameters, *, on: bool) -> Parameters:
        """``parameters`` with the part, which `has_switch`, switched on or off."""
        assert self.parameters is not None
        section: Section = replace(parameters.of(self.parameters), enabled=on)
        return parameters.with_section(section)

    def tell(self, scene: Scene, sums: Iterable[Sum]) -> None:
        """Add amounts to the part's sums of all customers."""
        assert self.population is not None
        window_days = self.population.window_days(scene.parameters)
        scene.teach(Tally(scene.at_ms, self.name, window_days, tuple(sums)))

    def tell_anew(
        self, scene: Scene, before: S, other: S, sign: int, sums: Callable[[S], Iterable[Sum]]
    ) -> None:
        """When ids are ``reunited``: correct the part's sums of all customers, which are the
        ``sums`` of every customer's state, added up.
        """
        states = ((before, -1), (other, -sign), (scene.row.read(self), 1))
        if told := changed_sums((sums(state), by) for state, by in states):
            self.tell(scene, told)

    def tell_changes(self, scene: Scene, before: Iterable[Sum], after: Iterable[Sum]) -> None:
        """When a state changed: correct the part's sums of all customers by what changed of it."""
        if before != after and (told := changed_sums(((before, -1), (after, 1)))):
            self.tell(scene, told)


def changed_sums(states: Iterable[tuple[Iterable[Sum], int]]) -> tuple[Sum, ...]:
    """What sums change by: those of each state times its sign, added up, without zeros."""
    changes: dict[tuple[str, int], int] = {}
    for sums, sign in states:
        for key, day, amount in sums:
            place = key, day
            changes[place] = changes.get(place, 0) + sign * amount
    return tuple([(key, day, by) for (key, day), by in sorted(changes.items()) if by])
