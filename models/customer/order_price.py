"""What an order costs by its latest price, and in which currency that is."""

from config.duration import DAY_MS
from config.parameters import Money
from models.customer.order_state import UNPAID, Detail, Order, Paid, first_detail
from models.money import (
    foreign,
    has_rate,
    minor_per_unit,
    minor_units,
    rate_of,
    shop_minor,
)

#: The time before any currency is named: not that of a price that came with its currency.
_NEVER_MS = 1


def price(order: Order, amount: float, named: str, at_ms: int, money: Money) -> None:
    """Set the order's price from ``at_ms`` on; without a currency, in the one named before."""
    if not money.rates:
        _set_price(order, amount, "", at_ms, money)
        return
    detail, before_ms = order.detail, order.priced_at_ms
    known_ms = detail.currency_at_ms if detail is not None else 0
    if named:
        currency, named_ms = foreign(named, money), 0
        if detail is not None and known_ms and at_ms == before_ms:
            name_currency(order, detail, currency, at_ms, money)
    else:
        paid = detail.paid if detail is not None else None
        currency = paid.currency if paid is not None else ""
        if not has_rate(currency, at_ms, money):
            currency = ""
        # At one moment with a price that came with its currency, this price has that currency, too.
        is_of_one = at_ms == before_ms
        named_ms = known_ms or (0 if is_of_one else before_ms or _NEVER_MS)
    _set_price(order, amount, currency, at_ms, money)
    if named_ms and order.detail is None:
        order.detail = first_detail(order)
    if order.detail is not None:
        order.detail.currency_at_ms = named_ms


def name_currency(order: Order, detail: Detail, currency: str, at_ms: int, money: Money) -> None:
    """Take a price that came without a currency to be in the one that was named before it."""
    amount, priced_ms = order.gross_minor / minor_per_unit(money.currency), order.priced_at_ms
    if detail.paid is not None:
        amount, detail.paid = detail.paid.amount, None
    if currency:
        rate = rate_of(currency, priced_ms, money)
        detail.paid = Paid(amount, currency, rate, priced_ms // DAY_MS)
    order.gross_minor = shop_minor(amount, currency, priced_ms, money)
    detail.currency_at_ms = at_ms


def _set_price(order: Order, amount: float, currency: str, at_ms: int, money: Money) -> None:
    """Set the price. Of two prices of one moment, it is not known which came first, so the higher
    one counts.
    """
    paid, day = None, at_ms // DAY_MS
    if currency:
        paid = Paid(amount, currency, rate_of(currency, at_ms, money), day)
    gross_minor = shop_minor(amount, currency, at_ms, money)
    detail = order.detail
    before = detail.paid if detail is not None else None
    if at_ms == order.priced_at_ms:
        before_minor = order.gross_minor
        if before is not None:
            before_minor = shop_minor(before.amount, before.currency, at_ms, money)
        if (before_minor, before or UNPAID) >= (gross_minor, paid or UNPAID):
            return
    order.gross_minor, order.priced_at_ms = gross_minor, at_ms
    if paid is not None and detail is None:
        detail = order.detail = first_detail(order)
    if detail is not None:
        detail.paid = paid


def convert(order: Order, detail: Detail, money: Money) -> None:
    """Convert what was paid to the shop's currency: at the rate that was known when it was paid,
    unless the order turns out to be of another day.
    """
    paid, day = detail.paid, order.placed_at_ms // DAY_MS
    if paid is None:
        return
    if day != paid.day:
        rate = rate_of(paid.currency, order.placed_at_ms, money)
        paid = detail.paid = paid._replace(rate=rate, day=day)
    order.gross_minor = minor_units(paid.amount * paid.rate, money.currency)


def price_rank(order: Order) -> tuple[int, int, Paid, bool, int]:
    """What says which of two ids has the price that stands. Of equal prices it is the one that came
    with its currency, or whose currency was named last.
    """
    detail = order.detail
    paid = detail.paid if detail is not None else None
    named_ms = detail.currency_at_ms if detail is not None else 0
    return order.priced_at_ms, order.gross_minor, paid or UNPAID, not named_ms, named_ms
