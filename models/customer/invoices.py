"""Invoices, and whether they are paid in time."""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Final

from msgspec import Meta, Struct, field
from msgspec.structs import replace

from config.parameters import Money
from models.customer.decay import decayed
from models.customer.fingerprint import fingerprint
from models.customer.order_news import number_or_none
from models.customer.row import State
from models.events.event import Event, EventType
from models.events.times import milliseconds, moment_of
from models.money import foreign, has_rate, minor_per_unit, shop_minor

ISSUED, PAID, OVERDUE = "Invoice Issued", "Invoice Paid", "Invoice Overdue"
ASSESSED: Final = "Credit Assessed"
#: The latest invoices of a customer; older ones weigh little.
INVOICES_MAX: Final = 24


class InvoiceNews(Struct, frozen=True, omit_defaults=True, gc=False):
    """An invoice was issued, paid or not paid in time. What it lacks costs no event: without an
    ``invoice_id`` it says nothing of credit, without an amount it weighs as a typical order, and
    without ``due_at`` (ISO 8601) it is paid in time unless it was overdue before.
    """

    invoice_id: str | None = None
    amount: float | str | None = None
    currency: str | None = None
    due_at: str | None = None
    dispensable: ClassVar[frozenset[str]] = frozenset({"invoice_id", "amount"})

    @property
    def has_amount(self) -> bool:
        """False: an invoice in a currency without a rate is heard of all the same."""
        return False

    @property
    def due_ms(self) -> int:
        """Until when it is to be paid; 0 if it does not say."""
        moment = moment_of(self.due_at) if self.due_at is not None else None
        return max(milliseconds(moment), 0) if moment is not None else 0


class CreditAssessment(Struct, frozen=True, omit_defaults=True, gc=False):
    """What somebody who knows says of a customer's credit: 0 is none, 100 the best."""

    score: Annotated[float, Meta(ge=0, le=100)]


EVENTS: Final = {
    **{name: EventType(shape=InvoiceNews) for name in (ISSUED, PAID, OVERDUE)},
    ASSESSED: EventType(shape=CreditAssessment, topic="transactions", is_passive=True),
}


class Invoice(State):
    """An invoice by its fingerprint; 0 is never, and an ``amount_minor`` of 0 is not known."""

    id: int
    due_ms: int = 0
    paid_ms: int = 0
    overdue_ms: int = 0
    amount_minor: int = 0
    latest_ms: int = 0

    def settled_ms(self, at_ms: int) -> int:
        """When it was paid, or was not in time; 0 while neither is known. One that is not paid by
        the time it is due needs nobody to say so.
        """
        known_ms = self.paid_ms or self.overdue_ms
        return known_ms or (self.due_ms if self.due_ms < at_ms else 0)

    @property
    def is_in_time(self) -> bool:
        """Whether it was paid in time."""
        if not self.paid_ms:
            return False
        if self.due_ms:
            return self.paid_ms <= self.due_ms
        return not 0 < self.overdue_ms < self.paid_ms


class Solvency(State):
    """The latest invoices by their ids, and the latest assessment."""

    invoices: list[Invoice] = field(default_factory=list)
    assessed_ms: int = 0
    score: float = 0.0


def note(state: Solvency, event: Event, money: Money) -> None:
    """Take news in; arrival order doesn't matter."""
    at_ms = event.occurred_at_ms
    if event.name == ASSESSED:
        # Of one moment, the worst.
        known, said = (state.assessed_ms, -state.score), (at_ms, -event.properties.score)
        if said > known:
            state.assessed_ms, state.score = at_ms, event.properties.score
        return
    news = event.properties
    if news.invoice_id is None:
        return
    one = Invoice(fingerprint(news.invoice_id), news.due_ms, latest_ms=at_ms)
    if event.name == PAID:
        one.paid_ms = at_ms
    elif event.name == OVERDUE:
        one.overdue_ms = at_ms
    amount, currency = number_or_none(news.amount), foreign(news.currency, money)
    if amount is not None and has_rate(currency, at_ms, money):
        one.amount_minor = shop_minor(amount, currency, at_ms, money)
    state.invoices = _kept([*state.invoices, one])


def united_credit(states: Iterable[Solvency]) -> Solvency:
    """One person's: an invoice that several ids have news of is one."""
    one = Solvency()
    invoices: list[Invoice] = []
    for state in states:
        invoices += state.invoices
        if (state.assessed_ms, -state.score) > (one.assessed_ms, -one.score):
            one.assessed_ms, one.score = state.assessed_ms, state.score
    one.invoices = _kept(invoices)
    return one


def _kept(invoices: Iterable[Invoice]) -> list[Invoice]:
    """Each once, with all that is known of it, by their ids; the latest that there is room for."""
    by_id: dict[int, Invoice] = {}
    for one in invoices:
        known = by_id.get(one.id)
        by_id[one.id] = replace(one) if known is None else _merged(known, one)
    latest = sorted(by_id.values(), key=lambda one: (one.latest_ms, one.id))[-INVOICES_MAX:]
    return sorted(latest, key=lambda one: one.id)


def _merged(one: Invoice, other: Invoice) -> Invoice:
    """The first time that it was paid or overdue, and the latest word on when it is due."""
    return Invoice(
        one.id,
        max(one.due_ms, other.due_ms),
        _first(one.paid_ms, other.paid_ms),
        _first(one.overdue_ms, other.overdue_ms),
        max(one.amount_minor, other.amount_minor),
        max(one.latest_ms, other.latest_ms),
    )


def _first(one_ms: int, other_ms: int) -> int:
    return min(filter(None, (one_ms, other_ms)), default=0)


def credit_percent(
    state: Solvency, at_ms: int, half_life_ms: int, typical_order: float, money: Money
) -> float | None:
    """0 to 100: the assessment, if it is of the last half-life, else the share of what was invoiced
    that was paid in time, by amounts that fade. None if nothing is known.
    """
    if state.assessed_ms and state.assessed_ms <= at_ms < state.assessed_ms + half_life_ms:
        return state.score
    typical_minor = round(typical_order * minor_per_unit(money.currency))
    all_of_it = in_time = 0.0
    for one in state.invoices:
        settled_ms = one.settled_ms(at_ms)
        if not settled_ms or settled_ms > at_ms:
            continue
        amount = float(one.amount_minor or typical_minor)
        weight = decayed(amount, at_ms - settled_ms, half_life_ms)
        all_of_it += weight
        in_time += weight if one.is_in_time else 0.0
    return 100.0 * in_time / all_of_it if all_of_it else None
