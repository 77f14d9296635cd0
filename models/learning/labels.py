"""Labels by silence: a decision point becomes an example when its horizon has gone by.

Every label is released at the end of its horizon and never earlier, whatever happened in between:
telling "came back" at the next purchase and "left" only at the end would leak nothing and be badly
biased all the same.
"""

from bisect import bisect_right
from math import ceil

from msgspec.structs import replace

from config.duration import DAY_MS
from config.parameters import Parameters
from models.context import Context
from models.customer.fingerprint import fingerprint
from models.customer.pending import Pending
from models.customer.purchases import WINDOW_DAYS, Purchases, gaps_days, window
from models.customer.row import Deadline, Row
from models.learning.bgnbd import cell_of
from models.learning.churn import Assessment
from models.learning.examples import Example, Observation, packed_text
from models.learning.features import History, pack
from models.learning.gamma_gamma import cell_of as spend_cell_of
from models.learning.gaps import gap_residuals
from models.learning.scorers import pack_said
from models.learning.value import expect, net_until

PURCHASE, CHECK_IN = "purchase", "check-in"
#: The end of a day is its last whole second but one; a day is a UTC day.
_DAY_END_MS = DAY_MS - 1_000


def day_end_ms(at_ms: int) -> int:
    """The decision point of the day that ``at_ms`` is in."""
    return at_ms // DAY_MS * DAY_MS + _DAY_END_MS


def next_decision_ms(row: Row, check_in_ms: int, give_up_ms: int) -> int:
    """The next decision point not yet dealt with: the end of the last purchase's day, or the next
    check-in on the grid that begins with the first purchase.

    0 without a purchase, and once the last one is ``give_up_ms`` ago. Who comes back after that is
    not looked at in hindsight: check-ins before the last purchase that were left out stay so.
    """
    bought = row.purchases
    last_at_ms = bought.last_at_ms
    if not last_at_ms:
        return 0
    handled_ms = row.deadlines.decision.handled_ms
    first_ms, purchase_ms = day_end_ms(bought.first_at_ms), day_end_ms(last_at_ms)
    # Not of a purchase in the very last second of a day, which its decision point cannot see.
    if handled_ms < purchase_ms and last_at_ms <= purchase_ms:
        return purchase_ms
    since_ms = max(handled_ms, purchase_ms)
    due_ms = first_ms + ((since_ms - first_ms) // check_in_ms + 1) * check_in_ms
    return due_ms if due_ms <= last_at_ms + give_up_ms else 0


def kind_of(past: History, at_ms: int) -> str:
    """Whether a decision point ends a purchase day or is a check-in."""
    bought_today = bool(past.days) and past.days[-1] == at_ms // DAY_MS
    return PURCHASE if bought_today else CHECK_IN


def is_check_in(row: Row, at_ms: int, check_in_ms: int) -> bool:
    """Whether a decision point is on the grid of check-ins, whatever was bought that day: counting
    the silent alone would make a population of people who buy less.
    """
    since_ms = at_ms - day_end_ms(row.purchases.first_at_ms)
    return since_ms > 0 and not since_ms % check_in_ms


def with_pending(row: Row, assessment: Assessment, at_ms: int, context: Context) -> Row:
    """``row`` with a label to wait for at each horizon, as far as there is room for it.

    Whether a decision point is kept follows from a hash and from what was before it. Giving up one
    for a later one would not do: who comes back often has more of them to come, so that those whom
    we lose would be kept more often.
    """
    kind, past = kind_of(assessment.history, at_ms), assessment.history
    features = pack(assessment.features)
    pending, net_minor = row.pending, net_until(row.purchases, at_ms)
    draw = fingerprint(f"{context.customer}:{at_ms}")
    for churn in assessment.churn:
        wait_ms = round(churn.horizon_days * DAY_MS) + context.label_delay_ms
        weight = _stride(past, at_ms, wait_ms, context.parameters)
        waiting = sum(p.horizon_days == churn.horizon_days for p in pending)
        if draw % weight or waiting >= context.parameters.bounds.pending:
            continue
        expected = expect(past, net_minor, churn.horizon_days, context.snapshot)
        new = Pending(
            due_ms=at_ms + wait_ms,
            decided_at_ms=at_ms,
            horizon_days=churn.horizon_days,
            kind=kind,
            weight=weight,
            features=features,
            said=pack_said(churn.said),
            forecast=None if expected is None else expected.forecast,
        )
        pending = tuple(sorted((*pending, new), key=lambda p: (p.due_ms, p.horizon_days)))
    return _waiting(row, pending)


def _stride(past: History, at_ms: int, wait_ms: int, parameters: Parameters) -> int:
    """One of how many decision points to keep, going by how many there were in the time that a
    label waits; an eighth of the room is left for chance.
    """
    days = len(past.days) - bisect_right(past.days, (at_ms - wait_ms) // DAY_MS)
    lately = days + wait_ms / parameters.churn.check_in_ms
    return ceil(lately / (0.875 * parameters.bounds.pending))


def mature(row: Row, due_ms: int) -> tuple[Row, list[Example]]:
    """Release the labels that are due at ``due_ms``."""
    ripe = [p for p in row.pending if p.due_ms <= due_ms]
    rest = row.pending[len(ripe) :]
    return _waiting(row, rest), [_example(row.purchases, p) for p in ripe]


def _example(bought: Purchases, pending: Pending) -> Example:
    start_ms = pending.decided_at_ms
    end_ms = start_ms + round(pending.horizon_days * DAY_MS)
    churned = not _bought_within(bought, start_ms, end_ms)
    return Example(
        timestamp_ms=pending.due_ms,
        horizon_days=pending.horizon_days,
        kind=pending.kind,
        churned=churned,
        features=packed_text(pending.features),
        weight=pending.weight,
        said=packed_text(pending.said),
        spent_minor=_spent_within(bought, start_ms, end_ms),
        forecast=pending.forecast,
    )


def _bought_within(bought: Purchases, start_ms: int, end_ms: int) -> bool:
    """Whether there was a purchase in (start, end]."""
    for order in reversed(bought.orders):
        if order.known_since_ms <= start_ms:
            # Orders are kept in the order of time.
            return False
        if start_ms < order.placed_at_ms <= end_ms and order.is_purchase:
            return True
    return False


def _spent_within(bought: Purchases, start_ms: int, end_ms: int) -> int:
    """Net revenue of the orders in (start, end], in minor units."""
    spent_minor = 0
    for order in reversed(bought.orders):
        if order.known_since_ms <= start_ms:
            break
        if start_ms < order.placed_at_ms <= end_ms:
            spent_minor += order.net_minor
    return spent_minor


def _waiting(row: Row, pending: tuple[Pending, ...]) -> Row:
    label = Deadline(pending[0].due_ms if pending else 0)
    return replace(row, pending=pending, deadlines=replace(row.deadlines, label=label))


def observe(
    row: Row, assessment: Assessment, at_ms: int, check_in_ms: int
) -> tuple[Row, Observation]:
    """The customer as a check-in finds them; ``row`` remembers the cell they are counted in."""
    past, today = assessment.history, at_ms // DAY_MS
    frequency, monetary_minor = window(row.purchases, at_ms, WINDOW_DAYS[-1])
    gaps = gaps_days(row.purchases)
    cell = cell_of(past.repeats, past.last, past.life)
    spend = spend_cell_of(past.repeats + 1, net_until(row.purchases, at_ms))
    counted = (*spend, monetary_minor)
    observation = Observation(
        timestamp_ms=at_ms,
        recency_days=past.recency,
        frequency=frequency,
        monetary_minor=monetary_minor,
        gap_days=sorted(gaps)[len(gaps) // 2] if gaps else None,
        enters=cell,
        leaves=row.counted,
        features=packed_text(pack(assessment.features)),
        gap_residuals=gap_residuals(past.days, today - check_in_ms // DAY_MS, today),
        spend_enters=counted,
        spend_leaves=row.spend_counted,
        acquired=row.engagement.first_channel if row.spend_counted is None else None,
    )
    return replace(row, counted=cell, spend_counted=counted), observation
