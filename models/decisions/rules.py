"""The retention rules: what each kind looks at, when it is due, and why it fires.

A rule returns its reasons, or None when what it watches for is not so.
"""

from collections.abc import Callable

from config.parameters import DAY_MS, Parameters
from models.customer import support
from models.customer.purchases import Purchases, minor_per_unit
from models.customer.rhythm import typical_gap_days
from models.customer.row import Row
from models.customer.support import Answer
from models.decisions.trigger import Kind, ReasonCode
from models.events.catalogue import SurveyKind
from models.learning.snapshot import Snapshot

HOUR_MS = 3_600_000
Reasons = tuple[ReasonCode, ...]
Rule = Callable[[Row, int, Snapshot, Parameters], Reasons | None]


def cooldown_ms(kind: Kind, parameters: Parameters) -> int:
    """How long after firing a kind stays silent for the same customer."""
    triggers = parameters.triggers
    return {
        Kind.CART_ABANDONED: triggers.cart_abandoned.cooldown,
        Kind.PURCHASE_OVERDUE: triggers.purchase_overdue.cooldown,
        Kind.LOW_SATISFACTION: triggers.low_satisfaction.cooldown,
        Kind.TICKET_OVERDUE: triggers.ticket_overdue.cooldown,
    }[kind]


def rule_version(kind: Kind, parameters: Parameters) -> int:
    """The version of a rule, which is part of the ids of what it fires."""
    triggers = parameters.triggers
    return {
        Kind.CART_ABANDONED: triggers.cart_abandoned.version,
        Kind.PURCHASE_OVERDUE: triggers.purchase_overdue.version,
        Kind.LOW_SATISFACTION: triggers.low_satisfaction.version,
        Kind.TICKET_OVERDUE: triggers.ticket_overdue.version,
    }[kind]


def cart_abandoned(row: Row, at_ms: int, _: Snapshot, parameters: Parameters) -> Reasons | None:
    """A cart that is not empty, and that nobody touched for a while."""
    contents = row.cart.contents()
    if not contents:
        return None
    currency = parameters.money.currency
    value = row.cart.value_minor / minor_per_unit(currency)
    idle_hours = (at_ms - row.cart.touched_at_ms) / HOUR_MS
    return (
        ReasonCode("cart_items", float(len(contents)), f"{len(contents)} in the cart"),
        ReasonCode("cart_value", value, f"worth {value:.2f} {currency}"),
        ReasonCode("idle_hours", idle_hours, f"untouched for {idle_hours:.1f} hours"),
    )


def purchase_overdue(
    row: Row, at_ms: int, snapshot: Snapshot, parameters: Parameters
) -> Reasons | None:
    """Silence after a purchase that is long by the customer's own clock."""
    purchases: Purchases = row.purchases
    if not purchases.last_at_ms:
        return None
    gap_days = typical_gap_days(purchases, snapshot.gap_days, parameters.overdue.prior_weight)
    silent_days = (at_ms - purchases.last_at_ms) / DAY_MS
    return (
        ReasonCode("typical_gap_days", gap_days, f"usually every {gap_days:.0f} days"),
        ReasonCode("silent_days", silent_days, f"now {silent_days:.0f} days"),
        ReasonCode("purchases", float(purchases.count), f"{purchases.count} purchases so far"),
    )


def ticket_overdue(row: Row, at_ms: int, _: Snapshot, parameters: Parameters) -> Reasons | None:
    """An open ticket without an answer in the time its priority allows."""
    late = [
        ticket
        for ticket in row.support.open_tickets()
        if 0 < support.due_at_ms(ticket, parameters) <= at_ms
    ]
    if not late:
        return None
    waiting_hours = (at_ms - min(ticket.waiting_since_ms for ticket in late)) / HOUR_MS
    return (
        ReasonCode("tickets_overdue", float(len(late)), f"{len(late)} past the promised time"),
        ReasonCode("waiting_hours", waiting_hours, f"waiting for {waiting_hours:.1f} hours"),
    )


def low_satisfaction(answer: Answer, kind: SurveyKind, parameters: Parameters) -> Reasons | None:
    """A survey answer of a detractor; CES has no agreed threshold and never fires."""
    match kind:
        case SurveyKind.NPS if answer.score <= parameters.satisfaction.nps:
            words = f"would not recommend: {answer.score:g} of 10"
        case SurveyKind.CSAT if answer.share <= parameters.satisfaction.csat:
            words = f"not satisfied: {answer.score:g}"
        case _:
            return None
    return (ReasonCode(f"{kind}_score", answer.score, words),)
