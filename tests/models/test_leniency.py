"""Unneeded properties never refuse an event; needed ones are understood, or refused with a
reason.
"""

import json
from typing import Any

import pytest

from agents.trials.demo.shop import ShopConfig, simulate
from models.admission import admit, decode_event
from models.catalogue import KINDS
from models.customer.order_products import Product
from models.events.event import Event
from models.events.properties import PropertyReader
from models.events.rejection import Reason, Rejected
from models.events.wire import encode_event
from models.replay import Replay
from tests.models.lines import PARAMETERS, at, happened, line
from tests.models.schemas import LEAST


def order(properties: str, envelope: str = "") -> bytes:
    """An order of 25 with these JSON fields added."""
    more = f",{properties}" if properties else ""
    return (
        '{"type":"track","event":"Order Completed","messageId":"m","userId":"ada",'
        f'"timestamp":"2026-01-01T00:00:00Z","properties":{{"order_id":"o","revenue":25{more}}}'
        f"{envelope}}}"
    ).encode()


SOUND = order("")
#: Junk in fields that nobody reads, or that state can do without.
JUNK: dict[str, bytes] = {
    "half a pair in a text": order(r'"note":"lovely \ud83d"'),
    "half a pair within a list": order(r'"notes":[{"name":"Mug \ude00 blue"}]'),
    "half a pair in a field's name": order(r'"\ud83d":1'),
    "a pair the wrong way round": order(r'"note":"\ude00\ud83d"'),
    "half a pair in the context": order("", r',"context":{"page":{"title":"Gift \ud83c"}}'),
    "half a pair in a coupon": order(r'"coupon":"\ud83d"').replace(b'"coupon"', b'"voucher"'),
    "NUL": order(r'"note":"a\u0000b"'),
    "a control character as it is": order('"note":"a\x01\tb"'),
    "a line feed as it is": order('"note":"a\nb"'),
    "bytes that are no UTF-8": order('"note":"x"').replace(b'"x"', b'"caf\xe9 \xff"'),
    "surrogates in UTF-8": order('"note":"x"').replace(b'"x"', b'"\xed\xa0\xbd"'),
    "NaN": order('"discount":NaN'),
    "an infinity": order('"discount":-Infinity'),
    "a number beyond all numbers": order('"weight":1e999'),
    "an integer without end": order(f'"serial":{"9" * 5000}'),
    "a field twice": order('"note":1,"note":2'),
    "a byte-order mark": b"\xef\xbb\xbf" + SOUND,
    "a line of Windows": SOUND + b"\r\n",
    "blanks at both ends": b" \t" + SOUND + b" \n",
    "an empty list for the context": order("", ',"context":[]'),
    "a text for the context": order("", ',"context":"web"'),
    "a channel that is a list": order("", ',"context":{"channel":["web"]}'),
    "an empty channel": order("", ',"context":{"channel":""}'),
    "a channel that is a number": order("", ',"context":{"channel":7}'),
    "an empty currency": order('"currency":""'),
    "a blank currency": order('"currency":"  "'),
    "a currency that is a list": order('"currency":[]'),
    "an empty coupon": order('"coupon":""'),
    "a list of coupons": order('"coupon":["SPRING","VIP"]'),
    "a coupon that is an object": order('"coupon":{"code":"VIP"}'),
    "an endless coupon": order(f'"coupon":{json.dumps("x" * 9999)}').replace(
        b'"coupon"', b'"voucher"'
    ),
    "an amount that is nothing": order('"total":"","subtotal":null'),
    "traits that are an empty list": order("", ',"traits":[]'),
    "a source of a library": order("", ',"source":"mobile"'),
    "a position that is none": order("", ',"position":"checkout"'),
    "a version that is an object": order("", ',"version":{"major":1}'),
    "a horizon that is none": order("", ',"horizonDays":"soon"'),
    "an anonymous id that is an object": order("", ',"anonymousId":{"any":["thing"]}'),
}


def read(raw: bytes) -> Event:
    return admit(raw, PARAMETERS, message_id="m")


def refusal(raw: bytes) -> tuple[Reason, str]:
    with pytest.raises(Rejected) as refused:
        read(raw)
    return refused.value.reason, refused.value.path


@pytest.mark.parametrize("content", JUNK.values(), ids=JUNK)
def test_junk_where_nobody_looks_changes_nothing(content: bytes) -> None:
    assert read(SOUND) == read(content)
    assert read(SOUND) == decode_event(encode_event(read(content)), message_id="")


@pytest.mark.parametrize("properties", ["[]", "null", '""', "{}", "7", '"text"', "[1]"])
def test_properties_that_nobody_reads_may_be_anything(properties: str) -> None:
    said = '{"type":"track","event":"Signed In","userId":"ada","timestamp":"2026-01-01T00:00:00Z"'

    assert "Signed In" == read(f'{said},"properties":{properties}}}'.encode()).name


@pytest.mark.parametrize("nothing", ["[]", "null", '""', '" "', "{}"])
def test_nothing_is_nothing_whatever_it_is_written_as(nothing: str) -> None:
    raw = order(f'"coupon":{nothing},"currency":{nothing},"total":{nothing}')

    assert read(SOUND) == read(raw)
    without_id = order("").replace(b'"order_id":"o"', f'"order_id":{nothing}'.encode())
    assert read(without_id).properties.order_id is None
    without_amount = order("").replace(b'"revenue":25', f'"revenue":{nothing}'.encode())
    assert (Reason.REQUIRED_MISSING, "$.properties.revenue") == refusal(without_amount)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("25.00", 25.0),
        ("25", 25.0),
        ("0", 0.0),
        ("0.005", 0.005),
        (" 25.5 ", 25.5),
        ("10,00", 10.0),
        ("9,5", 9.5),
        ("0,005", 0.005),
        ("1234,567", 1234.567),
        ("1,23456", 1.23456),
        ("1.234,50", 1234.5),
        ("1,234.50", 1234.5),
        ("12.345.678", 12345678.0),
        ("12,345,678", 12345678.0),
        ("12.345.678,9", 12345678.9),
        ("1.234,567", 1234.567),
        ("1 234,50", 1234.5),
        ("1 234", 1234.0),
        ("1\u00a0234.5", 1234.5),
        ("12\u202f345\u202f678", 12345678.0),
        ("1'234.50", 1234.5),
        ("1,23,456.50", 123456.5),
        ("12,34,567", 1234567.0),
    ],
)
def test_an_amount_may_be_a_text_of_digits(text: str, amount: float) -> None:
    raw = order("").replace(b'"revenue":25', f'"revenue":"{text}"'.encode())

    assert amount == read(raw).properties.revenue
    cart = happened("Product Added", at(), product_id="p", price=text, quantity=text)
    assert (amount, amount) == (cart.properties.price, cart.properties.quantity)
    items = [{"product_id": "p", "price": text, "quantity": text}]
    [item] = happened("Order Refunded", at(), order_id="o", products=items).properties.products
    assert (amount, amount) == (item.unit, item.pieces)
    assert amount == happened("Product Reviewed", at(), rating=text).properties.rating


@pytest.mark.parametrize(
    "text",
    [
        *("25,000", "1,234", "999,999", "1,2,3", "1.2.3", "12,34.5", "0.123,45", "1.23,456"),
        *("1234.567.890", "1 23", "1  234", "0 123", "1,234 567", ",5", "5,"),
        *("¥25", "25 kr", "1e3", "+25", "25.", ".5", "0x19", "٢٥", "9" * 13),
    ],
)
def test_an_amount_that_could_mean_two_things_is_refused(text: str) -> None:
    raw = order("").replace(b'"revenue":25', json.dumps({"revenue": text}).encode()[1:-1])

    assert (Reason.WRONG_TYPE, "$.properties.revenue") == refusal(raw)


@pytest.mark.parametrize("below_0", ["-1,5", "-0", "-25", -25, -0.5])
def test_an_amount_below_0_is_refused_with_what_to_send_instead(below_0: Any) -> None:
    with pytest.raises(Rejected) as refused:
        happened("Order Completed", at(), order_id="o", revenue=below_0)

    assert (Reason.OUT_OF_RANGE, "$.properties.revenue") == (
        refused.value.reason,
        refused.value.path,
    )
    assert "Order Refunded" in refused.value.fix


SPELLINGS = [
    ("Order Completed", {"orderId": "o", "revenue": 5}, {"order_id": "o", "revenue": 5.0}),
    ("Order Completed", {"orderID": 7, "total": 5}, {"order_id": "7", "total": 5.0}),
    ("Order Completed", {"order-id": "o", "Revenue": "5"}, {"order_id": "o", "revenue": 5.0}),
    ("Order Refunded", {"OrderID": "o"}, {"order_id": "o"}),
    ("Product Added", {"productId": "p"}, {"product_id": "p"}),
    ("Product Added", {"id": "p", "price": 25}, {"product_id": "p", "price": 25.0}),
    ("Product Added", {"id": 632910392}, {"product_id": "632910392"}),
    ("Product Removed", {"id": "x", "productId": "p"}, {"product_id": "p"}),
    ("Product Added", {"id": "x", "product_id": "p"}, {"product_id": "p"}),
    ("Order Completed", {"orderId": "x", "order_id": "o", "revenue": 5}, {"order_id": "o"}),
    ("Order Completed", {"orderId": "x", "order_id": "", "revenue": 5}, {"order_id": "x"}),
    ("Ticket Opened", {"ticketId": 35436, "Priority": "HIGH"}, {"ticket_id": "35436"}),
    ("Ticket Opened", {"ticket_id": "t", "priority": " High "}, {"priority": "high"}),
    ("Action Clicked", {"decisionId": "d"}, {"decision_id": "d"}),
    ("Survey Responded", {"kind": "NPS", "score": 9, "surveyId": 4}, {"survey_id": "4"}),
    (
        "Survey Responded",
        {"kind": "ces", "score": 2, "higherIsBetter": False, "scaleMax": 7},
        {"higher_is_better": False, "scale_max": 7.0},
    ),
]


@pytest.mark.parametrize(("name", "said", "understood"), SPELLINGS)
def test_properties_are_understood_under_other_spellings(
    name: str, said: dict[str, Any], understood: dict[str, Any]
) -> None:
    event = happened(name, at(), **said)

    assert understood == {field: getattr(event.properties, field) for field in understood}
    assert event == decode_event(encode_event(event), message_id="")


def test_products_of_a_refund_are_understood_too() -> None:
    refund = happened(
        "Order Refunded", at(), orderId=1, products=[{"id": 5, "price": "3.50"}, {"productId": "p"}]
    )
    first, second = refund.properties.products

    assert (3.5, second.key) == (first.unit, Product(product_id="p").key)
    assert Product(product_id="5").key == first.key
    # A price in words is not known: the order's own says what its product is worth.
    wrong = happened("Order Refunded", at(), order_id="o", products=[{}, {"price": "x"}])
    assert None is wrong.properties.products[1].unit


@pytest.mark.parametrize(
    ("products", "known"),
    [({"0": {"price": 3}, "2": {"price": 4}}, 2), ("all", None), ({"price": 3}, None), (7, None)],
)
def test_products_that_cannot_be_read_cost_no_order(products: Any, known: int | None) -> None:
    placed = happened("Order Completed", at(), order_id="o", revenue=7, products=products)
    assert known == (placed.properties.products and len(placed.properties.products))
    # What they say of a refund decides how much is given back.
    refund = line("Order Refunded", at(), properties={"order_id": "o", "products": products})
    if known is None:
        assert (Reason.WRONG_TYPE, "$.properties.products") == refusal(refund)


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.reader is not None], ids=lambda k: k.name
)
def test_an_event_that_is_read_twice_says_the_same(kind: Any) -> None:
    raw = line(kind.name, at(), properties=LEAST.get(kind.name, {}))
    twice = raw.replace(b'"properties":{', rb'"properties":{"junk":"\ud83d",')

    assert read(raw) == read(twice)


def test_an_event_in_a_log_of_a_php_shop_counts() -> None:
    replay = Replay(PARAMETERS)
    second = order('"currency":""', ',"context":[]').replace(b'"m"', b'"n"')
    for number, content in enumerate((SOUND, second.replace(b'"o"', b"7")), 1):
        assert [] == replay.feed(content, number)
    [profile] = replay.profiles()

    assert (2, 50_00) == (profile.rfm.orders, profile.rfm.net_minor)


def test_events_written_as_documented_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lenient reading is many times slower: it is for what the strict reader cannot be sure of."""
    again: list[str] = []
    shop = ShopConfig(seed=0, customers=20, start_ms=1_700_000_000_000, days=60)
    sound = [record.value for record in simulate(shop) if is_sound(record.value)]
    monkeypatch.setattr(
        PropertyReader, "read_again", lambda _reader, raw: again.append(raw.decode())
    )
    for raw in sound:
        admit(raw, PARAMETERS, message_id="m")
    assert again == []


def is_sound(raw: bytes) -> bool:
    try:
        admit(raw, PARAMETERS, message_id="m")
    except Rejected:
        return False
    return True


@pytest.mark.parametrize("junk", [{"a": 1}, [1, 2], True, "x y z!", -7, 1e308])
@pytest.mark.parametrize(
    ("name", "said", "fields"),
    [
        ("Product List Filtered", {}, ("sorts",)),
        ("Product Added", {"product_id": "p"}, ("price", "order_id")),
        ("Product Reviewed", {"product_id": "p"}, ("rating", "scale_max")),
        ("Order Completed", {"order_id": "o", "revenue": 5}, ("discount", "products", "coupon")),
        ("Order Refunded", {"order_id": "o", "total": 5}, ("refund_id", "reason")),
        ("Survey Responded", {"kind": "nps", "score": 3}, ("survey_id", "order_id", "ticket_id")),
        ("Invoice Paid", {}, ("invoice_id", "amount", "due_at")),
    ],
)
def test_what_state_can_do_without_costs_no_event(
    name: str, said: dict[str, Any], fields: tuple[str, ...], junk: Any
) -> None:
    for field in fields:
        event = happened(name, at(), **said, **{field: junk})

        assert name == event.name
        assert event == decode_event(encode_event(event), message_id="")
