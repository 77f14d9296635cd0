"""Customers' traits as classes: numbers by cut points, words by a list.

What cannot be read is ignored, and never costs the event. A class stands for itself, so that what
ingest wrote is read the same way again.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from config.limits import ASCENDING, PositiveInt
from config.names import folded
from config.parameters import Section
from models.events.leniency import plain, read_json
from models.events.numbers import number_in
from models.events.rejection import Rejected
from models.events.times import since_1970

#: The class of words without a class, and the value for what is no longer known.
OTHER, UNKNOWN_NOW = "other", "unknown"
#: Nothing personal is kept of younger customers: their data is sensitive wherever there is a law
#: about it.
AGE_MIN: Final = 14
_AGE_MAX, _BORN_MIN = 120, 1900
#: Stands for a year of birth that is not to be kept.
UNBORN: Final = 0
#: The most classes in the sums over all customers, the `other` of each trait included.
_CLASSES_MAX: Final = 120
_CLASS_LENGTH_MAX: Final = 32

AGE, GENDER, REGION, INCOME, EDUCATION = "age", "gender", "region", "income", "education"
INDUSTRY, COMPANY_SIZE, PLAN = "industry", "company_size", "plan"
#: The traits of persons, and of firms; the latter may also come in `group`.
PERSONAL: Final = (AGE, GENDER, REGION, INCOME, EDUCATION)
OF_FIRMS: Final = (INDUSTRY, COMPANY_SIZE, PLAN)
TRAITS: Final = (*PERSONAL, *OF_FIRMS)
BY_CUTS: Final = frozenset({AGE, INCOME, COMPANY_SIZE})
#: The year of birth as ingest writes it, and whether somebody is under age where no year is
#: written. No sender uses these names.
BORN: Final = "born"
IS_CHILD: Final = "is_child"
#: The names that senders use, the most reliable first; a dot stands for a name within another.
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    GENDER: ("gender", "sex"),
    REGION: ("region", "state", "country", "address.region", "address.state", "address.country"),
    INCOME: ("income", "annual_income", "yearly_income"),
    EDUCATION: ("education", "education_level"),
    INDUSTRY: ("industry", "company.industry"),
    COMPANY_SIZE: (
        "company_size",
        "employees",
        "employee_count",
        "number_of_employees",
        "company.employees",
        "company.employee_count",
        "company.size",
    ),
    PLAN: ("plan", "plan_name", "company.plan"),
}
_BIRTHDAYS: Final = ("birthday", "birthdate", "date_of_birth", "dob")
_YEARS: Final = ("birth_year", "year_of_birth")
_YEAR_FIRST: Final = re.compile(
    r"(?P<year>\d{4})([-/.])(?P<month>\d\d?)\2(?P<day>\d\d?)(?:[T ].*)?", re.ASCII
).fullmatch
_FOUR_DIGITS: Final = re.compile(r"(?<!\d)\d{4}(?!\d)", re.ASCII).findall
#: All of these names.
NAMES_READ: Final = frozenset(
    {*_BIRTHDAYS, *_YEARS, AGE, *(name for names in _NAMES.values() for name in names)}
)
_Cuts = Annotated[tuple[int, ...], ASCENDING]
_Words = dict[str, str | tuple[str, ...]]


class TraitParameters(Section, frozen=True):
    section = "traits"
    open_tables = ("names", GENDER, REGION, EDUCATION, INDUSTRY, PLAN)
    enabled: bool
    kept: str | tuple[str, ...]
    names: _Words
    shown_from: PositiveInt
    age: _Cuts
    income: _Cuts
    company_size: _Cuts
    gender: _Words
    region: _Words
    education: _Words
    industry: _Words
    plan: _Words

    def problems(self) -> Iterator[str]:
        """Traits that do not exist, classes with no meaning or two, and too many classes."""
        for path, names in (("kept", listed(self.kept)), ("names", self.names)):
            for name in names:
                if name not in TRAITS:
                    yield f"traits.{path}: there is no trait {name!r}; known: {', '.join(TRAITS)}"
        if self.age and self.age[0] < AGE_MIN:
            yield f"traits.age begins at {AGE_MIN} or later: of children nothing is kept"
        for trait in TRAITS:
            yield from self._problems_of(trait)
        count = 0
        for trait in TRAITS:
            count += len(classes_of(self, trait))
        if count > _CLASSES_MAX:
            yield f"traits has {count} classes, and {_CLASSES_MAX} at most: put some together"

    def _problems_of(self, trait: str) -> Iterator[str]:
        if trait in BY_CUTS:
            cuts: tuple[int, ...] = getattr(self, trait)
            if len(set(cuts)) < len(cuts) or any(cut < 0 for cut in cuts):
                yield f"traits.{trait} must ascend from 0 or more, as in 1, 10, 50"
            return
        meant: dict[str, str] = {}
        for name, words in getattr(self, trait).items():
            if name in (OTHER, UNKNOWN_NOW) or not is_class(name):
                yield (
                    f"traits.{trait}.{name}: a class is {_CLASS_LENGTH_MAX} small letters, digits, "
                    f"_, + and - at most, and neither {OTHER} nor {UNKNOWN_NOW}"
                )
            for word in (name, *listed(words)):
                if meant.setdefault(folded(word), name) != name:
                    yield f"traits.{trait}: {word!r} means {meant[folded(word)]} and {name}"


def listed(words: str | Iterable[str]) -> tuple[str, ...]:
    """Words that may be written as a single one."""
    return (words,) if isinstance(words, str) else tuple(words)


def is_class(text: str) -> bool:
    """Whether ``text`` may be the name of a class, and not free text about a person."""
    letters = text.replace("_", "").replace("-", "").replace("+", "")
    is_short = 0 < len(text) <= _CLASS_LENGTH_MAX
    return is_short and letters.isascii() and letters.isalnum() and letters == letters.lower()


def classes_of(section: TraitParameters, trait: str) -> tuple[str, ...]:
    """The classes of a trait that is kept, with ``other`` last for words; none for a trait that is
    not kept.
    """
    declared = getattr(section, trait)
    if trait not in listed(section.kept) or not declared:
        return ()
    return _bands(declared) if trait in BY_CUTS else (*declared, OTHER)


def _bands(cuts: tuple[int, ...]) -> tuple[str, ...]:
    between = (f"{begin}-{end - 1}" for begin, end in pairwise(cuts))
    return (*between, f"{cuts[-1]}+")


def band_of(cuts: tuple[int, ...], number: float) -> str:
    """The class of a number; "" below the first one."""
    place = bisect_right(cuts, number)
    return _bands(cuts)[place - 1] if place else ""


class TraitClasses(Struct, frozen=True, omit_defaults=True, gc=False):
    """Who a customer is, as classes; ``unknown`` for what is no longer known, nothing for what is
    not stated. ``born``: the year of birth, from which the class of an age follows; 0 for unknown.
    ``is_child``: true for a customer under `AGE_MIN`, false for one who is not and whose year is
    not kept.
    """

    born: Annotated[int, Meta(ge=0, le=2999)] | None = None
    gender: str | None = None
    region: str | None = None
    income: str | None = None
    education: str | None = None
    industry: str | None = None
    company_size: str | None = None
    plan: str | None = None
    is_child: bool | None = None

    def __post_init__(self) -> None:
        for trait in TRAITS[1:]:
            value = getattr(self, trait)
            if value is not None and not is_class(value):
                # Only ingest writes classes; other text may be personal.
                force_setattr(self, trait, None)

    @property
    def is_with_age(self) -> bool:
        """Whether it says that the customer is `AGE_MIN` or older."""
        return bool(self.born) or self.is_child is False

    def said(self) -> Iterator[tuple[str, str]]:
        """Each stated trait with its class, an age with the year of birth; "" for unknown."""
        if self.born is not None:
            yield AGE, str(self.born) if self.born else ""
        for trait in TRAITS[1:]:
            value = getattr(self, trait)
            if value is not None:
                yield trait, "" if value == UNKNOWN_NOW else value


NOTHING_SAID: Final = TraitClasses()


def classified(
    raw: bytes, at_ms: int, section: TraitParameters, *, is_of_firm: bool
) -> TraitClasses:
    """The classes of the traits in ``raw``, a JSON value, as of ``at_ms``, without traits that are
    not kept and, if ``is_of_firm``, without those of persons.
    """
    try:
        tree = read_json(raw)
    except Rejected:
        return NOTHING_SAID
    if not section.enabled or not isinstance(tree, dict):
        return NOTHING_SAID
    given = _flat(tree)
    traits = OF_FIRMS if is_of_firm else TRAITS
    found: dict[str, Any] = {}
    for trait in traits:
        if trait != AGE and classes_of(section, trait):
            value = _class_in(given, trait, section)
            if value is not None:
                found[trait] = value
    if not is_of_firm:
        _add_age(found, given, at_ms, section)
    return TraitClasses(**found)


def _flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The values by their folded names; those of inner objects under both names."""
    given: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            for inner, one in value.items():
                given.setdefault(f"{folded(name)}.{folded(inner)}", one)
        else:
            given[folded(name)] = value
    return given


def _class_in(given: Mapping[str, Any], trait: str, section: TraitParameters) -> str | None:
    """The class of a trait by the first of its names that has a value."""
    names = (*listed(section.names.get(trait, ())), *_NAMES[trait])
    found: str | None = None
    for name in names:
        key = folded(name)
        if key not in given:
            continue
        value = given[key]
        if value is None:
            found = found or UNKNOWN_NOW
            continue
        one = _band(value, section, trait) if trait in BY_CUTS else _word(value, section, trait)
        if one is not None and one != OTHER:
            return one
        if one is not None:
            found = OTHER
    return found


def _word(value: Any, section: TraitParameters, trait: str) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return None
    said = folded(plain(value))
    if said == UNKNOWN_NOW:
        return UNKNOWN_NOW
    for name, words in getattr(section, trait).items():
        if said == folded(name) or any(said == folded(word) for word in listed(words)):
            return str(name)
    return OTHER


def _band(value: Any, section: TraitParameters, trait: str) -> str | None:
    cuts: tuple[int, ...] = getattr(section, trait)
    if isinstance(value, str) and value.strip() in (*_bands(cuts), UNKNOWN_NOW):
        return value.strip()
    number = _number(value)
    return None if number is None else band_of(cuts, number) or None


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return number_in(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e15 else None


def _add_age(
    found: dict[str, Any], given: Mapping[str, Any], at_ms: int, section: TraitParameters
) -> None:
    """Add the year of birth. Of a child, keep nothing personal except that it is one: then
    everything known of them is forgotten, and whatever else is stated is not kept.
    """
    year, is_child = _age_in(given, datetime.fromtimestamp(at_ms / 1_000, UTC).date())
    words = _kept_words(section)
    if is_child:
        found.update(dict.fromkeys(words, UNKNOWN_NOW))
        year = UNBORN
    has_years = bool(classes_of(section, AGE))
    if has_years and year is not None:
        found[BORN] = year
    # A customer whose year is kept is no child.
    if (words or has_years) and (is_child or (is_child is False and not found.get(BORN))):
        found[IS_CHILD] = is_child


def _age_in(given: Mapping[str, Any], today: date) -> tuple[int | None, bool | None]:
    """The year of birth, `UNBORN` for unknown, and whether that is a child's; None for what is not
    stated.
    """
    said = _born(given, today)
    is_child = given.get(folded(IS_CHILD))
    if said is not None and said[0] != UNBORN and is_child is not True:
        year, age = said
        return year, age < AGE_MIN
    return (None if said is None else UNBORN), is_child if isinstance(is_child, bool) else None


def _kept_words(section: TraitParameters) -> list[str]:
    return [trait for trait in PERSONAL if trait != AGE and classes_of(section, trait)]


def _born(given: Mapping[str, Any], today: date) -> tuple[int, int] | None:
    """The year of birth, and the age today; `UNBORN` for unknown, None if not stated."""
    is_unknown = False
    for name in (BORN, *_BIRTHDAYS, *_YEARS, AGE):
        if folded(name) not in given:
            continue
        value = given[folded(name)]
        is_unknown = is_unknown or value is None
        found = _born_by(name, value, today)
        if found is not None:
            return found
    return (UNBORN, 0) if is_unknown else None


def _born_by(name: str, value: Any, today: date) -> tuple[int, int] | None:
    if name in _BIRTHDAYS and (day := _date(value)) is not None:
        had_birthday = (today.month, today.day) >= (day.month, day.day)
        age = today.year - day.year - (not had_birthday)
        return (day.year, age) if _BORN_MIN <= day.year <= today.year else None
    number = _year_in(value) if name in _BIRTHDAYS else _number(value)
    if number is None:
        return None
    year = int(number)
    if name == BORN and year == UNBORN:
        return UNBORN, 0
    if name != AGE:
        # With only a year, the birthday may be still to come; ingest knew the day.
        age = today.year - year - (name != BORN)
        return (year, age) if _BORN_MIN <= year <= today.year else None
    return (today.year - year, year) if 0 <= number <= _AGE_MAX else None


def _date(value: Any) -> date | None:
    """The date in a text whose year comes first, whatever time of the day follows it, or in seconds
    or milliseconds since 1970.
    """
    number = _number(value)
    if number is not None and (moment := since_1970(number)) is not None:
        return moment.date()
    said = f"{value}".strip()
    found = _YEAR_FIRST(said)
    try:
        if found is not None:
            return date(int(found["year"]), int(found["month"]), int(found["day"]))
        return date.fromisoformat(said)
    except ValueError:
        return None


def _year_in(value: Any) -> int | None:
    """The only year in a text, be it ``05.03.1992`` or ``March 5, 1992``; whether the day or the
    month comes first cannot be known.
    """
    if isinstance(value, dict | list):
        return None
    numbers = map(int, _FOUR_DIGITS(f"{value}"))
    years = [year for year in numbers if year >= _BORN_MIN]
    return years[0] if len(years) == 1 else None
