"""Invoices, and whether they are paid in time.

The latest paid invoices are kept one by one, and earlier ones as sums by quarter, so that unpaid
ones do not weigh more because they are remembered longer. Unpaid invoices stay; beyond the bound,
the oldest are added to a sum of what else is owed.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, ClassVar, Final

from msgspec import Meta, Struct, field
from msgspec.structs import force_setattr, replace

from config.duration import DAY_MS
from config.parameters import Money
from models.customer.decay import decayed
from models.customer.fingerprint import fingerprint
from models.customer.order_products import number_or_none
from models.customer.row import State
from models.events.event import Event, EventType
from models.events.numbers import number_in
from models.events.times import milliseconds, moment_of, since_1970
from models.money import foreign, has_rate, minor_per_unit, shop_minor

ISSUED, PAID, OVERDUE = "Invoice Issued", "Invoice Paid", "Invoice Overdue"
ASSESSED: Final = "Credit Assessed"
#: How many of the latest paid invoices a row keeps one by one; the same for unpaid ones, and for
#: the ids of paid ones that were added up, whose repeats must be recognised.
PAID_MAX: Final = 24
UNPAID_MAX: Final = 64
ADDED_UP_MAX: Final = 64
#: The quarters by which paid invoices are added up: five years; earlier ones would weigh little.
QUARTERS_MAX: Final = 20
_QUARTER_MS: Final = 91 * DAY_MS
#: How many payments of an invoice are kept one by one; all later ones are one.
PAYMENTS_MAX: Final = 16
#: The share of its amount by which an invoice is paid in full: a little may be missing for cash
#: discounts, fees and rates of exchange.
_IN_FULL: Final = 0.95
#: The time of an amount that is only known from its being overdue: before all others.
_OVERDUE_BILLED_MS: Final = 1


class InvoiceNews(Struct, frozen=True, omit_defaults=True, gc=False):
    """An invoice was issued, paid or not paid in time. A missing field does not cost the event:
    without an ``invoice_id`` it says nothing about credit, without an amount it weighs as a typical
    order, and without ``due_at`` it is paid in time unless it was overdue before.

    ``due_at`` is ISO 8601, in UTC without an offset; a date is the end of that day. Seconds and
    milliseconds since 1970 are read as well.
    """

    invoice_id: str | None = None
    amount: float | str | None = None
    currency: str | None = None
    due_at: Any = None
    dispensable: ClassVar[frozenset[str]] = frozenset({"invoice_id", "amount"})
    in_any_case: ClassVar[bool] = True
    #: An amount that is overlooked makes any invoice a typical one.
    aliases: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("invoice_number", "invoice"), "invoice_id"),
        **dict.fromkeys(("total", "total_amount", "grand_total", "invoice_total"), "amount"),
        **dict.fromkeys(("invoice_amount", "amount_due", "amount_paid", "value"), "amount"),
        **dict.fromkeys(("due_date", "due_on"), "due_at"),
    }

    def __post_init__(self) -> None:
        if self.due_at is not None:
            moment = _due(self.due_at)
            force_setattr(self, "due_at", None if moment is None else moment.isoformat())

    @property
    def has_amount(self) -> bool:
        """False: an invoice in a currency without a rate is accepted, too."""
        return False

    @property
    def due_ms(self) -> int:
        """When it is due; 0 if it does not say."""
        moment = moment_of(self.due_at) if self.due_at is not None else None
        return max(milliseconds(moment), 0) if moment is not None else 0


class CreditAssessment(Struct, frozen=True, omit_defaults=True, gc=False):
    """An assessment of a customer's credit by an outside source: 0 is none, 100 the best."""

    score: Annotated[float, Meta(ge=0, le=100)]


def _due(said: Any) -> datetime | None:
    if isinstance(said, int | float):
        return since_1970(said)
    if not isinstance(said, str):
        return None
    moment = moment_of(said) or moment_of(f"{said.strip()}Z")
    if moment is not None:
        return moment
    if (number := number_in(said)) is not None and (moment := since_1970(number)) is not None:
        return moment
    try:
        day = date.fromisoformat(said.strip())
        return datetime.combine(day, time.max, UTC)
    except ValueError:
        return None


EVENTS: Final = {
    **{name: EventType(shape=InvoiceNews) for name in (ISSUED, PAID, OVERDUE)},
    ASSESSED: EventType(shape=CreditAssessment, topic="transactions", is_passive=True),
}


#: When it was made, and its amount.
Payment = tuple[int, int]


class Invoice(State):
    """An invoice by its fingerprint; a time of 0 is never, and an amount of 0 is not known.

    ``paid_ms``: when it was paid in full; ``billed_minor``: the amount with which it was last
    issued, at ``billed_ms``, or which was overdue; ``payments``: as (time, amount), ascending, 0
    for all that was to be paid; ``amount_minor``: the highest of all amounts.
    """

    id: int
    due_ms: int = 0
    paid_ms: int = 0
    overdue_ms: int = 0
    amount_minor: int = 0
    latest_ms: int = 0
    billed_ms: int = 0
    billed_minor: int = 0
    payments: list[Payment] = field(default_factory=list)

    def overdue_since_ms(self, at_ms: int) -> int:
        """When what is not paid became overdue; 0 if it did not. An invoice that is unpaid when due
        is overdue without an event that says so.
        """
        return self.overdue_ms or (self.due_ms if self.due_ms < at_ms else 0)

    def is_in_time(self, paid_ms: int) -> bool:
        """Whether what was paid then was paid in time."""
        if self.due_ms:
            return paid_ms <= self.due_ms
        return not 0 < self.overdue_ms < paid_ms

    def paid(self) -> list[Payment]:
        """What was paid, and when; an amount of 0 is not known."""
        in_full = self.paid_ms and (self.paid_ms, self.amount_minor)
        if not in_full or (len(self.payments) > 1 and all(part for _, part in self.payments)):
            return self.payments
        return [in_full]

    @property
    def open_minor(self) -> int:
        """What is still to be paid; 0 if the amount is not known, or nothing is."""
        left_minor = 0 if self.paid_ms else self.billed_minor or self.amount_minor
        for _, part_minor in self.payments:
            left_minor -= part_minor
        return max(left_minor, 0)

    def settle(self) -> None:
        """Find when it was paid in full: before an amount is known, by any payment."""
        left_minor, self.paid_ms = self.billed_minor * _IN_FULL, 0
        for at_ms, part_minor in self.payments:
            left_minor -= part_minor or left_minor
            if left_minor <= 0:
                self.paid_ms = at_ms
                break


class Added(State):
    """Invoices that were added up: their amounts, and the number of those without an amount."""

    amount_minor: int = 0
    without_amount: int = 0

    def add(self, amount_minor: int, without_amount: int) -> None:
        self.amount_minor += amount_minor
        self.without_amount += without_amount

    def weighs(self, typical_minor: int) -> float:
        """Their total, with a typical order for each one without an amount."""
        return float(self.amount_minor + self.without_amount * typical_minor)


class PaidQuarter(State):
    """Paid invoices of a quarter, which is one of 91 days since 1970."""

    quarter: int
    in_time: Added
    late: Added


class Solvency(State):
    """The invoices that are kept one by one, sorted by id, and the latest assessment.

    ``quarters``: earlier paid invoices, the earliest first; ``added_up``: the ids of the last that
    were added up. ``owed``: other unpaid invoices, the latest of them due at ``owed_ms``.
    """

    invoices: list[Invoice] = field(default_factory=list)
    assessed_ms: int = 0
    score: float = 0.0
    quarters: list[PaidQuarter] = field(default_factory=list)
    added_up: list[int] = field(default_factory=list)
    owed: Added = field(default_factory=Added)
    owed_ms: int = 0


def note(state: Solvency, event: Event, money: Money) -> None:
    """Add an event; arrival order doesn't matter."""
    at_ms = event.occurred_at_ms
    if event.name == ASSESSED:
        # Of assessments of one moment, the worst.
        known, said = (state.assessed_ms, -state.score), (at_ms, -event.properties.score)
        if said > known:
            state.assessed_ms, state.score = at_ms, event.properties.score
        return
    news = event.properties
    if news.invoice_id is None:
        return
    one = Invoice(fingerprint(news.invoice_id), news.due_ms, latest_ms=at_ms)
    if one.id in state.added_up:
        return
    amount, currency = number_or_none(news.amount), foreign(news.currency, money)
    if amount is not None and has_rate(currency, at_ms, money):
        one.amount_minor = shop_minor(amount, currency, at_ms, money)
    if event.name == PAID:
        one.paid_ms, one.payments = at_ms, [(at_ms, one.amount_minor)]
    else:
        one.overdue_ms = at_ms if event.name == OVERDUE else 0
        if one.amount_minor:
            # What is overdue may be a part of it.
            one.billed_ms = _OVERDUE_BILLED_MS if one.overdue_ms else at_ms
            one.billed_minor = one.amount_minor
    if one.paid_ms and state.owed_ms and all(known.id != one.id for known in state.invoices):
        _pay_off(state, one)
    _keep(state, [*state.invoices, one])


def united_credit(states: Iterable[Solvency]) -> Solvency:
    """One person's invoices: an invoice that several ids have news of is one."""
    one = Solvency()
    invoices: list[Invoice] = []
    for state in states:
        invoices += state.invoices
        for quarter in state.quarters:
            _add_quarter(one, quarter)
        one.added_up += [id_ for id_ in state.added_up if id_ not in one.added_up]
        one.owed.add(state.owed.amount_minor, state.owed.without_amount)
        one.owed_ms = max(one.owed_ms, state.owed_ms)
        if (state.assessed_ms, -state.score) > (one.assessed_ms, -one.score):
            one.assessed_ms, one.score = state.assessed_ms, state.score
    added_up = set(one.added_up)
    _keep(one, [invoice for invoice in invoices if invoice.id not in added_up])
    return one


def _keep(state: Solvency, invoices: Iterable[Invoice]) -> None:
    """Keep each invoice once, with everything known of it, sorted by id; the oldest beyond the
    bounds are added up.
    """
    by_id: dict[int, Invoice] = {}
    for one in invoices:
        known = by_id.get(one.id)
        by_id[one.id] = replace(one) if known is None else _merged(known, one)
    paid = sorted((one for one in by_id.values() if one.paid_ms), key=_when_paid)
    unpaid = sorted((one for one in by_id.values() if not one.paid_ms), key=_when_due)
    for one in paid[:-PAID_MAX]:
        _add_up(state, one)
    for one in unpaid[:-UNPAID_MAX]:
        _owe(state, one)
    kept = [*paid[-PAID_MAX:], *unpaid[-UNPAID_MAX:]]
    state.invoices = sorted(kept, key=lambda one: one.id)


def _when_paid(one: Invoice) -> tuple[int, int]:
    return one.paid_ms, one.id


def _when_due(one: Invoice) -> tuple[int, int, int]:
    """The order of dropping: invoices without a due date first, then the oldest debt."""
    return one.overdue_ms or one.due_ms, one.latest_ms, one.id


def _add_up(state: Solvency, one: Invoice) -> None:
    """Add a paid invoice to those of its quarter."""
    _add_payments(state, one)
    state.added_up = [*state.added_up, one.id][-ADDED_UP_MAX:]


def _add_payments(state: Solvency, one: Invoice) -> None:
    for paid_ms, paid_minor in one.paid():
        new = PaidQuarter(paid_ms // _QUARTER_MS, Added(), Added())
        of_it = new.in_time if one.is_in_time(paid_ms) else new.late
        of_it.add(paid_minor, int(not paid_minor))
        _add_quarter(state, new)


def _add_quarter(state: Solvency, new: PaidQuarter) -> None:
    by_quarter = {known.quarter: known for known in state.quarters}
    known = by_quarter.setdefault(new.quarter, PaidQuarter(new.quarter, Added(), Added()))
    known.in_time.add(new.in_time.amount_minor, new.in_time.without_amount)
    known.late.add(new.late.amount_minor, new.late.without_amount)
    state.quarters = [one for _, one in sorted(by_quarter.items())][-QUARTERS_MAX:]


def _owe(state: Solvency, one: Invoice) -> None:
    """Add what is open of an invoice to what else is owed, unless it has no due date."""
    _add_payments(state, one)
    due_ms = one.overdue_ms or one.due_ms
    if due_ms:
        state.owed.add(one.open_minor, int(not one.amount_minor))
        state.owed_ms = max(state.owed_ms, due_ms)


def _pay_off(state: Solvency, one: Invoice) -> None:
    """Subtract an invoice that is not kept from what else is owed: it was among those, or its issue
    was never reported.
    """
    owed = state.owed
    if one.amount_minor:
        owed.amount_minor = max(owed.amount_minor - one.amount_minor, 0)
    elif owed.without_amount:
        owed.without_amount -= 1
    if not (owed.amount_minor or owed.without_amount):
        state.owed_ms = 0


def _merged(one: Invoice, other: Invoice) -> Invoice:
    """The payments of both, the latest amount that was billed, the earliest time it was overdue,
    and the latest due date.
    """
    billed_ms, billed_minor = max(_billed(one), _billed(other))
    merged = Invoice(
        one.id,
        max(one.due_ms, other.due_ms),
        overdue_ms=_first(one.overdue_ms, other.overdue_ms),
        amount_minor=max(one.amount_minor, other.amount_minor),
        latest_ms=max(one.latest_ms, other.latest_ms),
        billed_ms=billed_ms,
        billed_minor=billed_minor,
        payments=sorted({*_payments(one), *_payments(other)}),
    )
    while len(merged.payments) > PAYMENTS_MAX:
        (_, before_minor), (last_ms, last_minor) = merged.payments[-2:]
        merged.payments[-2:] = [(last_ms, before_minor + last_minor)]
    merged.settle()
    return merged


def _billed(one: Invoice) -> tuple[int, int]:
    """When it was issued, and its amount, which earlier releases did not tell from payments."""
    is_earlier = not (one.billed_ms or one.paid_ms or one.payments)
    return one.billed_ms, one.amount_minor if is_earlier else one.billed_minor


def _payments(one: Invoice) -> list[Payment]:
    """Its payments; earlier releases took each for one of everything."""
    return one.payments or ([(one.paid_ms, 0)] if one.paid_ms else [])


def _first(one_ms: int, other_ms: int) -> int:
    return min(filter(None, (one_ms, other_ms)), default=0)


def credit_percent(
    state: Solvency, at_ms: int, half_life_ms: int, typical_order: float, money: Money
) -> float | None:
    """0 to 100: the assessment, if it is within the last half-life, else the share of invoiced
    amounts that was paid in time, with decaying weights. None if nothing is known. A part that was
    paid counts by itself.
    """
    if state.assessed_ms and state.assessed_ms <= at_ms < state.assessed_ms + half_life_ms:
        return state.score
    typical_minor = round(typical_order * minor_per_unit(money.currency))
    all_of_it = in_time = 0.0
    for paid in state.quarters:
        lag_ms = at_ms - paid.quarter * _QUARTER_MS - _QUARTER_MS // 2
        known = decayed(paid.in_time.weighs(typical_minor), lag_ms, half_life_ms)
        all_of_it += known + decayed(paid.late.weighs(typical_minor), lag_ms, half_life_ms)
        in_time += known
    if state.owed_ms:
        owed = state.owed.weighs(typical_minor)
        all_of_it += decayed(owed, at_ms - state.owed_ms, half_life_ms)
    for one in state.invoices:
        for paid_ms, paid_minor in one.paid():
            if paid_ms <= at_ms:
                amount = float(paid_minor or typical_minor)
                weight = decayed(amount, at_ms - paid_ms, half_life_ms)
                all_of_it += weight
                in_time += weight if one.is_in_time(paid_ms) else 0.0
        overdue_ms = 0 if one.paid_ms else one.overdue_since_ms(at_ms)
        if 0 < overdue_ms <= at_ms:
            amount = float(one.open_minor if one.amount_minor else typical_minor)
            all_of_it += decayed(amount, at_ms - overdue_ms, half_life_ms)
    return 100.0 * in_time / all_of_it if all_of_it else None
