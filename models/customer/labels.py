"""Labels that wait for the end of their horizon, as a row keeps them.

They are most of a row. So what the labels of one decision point share is stored once, and what
follows from other numbers is not stored at all.
"""

from bisect import insort
from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum
from math import expm1, inf
from typing import NamedTuple

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.row import State
from models.learning.history import History, past_at
from models.learning.lessons import Counted, Forecast
from models.learning.spend import features, spent_behind

PURCHASE, CHECK_IN = "purchase", "check-in"
#: A number of days: whole ones take a byte or two instead of nine.
Days = int | float


def narrow(days: float) -> Days:
    """The same number, as an integer if it is one."""
    return int(days) if days.is_integer() else days


class Dropped(StrEnum):
    """Why a waiting label teaches nothing: an id left the person, the customer was erased or
    refused to be learnt from, or there were too many labels.
    """

    SPLIT = "split"
    ERASED = "erased"
    CONSENT = "consent"
    BOUND = "bound"


class LabelsDropped(NamedTuple):
    """A number of waiting labels that were dropped, and why."""

    why: Dropped
    size: int


class Inputs(Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True):
    """The inputs of the forecasts at a decision point, which all of them share.

    ``order_minor``: a typical order at the time; ``repeats``: purchase days after the first one;
    ``net_minor``: what was spent so far, 0 if more was refunded.
    """

    order_minor: float
    first_day: int
    last_day: int
    repeats: int
    net_minor: int


def inputs_of(forecast: Forecast, past: History, at_ms: int, net_minor: int) -> Inputs:
    """What `DecisionPoint.forecast` needs to make ``forecast`` again."""
    return Inputs(
        forecast.order_minor,
        _day_before(past.life, at_ms),
        _day_before(past.recency, at_ms),
        past.repeats,
        max(net_minor, 0),
    )


def _day_before(days: float, at_ms: int) -> int:
    """The UTC day that began ``days`` before ``at_ms``."""
    return round(at_ms / DAY_MS - days)


class Label(Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True):
    """One horizon of a decision point.

    ``weight`` is the number of decision points it stands for, because labels are sampled. ``said``:
    each scorer's log odds, packed. ``formula_minor`` and ``challenger_minor``: the expected spend;
    without the first there was no model of value yet. ``whole``: a forecast of an earlier release
    whose features do not follow from the point's inputs.
    """

    horizon_days: Days
    weight: int
    said: bytes
    formula_minor: float | None = None
    challenger_minor: float | None = None
    whole: Forecast | None = None

    @property
    def horizon_ms(self) -> int:
        days = self.horizon_days
        # Whole days need no rounding, and this is computed for every label that waits.
        return days * DAY_MS if isinstance(days, int) else round(days * DAY_MS)


class DecisionPoint(Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True):
    """A decision point and those of its labels that were not released yet: at least one, the
    shortest horizon first.

    ``delay_ms``: how long a label waits after its horizon for late events. ``features`` are those
    of the decision, packed.
    """

    at_ms: int
    delay_ms: int
    has_bought: bool
    features: bytes
    labels: tuple[Label, ...]
    inputs: Inputs | None = None

    @property
    def kind(self) -> str:
        """Whether it ends a purchase day or is a check-in."""
        return PURCHASE if self.has_bought else CHECK_IN

    def due_ms(self, label: Label) -> int:
        """When the label is released."""
        return self.at_ms + label.horizon_ms + self.delay_ms

    def forecast(self, label: Label) -> Forecast | None:
        """The spend that was expected within the label's horizon; None without a model of it."""
        if label.formula_minor is None or self.inputs is None:
            return label.whole
        return _made_again(self.at_ms, label.formula_minor, label.challenger_minor, self.inputs)


def _made_again(
    at_ms: int, formula_minor: float, challenger_minor: float | None, inputs: Inputs
) -> Forecast:
    """A forecast, bit for bit as it was made: its features follow from the rest."""
    past = past_at(at_ms, (), inputs.repeats, inputs.first_day, inputs.last_day)
    order_minor = inputs.order_minor
    seen = features(past, inputs.net_minor, formula_minor / order_minor, order_minor)
    return Forecast(formula_minor, challenger_minor, order_minor, seen)


class Waiting(NamedTuple):
    """A label with its point; sorted, they are in the order of their release."""

    due_ms: int
    horizon_days: Days
    point: DecisionPoint
    label: Label

    @property
    def decided_at_ms(self) -> int:
        return self.point.at_ms


class Labels(State):
    """``points``: decision points with labels not yet released, the earliest first. ``counted`` and
    ``spend_counted``: the customer's cells in the population's count tables.
    """

    points: list[DecisionPoint] = field(default_factory=list)
    counted: tuple[int, int, int] | None = None
    spend_counted: Counted | None = None

    def waiting(self, until_ms: float = inf) -> list[Waiting]:
        """The labels that are due by then, in the order in which they become due."""
        found = [
            Waiting(due_ms, label.horizon_days, point, label)
            for point in self.points
            for label in point.labels
            if (due_ms := point.due_ms(label)) <= until_ms
        ]
        found.sort(key=_by_release)
        return found

    def next_due_ms(self) -> int:
        """When the next label is due; 0 if none waits."""
        return min(_first_due_ms(self.points), default=0)

    def add(self, point: DecisionPoint) -> None:
        """Let the labels of a decision point wait."""
        points = self.points
        if not points or points[-1].at_ms <= point.at_ms:
            points.append(point)
        else:
            insort(points, point, key=_at_ms)

    def has_room(self, horizon_days: Days, pending: int) -> bool:
        """Whether fewer than ``pending`` labels of this horizon wait."""
        # Each point has one of them at most, and most customers have few points.
        if len(self.points) < pending:
            return True
        count = 0
        for point in self.points:
            for label in point.labels:
                if label.horizon_days == horizon_days:
                    count += 1
        return count < pending

    def release(self, until_ms: int) -> list[Waiting]:
        """Take out the labels that are due by then, in the order in which they became due."""
        ripe: list[Waiting] = []
        kept: list[DecisionPoint] = []
        for point, first_ms in zip(self.points, _first_due_ms(self.points), strict=True):
            if first_ms > until_ms:
                kept.append(point)
                continue
            later: list[Label] = []
            for label in point.labels:
                due_ms = point.due_ms(label)
                if due_ms > until_ms:
                    later.append(label)
                else:
                    ripe.append(Waiting(due_ms, label.horizon_days, point, label))
            if later:
                kept.append(replace(point, labels=tuple(later)))
        if ripe:
            self.points = kept
            ripe.sort(key=_by_release)
        return ripe

    def limit(self, pending: int) -> None:
        """Keep this many labels of each horizon, those of the earliest decision points."""
        found: Counter[Days] = Counter()

        def has_room(_point: DecisionPoint, label: Label) -> bool:
            found[label.horizon_days] += 1
            return found[label.horizon_days] <= pending

        self._keep(has_room)

    def _keep(self, is_kept: Callable[[DecisionPoint, Label], bool]) -> None:
        kept: list[DecisionPoint] = []
        for point in self.points:
            labels = tuple(label for label in point.labels if is_kept(point, label))
            if labels:
                is_whole = len(labels) == len(point.labels)
                kept.append(point if is_whole else replace(point, labels=labels))
        self.points = kept


def united(states: Sequence[Labels], parameters: Parameters) -> Labels:
    """One person's waiting labels: those of all their ids, the earliest first.

    Not additive: labels beyond the bound are dropped, and the cells are those of the id that was
    counted last, because a table must count a person once.
    """
    one = Labels()
    one.points = sorted(
        (point for state in states for point in state.points), key=lambda point: point.at_ms
    )
    one.limit(parameters.bounds.pending)
    for state in states:
        one.counted = state.counted or one.counted
        one.spend_counted = state.spend_counted or one.spend_counted
    return one


def dropped(
    why: Dropped, before: Sequence[DecisionPoint], after: Sequence[DecisionPoint]
) -> list[LabelsDropped]:
    """The labels that were dropped between ``before`` and ``after``; empty if all still wait."""
    count = _size(before) - _size(after)
    return [LabelsDropped(why, count)] if count else []


def _size(points: Sequence[DecisionPoint]) -> int:
    return len([label for point in points for label in point.labels])


def _first_due_ms(points: Sequence[DecisionPoint]) -> list[int]:
    """When the first label of each point is released, which is the first that is due."""
    due: list[int] = []
    for point in points:
        first = point.labels[0]
        days = first.horizon_days
        # Whole days need no rounding, and this is computed for every label that waits.
        horizon_ms = days * DAY_MS if days.__class__ is int else first.horizon_ms
        due.append(point.at_ms + point.delay_ms + horizon_ms)
    return due


def _by_release(waiting: Waiting) -> tuple[int, Days]:
    return waiting.due_ms, waiting.horizon_days


def _at_ms(point: DecisionPoint) -> int:
    return point.at_ms


class _FirstWaiting(Struct, frozen=True, array_like=True, gc=False):
    """A label of version 1, which stored its whole decision point with it."""

    due_ms: int
    decided_at_ms: int
    horizon_days: float
    kind: str
    weight: int
    features: bytes
    said: bytes = b""
    forecast: Forecast | None = None

    @property
    def delay_ms(self) -> int:
        return self.due_ms - self.decided_at_ms - round(self.horizon_days * DAY_MS)

    @property
    def point(self) -> tuple[int, int, str, bytes]:
        """What the labels of one decision point have in common."""
        return self.decided_at_ms, self.delay_ms, self.kind, self.features


class _First(State):
    """Labels in version 1."""

    waiting: list[_FirstWaiting] = field(default_factory=list)
    counted: tuple[int, int, int] | None = None
    spend_counted: Counted | None = None


_FIRST = msgspec.msgpack.Decoder(_First)


def unpack_first(content: bytes) -> Labels:
    """Read version 1: the same labels, whose examples are the same to the bit."""
    stored = _FIRST.decode(content)
    labels = Labels([], stored.counted, stored.spend_counted)
    together: dict[tuple[int, int, str, bytes], list[_FirstWaiting]] = {}
    for one in stored.waiting:
        together.setdefault(one.point, []).append(one)
    for (at_ms, delay_ms, kind, packed), ones in together.items():
        forecasts = [one.forecast for one in ones if one.forecast is not None]
        inputs = _inputs_behind(forecasts[0], at_ms) if forecasts else None
        labels.add(
            DecisionPoint(
                at_ms,
                delay_ms,
                kind == PURCHASE,
                packed,
                tuple(_label_of(one, inputs) for one in ones),
                inputs,
            )
        )
    return labels


def _label_of(one: _FirstWaiting, inputs: Inputs | None) -> Label:
    days, forecast = narrow(one.horizon_days), one.forecast
    if forecast is None or inputs is None:
        return Label(days, one.weight, one.said, whole=forecast)
    formula_minor, challenger_minor = forecast.formula_minor, forecast.challenger_minor
    if forecast != _made_again(one.decided_at_ms, formula_minor, challenger_minor, inputs):
        return Label(days, one.weight, one.said, whole=forecast)
    return Label(days, one.weight, one.said, formula_minor, challenger_minor)


def _inputs_behind(forecast: Forecast, at_ms: int) -> Inputs | None:
    """The whole numbers that a forecast's features were computed from; None if they do not follow
    from whole numbers.
    """
    order_minor = forecast.order_minor
    try:
        _, recency, repeats, life, a_day, _ = forecast.features
        count = round(expm1(repeats))
        first_day = _day_before(expm1(life), at_ms)
        last_day = _day_before(expm1(recency), at_ms)
        net_minor = spent_behind(a_day, count, order_minor)
    except (ValueError, OverflowError):
        return None
    return Inputs(order_minor, first_day, last_day, count, net_minor)
