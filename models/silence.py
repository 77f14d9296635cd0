"""What happens when nothing does: deadlines that passed without the event that would end them."""

from msgspec.structs import replace

from config.parameters import DAY_MS, Parameters
from models.advance import next_check_in_ms, next_ticket_ms
from models.customer.purchases import WINDOW_DAYS, gaps_days, window
from models.customer.row import Deadline, Row
from models.decisions import rules
from models.decisions.decide import fire
from models.decisions.trigger import Cause, Kind, Trigger
from models.learning.population import Observation
from models.learning.snapshot import Snapshot

_RULES: dict[str, tuple[Kind, rules.Rule]] = {
    "cart": (Kind.CART_ABANDONED, rules.cart_abandoned),
    "purchase": (Kind.PURCHASE_OVERDUE, rules.purchase_overdue),
    "ticket": (Kind.TICKET_OVERDUE, rules.ticket_overdue),
}


def run_deadline(
    customer: str, row: Row, due_ms: int, snapshot: Snapshot, parameters: Parameters
) -> tuple[Row, list[Trigger | Observation]]:
    """Run everything of this customer's that is due at exactly ``due_ms``."""
    effects: list[Trigger | Observation] = []
    for part, (kind, rule) in _RULES.items():
        if _is_due(row, part, due_ms):
            row = _handled(row, part, due_ms)
            cause = Cause(deadline=f"{kind}:{due_ms}")
            reasons = rule(row, due_ms, snapshot, parameters)
            if reasons is not None:
                row, fired = fire(kind, customer, row, due_ms, cause, reasons, snapshot, parameters)
                effects += fired
            if part == "ticket":
                row = _due_again(row, part, next_ticket_ms(row, parameters))
    if _is_due(row, "check_in", due_ms):
        # Nobody's recency is known whose every order was cancelled.
        if row.purchases.last_at_ms:
            effects.append(observe(row, due_ms))
        row = _handled(row, "check_in", due_ms)
        row = _due_again(row, "check_in", next_check_in_ms(row, parameters))
    return row, effects


def observe(row: Row, at_ms: int) -> Observation:
    """The customer as a check-in at ``at_ms`` finds them."""
    purchases = row.purchases
    frequency, monetary_minor = window(purchases, at_ms, WINDOW_DAYS[-1])
    gaps = gaps_days(purchases)
    return Observation(
        timestamp_ms=at_ms,
        recency_days=max(at_ms - purchases.last_at_ms, 0) / DAY_MS,
        frequency=frequency,
        monetary_minor=monetary_minor,
        gap_days=sorted(gaps)[len(gaps) // 2] if gaps else None,
    )


def _is_due(row: Row, part: str, due_ms: int) -> bool:
    deadline: Deadline = getattr(row.deadlines, part)
    return deadline.due_ms == due_ms


def _handled(row: Row, part: str, at_ms: int) -> Row:
    return replace(row, deadlines=replace(row.deadlines, **{part: Deadline(0, at_ms)}))


def _due_again(row: Row, part: str, due_ms: int) -> Row:
    deadline: Deadline = getattr(row.deadlines, part)
    again = Deadline(due_ms, deadline.handled_ms)
    return replace(row, deadlines=replace(row.deadlines, **{part: again}))
