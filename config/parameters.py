"""The parameters that an operator may tune, read from ``parameters.toml`` and checked.

The sections here are those that several packages read. Each part of the customer's state defines
the type of its own section; `models.parameters` knows all parts and loads everything.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from copy import deepcopy
from datetime import date, timedelta
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import msgspec

from config.bounded_text import TextRefused, read_toml, toml_in
from config.duration import DAY_MS, DurationMs, convert
from config.limits import (
    ASCENDING,
    NOT_EMPTY,
    NOT_NEGATIVE,
    POSITIVE,
    NotNegative,
    Positive,
    PositiveInt,
    PositiveMs,
    Probability,
    Share,
    at_least,
    at_most,
    problems_in,
)
from config.names import folded
from config.refusal_words import in_words
from config.rules import Actions, Triggers, load_actions, load_part_file, load_triggers
from config.segments import Segments, announcing, load_segments
from config.zones import zone_problem

#: The longest horizon: orders are kept only as long as the longest label looks back.
HORIZON_DAYS_MAX = 365
#: The longest time between two check-ins. They end a year after the last purchase: if they were
#: further apart, tiers and levels would be found after a purchase and lost at the next look.
CHECK_IN_DAYS_MAX = 180
#: The shortest silence for which a customer may be erased as inactive.
INACTIVE_DAYS_MIN = 90
_FourCuts = Annotated[tuple[float, float, float, float], ASCENDING]


class ParameterError(ValueError):
    """A parameter is unknown or has a value that cannot be used; the message names the fix."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A group of parameters. Limits are stated at the fields (`config.limits`).

    ``section``: the name of a part's section. ``open_tables``: its tables in which operators may
    add names of their own.
    """

    section: ClassVar[str] = ""
    open_tables: ClassVar[tuple[str, ...]] = ()

    def problems(self) -> Iterator[str]:
        """Errors that limits of single fields cannot express, without the section's name."""
        yield from ()


SectionT = TypeVar("SectionT", bound=Section)


class Time(Section, frozen=True):
    disorder: DurationMs
    lateness: DurationMs
    future: DurationMs
    #: The shop's time zone, for customers whose events name none.
    zone: str

    def problems(self) -> Iterator[str]:
        """The zone must exist."""
        problem = zone_problem(self.zone)
        if problem is not None:
            yield f"time.zone: {problem}"


class Money(Section, frozen=True):
    """``rates``: by the code of another currency, what one unit of it is worth in the shop's
    currency: one rate for all days, or a table of rates by the date from which each holds.
    """

    open_tables = ("rates",)
    currency: str
    rates: dict[str, float | dict[str, float]]

    def rate(self, currency: str, day: int) -> float | None:
        """The rate of a UTC day (since 1970); None for a currency without one on that day."""
        rates = self.rates.get(currency)
        if rates is None or isinstance(rates, float):
            return rates
        today = (_FIRST_DATE + timedelta(days=day)).isoformat()
        begun = [begin for begin in rates if begin <= today]
        return rates[max(begun)] if begun else None

    def first_rate(self, currency: str) -> float:
        """The earliest rate of the currency; 0 if there is none."""
        rates = self.rates.get(currency, 0.0)
        return rates if isinstance(rates, float) else rates[min(rates)]

    def problems(self) -> Iterator[str]:
        """Currencies are three capital letters; rates are above 0, from a date on."""
        if not re.fullmatch("[A-Z]{3}", self.currency):
            yield "money.currency is an ISO 4217 code such as EUR"
        for code, rates in self.rates.items():
            if not re.fullmatch("[A-Z]{3}", code) or code == "XXX":
                yield f"money.rates.{code}: a currency is an ISO 4217 code such as USD"
            if code == self.currency:
                yield f"money.rates.{code}: this is the shop's own currency, whose rate is 1"
            dated = rates if isinstance(rates, dict) else {"2000-01-01": rates}
            if not dated:
                yield f"money.rates.{code} has no rate"
            for begin, rate in dated.items():
                if not _is_date(begin):
                    yield f"money.rates.{code}: {begin!r} is no date such as 2026-01-31"
                if not rate > 0:
                    yield f"money.rates.{code} must be more than 0, got {rate}"


_FIRST_DATE = date(1970, 1, 1)


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


class Identity(Section, frozen=True):
    """``enabled``: whether the ids of one person are united. ``anonymous_ids``: how many a person
    may have; the latest ones count. ``blocked``: patterns of ids that are no customer's; the whole
    id must match. ``shared``: whether an id leaves the first user once a second one logs in with
    it, or the first user keeps it.
    """

    enabled: bool = True
    anonymous_ids: Annotated[PositiveInt, at_most(12)] = 5
    blocked: tuple[str, ...] = ()
    shared: Literal["leave", "keep"] = "leave"

    def is_blocked(self, text: str) -> bool:
        """Whether the text matches a pattern of ids that are no customer's."""
        return any(_pattern(pattern)(text) is not None for pattern in self.blocked)

    def problems(self) -> Iterator[str]:
        """Patterns must be regular expressions."""
        for pattern in self.blocked:
            try:
                re.compile(pattern)
            except re.error as error:
                yield (
                    f"identity.blocked: {pattern!r} is no regular expression: {error}; "
                    "write a \\ before characters such as ( [ { * + ? that stand for themselves"
                )


class Privacy(Section, frozen=True):
    """``inactive``: customers without activity for this long are erased; 0: nobody is."""

    inactive: DurationMs

    def problems(self) -> Iterator[str]:
        """The time must be long enough to leave out customers who may buy again."""
        if 0 < self.inactive < INACTIVE_DAYS_MIN * DAY_MS:
            yield (
                f"privacy.inactive must be 0 (nobody is erased for doing nothing) or at least "
                f"'{INACTIVE_DAYS_MIN}d', got {self.inactive / DAY_MS:g} days"
            )


@lru_cache(maxsize=256)
def _pattern(text: str) -> Callable[[str], Any]:
    return re.compile(text).fullmatch


class Names(Section, frozen=True):
    """The shop's names for events. ``aliases``: other names of known events. ``own``: names that
    only resemble a known one. Both are stored `folded`, for comparison.
    """

    open_tables = ("aliases",)
    own: tuple[str, ...] = ()
    aliases: dict[str, str] = {}

    def __post_init__(self) -> None:
        own = tuple(folded(name) for name in self.own)
        aliases = {folded(alias): name for alias, name in self.aliases.items()}
        msgspec.structs.force_setattr(self, "own", own)
        msgspec.structs.force_setattr(self, "aliases", aliases)


class Rfm(Section, frozen=True):
    recency_days: _FourCuts
    frequency: _FourCuts
    monetary: _FourCuts


# It is a key in the cache of customers' clocks, so it is hashed at every look at a clock.
class Overdue(Section, frozen=True, cache_hash=True):
    #: Below a half, a purchase would be overdue before it is expected.
    percentile: Annotated[float, at_least(0.5), at_most(0.999)]
    spread: Positive
    season_slack: PositiveMs
    prior_gap: PositiveMs
    prior_weight: NotNegative
    floor: DurationMs


class Truce(Section, frozen=True):
    """``after``: how long marketing pauses after a complaint is solved, or after a poor answer."""

    after: DurationMs


class Rules(Section, frozen=True):
    """``facts``: the names of the facts that every decision states about its customer."""

    triggers: str
    actions: str
    segments: str
    facts: tuple[str, ...]


class Churn(Section, frozen=True):
    horizon_days: Annotated[tuple[float, ...], NOT_EMPTY, POSITIVE, at_most(HORIZON_DAYS_MAX)]
    #: With a shorter interval, one customer would cause a million check-ins in a silent year.
    check_in_days: Annotated[float, POSITIVE, at_least(0.01), at_most(CHECK_IN_DAYS_MAX)]
    prior: Probability

    @property
    def check_in_ms(self) -> int:
        return round(self.check_in_days * DAY_MS)


class Value(Section, frozen=True):
    gross_margin: Share
    lifetime_max: PositiveMs
    discount: NotNegative
    acquisition_cost: NotNegative
    challenger_margin: NotNegative
    typical_order: Positive


class Learning(Section, frozen=True):
    snapshot_every: PositiveMs
    minimum_examples: Annotated[int, NOT_NEGATIVE]
    refit_every: PositiveMs
    learning_rate: float
    prior_variance: Positive
    forgetting: Annotated[float, POSITIVE, at_most(1)]
    champion_margin: float
    lessons_per_s: NotNegative


class Bounds(Section, frozen=True):
    messages: PositiveInt
    orders: PositiveInt
    order_records: PositiveInt
    sessions: PositiveInt
    products: PositiveInt
    tickets: PositiveInt
    pending: PositiveInt


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """All parameters of the engine; immutable, so that a replay can name those it used.

    ``parts``: the parts' sections by type; `of` returns one. ``triggers``, ``actions`` and
    ``segments`` are the marketer's files, which ``rules`` names. The triggers of announced segments
    are among ``triggers``.
    """

    time: Time
    money: Money
    identity: Identity
    privacy: Privacy
    names: Names
    rfm: Rfm
    overdue: Overdue
    truce: Truce
    churn: Churn
    value: Value
    learning: Learning
    bounds: Bounds
    rules: Rules
    parts: Mapping[type[Section], Section]
    triggers: Triggers
    actions: Actions
    segments: Segments

    def of(self, kind: type[SectionT]) -> SectionT:
        """A part's section. Raises ``KeyError`` if it was not loaded."""
        found: Any = self.parts[kind]
        return found  # type: ignore[no-any-return]

    def with_section(self, section: Section) -> "Parameters":
        """The same parameters with one part's section replaced."""
        return msgspec.structs.replace(self, parts={**self.parts, type(section): section})


#: Lists that may be written as a single value.
_LISTS = (
    ("churn", "horizon_days"),
    ("identity", "blocked"),
    ("names", "own"),
    ("rules", "facts"),
)
_SHARED: dict[str, type[Section]] = {
    "time": Time,
    "money": Money,
    "identity": Identity,
    "privacy": Privacy,
    "names": Names,
    "rfm": Rfm,
    "overdue": Overdue,
    "truce": Truce,
    "churn": Churn,
    "value": Value,
    "learning": Learning,
    "bounds": Bounds,
    "rules": Rules,
}


def load(
    sections: Iterable[type[Section]],
    own_files: Iterable[str],
    file: Path | None = None,
    assignments: Iterable[str] = (),
) -> Parameters:
    """Load the shipped values, overridden by ``file`` and then by ``name=value`` assignments.

    ``sections``: the parts' own. ``own_files``: the parts that ship ``config/parts/NAME.yaml``,
    with their values and default rules. Raises ``ParameterError`` for an unknown name or a value
    of the wrong kind, and ``RuleError`` for a rule or an action that cannot be used.
    """
    parts = {section.section: section for section in sections}
    part_files = [load_part_file(name) for name in own_files]
    values = _shipped()
    for part_file in part_files:
        values |= deepcopy(part_file.parameters)
    if file is not None:
        _merge(values, _read(file), parts, where=str(file))
    for assignment in assignments:
        _merge(values, _assignment(assignment, parts), parts, where=f"--set {assignment}")
    typed = _typed(values, {**_SHARED, **parts})
    rules = typed["rules"]
    triggers = load_triggers(Path(rules.triggers) if rules.triggers else None)
    added = tuple(rule for part_file in part_files for rule in part_file.triggers)
    actions = load_actions(Path(rules.actions) if rules.actions else None)
    if not rules.triggers:
        triggers = msgspec.structs.replace(triggers, triggers=triggers.triggers + added)
    elif not rules.actions:
        ours = {rule.name for rule in triggers.triggers}
        actions = without_answers_to({rule.name for rule in added} - ours, actions)
    segments = load_segments(Path(rules.segments) if rules.segments else None)
    named = {rule.name for rule in triggers.triggers}
    announced = [rule for rule in announcing(segments) if rule.name not in named]
    return Parameters(
        **{name: typed[name] for name in _SHARED},
        parts={type(typed[name]): typed[name] for name in parts},
        triggers=msgspec.structs.replace(
            triggers,
            triggers=(*triggers.triggers, *announced),
            of_parts=frozenset(rule.name for rule in added),
        ),
        actions=actions,
        segments=segments,
    )


def without_answers_to(gone: Collection[str], catalogue: Actions) -> Actions:
    """The catalogue without answers to the triggers in ``gone``. An action that answers other
    triggers as well remains for those.
    """
    left = [
        msgspec.structs.replace(
            action, contexts={name: w for name, w in action.contexts.items() if name not in gone}
        )
        for action in catalogue.actions
    ]
    return msgspec.structs.replace(catalogue, actions=tuple(a for a in left if a.contexts))


def _shipped() -> dict[str, Any]:
    return tomllib.loads(resources.files("config").joinpath("parameters.toml").read_text("utf-8"))


def _read(file: Path) -> dict[str, Any]:
    try:
        return read_toml(file)
    except TextRefused as refused:
        raise ParameterError(
            f"{file}: cannot be read ({refused}); check KEEPSTREAM_PARAMETERS"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ParameterError(f"{file}: not valid TOML: {error}") from None


def _assignment(text: str, parts: Mapping[str, type[Section]]) -> dict[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name.strip():
        raise ParameterError(f"--set {text}: write it as name=value, for example time.disorder=60s")
    tree: Any = _literal(value.strip())
    # Names in an open table may contain dots.
    splits = 2 if name.strip().startswith(_open_tables(parts)) else -1
    for part in reversed(name.strip().split(".", splits)):
        tree = {part: tree}
    assert isinstance(tree, dict)
    return tree


def _literal(text: str) -> Any:
    try:
        return toml_in(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return [_literal(part) for part in text.split(",")] if "," in text else text


def _open_tables(parts: Mapping[str, type[Section]]) -> tuple[str, ...]:
    kinds = {**_SHARED, **parts}
    return tuple(f"{name}.{table}." for name, kind in kinds.items() for table in kind.open_tables)


def _merge(
    values: dict[str, Any],
    changes: Mapping[str, Any],
    parts: Mapping[str, type[Section]],
    *,
    where: str,
    path: str = "",
) -> None:
    for name, value in changes.items():
        full = f"{path}{name}"
        if name not in values and path not in _open_tables(parts):
            raise ParameterError(
                f"{where}: there is no parameter {full}{_suggest(name, values, path)}"
            )
        known = values.get(name)
        if isinstance(known, dict):
            if not isinstance(value, Mapping):
                raise ParameterError(f"{where}: {full} is a group of parameters, not a value")
            _merge(known, value, parts, where=where, path=f"{full}.")
        else:
            values[name] = value


def _suggest(name: str, values: Mapping[str, Any], path: str) -> str:
    close = difflib.get_close_matches(name, values, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {path}{close[0]}?"
    return f"; known here: {', '.join(sorted(values))}"


def _typed(values: dict[str, Any], kinds: Mapping[str, type[Section]]) -> dict[str, Any]:
    """Each section by its name. Refuses values that have the right type but would give wrong
    results or an endless loop.
    """
    for section_name, name in _LISTS:
        value = values[section_name][name]
        values[section_name][name] = value if isinstance(value, list) else [value]
    typed: dict[str, Any] = {}
    for name, kind in kinds.items():
        try:
            section = msgspec.convert(values[name], kind, dec_hook=convert, strict=True)
        except msgspec.ValidationError as error:
            raise ParameterError(f"parameters: {_placed(error, name)}") from None
        for problem in (*problems_in(section, name), *section.problems()):
            raise ParameterError(f"parameters: {problem}")
        typed[name] = section
    return typed


def _placed(error: msgspec.ValidationError, section: str) -> str:
    """The error in words, with the full name of the wrong value."""
    has_place = " - at `$" in str(error)
    return f"{section}{'.' if has_place else ': '}{in_words(error)}"
