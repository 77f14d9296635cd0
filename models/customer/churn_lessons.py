"""What churn models learn from: which decision points wait for labels, and what these and check-ins
teach.
"""

from bisect import bisect_right
from math import ceil
from operator import attrgetter
from typing import Final

from config.duration import DAY_MS
from models.customer.decision_points import has_bought_today
from models.customer.engagement import engagement
from models.customer.fingerprint import fingerprint_once
from models.customer.labels import (
    Days,
    DecisionPoint,
    Inputs,
    Label,
    Labels,
    Waiting,
    inputs_of,
    narrow,
)
from models.customer.purchase_state import Purchases
from models.customer.purchase_windows import begun_within, bought_within, gaps_days
from models.customer.purchases import window_365d
from models.customer.row import Row
from models.customer.scene import Context, Scene
from models.customer.scores import churn_within, expected_within, net_so_far, seen
from models.learning.bgnbd import cell_of
from models.learning.gamma_gamma import cell_of as spend_cell_of
from models.learning.gaps import gap_residuals
from models.learning.history import History
from models.learning.label_sampling import LabelSampling
from models.learning.lessons import Example, Observation, packed_text
from models.learning.scorers import pack_said

#: The readings of other parts that lessons use.
READS: Final = (engagement, window_365d)
#: The timer by which labels are released.
LABEL: Final = "label"
_horizon_days = attrgetter("horizon_days")


def wait_for(state: Labels, past: History, scene: Scene) -> None:
    """Wait for a label at each horizon that has room for one. Features are computed only if any
    has.

    Whether a decision point is kept depends on a hash and on earlier events only. Replacing one by
    a later one would bias the sample: customers who come back have more decision points, so those
    of lost customers would be kept more often.
    """
    # An int, because it is packed, and the parameter may be of another type.
    at_ms, delay_ms = scene.at_ms, int(scene.context.label_delay_ms)
    pending_max, check_in_ms = scene.parameters.bounds.pending, scene.context.check_in_ms
    draw = fingerprint_once(f"{scene.customer}:{at_ms}")
    one_in = scene.snapshot.of(LabelSampling).one_in
    labels: list[Label] = []
    inputs: Inputs | None = None
    for horizon_days, days, horizon_ms in scene.context.settled(_horizons):
        wait_ms = horizon_ms + delay_ms
        weight = one_in * _stride(past, at_ms, wait_ms, check_in_ms, pending_max)
        if draw % weight or not state.has_room(days, pending_max):
            continue
        # The score is only needed for a label that is kept.
        score = churn_within(scene, horizon_days)
        assert score is not None
        said = pack_said(score.said)
        expected = expected_within(scene, horizon_days)
        if expected is None:
            labels.append(Label(days, weight, said))
            continue
        forecast = expected.forecast
        inputs = inputs or inputs_of(forecast, past, at_ms, scene.of(net_so_far))
        labels.append(Label(days, weight, said, forecast.formula_minor, forecast.challenger_minor))
    if labels:
        labels.sort(key=_horizon_days)
        bought, packed = has_bought_today(past, at_ms), _packed_features(scene)
        point = DecisionPoint(at_ms, delay_ms, bought, packed, tuple(labels), inputs)
        state.add(point)
        first_ms, known_ms = point.due_ms(labels[0]), scene.row.due(LABEL).due_ms
        if not known_ms or first_ms < known_ms:
            scene.row.set_due(LABEL, first_ms, may_repeat=True)


def _horizons(context: Context) -> list[tuple[float, Days, int]]:
    """Each horizon in days, as it is packed, and in ms."""
    horizons = context.parameters.churn.horizon_days
    return [(days, narrow(days), round(narrow(days) * DAY_MS)) for days in horizons]


def _stride(past: History, at_ms: int, wait_ms: int, check_in_ms: int, pending: int) -> int:
    """Keep one in this many decision points, by how many there were in the last ``wait_ms``; an
    eighth of the room is spare, because the hash keeps a random number of them.
    """
    days = len(past.days) - bisect_right(past.days, (at_ms - wait_ms) // DAY_MS)
    return ceil((days + wait_ms / check_in_ms) / (0.875 * pending))


def _labels_thousandths(past: History, scene: Scene) -> int:
    """The expected number of labels of the decision points since the last check-in, in thousandths,
    if none is left out for the trainer's sake; 0 if the trainer takes all there are.
    """
    parameters = scene.parameters
    if not parameters.learning.lessons_per_s:
        return 0
    at_ms, delay_ms = scene.at_ms, int(scene.context.label_delay_ms)
    check_in_ms, pending = scene.context.check_in_ms, parameters.bounds.pending
    since_day = (at_ms - check_in_ms) // DAY_MS
    bought_days = len(past.days) - bisect_right(past.days, since_day)
    points = bought_days + (not has_bought_today(past, at_ms))
    expected = 0
    for _, _, horizon_ms in scene.context.settled(_horizons):
        stride = _stride(past, at_ms, horizon_ms + delay_ms, check_in_ms, pending)
        expected += 1_000 * points // stride
    return expected


def set_next_label(state: Labels, row: Row) -> None:
    """Set the timer to when the next label is due."""
    row.set_due(LABEL, state.next_due_ms(), may_repeat=True)


def example(bought: Purchases, waited: Waiting) -> Example:
    """What a label teaches at the end of its horizon."""
    point, label = waited.point, waited.label
    came_back, spent_minor = _bought_within(bought, point.at_ms, point.at_ms + label.horizon_ms)
    return Example(
        timestamp_ms=waited.due_ms,
        horizon_days=float(label.horizon_days),
        kind=point.kind,
        churned=not came_back,
        features=packed_text(point.features),
        weight=label.weight,
        said=packed_text(label.said),
        spent_minor=spent_minor,
        forecast=point.forecast(label),
    )


def _bought_within(bought: Purchases, start_ms: int, end_ms: int) -> tuple[bool, int]:
    """Whether there was another occasion to buy in (start, end], and the net revenue of its orders,
    in minor units.
    """
    count, spent_minor = bought_within(bought, start_ms, end_ms)
    # Orders that only continue the sitting of the decision's day are no other occasion.
    return bool(count) and begun_within(bought, start_ms, end_ms), spent_minor


def _packed_features(scene: Scene) -> bytes:
    """The features, packed as they are kept and taught; only for customers that have any."""
    found = scene.of(seen)
    assert found is not None
    return found.packed


def observation(state: Labels, past: History, bought: Purchases, scene: Scene) -> Observation:
    """The customer's observation at a check-in; the state remembers the cells it counts them in."""
    at_ms = scene.at_ms
    frequency, monetary_minor = scene.of(window_365d)
    gaps, today = gaps_days(bought), at_ms // DAY_MS
    cell = cell_of(past.repeats, past.last, past.life)
    counted = (*spend_cell_of(past.repeats + 1, scene.of(net_so_far)), monetary_minor)
    first_channel = scene.of(engagement).first_channel
    check_in_days = scene.context.check_in_ms // DAY_MS
    found = Observation(
        timestamp_ms=at_ms,
        recency_days=past.recency,
        frequency=frequency,
        monetary_minor=monetary_minor,
        gap_days=sorted(gaps)[len(gaps) // 2] if gaps else None,
        enters=cell,
        leaves=state.counted,
        features=packed_text(_packed_features(scene)),
        gap_residuals=gap_residuals(past.days, today - check_in_days, today),
        spend_enters=counted,
        spend_leaves=state.spend_counted,
        acquired=first_channel if state.spend_counted is None else None,
        labels_thousandths=_labels_thousandths(past, scene),
    )
    state.counted, state.spend_counted = cell, counted
    return found
