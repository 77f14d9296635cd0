"""Orders, refunds and carts in the words of pixels, tag managers and shop systems."""

import json
from typing import Any

import pytest

from config.parameters import Parameters
from models.admission import admit, decode_event
from models.events.event import Event
from models.events.rejection import Reason, Rejected
from models.events.wire import encode_event
from models.parameters import load_parameters
from tests.models.lines import at, context, happened, line, lived, of

COMPLETED, UPDATED, REFUNDED = "Order Completed", "Order Updated", "Order Refunded"
SHOP: Parameters = load_parameters(None, ["money.rates.USD=0.5"])


def refusal(name: str, properties: Any) -> Rejected:
    with pytest.raises(Rejected) as refused:
        admit(line(name, at(), properties=properties), SHOP, message_id="m")
    return refused.value


def admitted(name: str, day: float = 0, **said: Any) -> Event:
    return admit(line(name, at(days=day), properties=said), SHOP, message_id=f"{name} {day}")


def net_minor(*events: Event) -> int:
    net: int = of(lived([*events], within=context(parameters=SHOP))).purchases.net_minor
    return net


LINES = [{"product_id": 93, "variation_id": 12, "quantity": 2, "price": "12.50"}]
#: Of Shopify's pixel.
CART_LINE = {
    "merchandise": {
        "id": "v",
        "product": {"id": "p", "title": "Mug"},
        "price": {"amount": 12.5, "currencyCode": "EUR"},
    },
    "quantity": 2,
}
ITEMS = [{"item_id": "p", "item_name": "Mug", "price": 12.5, "quantity": 2}]


@pytest.mark.parametrize(
    "said",
    [
        {"transaction_id": "o", "value": 25, "items": ITEMS},
        {"transactionId": "o", "Value": "25,00", "Items": ITEMS},
        {"id": "o", "total_price": "25.00", "subtotal_price": "25.00"},
        {"order_number": "o", "grand_total": 25},
        {"orderNumber": "o", "totalAmount": 25},
        {"increment_id": "o", "order_total": 25},
        {"order_id": "o", "$value": 25},
        {"order_id": "o", "revenue": "N/A", "total": 25},
        {"ecommerce": {"transaction_id": "o", "value": 25, "items": ITEMS}},
        {"properties": {"order_id": "o", "revenue": 25}},
        {"order": {"id": "o", "total": 25}},
        {"order_id": "o", "revenue": 25, "products": json.dumps(ITEMS)},
        {"order_id": "o", "revenue": 25, "products": [None, {"product_id": {"id": 1}}]},
        {"order_id": "o", "revenue": 25, "currency": "€"},
        {"order_id": "o", "revenue": 25, "currency": "undefined"},
        {"order_id": "o", "totalPrice": {"amount": "25.00", "currencyCode": "EUR"}},
        {"order_id": "o", "total": {"value": 25, "currency": "EUR"}},
        {"order_id": "o", "subtotal": {"shop_money": {"amount": 25, "currency_code": "EUR"}}},
        {"data": {"checkout": {"order": {"id": "o"}, "total_price": 25}}},
        {"ecommerce": {"purchase": {"actionField": {"id": "o", "revenue": "25.00"}}}},
        {"$event_id": "o", "$value": 25, "Items": [{"ProductID": "p", "ItemPrice": 25}]},
    ],
)
def test_an_order_is_an_order_in_the_words_of_every_shop(said: dict[str, Any]) -> None:
    event = admitted(COMPLETED, **said)

    assert ("o", 25.0) == (event.properties.order_id, event.properties.amount)
    assert event == decode_event(encode_event(event), message_id="")


@pytest.mark.parametrize(
    "said",
    [
        {"value": 30, "total_price": 29, "subtotal_price": 25},
        # Also if the amount with taxes and shipping is spelt as it is known.
        *({"total": 30, name: 25} for name in ("subtotal_price", "Subtotal", "Revenue")),
        *({"total": 30, name: "25.00"} for name in ("netRevenue", "purchase_revenue")),
        {"total": 30, "subtotal": 28, "order_revenue": 25},
    ],
)
def test_the_most_net_amount_counts_whatever_else_is_there(said: dict[str, Any]) -> None:
    assert 25.0 == admitted(COMPLETED, order_id="o", **said).properties.amount


@pytest.mark.parametrize(
    "said",
    [
        # Of WooCommerce, before and after it was paid; and of Shopify, whose refunds name the id.
        {"id": 727, "number": "A-727", "transaction_id": "", "line_items": LINES},
        {"id": 727, "number": "A-727", "transaction_id": "ch_1", "line_items": LINES},
        {"id": 727, "order_number": 1001, "lineItems": LINES},
        {"order": {"id": 727, "order_number": 1001, "line_items": LINES}},
    ],
)
def test_a_shop_system_s_order_goes_by_its_id(said: dict[str, Any]) -> None:
    placed = admitted(COMPLETED, total="25.00", **said)

    assert "727" == placed.properties.order_id
    assert 0 == net_minor(placed, admitted("Order Cancelled", 1, **said))
    for other in ("order_id", "transaction_id"):
        assert "o" == admitted(COMPLETED, total=25, id=1, **{other: "o"}).properties.order_id


DONG: Parameters = load_parameters(None, ["money.currency=VND", "money.rates.EUR=27000.0"])


@pytest.mark.parametrize(
    ("said", "amount"),
    [
        ({"total": "150000"}, 150_000),
        ({"total": "1.150.000"}, 1_150_000),
        ({"total": "1.150.000 ₫"}, 1_150_000),
        ({"total": "150.00"}, 150),
        ({"total": "1500.000"}, 1_500),
        ({"total": "25.000", "currency": "EUR"}, 25),
        ({"total": "150.000"}, None),
        ({"total": "150.000", "currency": "vnd"}, None),
        ({"total": "150.000 ₫"}, None),
        ({"total": "₫15.000"}, None),
        ({"total": {"amount": "150.000", "currencyCode": "VND"}}, None),
    ],
)
def test_a_dot_before_three_digits_is_no_guess_where_there_are_no_decimals(
    said: dict[str, Any], amount: float | None
) -> None:
    raw = line(COMPLETED, at(), properties={"order_id": "o", **said})
    if amount is not None:
        assert amount == admit(raw, DONG, message_id="m").properties.amount
        return
    with pytest.raises(Rejected) as refused:
        admit(raw, DONG, message_id="m")
    assert (Reason.WRONG_TYPE, "$.properties.total") == (refused.value.reason, refused.value.path)


@pytest.mark.parametrize(
    "named",
    [
        *({name: "USD"} for name in ("Currency", "CURRENCY", "currencyCode", "currency_code")),
        *({name: "usd"} for name in ("order_currency", "presentment_currency")),
        {"ecommerce": {"currency": "USD"}},
        *({name: "USD"} for name in ("currency_iso", "currencyISOCode", "iso_currency_code")),
        {"base_currency_code": "EUR", "order_currency_code": "USD"},
        {"currency_symbol": "$", "currency_rate": "1.1", "payment_currency": "USD"},
        {"products": [{"product_id": "p", "price": 100, "currency": "USD"}]},
        {"products": [{"product_id": "p", "price": {"amount": 100, "currencyCode": "USD"}}]},
        {"currency": None, "customer": {"currency": "USD"}},
    ],
)
def test_a_currency_is_never_the_shop_s_because_it_is_named_otherwise(
    named: dict[str, Any],
) -> None:
    assert 5_000 == net_minor(admitted(COMPLETED, order_id="o", revenue=100, **named))


@pytest.mark.parametrize(
    ("said", "currency", "amount"),
    [
        ({"revenue": "12,50 €"}, "EUR", 12.5),
        ({"revenue": "€1.234,50"}, "EUR", 1234.5),
        ({"revenue": "EUR 12"}, "EUR", 12.0),
        ({"revenue": "12.50 usd"}, "USD", 12.5),
        ({"revenue": "$12.50", "currency": "USD"}, "USD", 12.5),
        ({"revenue": "12,50\u00a0€", "currency": "eur"}, "EUR", 12.5),
        ({"revenue": "US$ 12.50"}, "USD", 12.5),
    ],
)
def test_the_currency_beside_an_amount_is_read_with_it(
    said: dict[str, Any], currency: str, amount: float
) -> None:
    found = admitted(COMPLETED, order_id="o", **said).properties

    assert (currency, amount) == (found.currency, found.revenue)


@pytest.mark.parametrize(
    ("said", "reason", "field"),
    [
        ({"revenue": "$12"}, Reason.REQUIRED_MISSING, "currency"),
        ({"revenue": "$12", "currency": "EUR"}, Reason.OUT_OF_RANGE, "revenue"),
        ({"revenue": "12 USD", "currency": "EUR"}, Reason.OUT_OF_RANGE, "revenue"),
        ({"revenue": "12 USD", "total": "12 €"}, Reason.OUT_OF_RANGE, "total"),
        ({"revenue": "12 GBP"}, Reason.OUT_OF_RANGE, "currency"),
        ({"revenue": "12 kr"}, Reason.WRONG_TYPE, "revenue"),
        ({"revenue": "€ twelve"}, Reason.WRONG_TYPE, "revenue"),
        ({"revenue": 12, "currency": "euro"}, Reason.OUT_OF_RANGE, "currency"),
        ({"revenue": 12, "currency": 978}, Reason.OUT_OF_RANGE, "currency"),
        ({"revenue": 12, "currency": {"code": "USD"}}, Reason.OUT_OF_RANGE, "currency"),
        (
            {"revenue": 12, "a_currency": "USD", "b_currency": "EUR"},
            Reason.OUT_OF_RANGE,
            "currency",
        ),
        ({"revenue": {"amount": 12}}, Reason.WRONG_TYPE, "revenue"),
        (
            {"total": {"centAmount": 1200, "value": 1200, "currencyCode": "EUR"}},
            Reason.WRONG_TYPE,
            "total",
        ),
        ({"object": "payment_intent", "amount": 2000}, Reason.OUT_OF_RANGE, "object"),
    ],
)
def test_an_amount_is_in_no_currency_by_guess(
    said: dict[str, Any], reason: Reason, field: str
) -> None:
    refused = refusal(COMPLETED, {"order_id": "o", **said})

    assert (reason, f"$.properties.{field}") == (refused.reason, refused.path)


@pytest.mark.parametrize("amount", ["50 PTS", "12 USD", "€12"])
def test_a_currency_that_nothing_would_keep_is_refused(amount: str) -> None:
    said = {"points": amount, "redemption_id": "r"}

    assert "$.properties.points" == refusal("Points Redeemed", said).path


@pytest.mark.parametrize(
    "said",
    [
        *({name: 40} for name in ("total", "Total", "AMOUNT", "refundAmount", "refunded_amount")),
        *({name: "40,00 €"} for name in ("value", "$value", "refund_total", "subtotal")),
        {"refund": {"amount": 40}},
        {"ecommerce": {"value": 40}},
        {"items": [{"item_id": "p", "price": 40}]},
        {"line_items": [{"product_id": "p", "price": 20, "quantity": "2"}]},
        {"products": {"p": {"product_id": "p", "price": 40}}},
        {"products": {"product_id": "p", "price": 40}},
        {"total": 40, "type": "partial", "product_id": "p"},
        *({name: -40} for name in ("total", "amount")),
        {"total": "-40,00"},
        {"amount": {"amount": 40, "currency": "EUR"}},
        *({name: [{"product_id": "p", "price": 40}]} for name in ("lines", "returned_items")),
        {"product": {"product_id": "p", "price": 40}},
        {"refund_line_items": [{"quantity": 2, "line_item": {"product_id": "p", "price": "20"}}]},
        # Ledgers and WooCommerce count what is given back as fewer than none.
        *(
            {"line_items": [{"product_id": "p", "quantity": fewer, "price": 20}]}
            for fewer in (-2, "-2", "-2,00")
        ),
        {"items": [{"product_id": "p", "Quantity": 2, "price": 20}]},
        {"items": [{"sku": "p", "Qty": "2", "Price": "20.00"}]},
    ],
)
def test_a_part_that_is_given_back_is_never_taken_for_the_whole(said: dict[str, Any]) -> None:
    placed = admitted(COMPLETED, order_id="o", revenue=100)

    assert 6_000 == net_minor(placed, admitted(REFUNDED, 1, order_id="o", **said))


@pytest.mark.parametrize(
    "said",
    [
        *({name: True} for name in ("partial", "is_partial", "partialRefund")),
        *({name: "Partial"} for name in ("type", "refund_type")),
        *({name: 40} for name in ("amount_refunded", "total_refunded", "price")),
        {"product_id": "p", "quantity": 1},
        {"refunds": [{"id": 1}]},
        *({name: 40} for name in ("amount_cents", "refundValueInCents", "percentage", "refund")),
        *({name: "p"} for name in ("item_id", "line_item_id", "product_name")),
        *({name: False} for name in ("full", "is_full_refund")),
        *({"type": word} for word in ("exchange", "PARTIAL_REFUND")),
        *({name: [{"id": 1}]} for name in ("transactions", "credited_lines", "creditmemo_items")),
    ],
)
def test_a_part_of_which_nobody_says_how_much_is_refused(said: dict[str, Any]) -> None:
    refused = refusal(REFUNDED, {"order_id": "o", **said})

    assert (Reason.REQUIRED_MISSING, "$.properties.total") == (refused.reason, refused.path)
    assert "products" in refused.fix


@pytest.mark.parametrize("nothing", ["N/A", "null", "undefined"])
def test_a_refund_whose_amount_was_never_filled_in_is_not_of_everything(nothing: str) -> None:
    refused = refusal(REFUNDED, {"order_id": "o", "total": nothing})

    assert (Reason.WRONG_TYPE, "$.properties.total") == (refused.reason, refused.path)


@pytest.mark.parametrize(
    "said",
    [
        *({}, {"type": "full"}, {"partial": False}, {"reason": "damaged"}, {"is_full": True}),
        *({"order_total": 100, "order_items": None}, {"tax_amount": 3, "shipping_total": 4}),
        {"exchange_rate": 1.1, "note": "as agreed", "currency": "EUR"},
    ],
)
def test_a_refund_of_which_nothing_is_said_is_of_everything(said: dict[str, Any]) -> None:
    placed = admitted(COMPLETED, order_id="o", revenue=100)

    assert 0 == net_minor(placed, admitted(REFUNDED, 1, order_id="o", **said))


@pytest.mark.parametrize("name", [COMPLETED, UPDATED])
@pytest.mark.parametrize(
    ("said", "is_called"),
    [
        *(({"status": word}, "Order Cancelled") for word in ("cancelled", "Canceled", "failed")),
        ({"status": "checkout-draft"}, "Order Cancelled"),
        ({"financial_status": "voided"}, "Order Cancelled"),
        ({"orderStatus": "CANCELLED"}, "Order Cancelled"),
        ({"status": "fulfilled", "payment_status": "refunded"}, REFUNDED),
        *(({"status": word}, "Order Cancelled") for word in ("payment_failed", "fraud", "refused")),
        *(({"status": word}, REFUNDED) for word in ("charged-back", "Returned")),
        ({"Status": "Cancelled"}, "Order Cancelled"),
        ({"state": "canceled"}, "Order Cancelled"),
        ({"order": {"state": "canceled"}}, "Order Cancelled"),
        *(({name: True}, "Order Cancelled") for name in ("cancelled", "isCanceled", "is_draft")),
        ({"cancelledAt": "2026-03-01T10:00:00Z"}, "Order Cancelled"),
        ({"status": "paid", "voided": "yes"}, "Order Cancelled"),
    ],
)
def test_an_order_that_has_ended_is_no_purchase_whatever_its_event_is_called(
    name: str, said: dict[str, Any], is_called: str
) -> None:
    placed = admitted(COMPLETED, order_id="o", revenue=100)
    for amount in ({}, {"revenue": 100}):
        event = admitted(name, 1, order_id="o", **said, **amount)

        assert is_called == event.name
        assert 0 == net_minor(placed, event)
        assert event == decode_event(encode_event(event), message_id="")
    paid = admitted(COMPLETED, 2, order_id="o", revenue=100)
    assert 10_000 == net_minor(placed, event, paid)


@pytest.mark.parametrize(
    "said",
    [
        *(
            {name: value}
            for name in ("cancelled", "draft", "voided")
            for value in (False, None, "")
        ),
        {"cancelled_at": None, "cancel_reason": None, "state": "CA", "livemode": True},
        {"customer": {"state": "disabled"}, "environment": "development", "draft_id": 7},
    ],
)
def test_what_has_not_happened_ends_no_order(said: dict[str, Any]) -> None:
    event = admitted(COMPLETED, order_id="o", revenue=100, **said)

    assert (COMPLETED, 10_000) == (event.name, net_minor(event))


@pytest.mark.parametrize(
    "said",
    [
        *({name: "o"} for name in ("id", "orderId", "order_number", "increment_id")),
        *({name: {"id": "o"}} for name in ("order", "Order")),
        # The specification lists all products of an order that is cancelled.
        {"order_id": "o", "total": 100, "products": ITEMS},
    ],
)
def test_a_cancellation_names_its_order_as_the_order_does(said: dict[str, Any]) -> None:
    placed = admitted(COMPLETED, order_id="o", revenue=100)

    assert 0 == net_minor(placed, admitted("Order Cancelled", 1, **said))


@pytest.mark.parametrize(
    "said",
    [
        {"partial": True},
        {"is_partial": "yes"},
        *({name: "partial"} for name in ("type", "cancellation_type")),
        {"status": "partially_cancelled"},
    ],
)
def test_a_part_that_is_cancelled_is_never_taken_for_the_whole(said: dict[str, Any]) -> None:
    refused = refusal("Order Cancelled", {"order_id": "o", **said})

    assert (Reason.OUT_OF_RANGE, "$.properties.partial") == (refused.reason, refused.path)
    assert "Order Refunded" in refused.fix


@pytest.mark.parametrize("status", ["paid", "processing", "pending", "on-hold", "shipped", 7, None])
def test_an_order_in_any_other_state_is_one(status: Any) -> None:
    event = admitted(COMPLETED, order_id="o", revenue=100, status=status)

    assert (COMPLETED, 10_000) == (event.name, net_minor(event))


def test_an_end_without_an_order_is_refused() -> None:
    refused = refusal(UPDATED, {"revenue": 5, "status": "cancelled"})

    assert (Reason.REQUIRED_MISSING, "$.properties.order_id") == (refused.reason, refused.path)


@pytest.mark.parametrize(
    "said",
    [
        *({"test": True}, {"is_test": "true"}, {"testOrder": 1}, {"sandbox": True}),
        *({"livemode": False}, {"environment": "Sandbox"}, {"test": "sandbox"}),
    ],
)
def test_a_test_is_no_purchase(said: dict[str, Any]) -> None:
    refused = refusal(COMPLETED, {"order_id": "o", "revenue": 100, **said})

    assert (Reason.OUT_OF_RANGE, "$.properties.test") == (refused.reason, refused.path)
    assert 10_000 == net_minor(admitted(COMPLETED, order_id="o", revenue=100, test=False))


@pytest.mark.parametrize(
    ("name", "said", "inside"),
    [
        ("Product Added", {"items": ITEMS}, (1, 2.0, 2500)),
        ("Product Added", {"ecommerce": {"items": ITEMS}}, (1, 2.0, 2500)),
        ("Product Added", {"item_id": "p", "price": 5}, (1, 1.0, 500)),
        ("Product Added", {"product": {"id": "p", "price": 5}}, (1, 1.0, 500)),
        ("Product Added", {"properties": {"product_id": "p", "price": 5}}, (1, 1.0, 500)),
        ("Cart Viewed", {"line_items": [{"product_id": "p", "price": 5}]}, (1, 1.0, 500)),
        ("Cart Viewed", {"products": ["p", 7]}, (2, 2.0, 0)),
        ("Product Added", {"content_ids": ["p"], "value": 20}, (1, 1.0, 0)),
        ("Product Added", {"contents": [{"id": "p", "item_price": 5}]}, (1, 1.0, 500)),
        ("Product Added", {"Items": [{"ProductID": "p", "ItemPrice": 5}]}, (1, 1.0, 500)),
        ("Cart Viewed", {"products": [None, {"product_id": "p"}]}, (1, 1.0, 0)),
        ("Cart Viewed", {"products": {"k": {"sku": "s"}, "m": {"sku": "t"}}}, (2, 2.0, 0)),
        ("Cart Viewed", {"products": json.dumps(ITEMS)}, (1, 2.0, 2500)),
        # A price that nobody can read costs no cart.
        *(
            ("Product Added", {"product_id": "p", "price": price}, (1, 1.0, 0))
            for price in ("N/A", "five", -3, True, {"amount": 5}, 1e300)
        ),
        ("Product Added", {"product_id": "p", "price": "5,00 €"}, (1, 1.0, 500)),
        ("Product Added", {"product_id": "p", "price": 5, "Currency": "USD"}, (1, 1.0, 250)),
        ("Product Added", {"product_id": "p", "quantity": "undefined"}, (1, 1.0, 0)),
        *(
            ("Product Added", {"product_id": "p", "price": 5, name: "3"}, (1, 3.0, 1500))
            for name in ("qty", "Quantity", "item_quantity", "units")
        ),
        ("Product Added", {"product_id": "p", "Price": "5", "quantity": 3}, (1, 3.0, 1500)),
        ("Cart Viewed", {"products": [{"sku": "s", "Price": 5, "Qty": 2}]}, (1, 2.0, 1000)),
        ("Product Added", {"product": {"sku": "p", "price": 5}, "quantity": 2}, (1, 2.0, 1000)),
        ("carts/update", {"id": "c", "line_items": LINES}, (1, 2.0, 2500)),
        ("Product Added", {"id": "c", "items": LINES}, (1, 2.0, 2500)),
        ("Cart Updated", {"cart": {"id": "c", "items": LINES}}, (1, 2.0, 2500)),
        ("Checkout Started", {"checkout": {"id": 7, "line_items": LINES}}, (1, 2.0, 2500)),
        ("Product Added", {"ecommerce": {"add": {"products": ITEMS}}}, (1, 2.0, 2500)),
        ("Product Added", {"cartLine": CART_LINE}, (1, 2.0, 2500)),
        ("product_added_to_cart", {"data": {"cartLine": CART_LINE}}, (1, 2.0, 2500)),
        (
            "Product Added",
            {"items": [{**LINES[0], "quantity": 1}, {**LINES[0], "variation_id": 13}]},
            (2, 3.0, 3750),
        ),
    ],
)
def test_what_lies_in_a_cart_is_known_in_the_words_of_every_shop(
    name: str, said: dict[str, Any], inside: tuple[int, float, int]
) -> None:
    row = lived([admitted(name, **said)], within=context(parameters=SHOP))
    items = of(row).cart.contents()

    found = len(items), sum(one.quantity for one in items), sum(one.value_minor for one in items)
    assert inside == found
    event = happened(name, at(), **said)
    assert event == decode_event(encode_event(event), message_id="")


@pytest.mark.parametrize(
    "said",
    [
        {"product_id": "p", "quantity": -1},
        {"product_id": "p", "quantity": "two"},
        {"product_id": "p", "quantity": True},
        {"products": "p, q"},
        {"products": {"price": 3}},
        {"products": "[not json"},
    ],
)
def test_how_many_of_what_is_never_a_guess(said: dict[str, Any]) -> None:
    assert refusal("Product Added", said).reason in (Reason.WRONG_TYPE, Reason.OUT_OF_RANGE)


@pytest.mark.parametrize("word", ["N/A", "null", "undefined", "NONE", "Not Set"])
def test_a_coupon_that_was_never_filled_in_is_none(word: str) -> None:
    assert admitted(COMPLETED, order_id="o", revenue=5, coupon=word).properties.coupon is None


def test_truth_values_may_be_texts() -> None:
    said = {"kind": "ces", "score": 6, "higher_is_better": "true"}

    assert True is happened("Survey Responded", at(), **said).properties.higher_is_better
    assert refusal("Survey Responded", {**said, "higher_is_better": "maybe"}).path.endswith(
        "higher_is_better"
    )


@pytest.mark.parametrize(("placed", "ended"), [("#1001", 1001), ("1001", " #1001"), (7, {"id": 7})])
def test_an_order_s_number_is_one_however_people_write_it(placed: Any, ended: Any) -> None:
    order = admitted(COMPLETED, order_id=placed, revenue=100)

    assert 0 == net_minor(order, admitted(REFUNDED, 1, order_id=ended))
    assert order == decode_event(encode_event(order), message_id="")


@pytest.mark.parametrize(
    "said", [{"ticket": {"id": 5}}, {"ticket": "5"}, {"case": {"id": 5}}, {"ticket_number": "#5"}]
)
def test_a_ticket_is_known_by_its_object(said: dict[str, Any]) -> None:
    assert "5" == admitted("Ticket Opened", **said).properties.ticket_id
