"""The contract of a part: one concern of customer relationship management, in one module.

A part keeps one flat state object a customer. The engine passes it the events it listens to and
runs its timers. It declares everything else that is read of it: facts for rules, readings for other
parts, sections for the profile, sums for the population. One line in `models.customer.registry`
puts it to work.
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
from models.money import digits

S = TypeVar("S")
T = TypeVar("T")
#: A value that is computed of a customer at a moment.
Reading = Callable[[Scene], T]
#: An amount for a sum over all customers: its key, the UTC day since 1970, the amount.
Sum = tuple[str, int, int]

#: The engine's own moment, the last of a step: something that a score depends on has changed.
SCORE: Final = "score"
#: Listens to every event that is the customer's own activity, whatever its name.
INTERACTIONS: Final[frozenset[str]] = frozenset({"*"})
#: Listens to every event but those that count as nothing, because of what they were meant to be.
EVERYTHING: Final[frozenset[str]] = frozenset({"**"})
#: Listens to the events that the operator's rules name in `on`.
NAMED_BY_RULES: Final[frozenset[str]] = frozenset({"on"})
#: The most sums over all customers that a part has, unless it says how many: enough for a funnel of
#: five steps by eight channels, and little enough for /metrics.
KEYS_MAX: Final = 128


class Fact(NamedTuple):
    """A number or a text that rules may name. NaN, or an empty text, when it is not known.

    ``words``: how a receipt says it; ``about``: how the list of facts describes it; ``moment``: the
    only moment at which it is known, if there is one. ``least`` and ``most``: the bounds of a
    number; ``values``: a text is one of these, if they can be listed, so that rules with others are
    refused. ``whole``: a number (a count or a flag) that never has a fraction. ``answers``: for a
    yes or no (1 or 0), how each is said in ``words``, the no first.

    ``is_money``: an amount in the shop's currency, said with as many decimals as that has.

    ``moves``: how time alone changes it; None if that cannot be said, as for scores, and for what
    decays or depends on all customers. ``is_list``: a text of names with blanks between them.
    ``is_personal``: not known of a customer who refuses personalisation.
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
    is_money: bool = False

    def told(self, value: float | str, currency: str = "") -> str:
        """A known value in words; ``currency``: the shop's, for amounts."""
        if self.is_money and not isinstance(value, str):
            return self.words.format(digits(value, currency, ""))
        said = self.answers[value != 0] if self.answers is not None else value
        return self.words.format(said)


class Timer(NamedTuple):
    """A deadline of a part, set with ``Row.set_due`` by its ``code``, which is kept in rows.

    ``run`` is called at exactly the time that was set. ``first`` and ``last``: before and after all
    other timers of the same millisecond. A time that was handled is not due again, unless the timer
    ``may_repeat``. A timer that ``waits_for_clock`` is not run by a later event: an event does not
    show that everything before it has come. After a timer that ``brings_looks``, every part takes
    its `Part.look` at the customer.
    """

    code: str
    run: Callable[[Scene], None]
    first: bool = False
    last: bool = False
    may_repeat: bool = False
    waits_for_clock: bool = False
    brings_looks: bool = False


class Line(NamedTuple):
    """A line of a profile in words: its subject, and the text."""

    name: str
    words: str


class Basis(StrEnum):
    """What a section depends on besides the customer's own events: the parameters alone, the
    population, or models.
    """

    PARAMETERS = "parameters"
    POPULATION = "population"
    MODEL = "model"


class ProfileSection(NamedTuple):
    """A field of the profile, and how it reads in words.

    ``in_words`` is given the field's value, the moment of the profile in ISO 8601 and the currency.
    ``place`` orders the words, not the fields: lower comes first. ``edge``: when the section next
    changes by time alone, not counting what grows or decays all the time. The field is null if the
    part is switched off: the ``view`` of a part with a switch returns None then.
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
    """A part's sums over all customers: whole numbers by key and day.

    ``keys``: every key there may be, at most ``keys_max``; ``window_days``: how many days back, by
    event time, sums count, 0 for ever. Both may depend on the operator's settings. ``samples``: the
    metrics computed from the sums within the window.
    """

    keys: Callable[[Parameters], Collection[str]]
    window_days: Callable[[Parameters], int]
    measures: tuple[Measure, ...]
    samples: Callable[[Mapping[str, int], Parameters], Iterable[Sample]]
    keys_max: int = KEYS_MAX


def _follows_from_nothing(_scene: Scene, _before: Any, _other: Any, _sign: int) -> None:
    """For parts that have no timers or sums to correct when ids are united."""


def _hears_nothing(_state: Any, _event: Event, _scene: Scene) -> None:
    """For parts that only timers or decisions change."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Part(Kept[S]):
    """One concern, as the engine and everything around it know it; its state is `Kept` in rows.

    ``listens``: names of events, or `INTERACTIONS`, `EVERYTHING` or `NAMED_BY_RULES`. ``record`` is
    called for no other event, nor for one that ``check``, which knows the customer's state, refuses
    by raising ``Rejected``. ``events``: the shapes of the events this part owns; ``adds``: more
    fields of other parts' events.

    ``look`` is called at each decision point (the end of a purchase day, or a check-in), after all
    timers: for a part whose state says where the customer stood at the last look. ``unprofiled`` is
    called when a customer refuses personalisation: for a part that then drops what decisions about
    them would depend on.

    ``take_up`` is called once, after the part has come into force, for each customer from before.
    It computes the present state from what other parts keep, sets the part's timers, and corrects
    its sums. It raises no moment, because its results are no news, and it invents nothing for
    events that the part missed. For a customer without missed events, its result is that of the
    next look.

    ``moments``: the moments it raises, in words. ``offers``: readings for other parts; ``reads``:
    the readings of other parts that it uses. Those parts come earlier in the registry.

    ``united``: one person's state from the states of their ids. ``reunited`` is called after the
    row's state was made in this way because ``other``, the state of an id, came (sign 1) or went
    (-1); ``before`` is the row's state before. It sets the timers that follow from the state, and
    corrects the sums. The sign is 0 for an id that has been counted with this customer all the
    time, and only has another row now.
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
    take_up: Callable[[Scene], None] | None = None
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
        """Add amounts to the part's sums over all customers."""
        assert self.population is not None
        window_days = self.population.window_days(scene.parameters)
        scene.teach(Tally(scene.at_ms, self.name, window_days, tuple(sums)))

    def tell_anew(
        self, scene: Scene, before: S, other: S, sign: int, sums: Callable[[S], Iterable[Sum]]
    ) -> None:
        """When ids are ``reunited``: correct the part's sums, which add up the ``sums`` of every
        customer's state.
        """
        states = ((before, -1), (other, -sign), (scene.row.read(self), 1))
        if told := changed_sums((sums(state), by) for state, by in states):
            self.tell(scene, told)

    def tell_changes(self, scene: Scene, before: Iterable[Sum], after: Iterable[Sum]) -> None:
        """When a state changed: correct the part's sums by the difference."""
        if before != after and (told := changed_sums(((before, -1), (after, 1)))):
            self.tell(scene, told)


def changed_sums(states: Iterable[tuple[Iterable[Sum], int]]) -> tuple[Sum, ...]:
    """The change of the sums: those of each state times its sign, added up, without zeros."""
    changes: dict[tuple[str, int], int] = {}
    for sums, sign in states:
        for key, day, amount in sums:
            place = key, day
            changes[place] = changes.get(place, 0) + sign * amount
    return tuple([(key, day, by) for (key, day), by in sorted(changes.items()) if by])


def is_joined(scene: Scene, sign: int) -> bool:
    """Whether a person of several ids is ``reunited`` because an id came. That it is theirs is no
    news of the customer: a result of looks goes on from the person's, or that of the id, until the
    next look, and not from what each id was found to be by itself.
    """
    return sign >= 0 and len(scene.row.ids) > 1
