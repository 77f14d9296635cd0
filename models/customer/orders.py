"""One order: its events, and its state by all of them.

The latest event wins, by the time of events and not of their arrival: a cancelled order that is
paid after all is an order, and one that is cancelled after it was paid is none. What was given back
stays given back until the order is paid anew.
"""

from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any

from config.parameters import Money
from models.customer.fingerprint import fingerprint
from models.customer.order_news import CANCELLED, COMPLETED, OrderNews
from models.customer.order_price import convert, name_currency, price, price_rank
from models.customer.order_state import (
    CANCELLATION,
    NEWS_MAX,
    PART,
    WHOLE,
    Detail,
    End,
    Order,
    OrderItem,
    first_detail,
)
from models.events.event import Event
from models.money import (
    AMOUNT_MINOR_MAX,
    code_of,
    foreign,
    minor_units,
    shop_minor,
)


def was_purchase(order: Order, at_ms: int, money: Money) -> bool:
    """Whether the order was a purchase by what happened to it up to ``at_ms``."""
    detail = order.detail
    if order.placed_at_ms > at_ms:
        return False
    if detail is None:
        return order.is_purchase
    then = copy(order)
    then.detail = known = copy(detail)
    known.placements = [one for one in detail.placements if one[0] <= at_ms]
    known.ends = [end for end in detail.ends if end.at_ms <= at_ms]
    _conclude(then, money)
    return then.is_purchase


def order_id(event: Event) -> int:
    """The fingerprint of the order that the event is about."""
    return fingerprint(event.properties.order_id or event.message_id)


def take(order: Order, event: Event, money: Money) -> None:
    """Add one event of the order."""
    if isinstance(event.properties, OrderNews):
        _place(order, event.properties, event, money)
    else:
        _end(order, event, money)
    _conclude(order, money)


def _place(order: Order, news: OrderNews, event: Event, money: Money) -> None:
    at_ms, is_payment = event.occurred_at_ms, event.name == COMPLETED
    detail, amount = order.detail, news.amount
    assert amount is not None
    is_first = not order.placed_at_ms
    if detail is None and not (is_payment and (is_first or at_ms == order.placed_at_ms)):
        detail = order.detail = Detail()
        # Until now only a payment was known, if anything.
        detail.placements = [] if is_first else [(order.placed_at_ms, True)]
    if detail is not None and (at_ms, is_payment) not in detail.placements:
        detail.placements = sorted([*detail.placements, (at_ms, is_payment)])[-NEWS_MAX:]
    order.placed_at_ms = min(order.placed_at_ms or at_ms, at_ms)
    currency = code_of(news.currency)
    if at_ms >= order.priced_at_ms:
        price(order, amount, currency, at_ms, money)
    elif currency and detail is not None and at_ms >= detail.currency_at_ms > 0:
        name_currency(order, detail, foreign(currency, money), at_ms, money)
    _list_items(order, news, at_ms)


def _list_items(order: Order, news: OrderNews, at_ms: int) -> None:
    """Keep what a refund without prices needs to know of the order's products."""
    items: list[OrderItem] = []
    for product in news.products or ():
        unit, key, by_product = product.unit, product.key, product.product_key
        if unit is not None:
            items.append(
                OrderItem(key, unit, product.pieces, by_product if by_product != key else 0)
            )
    detail = order.detail
    # A list without prices keeps the known ones; an empty list removes all.
    if not items and (news.products is None or news.products):
        return
    if detail is None:
        detail = order.detail = first_detail(order)
    if at_ms == detail.items_at_ms:
        items = max(items, detail.items, key=_plain)
    if at_ms >= detail.items_at_ms:
        detail.items, detail.items_at_ms = items, at_ms


def _plain(items: Sequence[OrderItem]) -> list[tuple[float, ...]]:
    return [(item.key, item.unit, item.pieces) for item in items]


def _end(order: Order, event: Event, money: Money) -> None:
    new = _end_of(event)
    detail = order.detail
    if detail is None:
        detail = order.detail = first_detail(order)
    order.ended_at_ms = min(order.ended_at_ms or new.at_ms, new.at_ms)
    _add_end(order, detail, new, money)


def _add_end(order: Order, detail: Detail, new: End, money: Money) -> None:
    for known in detail.ends:
        if new.id and known.id == new.id:
            # Of repeats, the earlier one counts.
            if known.key <= new.key:
                return
            detail.ends.remove(known)
            break
        if known.key == new.key:
            return
    detail.ends.append(new)
    detail.ends.sort(key=lambda end: end.key)
    while len(detail.ends) > NEWS_MAX:
        _forget_end(order, detail, money)


def _end_of(event: Event) -> End:
    news, at_ms = event.properties, event.occurred_at_ms
    if event.name == CANCELLED:
        return End(at_ms, CANCELLATION)
    refund = fingerprint(news.refund_id) if news.refund_id else 0
    currency = code_of(news.currency)
    stated = news.stated
    if stated is not None:
        return End(at_ms, PART, refund, stated, currency)
    if not news.products:
        return End(at_ms, WHOLE, refund)
    amount, unpriced = 0.0, []
    for product in news.products:
        unit, pieces = product.unit, product.pieces
        if unit is not None:
            amount += unit * pieces
        else:
            unpriced.append((product.key, product.product_key, pieces))
    return End(at_ms, PART, refund, amount, currency, sorted(unpriced))


def _forget_end(order: Order, detail: Detail, money: Money) -> None:
    """Make room: drop a repeated refund, else add the oldest partial refund to a sum, else drop the
    oldest end.
    """
    again = _told_again(detail, money)
    if again:
        detail.ends.remove(again[0])
        return
    parts = [end for end in detail.ends if end.kind == PART]
    if not parts:
        del detail.ends[0]
        return
    detail.ends.remove(parts[0])
    given_minor = _given_minor(order, parts[0], {}, money)[0]
    detail.given_minor = min(detail.given_minor + given_minor, AMOUNT_MINOR_MAX)


def _told_again(detail: Detail, money: Money) -> list[End]:
    """The refunds that repeat another one without an id of their own: one system gives a refund an
    id, and the next reports it without, or without the currency.

    They stay among the order's events, so that the order of arrival does not matter.
    """
    if len(detail.ends) < 2:
        return []
    seen = {_said(end, detail, money) for end in detail.ends if end.id}
    again = []
    for end in detail.ends:
        if not end.id:
            said = _said(end, detail, money)
            if said in seen:
                again.append(end)
            seen.add(said)
    return again


def _said(end: End, detail: Detail, money: Money) -> tuple[Any, ...]:
    currency = end.currency or (detail.paid.currency if detail.paid else money.currency)
    return end.at_ms, end.kind, end.amount, currency, tuple(end.unpriced)


def merged(one: Order, other: Order, money: Money) -> Order:
    """One order by the events of two ids of one person."""
    both = Order(
        one.id,
        placed_at_ms=min(
            one.placed_at_ms or other.placed_at_ms, other.placed_at_ms or one.placed_at_ms
        ),
    )
    both.ended_at_ms = min(
        one.ended_at_ms or other.ended_at_ms, other.ended_at_ms or one.ended_at_ms
    )
    first, last = sorted((one, other), key=price_rank)
    both.gross_minor, both.priced_at_ms = last.gross_minor, last.priced_at_ms
    details = [order.detail or first_detail(order) for order in (first, last)]
    both.detail = detail = Detail()
    placements = {*details[0].placements, *details[1].placements}
    detail.placements = sorted(placements)[-NEWS_MAX:]
    detail.paid, detail.currency_at_ms = details[1].paid, details[1].currency_at_ms
    named_ms = details[0].currency_at_ms or first.priced_at_ms
    if named_ms > detail.currency_at_ms > 0:
        paid = details[0].paid
        name_currency(both, detail, paid.currency if paid is not None else "", named_ms, money)
    lists = sorted(details, key=lambda known: (known.items_at_ms, _plain(known.items)))
    detail.items, detail.items_at_ms = lists[1].items, lists[1].items_at_ms
    detail.given_minor = min(details[0].given_minor + details[1].given_minor, AMOUNT_MINOR_MAX)
    for end in (*details[0].ends, *details[1].ends):
        _add_end(both, detail, end, money)
    _conclude(both, money)
    return both


def _conclude(order: Order, money: Money) -> None:
    """Compute the order's present state from its events in the order of time."""
    detail = order.detail
    if detail is None:
        return
    convert(order, detail, money)
    left = {item.key: item.pieces for item in detail.items}
    given_minor, unpriced = detail.given_minor, 0
    cancelled_at_ms, is_given_back = 0, False
    again = {id(end) for end in _told_again(detail, money)}
    for at_ms, end, is_payment in _news(detail):
        if id(end) in again:
            continue
        if end is None:
            if is_payment and (cancelled_at_ms or is_given_back):
                # Paid anew: earlier refunds belong to the earlier payment.
                given_minor, unpriced, is_given_back = 0, 0, False
                left = {item.key: item.pieces for item in detail.items}
            cancelled_at_ms = 0
        elif end.kind == CANCELLATION:
            cancelled_at_ms = cancelled_at_ms or at_ms
        elif end.kind == WHOLE:
            is_given_back = True
        else:
            amount_minor, is_priced = _given_minor(order, end, left, money)
            given_minor = min(given_minor + amount_minor, AMOUNT_MINOR_MAX)
            unpriced += not is_priced
    order.refunded_minor, order.void = given_minor, bool(cancelled_at_ms) or is_given_back
    detail.cancelled_at_ms, detail.unpriced = cancelled_at_ms, unpriced
    is_more = detail.ends or detail.items_at_ms or detail.paid is not None or detail.given_minor
    if (
        not is_more
        and not detail.currency_at_ms
        and detail.placements == [(order.placed_at_ms, True)]
    ):
        order.detail = None


def _news(detail: Detail) -> Iterator[tuple[int, End | None, bool]]:
    """Placements and ends by time; of one moment, an end is later."""
    placements, place = detail.placements, 0
    for end in detail.ends:
        while place < len(placements) and placements[place][0] <= end.at_ms:
            yield placements[place][0], None, placements[place][1]
            place += 1
        yield end.at_ms, end, False
    for at_ms, is_payment in placements[place:]:
        yield at_ms, None, is_payment


def _given_minor(order: Order, end: End, left: dict[int, float], money: Money) -> tuple[int, bool]:
    """The amount of a refund in minor units, and whether all of it has a price. ``left``: the
    pieces of the order's products that were not given back yet.
    """
    detail = order.detail
    assert detail is not None
    paid = detail.paid
    amount, is_priced = float(end.amount), True
    for key, by_product, pieces in end.unpriced:
        item = _item(detail.items, key, by_product)
        if item is None:
            is_priced = False
            continue
        some = min(pieces, left.get(item.key, item.pieces))
        left[item.key] = left.get(item.key, item.pieces) - some
        amount += some * item.unit
    currency = foreign(end.currency, money)
    if paid is not None and (currency == paid.currency or not end.currency):
        # Then refunds of everything sum up to what was paid.
        amount_minor = minor_units(amount * paid.rate, money.currency)
    else:
        amount_minor = shop_minor(amount, currency, order.placed_at_ms or end.at_ms, money)
    return amount_minor, is_priced


def _item(items: Sequence[OrderItem], key: int, by_product: int) -> OrderItem | None:
    """The item with this key, else the first one of the product."""
    if not key:
        return None
    for item in items:
        if item.key == key:
            return item
    for item in items:
        if by_product in (item.key, item.product) or key == item.product:
            return item
    return None
