"""The cart: quantities of variants, whatever the order of arrival."""

from itertools import permutations
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from models import engine
from models.admission import admit
from models.customer.cart import CART
from models.customer.cart_state import CHANGES_MAX
from models.customer.fingerprint import fingerprint
from models.customer.row import Row
from models.decisions.trigger import Trigger
from models.events.event import Event
from models.events.times import iso
from tests.models.lines import (
    PARAMETERS,
    at,
    context,
    happened,
    line,
    lived,
    of,
    scene,
    seen,
    waited,
)


def put(minute: float, product: str = "P", price: float = 10.0, **said: Any) -> Event:
    return happened("Product Added", at(minutes=minute), product_id=product, price=price, **said)


def took(minute: float, product: str = "P", **said: Any) -> Event:
    return happened("Product Removed", at(minutes=minute), product_id=product, **said)


def ordered(minute: float, order_id: str | None = "O") -> Event:
    return happened("Order Completed", at(minutes=minute), order_id=order_id, revenue=1)


def said(name: str, minute: float, *products: dict[str, Any], **more: Any) -> Event:
    return happened(name, at(minutes=minute), products=products, **more)


def of_p(**more: Any) -> dict[str, Any]:
    return {"product_id": "P", "price": 10, **more}


RED, BLUE = {"product_id": "P", "sku": "red"}, {"product_id": "P", "sku": "blue"}
WISHED = "Wishlist Product Added to Cart"
STARTED = "Checkout Started"

# Different products, pieces, and what they are worth, in the end.
STORIES: dict[str, tuple[list[Event], int, float, int]] = {
    "put in": ([put(1)], 1, 1, 1000),
    "three of it": ([put(1, quantity=3)], 1, 3, 3000),
    "none of it": ([put(1, quantity=0)], 0, 0, 0),
    "two products": ([put(1), put(2, "Q", 5.5)], 2, 2, 1550),
    "taken out": ([put(1), took(2)], 0, 0, 0),
    "taken out at once": ([put(1), took(1)], 0, 0, 0),
    "taken out before it was put in": ([took(1), put(2)], 1, 1, 1000),
    "put in again": ([put(1), took(2), put(3, price=7)], 1, 1, 700),
    "one more, at another price": ([put(1, price=10), put(2, price=8)], 1, 2, 1600),
    "two prices of one moment": ([put(1, price=10), put(1, price=8)], 1, 2, 2000),
    "one more, without a price": (
        [put(1), happened("Product Added", at(minutes=2), product_id="P")],
        1,
        2,
        2000,
    ),
    "one of three taken out": ([put(1, quantity=3), took(2, quantity=1)], 1, 2, 2000),
    "all of three taken out": ([put(1, quantity=3), took(2)], 0, 0, 0),
    "more taken out than was in it": ([put(1), took(2, quantity=5), put(3)], 1, 1, 1000),
    "two put to one": ([put(1), put(2, quantity=2)], 1, 3, 3000),
    "weighed": ([put(1, quantity=0.1), put(2, quantity=0.2), took(3, quantity=0.3)], 0, 0, 0),
    "from the wishlist": (
        [happened(WISHED, at(minutes=1), product_id="P", price=60, quantity=1)],
        1,
        1,
        6000,
    ),
    "from the wishlist, and out again": (
        [happened(WISHED, at(minutes=1), product_id="P", price=60), took(2)],
        0,
        0,
        0,
    ),
    # Variants.
    "two variants": ([put(1, sku="red"), put(2, sku="blue", price=7)], 2, 2, 1700),
    "one variant taken out": (
        [put(1, sku="red"), put(2, sku="blue"), took(3, sku="red")],
        1,
        1,
        1000,
    ),
    "told apart without a sku": ([put(1, variant="red"), put(2, variant="blue")], 2, 2, 2000),
    "variants of two products": ([put(1, variant="red"), put(2, "Q", variant="red")], 2, 2, 2000),
    "taken out by the product": ([put(1, sku="red"), put(2, sku="blue"), took(3)], 0, 0, 0),
    "one taken out by the product": (
        [put(1, sku="red", quantity=2), took(3, quantity=1)],
        1,
        1,
        1000,
    ),
    "put in by the product, taken out by the variant": ([put(1), took(2, sku="red")], 0, 0, 0),
    "another variant stays": ([put(1), put(2, sku="red"), took(3, sku="red")], 1, 1, 1000),
    # What is said of the whole cart.
    "seen": ([said("Cart Viewed", 1, of_p(quantity=2), {**RED, "price": 5})], 2, 3, 2500),
    "seen otherwise": ([put(1, quantity=5), said("Cart Updated", 2, of_p(quantity=2))], 1, 2, 2000),
    "seen, and more put in": ([said("Cart Updated", 1, of_p()), put(2)], 1, 2, 2000),
    "seen at the moment it was put in": ([put(1), said("Cart Viewed", 1, of_p())], 1, 1, 1000),
    "seen without prices": ([put(1), said("Cart Viewed", 2, {"product_id": "P"})], 1, 1, 1000),
    "seen in several lines": ([said("Cart Viewed", 1, of_p(), of_p(quantity=2))], 1, 3, 3000),
    "seen empty": ([put(1), said("Cart Updated", 2)], 0, 0, 0),
    "seen empty, and written otherwise": ([put(1), said("Cart Updated", 2, orderId=5)], 0, 0, 0),
    "seen, and no word of what is in it": (
        [put(1), happened("Cart Viewed", at(minutes=2))],
        1,
        1,
        1000,
    ),
    "emptied": ([put(1), happened("Cart Emptied", at(minutes=2)), put(3, "Q")], 1, 1, 1000),
    # A checkout fills a cart that has none of what is to be bought.
    "bought now": ([said(STARTED, 1, of_p(quantity=2))], 1, 2, 2000),
    "checked out": ([put(1, quantity=2), said(STARTED, 2, of_p(quantity=2))], 1, 2, 2000),
    "checked out in part": ([put(1), put(2, "Q"), said(STARTED, 3, of_p())], 2, 2, 2000),
    "checked out by the product": ([put(1, sku="red"), said(STARTED, 3, of_p())], 1, 1, 1000),
    "checked out by the variant": ([put(1), said(STARTED, 3, {**BLUE, "price": 10})], 1, 1, 1000),
    # An order takes all that was put in before it, once.
    "ordered": ([put(1), ordered(2)], 0, 0, 0),
    "ordered at once": ([put(1), ordered(1)], 0, 0, 0),
    "ordered, and more put in": ([put(1), ordered(2), put(3, "Q")], 1, 1, 1000),
    "ordered twice": ([put(1), ordered(2), ordered(5, "O2"), put(4, "Q")], 0, 0, 0),
    "the thank-you page again": ([put(1), ordered(2), put(3, "Q"), ordered(60)], 1, 1, 1000),
    "orders without an id": ([ordered(2, None), put(3), ordered(60, None)], 0, 0, 0),
}


@pytest.mark.parametrize(
    ("events", "items", "units", "value_minor"), STORIES.values(), ids=STORIES.keys()
)
def test_what_lies_in_the_cart_does_not_depend_on_the_order_of_arrival(
    events: list[Event], items: int, units: float, value_minor: int
) -> None:
    for arrival in permutations(events):
        row = lived(arrival)
        view = seen(row, at(days=1)).cart
        assert (items, value_minor) == (view.items, view.value_minor)
        assert units == scene(row, at(days=1))["cart_units"]


@pytest.mark.parametrize(("events", "items", "units", "value_minor"), STORIES.values())
def test_a_cart_that_is_settled_is_the_same(
    events: list[Event], items: int, units: float, value_minor: int
) -> None:
    row = Row()
    for event in sorted(events, key=lambda event: event.occurred_at_ms):
        clock_ms = event.occurred_at_ms + PARAMETERS.time.lateness
        row = lived([event], row=row, clock_ms=clock_ms)
    row = lived([happened("page", at(days=20))], row=row, clock_ms=at(days=20))
    looked = lived([happened("Cart Viewed", at(days=20))], row=row, clock_ms=at(days=20))

    assert [] == of(looked).cart.changes
    view = seen(looked, at(days=20)).cart
    assert (items, value_minor) == (view.items, view.value_minor)


@pytest.mark.parametrize(
    ("currency", "value_minor"),
    [(None, 1000), ("", 1000), ("eur", 1000), ("USD", 900), (" usd ", 900), ("CHF", 0), ("???", 0)],
)
def test_prices_are_in_the_shops_currency_or_not_known(
    currency: str | None, value_minor: int
) -> None:
    """A price that cannot be converted costs neither the event nor the product in the cart."""
    rates = replace(PARAMETERS.money, rates={"USD": 0.9})
    within = context(parameters=replace(PARAMETERS, money=rates))
    raw = line(
        "Product Added", at(), properties={"product_id": "P", "price": 10, "currency": currency}
    )
    found = scene(
        lived([admit(raw, within.parameters, message_id="m")], within=within), at(), within
    )

    assert (1.0, value_minor / 100) == (found["cart_items"], found["cart_value"])


def test_an_abandoned_cart_is_told_with_what_is_left_in_it() -> None:
    _, effects = waited(lived([put(0, quantity=3), took(5, quantity=1)]), at(hours=3))

    [fired] = [one for one in effects if isinstance(one, Trigger)]
    told = {reason.code: reason.value for reason in fired.reasons}
    assert ("cart-abandoned", iso(at(minutes=65))) == (fired.kind, fired.timestamp)
    assert (1.0, 20.0) == (told["cart_items"], told["cart_value"])


def test_a_thank_you_page_shown_again_later_leaves_the_new_cart_to_be_abandoned() -> None:
    events = [put(0), ordered(5), put(30, "Q"), ordered(60)]
    for clock_ahead_ms in (0, PARAMETERS.time.lateness):
        row = Row()
        for event in events:
            row = lived([event], row=row, clock_ms=event.occurred_at_ms + clock_ahead_ms)
        _, effects = waited(row, at(hours=3))

        [fired] = [one for one in effects if isinstance(one, Trigger)]
        assert ("cart-abandoned", iso(at(minutes=90))) == (fired.kind, fired.timestamp)


def test_a_cart_of_an_older_row_is_read() -> None:
    items = [
        [fingerprint("P"), at(minutes=2), at(minutes=1), 2500],
        [fingerprint("Q"), at(minutes=2), at(minutes=3), 700],
        [fingerprint("R"), at(minutes=1), 0, 900],
    ]
    older = msgspec.msgpack.encode([items, at(minutes=3), at(minutes=1)])

    cart = CART.older[1](older)

    assert [(fingerprint("P"), 2500)] == [(item.key, item.value_minor) for item in cart.contents()]
    assert at(minutes=3) == cart.touched_at_ms
    assert CART.pack(cart) == CART.pack(CART.unpack(CART.pack(cart)))


def test_looking_at_the_cart_touches_it() -> None:
    looked = happened("Cart Viewed", at(minutes=9))

    assert at(minutes=9) == of(lived([put(1), looked])).cart.touched_at_ms
    assert at(minutes=9) == of(lived([looked, put(1)])).cart.touched_at_ms


def test_products_are_told_apart_by_sku_else_id_else_name() -> None:
    same = [
        happened("Product Added", at(), product_id="1", sku="a"),
        happened("Product Added", at(ms=1), product_id="1", sku="b"),
        happened("Product Added", at(ms=2), sku="a"),
        happened("Product Added", at(ms=3), name="Lamp"),
        happened("Product Added", at(ms=4)),
    ]

    assert 4 == len(of(lived(same)).cart.contents())


def test_the_products_that_changed_last_are_kept() -> None:
    bound = PARAMETERS.bounds.products
    events = [put(n, f"P-{n}") for n in range(bound + CHANGES_MAX + 5)]

    kept = of(lived(events)).cart

    assert (bound, CHANGES_MAX) == (len(kept.items), len(kept.changes))
    assert at(minutes=5) == min(item.at_ms for item in kept.items)


def test_products_of_one_moment_are_kept_the_same_way_in_either_order() -> None:
    bound = PARAMETERS.bounds.products
    events = [put(1, f"P-{n}") for n in range(bound + 5)]

    orders = [CART.pack(of(lived(order)).cart) for order in (events, reversed(events))]
    assert orders[0] == orders[1]


def test_an_order_forgets_what_can_no_longer_matter() -> None:
    row = lived([put(1)])
    soon = lived([ordered(60)], row=row, clock_ms=at(minutes=60))
    later = lived([happened("Cart Viewed", at(days=9))], row=soon, clock_ms=at(days=9))

    assert 2 == len(of(soon).cart.changes)
    assert ([], []) == (of(later).cart.items, of(later).cart.changes)


@pytest.mark.parametrize("arrival", list(permutations([put(9), put(11, "Q", 5), ordered(10)])))
def test_history_that_comes_topic_by_topic_leaves_what_was_put_in_after_the_order(
    arrival: tuple[Event, ...],
) -> None:
    """Old events are settled as they come, and orders may come after all of the clicks."""
    row, within = Row(), context(at(days=60))
    present = within.present
    present.is_rehearsal = True
    for event in arrival:
        engine.step(row, event, present, within.plan)

    assert not row.read(CART).changes
    assert [(fingerprint("Q"), 500)] == [(i.key, i.value_minor) for i in row.read(CART).items]


def test_an_absurd_cart_fits_a_row() -> None:
    view = seen(lived([put(1, price=1e12, quantity=1e12)]), at(days=1)).cart

    assert 0 < view.value_minor < 2**63
