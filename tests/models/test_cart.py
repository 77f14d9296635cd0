"""The cart: latest times per product, whatever the order of arrival."""

from itertools import permutations
from typing import Any

import pytest

from models.customer.cart import CART
from models.events.event import Event
from tests.models.lines import PARAMETERS, at, happened, lived, of, seen


def put(minute: float, product: str = "P", price: float = 10.0, **said: Any) -> Event:
    return happened("Product Added", at(minutes=minute), product_id=product, price=price, **said)


def took(minute: float, product: str = "P") -> Event:
    return happened("Product Removed", at(minutes=minute), product_id=product)


def ordered(minute: float, order_id: str = "O") -> Event:
    return happened("Order Completed", at(minutes=minute), order_id=order_id, revenue=1)


@pytest.mark.parametrize(
    ("events", "items", "value_minor"),
    [
        ([put(1)], 1, 1000),
        ([put(1, quantity=3)], 1, 3000),
        ([put(1, quantity=0)], 1, 0),
        ([put(1), put(2, "Q", 5.5)], 2, 1550),
        ([put(1), took(2)], 0, 0),
        ([put(1), took(1)], 0, 0),
        ([took(1), put(2)], 1, 1000),
        ([put(1), took(2), put(3, price=7)], 1, 700),
        ([put(1, price=10), put(2, price=8)], 1, 800),
        ([put(1, price=10), put(1, price=8)], 1, 1000),
        ([put(1), ordered(2)], 0, 0),
        ([put(1), ordered(1)], 0, 0),
        ([put(1), ordered(2), put(3, "Q")], 1, 1000),
        ([put(1), ordered(2), ordered(5, "O2"), put(4, "Q")], 0, 0),
    ],
)
def test_what_lies_in_the_cart_does_not_depend_on_the_order_of_arrival(
    events: list[Event], items: int, value_minor: int
) -> None:
    for arrival in permutations(events):
        view = seen(lived(arrival), at(days=1)).cart
        assert (items, value_minor) == (view.items, view.value_minor)


def test_looking_at_the_cart_touches_it() -> None:
    looked = happened("Cart Viewed", at(minutes=9))

    assert at(minutes=9) == of(lived([put(1), looked])).cart.touched_at_ms
    assert at(minutes=9) == of(lived([looked, put(1)])).cart.touched_at_ms


def test_products_are_told_apart_by_id_else_sku_else_name() -> None:
    same = [
        happened("Product Added", at(), product_id="1", sku="a"),
        happened("Product Added", at(ms=1), product_id="1", sku="b"),
        happened("Product Added", at(ms=2), sku="a"),
        happened("Product Added", at(ms=3), name="Lamp"),
        happened("Product Added", at(ms=4)),
    ]

    assert 4 == len(of(lived(same)).cart.contents())


def test_the_products_touched_last_are_kept() -> None:
    bound = PARAMETERS.bounds.products
    events = [put(n, f"P-{n}") for n in range(bound + 5)]

    kept = of(lived(events)).cart

    assert bound == len(kept.items)
    assert at(minutes=5) == min(item.added_at_ms for item in kept.items)


def test_products_of_one_moment_are_kept_the_same_way_in_either_order() -> None:
    bound = PARAMETERS.bounds.products
    events = [put(1, f"P-{n}") for n in range(bound + 5)]

    orders = [CART.pack(of(lived(order)).cart) for order in (events, reversed(events))]
    assert orders[0] == orders[1]


def test_an_order_forgets_what_can_no_longer_matter() -> None:
    row = lived([put(1)])
    soon = lived([ordered(60)], row=row, clock_ms=at(minutes=60))
    later = lived([ordered(60)], row=row, clock_ms=at(minutes=2) + PARAMETERS.time.lateness)

    assert 1 == len(of(soon).cart.items)
    assert [] == of(later).cart.items


def test_an_absurd_cart_fits_a_row() -> None:
    cart = of(lived([put(1, price=1e12, quantity=1e12)])).cart

    assert 0 < cart.value_minor < 2**63
