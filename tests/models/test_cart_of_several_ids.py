"""One person's cart, united from their ids' carts: as if one id had done everything."""

from collections.abc import Iterable, Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.customer.cart import CART
from models.customer.cart_state import Cart
from models.events.event import Event
from tests.models.lines import PARAMETERS, at, happened, lived

#: Nothing comes before this any more once the story is over.
_LATE_HOURS = 9 * 24


def put(hours: float, product: str = "P", price: float = 80.0) -> Event:
    return happened("Product Added", at(hours=hours), product_id=product, price=price)


def ordered(hours: float, order_id: str | None = "O") -> Event:
    return happened("Order Completed", at(hours=hours), order_id=order_id, revenue=1)


def settling() -> Event:
    """A cart event after which everything before it is settled."""
    return happened("Cart Viewed", at(hours=_LATE_HOURS))


def cart_of(events: Iterable[Event]) -> Cart:
    """The cart of an id, with each event recorded when it happened."""
    row = None
    for event in events:
        row = lived([event], row=row, clock_ms=event.occurred_at_ms)
    assert row is not None
    return row.read(CART)


def united(carts: Sequence[Cart]) -> list[tuple[int, float, float]]:
    """The united cart of these, in any order; now, and once it is settled."""
    found = []
    for some in permutations(carts):
        one = CART.united(some, PARAMETERS)
        contents = one.contents()
        assert one.is_empty == (not contents)
        found.append(lying(one))
        one.settle(at(days=99), PARAMETERS.bounds.products)
        found.append(lying(one))
    assert all(each == found[0] for each in found)
    return found[0]


def lying(cart: Cart) -> list[tuple[int, float, float]]:
    return [(item.key, item.quantity, item.price) for item in cart.contents()]


@pytest.mark.parametrize("order_is_settled", [False, True], ids=["order", "settled order"])
@pytest.mark.parametrize("item_is_settled", [False, True], ids=["item", "settled item"])
@pytest.mark.parametrize("item_hours", [9, 10, 11], ids=["before", "with it", "after"])
def test_an_order_takes_what_another_id_put_in_before_it_and_nothing_after_it(
    order_is_settled: bool, item_is_settled: bool, item_hours: int
) -> None:
    ada = cart_of([ordered(10), *[settling()] * order_is_settled])
    visitor = cart_of([put(item_hours), *[settling()] * item_is_settled])
    assert bool(ada.changes) is not order_is_settled
    assert bool(visitor.changes) is not item_is_settled

    assert (item_hours > 10) == bool(united([ada, visitor]))


@pytest.mark.parametrize("is_settled", [False, True])
def test_more_of_what_was_put_in_before_the_order_does_not_come_back(is_settled: bool) -> None:
    """The order and what came before it have one id, and are not settled; more was added later."""
    visitor = cart_of([put(11), *[settling()] * is_settled])

    assert lying(cart_of([put(11)])) == united([cart_of([put(9), ordered(10)]), visitor])


def test_a_cart_that_was_looked_at_under_one_id_keeps_what_another_put_in_later() -> None:
    products = [{"product_id": "P", "price": 80}]
    ada = cart_of([happened("Cart Viewed", at(hours=10), products=products)])
    visitor = cart_of([put(11), put(12, "Q", 5), settling()])

    assert lying(cart_of([put(10), put(11), put(12, "Q", 5)])) == united([ada, visitor])


def story(kinds: list[tuple[int, bool, bool]]) -> list[tuple[int, Event]]:
    """Events with their ids: every order and every product is another one."""
    return [
        (id_, ordered(hours, f"O-{hours}") if is_order else put(hours, f"P-{hours}"))
        for hours, is_order, id_ in sorted(kinds)
    ]


@given(
    st.lists(
        st.tuples(st.integers(0, _LATE_HOURS), st.booleans(), st.booleans()),
        min_size=1,
        max_size=12,
        unique_by=lambda kind: kind[0],
    )
)
def test_the_cart_of_two_ids_is_that_of_one_id_who_did_it_all(
    kinds: list[tuple[int, bool, bool]],
) -> None:
    events = story(kinds)
    of_ids = [[event for id_, event in events if id_ is mine] for mine in (False, True)]

    carts = [cart_of(some) for some in of_ids if some]
    assert lying(cart_of(event for _, event in events)) == united(carts)
