"""What an operator may tune, typed and checked: the reader of ``parameters.toml``.

The values live in ``parameters.toml`` alone; this module gives them types and internal units.
"""

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from config.duration import DAY_MS, DurationMs, convert
from config.evidence import TABLES, Evidence, events_named
from config.rules import Actions, Triggers, load_actions, load_triggers

HORIZON_DAYS_MAX = 365
#: Tables whose names are the operator's own.
_FREE = ("engagement.weights.", "evidence.words.", *(f"evidence.{n}." for n in TABLES))


class ParameterError(ValueError):
    """A parameter is unknown or has a value that cannot be used; the message names the fix."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Time(_Section, frozen=True):
    disorder: DurationMs
    lateness: DurationMs
    future: DurationMs


class Money(_Section, frozen=True):
    currency: str


class Engagement(_Section, frozen=True):
    half_life: DurationMs
    session_gap: DurationMs
    other: float
    weights: dict[str, float]


class Purchases(_Section, frozen=True):
    half_lives: tuple[DurationMs, DurationMs, DurationMs]


class Rfm(_Section, frozen=True):
    recency_days: tuple[float, float, float, float]
    frequency: tuple[float, float, float, float]
    monetary: tuple[float, float, float, float]


class Sla(_Section, frozen=True):
    urgent: DurationMs
    high: DurationMs
    normal: DurationMs
    low: DurationMs

    def due_after_ms(self, priority: str) -> int:
        """Time to the first answer for ``priority``; an unknown one counts as normal."""
        return int(getattr(self, priority, self.normal))


class Support(_Section, frozen=True):
    sla: Sla


class Overdue(_Section, frozen=True):
    multiple: float
    prior_gap: DurationMs
    prior_weight: float
    floor: DurationMs


class Cart(_Section, frozen=True):
    idle: DurationMs


class Rules(_Section, frozen=True):
    triggers: str
    actions: str


class Churn(_Section, frozen=True):
    horizon_days: tuple[float, ...]
    check_in_days: float
    prior: float

    @property
    def check_in_ms(self) -> int:
        return round(self.check_in_days * DAY_MS)


class Value(_Section, frozen=True):
    gross_margin: float
    lifetime_max: DurationMs
    acquisition_cost: float
    challenger_margin: float
    typical_order: float


class Learning(_Section, frozen=True):
    snapshot_every: DurationMs
    minimum_examples: int
    refit_every: DurationMs
    learning_rate: float
    prior_variance: float
    forgetting: float
    champion_margin: float


class Bounds(_Section, frozen=True):
    messages: int
    orders: int
    sessions: int
    products: int
    tickets: int
    pending: int


class Parameters(_Section, frozen=True):
    """Everything the engine may be told; immutable, so that a replay can name what it used.

    ``triggers`` and ``actions`` are the marketer's files, which ``rules`` names.
    """

    time: Time
    money: Money
    engagement: Engagement
    purchases: Purchases
    rfm: Rfm
    support: Support
    overdue: Overdue
    cart: Cart
    churn: Churn
    evidence: Evidence
    value: Value
    learning: Learning
    bounds: Bounds
    rules: Rules
    triggers: Triggers
    actions: Actions


def load_parameters(file: Path | None = None, assignments: Iterable[str] = ()) -> Parameters:
    """Shipped values, then those of ``file``, then ``name=value`` assignments.

    Raises ``ParameterError`` for an unknown name or a value of the wrong kind, and ``RuleError``
    for a rule or an action that cannot be used.
    """
    values = _values(file, assignments)
    rules = values["rules"]
    values["triggers"] = load_triggers(Path(str(rules["triggers"])) if rules["triggers"] else None)
    values["actions"] = load_actions(Path(str(rules["actions"])) if rules["actions"] else None)
    return _typed(values)


def _values(file: Path | None, assignments: Iterable[str]) -> dict[str, Any]:
    shipped = resources.files("config").joinpath("parameters.toml").read_text("utf-8")
    values = tomllib.loads(shipped)
    evidence = events_named(values)
    if file is not None:
        _merge(values, _read(file), where=str(file))
    for assignment in assignments:
        _merge(values, _assignment(assignment), where=f"--set {assignment}")
    for name in sorted(events_named(values) - evidence):
        raise ParameterError(
            f"parameters: evidence: {name!r} is no event that may be evidence"
            f"{_suggest(name, dict.fromkeys(evidence), '')}"
        )
    return values


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ParameterError(
            f"{file}: cannot be read ({error.strerror}); check KEEPSTREAM_PARAMETERS"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParameterError(f"{file}: not valid TOML: {error}") from None


def _assignment(text: str) -> dict[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name.strip():
        raise ParameterError(f"--set {text}: write it as name=value, for example time.disorder=60s")
    tree: Any = _literal(value.strip())
    for part in reversed(name.strip().split(".", 2 if name.strip().startswith(_FREE) else -1)):
        tree = {part: tree}
    assert isinstance(tree, dict)
    return tree


def _literal(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return [_literal(part) for part in text.split(",")] if "," in text else text


def _merge(
    values: dict[str, Any], changes: Mapping[str, Any], *, where: str, path: str = ""
) -> None:
    for name, value in changes.items():
        full = f"{path}{name}"
        if name not in values and path not in _FREE:
            raise ParameterError(
                f"{where}: there is no parameter {full}{_suggest(name, values, path)}"
            )
        known = values.get(name)
        if isinstance(known, dict):
            if not isinstance(value, Mapping):
                raise ParameterError(f"{where}: {full} is a group of parameters, not a value")
            _merge(known, value, where=where, path=f"{full}.")
        else:
            values[name] = value


def _suggest(name: str, values: Mapping[str, Any], path: str) -> str:
    close = difflib.get_close_matches(name, values, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {path}{close[0]}?"
    return f"; known here: {', '.join(sorted(values))}"


def _typed(values: dict[str, Any]) -> Parameters:
    horizons = values["churn"]["horizon_days"]
    if not isinstance(horizons, list):
        values["churn"]["horizon_days"] = [horizons]
    try:
        parameters = msgspec.convert(values, Parameters, dec_hook=convert, strict=True)
    except msgspec.ValidationError as error:
        raise ParameterError(f"parameters: {error}") from None
    _check(parameters)
    return parameters


def _check(parameters: Parameters) -> None:
    """Refuse values of the right type that would make the engine lie or never end."""
    _check_finite(parameters)
    _check_ranges(parameters)
    bounds = msgspec.structs.asdict(parameters.bounds)
    positive = {
        **{f"bounds.{name}": value for name, value in bounds.items()},
        "engagement.half_life": parameters.engagement.half_life,
        "engagement.session_gap": parameters.engagement.session_gap,
        "churn.check_in_days": parameters.churn.check_in_days,
        "evidence.half_life": parameters.evidence.half_life,
        "evidence.least": parameters.evidence.least,
        "overdue.multiple": parameters.overdue.multiple,
        "overdue.prior_gap": parameters.overdue.prior_gap,
        "learning.snapshot_every": parameters.learning.snapshot_every,
        "learning.refit_every": parameters.learning.refit_every,
        "learning.prior_variance": parameters.learning.prior_variance,
        "cart.idle": parameters.cart.idle,
        "purchases.half_lives": min(parameters.purchases.half_lives, default=0),
        "churn.horizon_days": min(parameters.churn.horizon_days, default=0),
        "value.lifetime_max": parameters.value.lifetime_max,
        "value.typical_order": parameters.value.typical_order,
    }
    for name, value in positive.items():
        if not value > 0:
            raise ParameterError(f"parameters: {name} must be more than 0, got {value}")
    if max(parameters.churn.horizon_days) > HORIZON_DAYS_MAX:
        # Orders are kept for as long as a label may have to look back.
        raise ParameterError(f"parameters: churn.horizon_days is {HORIZON_DAYS_MAX} at most")
    # Shorter than this, a silent year would be a million looks at one customer.
    if parameters.churn.check_in_days < 0.01:
        raise ParameterError("parameters: churn.check_in_days must be at least 0.01")
    if not 0 < parameters.learning.forgetting <= 1:
        raise ParameterError("parameters: learning.forgetting is more than 0 and at most 1")
    if not 0 < parameters.churn.prior < 1:
        raise ParameterError("parameters: churn.prior is a probability: between 0 and 1")
    if not 0 <= parameters.value.gross_margin <= 1:
        raise ParameterError("parameters: value.gross_margin is a part of revenue: from 0 to 1")
    if not re.fullmatch("[A-Z]{3}", parameters.money.currency):
        raise ParameterError("parameters: money.currency is an ISO 4217 code such as EUR")


def _check_finite(value: object, path: str = "") -> None:
    match value:
        case msgspec.Struct():
            _check_finite(msgspec.structs.asdict(value), path)
        case dict():
            for name, inner in value.items():
                _check_finite(inner, f"{path}.{name}" if path else name)
        case tuple():
            for inner in value:
                _check_finite(inner, path)
        case float() if not math.isfinite(value):
            raise ParameterError(f"parameters: {path} must be a finite number, got {value}")


def _check_ranges(parameters: Parameters) -> None:
    tuning = parameters.engagement
    weights = {f"engagement.weights.{name}": weight for name, weight in tuning.weights.items()}
    not_negative = {
        **weights,
        **parameters.evidence.weights(),
        "engagement.other": tuning.other,
        "overdue.prior_weight": parameters.overdue.prior_weight,
        "value.acquisition_cost": parameters.value.acquisition_cost,
        "value.challenger_margin": parameters.value.challenger_margin,
        "learning.minimum_examples": parameters.learning.minimum_examples,
    }
    for name, value in not_negative.items():
        if value < 0:
            raise ParameterError(f"parameters: {name} must not be negative, got {value}")
    if (word := parameters.evidence.unusable_word()) is not None:
        raise ParameterError(
            f"parameters: evidence.words: {word!r} is compared with what is written in lower case "
            f"with _ for all but letters and digits; write it so"
        )
    for name, cuts in msgspec.structs.asdict(parameters.rfm).items():
        if list(cuts) != sorted(cuts):
            raise ParameterError(f"parameters: rfm.{name} must ascend, as in 1, 2, 4, 8")
