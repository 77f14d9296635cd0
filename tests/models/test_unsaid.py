"""Later news of an order: what it does not say stays as it was, what it says replaces that.

Each part that listens to orders, by each field that it reads.
"""

from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest

from models.customer.margins import MARGINS
from models.customer.prices import PRICES
from models.customer.purchases import PURCHASES
from models.customer.row import Row
from models.parameters import load_parameters
from tests.models.lines import at, context, happened, lived

PARAMETERS = load_parameters(
    assignments=[
        "margins.enabled=true",
        "margins.by_category.cases=0.6",
        "value.gross_margin=0.3",
        "money.rates.USD=0.5",
    ]
)
CASES = [{"product_id": "p", "price": 40.0, "category": "cases"}]
#: An order that says all there is to say: 80 of 100 dollars, with a coupon.
SAID: dict[str, Any] = {
    "revenue": 80.0,
    "currency": "USD",
    "discount": 20.0,
    "coupon": "SPRING",
    "products": CASES,
}


def depth(row: Row) -> float:
    return row.read(PRICES).orders[0].depth


def has_coupon(row: Row) -> bool:
    return row.read(PRICES).orders[0].has_coupon


def margin(row: Row) -> float:
    return row.read(MARGINS).orders[0].margin


def net(row: Row) -> int:
    return row.read(PURCHASES).net_minor


def listed(row: Row) -> list[float]:
    """The prices of what a refund may name without one."""
    detail = row.read(PURCHASES).orders[0].detail
    return [item.unit for item in detail.items] if detail is not None else []


@pytest.mark.parametrize(
    ("read", "said", "expected"),
    [
        (depth, {}, 0.2),
        (depth, {"discount": None}, 0.2),
        (depth, {"discount": "some"}, 0.2),
        (depth, {"discount": 0}, 0.0),
        (depth, {"discount": 80.0}, 0.5),
        (has_coupon, {}, True),
        (has_coupon, {"coupon": None}, True),
        # A blank text is none, as everywhere.
        (has_coupon, {"coupon": ""}, True),
        (has_coupon, {"coupon": "SUMMER"}, True),
        (margin, {}, 0.6),
        (margin, {"products": None}, 0.6),
        (margin, {"products": []}, 0.3),
        (margin, {"products": [{"product_id": "p"}]}, 0.6),
        (margin, {"products": [{"product_id": "q", "price": 7.0}]}, 0.3),
        (listed, {}, [40.0]),
        (listed, {"products": []}, []),
        (listed, {"products": [{"product_id": "p"}]}, [40.0]),
        (listed, {"products": [{"product_id": "q", "price": 7.0}]}, [7.0]),
        # The amount is always said, and of a few that are the most net one counts.
        (net, {}, 4_000),
        (net, {"revenue": 0}, 0),
        (net, {"revenue": 90.0}, 4_500),
        (net, {"revenue": None, "total": 90.0}, 4_500),
        (net, {"currency": "EUR"}, 8_000),
        # Nobody asks for these.
        (net, {"shipping": 9.0, "tax": 0}, 4_000),
    ],
)
def test_what_is_not_said_stays_and_what_is_said_replaces_it(
    read: Callable[[Row], Any], said: dict[str, Any], expected: Any
) -> None:
    within = context(parameters=PARAMETERS)
    order = happened("Order Completed", at(), order_id="o", **SAID)
    updates = [
        happened("Order Updated", at(1), order_id="o", revenue=80.0),
        happened("Order Updated", at(2), order_id="o", **{"revenue": 80.0, **said}),
    ]
    if read is not net:
        # It says an amount, too, and nothing else.
        updates.append(happened("Order Updated", at(3), order_id="o", revenue=80.0))
    for news in permutations([order, *updates]):
        assert expected == pytest.approx(read(lived(news, within=within))), news


@pytest.mark.parametrize("read", [depth, has_coupon, margin, listed, net])
def test_what_only_a_refund_says_is_no_news_of_the_price(read: Callable[[Row], Any]) -> None:
    within = context(parameters=PARAMETERS)
    order = happened("Order Completed", at(), order_id="o", **SAID)
    refund = happened("Order Refunded", at(1), order_id="o", total=0)
    before = read(lived([order], within=within))

    for news in ([order, refund], [refund, order]):
        assert before == read(lived(news, within=within))
