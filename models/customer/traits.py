"""Who a customer is outside the shop: the classes of their traits and of their firm's.

The latest statement by event time wins. For an age the year of birth is kept, so that its class
moves with the years: an age is the one that is reached in a year, by UTC.

Nothing personal is kept of a child. Once a customer was said to be one, a personal trait counts
only if it was said later and together with an age of 14 or more, whichever event is heard first. A
trait that does not count never counts afterwards, so it is dropped at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from msgspec import Struct, field, msgpack

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.identities import is_visitor
from models.customer.motion import STILL, steps
from models.customer.part import Fact, Line, Part, ProfileSection, Sum, Told
from models.customer.row import State
from models.customer.scene import Scene
from models.customer.trait_classes import (
    AGE,
    AGE_MIN,
    COMPANY_SIZE,
    EDUCATION,
    GENDER,
    INCOME,
    INDUSTRY,
    OTHER,
    PERSONAL,
    PLAN,
    REGION,
    TRAITS,
    TraitClasses,
    TraitParameters,
    band_of,
    classes_of,
)
from models.events.event import Event, EventType
from models.events.times import iso
from models.learning.tallies import NO_DAY
from models.measures import Measure, Sample

_SAID_BY: Final = frozenset({"identify", "group"})
#: This long after an event that says so, nobody is a child any more.
_CHILDHOOD_MS: Final = AGE_MIN * 366 * DAY_MS


class Trait(State):
    """The latest statement, "" for no longer known, and when: a class, or the year of birth for an
    age. ``is_with_age``: the same event said that the customer is no child.
    """

    at_ms: int = 0
    value: str = ""
    is_with_age: bool = False


class Traits(State):
    """``known``: by name. ``age``: the class that was counted last; ``is_counted``: the customer is
    no visitor, and counts in the sums.

    ``child_ms``: when the customer was last said to be a child, 0 for never; ``with_age``: by name,
    the latest statement together with an age, if a later one came without.
    """

    known: dict[str, Trait] = field(default_factory=dict)
    age: str = ""
    is_counted: bool = False
    child_ms: int = 0
    with_age: dict[str, Trait] = field(default_factory=dict)

    def take(self, name: str, said: Trait) -> None:
        """Keep a statement unless a later one is known; of two at one time, the greater wins."""
        if not self._counts(name, said):
            return
        latest = self.known.get(name)
        if latest is None or _order(said) > _order(latest):
            self.known[name], said = said, latest or said
        other = self.with_age.get(name)
        if said.is_with_age and (other is None or _order(said) > _order(other)):
            self.with_age[name] = said
        if name not in PERSONAL or self.known[name].is_with_age:
            self.with_age.pop(name, None)

    def take_child(self, at_ms: int) -> None:
        """Note that the customer was a child at that time, and drop traits that do not count."""
        if at_ms <= self.child_ms:
            return
        self.child_ms = at_ms
        for name in PERSONAL:
            said = (self.known.pop(name, None), self.with_age.pop(name, None))
            for one in said:
                if one is not None:
                    self.take(name, one)

    def _counts(self, name: str, said: Trait) -> bool:
        if not self.child_ms or name not in PERSONAL:
            return True
        is_later = said.at_ms > self.child_ms
        return is_later and (said.is_with_age or said.at_ms >= self.child_ms + _CHILDHOOD_MS)


def _order(said: Trait) -> tuple[int, str, bool]:
    return said.at_ms, said.value, said.is_with_age


def _record(state: Traits, event: Event, scene: Scene) -> None:
    said = event.properties
    if not isinstance(said, TraitClasses):
        return
    before, at_ms = _sums(state), event.occurred_at_ms
    born = state.known.get(AGE)
    if said.is_child:
        state.take_child(at_ms)
    for name, value in said.said():
        # That something is no longer known says nothing personal of a child.
        state.take(name, Trait(at_ms, value, said.is_with_age or not value))
    if state.known.get(AGE) is not born:
        state.age = _age_said(state, scene.parameters)
    # Whether it is a visitor's id is noted after its first event.
    state.is_counted |= event.identified or bool(scene.row.ids)
    TRAITS_PART.tell_changes(scene, before, _sums(state))


def _look(scene: Scene) -> None:
    """Count the class of an age anew when the year has moved it."""
    state = scene.row.read(TRAITS_PART)
    if AGE not in state.known:
        return
    age = _class(AGE, scene)
    if age != state.age:
        before, state = _sums(state), scene.row.edit(TRAITS_PART)
        state.age = age
        TRAITS_PART.tell_changes(scene, before, _sums(state))


def _sums(state: Traits) -> list[Sum]:
    """One customer's share of the sums."""
    if not state.is_counted:
        return []
    classes = {name: one.value for name, one in state.known.items()} | {AGE: state.age}
    return [(f"{name}:{value}", NO_DAY, 1) for name, value in classes.items() if value]


def _reunited(scene: Scene, before: Traits, other: Traits, sign: int) -> None:
    """A visitor may have turned out to be a customer."""
    now = scene.row.read(TRAITS_PART)
    if now.known and now.is_counted == scene.of(is_visitor):
        scene.row.edit(TRAITS_PART).is_counted = not scene.of(is_visitor)
    TRAITS_PART.tell_anew(scene, before, other, sign, _sums)


def _united(states: Sequence[Traits], parameters: Parameters) -> Traits:
    """One person: each trait by the latest statement under any of their ids. If one of them is a
    child's, only what counts of a child is kept.
    """
    one = Traits(child_ms=max((state.child_ms for state in states), default=0))
    for state in states:
        for said in (state.known, state.with_age):
            for name, trait in said.items():
                one.take(name, trait)
        one.is_counted |= state.is_counted
    born = one.known.get(AGE)
    # A look may have counted the customer in a class that they reached later.
    looked = [state.age for state in states if born is not None and state.known.get(AGE) is born]
    one.age = looked[0] if looked else _age_said(one, parameters)
    return one


def _age_said(state: Traits, parameters: Parameters) -> str:
    """The class of the age at the time of the event."""
    born = state.known.get(AGE)
    return "" if born is None else _age_class(born.value, born.at_ms, parameters)


def _age_class(born: str, at_ms: int, parameters: Parameters) -> str:
    cuts = parameters.of(TraitParameters).age
    return band_of(cuts, _year(at_ms) - int(born)) if born and cuts else ""


def _year(at_ms: int) -> int:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).year


def _class(name: str, scene: Scene) -> str:
    """The customer's present class; "" where it is not known, or no longer kept. A class that is no
    longer declared is ``other``, like one that never was.
    """
    known = scene.row.read(TRAITS_PART).known
    trait = known.get(name)
    declared = classes_of(scene.parameters.of(TraitParameters), name)
    if trait is None or not trait.value or not declared:
        return ""
    if name == AGE:
        return _age_class(trait.value, scene.at_ms, scene.parameters)
    return trait.value if trait.value in declared else _undeclared(declared)


def _undeclared(declared: Sequence[str]) -> str:
    return OTHER if OTHER in declared else ""


def _next_age_ms(scene: Scene) -> int:
    """When the customer reaches the next class of ages: a first of January, 0 for never."""
    trait = scene.row.read(TRAITS_PART).known.get(AGE)
    if trait is None or not trait.value:
        return 0
    born = int(trait.value)
    age = _year(scene.at_ms) - born
    for begin in scene.parameters.of(TraitParameters).age:
        if begin > age:
            return round(datetime(born + begin, 1, 1, tzinfo=UTC).timestamp()) * 1_000
    return 0


def _fact(name: str, words: str, about: str) -> Fact:
    return Fact(
        partial(_class, name),
        words,
        f"{about}; a class of traits.{name}",
        str,
        values=lambda parameters: classes_of(parameters.of(TraitParameters), name),
        moves=steps(_next_age_ms) if name == AGE else STILL,
    )


FACTS: Final = {
    "age_class": _fact(AGE, "aged {}", "how old they get this year"),
    GENDER: _fact(GENDER, "gender {}", "the gender they gave"),
    REGION: _fact(REGION, "from {}", "where they live"),
    "income_class": _fact(INCOME, "income of {}", "what they earn in a year"),
    EDUCATION: _fact(EDUCATION, "education: {}", "their highest education"),
    INDUSTRY: _fact(INDUSTRY, "industry: {}", "the industry of their firm"),
    COMPANY_SIZE: _fact(COMPANY_SIZE, "firm of {} employees", "the size of their firm"),
    PLAN: _fact(PLAN, "plan {}", "the plan they or their firm are on"),
}


class TraitView(Struct, frozen=True, rename="camel"):
    """A class, and the time of the event that it comes from."""

    value: str
    told: str


def _view(scene: Scene) -> dict[str, TraitView] | None:
    """None while nothing is known, and if the part is switched off."""
    if not TRAITS_PART.is_on(scene.parameters):
        return None
    known = scene.row.read(TRAITS_PART).known
    found = {
        name: TraitView(value, iso(known[name].at_ms))
        for name in TRAITS
        if (value := _class(name, scene))
    }
    return found or None


def _in_words(view: dict[str, TraitView] | None, _as_of: str, _currency: str) -> Iterator[Line]:
    if view:
        said = (f"{name.replace('_', ' ')} {trait.value}" for name, trait in view.items())
        yield Line("traits", ", ".join(said))


_CUSTOMERS: Final = Measure(
    "keepstream_customers_by_trait",
    "Customers by the class of a trait; a class of few is left out",
    ("trait", "class"),
)


def _keys(parameters: Parameters) -> list[str]:
    section = parameters.of(TraitParameters)
    return [f"{name}:{one}" for name in TRAITS for one in classes_of(section, name)]


def _samples(sums: Mapping[str, int], parameters: Parameters) -> Iterator[Sample]:
    least = parameters.of(TraitParameters).shown_from
    for key in _keys(parameters):
        name, _, value = key.partition(":")
        if sums.get(key, 0) >= least:
            yield Sample(_CUSTOMERS, (name, value), sums[key])


TRAITS_PART: Part[Traits] = Part(
    name="traits",
    code="tr",
    version=2,
    # Version 1 had no fields about a child at the end.
    older={1: msgpack.Decoder(Traits).decode},
    about="Who the customer is outside the shop, by classes of age, region, industry and others.",
    state=Traits,
    united=_united,
    reunited=_reunited,
    parameters=TraitParameters,
    has_own_file=True,
    events={name: EventType(shape=TraitClasses, has_traits=True) for name in sorted(_SAID_BY)},
    listens=_SAID_BY,
    record=_record,
    look=_look,
    take_up=_look,
    reads=(is_visitor,),
    facts=FACTS,
    sections=(
        ProfileSection(
            "traits", dict[str, TraitView] | None, _view, _in_words, place=16, edge=_next_age_ms
        ),
    ),
    population=Told(
        keys=_keys,
        window_days=lambda _parameters: 0,
        measures=(_CUSTOMERS,),
        samples=_samples,
    ),
)
