"""An event told to each part of the state that it concerns."""

from msgspec.structs import replace

from config.parameters import Parameters
from models.context import Context
from models.customer import cart, engagement, evidence, purchases, support
from models.customer.contacts import Outcome, with_outcome
from models.customer.rhythm import overdue_at_ms
from models.customer.row import Deadline, Row
from models.events import catalogue
from models.events.catalogue import Name
from models.events.wire import Event
from models.learning.labels import next_decision_ms
from models.learning.snapshot import Snapshot

_ORDERS = frozenset(
    {Name.ORDER_COMPLETED, Name.ORDER_UPDATED, Name.ORDER_REFUNDED, Name.ORDER_CANCELLED}
)
#: Names that change more than a customer's presence, whoever did it.
STATE_CHANGING = _ORDERS | support.EVENTS


def advance(row: Row, event: Event, context: Context) -> Row:
    """``row`` after ``event``, with the deadlines that follow from it; nothing is decided here."""
    clock_ms, parameters = context.clock_ms, context.parameters
    if event.occurred_at_ms > row.latest_ms:
        row = replace(row, latest_ms=event.occurred_at_ms)
    if engagement.is_interaction(event):
        interactions = engagement.record_interaction(row.engagement, event, clock_ms, parameters)
        row = replace(row, engagement=interactions)
    name = event.name
    if name in evidence.EVENTS:
        signs = evidence.record_evidence(row.evidence, event, parameters.evidence)
        row = replace(row, evidence=signs)
    if name in cart.TOUCHES:
        row = replace(row, cart=cart.touch(row.cart, event, parameters))
        return _with_cart_deadline(row, parameters)
    if name in _ORDERS:
        return _after_order(row, event, context)
    if name in support.EVENTS:
        tickets = support.record_ticket(row.support, event, clock_ms, parameters)
        return _with_ticket_deadline(replace(row, support=tickets), parameters)
    if name == Name.SURVEY_RESPONDED:
        return replace(row, support=support.record_survey(row.support, event))
    if isinstance(event.properties, catalogue.ActionOutcome):
        return _after_outcome(row, event, event.properties)
    return row


def _after_outcome(row: Row, event: Event, properties: catalogue.ActionOutcome) -> Row:
    outcome = catalogue.OUTCOMES[event.name]
    decisions = with_outcome(row.decisions, properties.decision_id, Outcome(outcome))
    return row if decisions is None else replace(row, decisions=decisions)


def _after_order(row: Row, event: Event, context: Context) -> Row:
    clock_ms, parameters = context.clock_ms, context.parameters
    before = row.purchases
    orders = purchases.record_order(before, event, clock_ms, parameters)
    row = replace(row, purchases=orders)
    if event.name == Name.ORDER_COMPLETED:
        row = replace(row, cart=cart.empty(row.cart, event, clock_ms, parameters))
        row = _with_cart_deadline(row, parameters)
    return _with_purchase_deadlines(row, before, context.snapshot, parameters)


def _with_cart_deadline(row: Row, parameters: Parameters) -> Row:
    due_ms = 0
    if row.cart.contents():
        due_ms = row.cart.touched_at_ms + parameters.cart.idle
    return _with(row, "cart", due_ms)


def _with_purchase_deadlines(
    row: Row, before: purchases.Purchases, snapshot: Snapshot, parameters: Parameters
) -> Row:
    after = row.purchases
    # News of an older order doesn't begin again a silence that has been dealt with.
    if row.deadlines.purchase.due_ms or after.last_at_ms != before.last_at_ms:
        row = _with(row, "purchase", overdue_at_ms(after, snapshot.gap_days, parameters))
    return _with(row, "decision", next_decision_of(row, parameters))


def _with_ticket_deadline(row: Row, parameters: Parameters) -> Row:
    handled_ms = row.deadlines.ticket.handled_ms
    due = [support.due_at_ms(ticket, parameters) for ticket in row.support.open_tickets()]
    return _with(row, "ticket", min((ms for ms in due if ms > handled_ms), default=0))


def next_decision_of(row: Row, parameters: Parameters) -> int:
    """The customer's next decision point; 0 for none. A silent customer is looked at for as long
    as a window reaches back, then left alone until the next purchase.
    """
    return next_decision_ms(row, parameters.churn.check_in_ms, purchases.REFUNDABLE_MS)


def next_ticket_ms(row: Row, parameters: Parameters) -> int:
    """The next ticket to become overdue after those already dealt with; 0 for none."""
    return _with_ticket_deadline(row, parameters).deadlines.ticket.due_ms


def _with(row: Row, part: str, due_ms: int) -> Row:
    """``row`` with one deadline moved; what has been dealt with is not due again."""
    before: Deadline = getattr(row.deadlines, part)
    due_ms = due_ms if due_ms > before.handled_ms else 0
    if due_ms == before.due_ms:
        return row
    deadline = Deadline(due_ms, before.handled_ms)
    return replace(row, deadlines=replace(row.deadlines, **{part: deadline}))
