"""Margins by category: what a customer's purchases leave, and the resulting worth."""

from typing import Any

import pytest
from msgspec.structs import replace

from models.customer.margins import MARGINS, ORDERS_MAX, MarginParameters, margin_share
from models.customer.scores import worth
from models.events.event import Event
from models.learning.bgnbd import BgNbd
from models.learning.gamma_gamma import GammaGamma
from models.learning.population import Population
from models.parameters import load_parameters
from tests.models.lines import PARAMETERS, PRIOR, at, context, happened, lived, scene

ON = PARAMETERS.with_section(
    MarginParameters(enabled=True, by_category={"phones": 0.1, "cases": 0.8})
)
KNOWING = PRIOR.replace(
    replace(
        PRIOR.of(Population),
        bgnbd=BgNbd(0.4, 2.0, 0.7, 2.5),
        gamma_gamma=GammaGamma(2.0, 3.0, 50.0),
    ),
    version=1,
)
SHOP = context(snapshot=KNOWING, parameters=ON)


def sold(price: float, category: Any, quantity: float = 1) -> dict[str, Any]:
    return {"product_id": f"{category}", "price": price, "quantity": quantity, "category": category}


def bought(day: float, *products: dict[str, Any], revenue: float = 100.0) -> Event:
    said = {"order_id": f"o-{day}", "revenue": revenue, "products": products}
    return happened("Order Completed", at(day), **said)


PHONE, CASES = sold(300.0, "phones"), sold(10.0, "cases", quantity=10)


@pytest.mark.parametrize(
    ("events", "margin"),
    [
        ([bought(0, PHONE)], 0.1),
        ([bought(0, CASES)], 0.8),
        # 30 of 300, and 80 of 100.
        ([bought(0, PHONE, CASES)], 110 / 400),
        # Each order by what was paid for it: 10 of 100, and 160 of 200.
        ([bought(0, PHONE), bought(1, CASES, revenue=200.0)], 170 / 300),
        # The shop's, of 30 %: a category without its own, none, and what is no text.
        ([bought(0, sold(5.0, "garden"))], 0.3),
        ([bought(0, sold(5.0, None))], 0.3),
        ([bought(0, sold(5.0, {"name": "cases"}))], 0.3),
        ([bought(0)], 0.3),
        ([bought(0, {"product_id": "p", "category": "cases"})], 0.3),
        ([], 0.3),
    ],
)
def test_a_margin_is_that_of_what_the_customer_buys(events: list[Event], margin: float) -> None:
    row = lived(events, within=SHOP)

    assert pytest.approx(margin) == scene(row, at(2), SHOP).of(margin_share)


def test_what_is_given_back_says_nothing_of_what_they_buy() -> None:
    orders = [bought(0, PHONE), bought(1, CASES)]
    whole = happened("Order Refunded", at(2), order_id="o-0")
    half = happened("Order Refunded", at(2), order_id="o-0", total=50.0)

    margins = [
        scene(lived([*orders, back], within=SHOP), at(3), SHOP)["margin_share"]
        for back in (whole, half)
    ]
    assert [0.8, (5 + 80) / 150] == pytest.approx(margins)


def test_the_latest_products_of_an_order_count_whatever_comes_first() -> None:
    news = [
        bought(0, PHONE),
        happened("Order Updated", at(1), order_id="o-0", revenue=100.0, products=[CASES]),
    ]
    for order in (news, news[::-1]):
        row = lived(order, within=SHOP)
        assert pytest.approx(0.8) == scene(row, at(2), SHOP).of(margin_share)


def test_who_buys_what_leaves_more_is_worth_more() -> None:
    cheap, dear = (
        scene(lived([bought(0, one), bought(9, one)], within=SHOP), at(10), SHOP).of(worth)
        for one in (PHONE, CASES)
    )
    assert cheap is not None
    assert dear is not None
    assert (0.1, 0.8) == pytest.approx((cheap.gross_margin, dear.gross_margin))
    assert 8 * cheap.clv == pytest.approx(dear.clv)


def test_nothing_is_kept_unless_a_shop_says_what_is_left_of_a_category() -> None:
    row = lived([bought(0, PHONE)])

    assert not PARAMETERS.of(MarginParameters).enabled
    assert MARGINS.empty == MARGINS.pack(row.read(MARGINS))
    assert PARAMETERS.value.gross_margin == scene(row, at(1)).of(margin_share)


def test_the_latest_orders_are_kept() -> None:
    row = lived([bought(day, PHONE) for day in range(ORDERS_MAX + 5)], within=SHOP)

    assert ORDERS_MAX == len(row.read(MARGINS).orders)


def test_a_margin_is_a_share() -> None:
    with pytest.raises(ValueError, match="is a share: from 0 to 1"):
        load_parameters(assignments=["margins.by_category.phones=1.5"])


def test_later_purchases_count_less_by_the_discount() -> None:
    orders = [bought(day) for day in (0, 30, 60)]
    tenth = replace(PARAMETERS, value=replace(PARAMETERS.value, discount=0.1))
    within = context(snapshot=KNOWING, parameters=tenth)
    whole = scene(lived(orders), at(61), context(snapshot=KNOWING)).of(worth)
    found = scene(lived(orders), at(61), within).of(worth)
    assert whole is not None
    assert found is not None

    assert 0.0 == PARAMETERS.value.discount
    # Five years ahead, the last of them at 62 %.
    assert 0.7 * whole.lifetime_years < found.lifetime_years < 0.95 * whole.lifetime_years
    assert (whole.annual_revenue, whole.horizons) == (found.annual_revenue, found.horizons)
