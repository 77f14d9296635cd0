"""An event told to each part of the state that it concerns."""

from msgspec.structs import replace

from config.parameters import Parameters
from models.customer import cart, engagement, purchases, support
from models.customer.rhythm import overdue_at_ms
from models.customer.row import Deadline, Row
from models.events.catalogue import Name
from models.events.wire import Event
from models.learning.snapshot import Snapshot

_ORDERS = frozenset(
    {Name.ORDER_COMPLETED, Name.ORDER_UPDATED, Name.ORDER_REFUNDED, Name.ORDER_CANCELLED}
)


def advance(
    row: Row, event: Event, clock_ms: int, snapshot: Snapshot, parameters: Parameters
) -> Row:
    """``row`` after ``event``, with the deadlines that follow from it; nothing is decided here."""
    if engagement.is_interaction(event):
        interactions = engagement.record_interaction(row.engagement, event, clock_ms, parameters)
        row = replace(row, engagement=interactions)
    name = event.name
    if name in cart.TOUCHES:
        row = replace(row, cart=cart.touch(row.cart, event, parameters))
        return _with_cart_deadline(row, parameters)
    if name in _ORDERS:
        return _after_order(row, event, clock_ms, snapshot, parameters)
    if name in support.EVENTS:
        tickets = support.record_ticket(row.support, event, clock_ms, parameters)
        return _with_ticket_deadline(replace(row, support=tickets), parameters)
    if name == Name.SURVEY_RESPONDED:
        return replace(row, support=support.record_survey(row.support, event))
    return row


def _after_order(
    row: Row, event: Event, clock_ms: int, snapshot: Snapshot, parameters: Parameters
) -> Row:
    before = row.purchases
    orders = purchases.record_order(before, event, clock_ms, parameters)
    row = replace(row, purchases=orders)
    if event.name == Name.ORDER_COMPLETED:
        row = replace(row, cart=cart.empty(row.cart, event, clock_ms, parameters))
        row = _with_cart_deadline(row, parameters)
    return _with_purchase_deadlines(row, before, snapshot, parameters)


def _with_cart_deadline(row: Row, parameters: Parameters) -> Row:
    due_ms = 0
    if row.cart.contents():
        due_ms = row.cart.touched_at_ms + parameters.triggers.cart_abandoned.after
    return _with(row, "cart", due_ms)


def _with_purchase_deadlines(
    row: Row, before: purchases.Purchases, snapshot: Snapshot, parameters: Parameters
) -> Row:
    after = row.purchases
    # News of an older order doesn't begin again a silence that has been dealt with.
    if row.deadlines.purchase.due_ms or after.last_at_ms != before.last_at_ms:
        row = _with(row, "purchase", overdue_at_ms(after, snapshot.gap_days, parameters))
    grid_moved = after.first_at_ms != before.first_at_ms
    if after.first_at_ms and (grid_moved or not row.deadlines.check_in.due_ms):
        row = _with(row, "check_in", next_check_in_ms(row, parameters))
    return row


def _with_ticket_deadline(row: Row, parameters: Parameters) -> Row:
    handled_ms = row.deadlines.ticket.handled_ms
    due = [support.due_at_ms(ticket, parameters) for ticket in row.support.open_tickets()]
    return _with(row, "ticket", min((ms for ms in due if ms > handled_ms), default=0))


def next_check_in_ms(row: Row, parameters: Parameters) -> int:
    """The next check-in on the customer's own grid: every so many days after the first order.

    A silent customer is looked at for a year after the last purchase, then left alone until the
    next one.
    """
    every_ms = parameters.churn.check_in_ms
    purchased = row.purchases
    since_ms = max(row.deadlines.check_in.handled_ms, purchased.last_at_ms, purchased.first_at_ms)
    steps = (since_ms - purchased.first_at_ms) // every_ms + 1
    due_ms = purchased.first_at_ms + steps * every_ms
    if due_ms > purchased.last_at_ms + purchases.REFUNDABLE_MS:
        return 0
    return due_ms


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
