"""Ids of real systems are accepted as they are; placeholders for nobody are not ids."""

import json
from typing import Any

import pytest
from msgspec.structs import fields

from config.parameters import ParameterError, Parameters
from models.admission import admit, decode_event
from models.catalogue import SHAPES
from models.events.dead_letter import DeadLetter
from models.events.event import Event
from models.events.ids import ID_BYTES_MAX, is_id
from models.events.properties import is_id_field
from models.events.rejection import Reason, Rejected
from models.events.wire import encode_event
from models.parameters import load_parameters
from models.replay import Replay
from streams.changelog import STATE_KEY
from tests.models.lines import PARAMETERS
from tests.models.schemas import LEAST

REAL = [
    ("48213", 48213),
    ("48213", 48213.0),
    ("12345678901234567890123", 12345678901234567890123),
    ("-7", -7),
    ("auth0|65f1c0ffee0ddba11", "auth0|65f1c0ffee0ddba11"),
    ("google-oauth2|10420042", "google-oauth2|10420042"),
    ("buyer+shop@example.org", "buyer+shop@example.org"),
    ("gid://shopify/Customer/7001", "gid://shopify/Customer/7001"),
    ("arn:aws:iam::1:user/ada", "arn:aws:iam::1:user/ada"),
    ("{ada}-1", "{ada}-1"),
    ("Ada Lovelace", " Ada Lovelace  "),
    ("Łukasz Żółć", "Łukasz Żółć"),
    ("王小明", "王小明"),
    ("اليس", "اليس"),
    ("क्\u200dष", "क्\u200dष"),
    ("🎁", "🎁"),
    ("ada", "\tada\r\n"),
    ("ada", "\u00a0ada\u200b"),
    ("ada", "\ufeffada"),
    ("👩\u200d💻", "👩\u200d💻"),
    ("e\u0301", "e\u0301"),
    ("\u00e9", "\u00e9"),
    ("0123", "0123"),
    ("true-blue", "true-blue"),
    ("idris", "idris"),
    ("ö" * 128, "ö" * 128),
    ("x" * ID_BYTES_MAX, "x" * ID_BYTES_MAX),
]
NOBODY: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    "",
    "   ",
    [],
    {},
    "true",
    "False",
    "null",
    "None",
    "NIL",
    "nan",
    "undefined",
    "id",
    "ID",
    "user_id",
    "userId",
    "User ID",
    "userid",
    "customer-id",
    "email",
    "distinct_id",
    "distinctid",
    "anonymous",
    "anonymous_id",
    "guest",
    "unknown",
    "not_authenticated",
    "Not Authenticated",
    "(not set)",
    "(null)",
    "n/a",
    "0",
    "00000",
    "-1",
    "-",
    "00000000-0000-0000-0000-000000000000",
    "[object Object]",
    "{{user_id}}",
    "{{ user.id }}",
    "${userId}",
    "#{current_user.id}",
    "<user_id>",
    "%USER_ID%",
    "*|EMAIL|*",
    "0.0",
    "-1.0",
    '"null"',
    "'undefined'",
    '""',
    "visitor_id",
    "Guest User",
    "REDACTED",
    "Anonymized",
    "deleted_user",
    "***",
    "????",
    "_",
    "logged_out",
]
#: An order or a product may have the name of a field, but not that of nothing.
NO_THING: list[Any] = [
    *(None, True, False, 0, -1, "", "  ", [], {}, "null", "None", "undefined", "NaN", "n/a"),
    *("(not set)", "[object Object]", "{{order.id}}", "${orderId}", "0", "0.0", '"null"'),
]
#: Each with the reason and what the detail says.
REFUSED: list[tuple[Any, Reason, str]] = [
    (5.5, Reason.WRONG_TYPE, "a text or a whole number"),
    (1e17, Reason.WRONG_TYPE, "a text or a whole number"),
    (["ada"], Reason.WRONG_TYPE, "a text or a whole number"),
    ({"$oid": "65f1c0"}, Reason.WRONG_TYPE, "a text or a whole number"),
    ("a\nda", Reason.OUT_OF_RANGE, "no control characters"),
    ("a\u0000da", Reason.OUT_OF_RANGE, "no control characters"),
    ("a\u007fda", Reason.OUT_OF_RANGE, "no control characters"),
    ("a\u0085da", Reason.OUT_OF_RANGE, "no control characters"),
    ("a\u2028da", Reason.OUT_OF_RANGE, "no control characters"),
    ("x" * 257, Reason.OUT_OF_RANGE, "256 bytes"),
    ("ö" * 129, Reason.OUT_OF_RANGE, "256 bytes"),
]
IDS_OF_THINGS = [
    (name, field.encode_name)
    for name, shape in SHAPES.items()
    for field in fields(shape)
    if is_id_field(field.encode_name)
]
#: A ticket goes by other names in other systems.
OTHER_NAMES_OF_IDS = {"conversation_id": "ticket_id", "case_id": "ticket_id"}


def line(name: str = "page", properties: Any = None, **envelope: Any) -> bytes:
    """An event as Python's own encoder writes it, which has integers of any size."""
    kind = {"type": "page"} if name == "page" else {"type": "track", "event": name}
    said = {**kind, "timestamp": "2026-01-01T00:00:00Z", "properties": properties, **envelope}
    return json.dumps(said).encode()


def read(raw: bytes, parameters: Parameters = PARAMETERS) -> Event:
    return admit(raw, parameters, message_id="m")


def refusal(raw: bytes, parameters: Parameters = PARAMETERS) -> Rejected:
    with pytest.raises(Rejected) as refused:
        read(raw, parameters)
    return refused.value


@pytest.mark.parametrize("field", ["userId", "anonymousId"])
@pytest.mark.parametrize(("text", "value"), REAL)
def test_an_id_of_a_real_system_is_an_id(text: str, value: Any, field: str) -> None:
    event = read(line(**{field: value}))

    assert (text, field == "userId") == (event.customer, event.identified)
    assert event == decode_event(encode_event(event), message_id="")
    assert is_id(text)


@pytest.mark.parametrize("value", NOBODY)
def test_what_stands_for_nobody_is_nobodys_id(value: Any) -> None:
    event = read(line(userId=value, anonymousId="a-1"))

    assert ("a-1", False) == (event.customer, event.identified)
    for ids in ({"userId": value}, {"anonymousId": value}, {"userId": value, "anonymousId": value}):
        rejected = refusal(line(**ids))
        assert (Reason.NO_IDENTITY, "$.userId") == (rejected.reason, rejected.path)


@pytest.mark.parametrize(("value", "reason", "words"), REFUSED)
def test_what_is_no_id_is_refused_with_its_place(value: Any, reason: Reason, words: str) -> None:
    for field in ("userId", "anonymousId"):
        rejected = refusal(line(**{field: value}))
        assert (reason, f"$.{field}") == (rejected.reason, rejected.path)
        assert words in rejected.detail
    # It is not looked at where it is not needed.
    assert "ada" == read(line(userId="ada", anonymousId=value)).customer
    assert not isinstance(value, str) or not is_id(value)


@pytest.mark.parametrize(("name", "field"), IDS_OF_THINGS)
def test_ids_of_things_are_as_free_as_those_of_customers(name: str, field: str) -> None:
    stands_for = OTHER_NAMES_OF_IDS.get(field, field)
    needed = {key: value for key, value in LEAST.get(name, {}).items() if key != stands_for}
    for text, value in REAL:
        event = read(line(name, {**needed, field: value}, userId="ada"))
        assert text == getattr(event.properties, stands_for)
        assert event == decode_event(encode_event(event), message_id="")
    for value, reason, _ in REFUSED:
        if isinstance(value, str) and "\0" in value:
            continue
        said = line(name, {**needed, field: value}, userId="ada")
        if field in getattr(SHAPES[name], "dispensable", ()):
            # State can do without it.
            assert getattr(read(said).properties, field) is None
            continue
        rejected = refusal(said)
        assert (reason, f"$.properties.{field}") == (rejected.reason, rejected.path)


@pytest.mark.parametrize("value", NO_THING)
def test_what_stands_for_no_thing_is_no_things_id(value: Any) -> None:
    event = read(line("Order Completed", {"order_id": value, "revenue": 9}, userId="ada"))
    assert event.properties.order_id is None
    event = read(line("Unsubscribed", {"list_id": value}, userId="ada"))
    assert event.properties.list_id is None
    for name in ("Order Cancelled", "Ticket Opened"):
        field = {"Order Cancelled": "order_id", "Ticket Opened": "ticket_id"}[name]
        rejected = refusal(line(name, {field: value}, userId="ada"))
        assert Reason.REQUIRED_MISSING == rejected.reason


def test_orders_whose_id_was_not_filled_in_are_not_one_order() -> None:
    replay = Replay(PARAMETERS)
    for number, order_id in enumerate(["undefined", "undefined", "{{order.id}}", 0], 1):
        said = {"order_id": order_id, "revenue": 10 * number}
        replay.feed(line("Order Completed", said, userId="ada", messageId=f"m{number}"), number)

    [profile] = replay.profiles()
    assert (4, 100_00) == (profile.rfm.orders, profile.rfm.net_minor)


def test_products_whose_sku_was_not_filled_in_are_not_one_product() -> None:
    replay = Replay(PARAMETERS)
    for number, product_id in enumerate(["p1", "p2"], 1):
        said = {"product_id": product_id, "sku": "null", "price": 10, "quantity": 1}
        replay.feed(line("Product Added", said, userId="ada", messageId=f"m{number}"), number)

    [profile] = replay.profiles()
    assert (2, 20_00) == (profile.cart.items, profile.cart.value_minor)


def test_fields_of_a_fixed_width_may_be_filled_up_with_nuls() -> None:
    event = read(line("Order Cancelled", {"order_id": "o-1\0\0\0"}, userId="ada"))

    assert "o-1" == event.properties.order_id
    rejected = refusal(line("Order Cancelled", {"order_id": "\0"}, userId="ada"))
    assert Reason.REQUIRED_MISSING == rejected.reason


@pytest.mark.parametrize("field", ["userID", "user_id", "UserId", "USERID", "user-id", "userid"])
def test_an_id_is_found_under_other_spellings(field: str) -> None:
    assert ("ada", True) == whose(**{field: "ada"})
    assert ("ada", True) == whose(**{"userId": "ada", field: "bob"})
    assert ("ada", True) == whose(**{"userId": None, field: "ada"})


@pytest.mark.parametrize("field", ["anonymous_id", "anonymousID", "AnonymousId"])
def test_so_is_a_visitors(field: str) -> None:
    assert ("a-1", False) == whose(**{field: "a-1"})


def test_so_is_a_visitors_whose_user_id_is_nobodys() -> None:
    assert ("a-1", False) == whose(userId="null", anonymous_id="a-1")


def whose(**envelope: Any) -> tuple[str, bool]:
    event = read(line(**envelope))
    return event.customer, event.identified


@pytest.mark.parametrize("field", ["messageId", "message_id"])
def test_a_message_is_told_by_its_id(field: str) -> None:
    def message(value: Any) -> str:
        return read(line(userId="ada", **{field: value})).message_id

    assert "m-1" == message("m-1")
    assert "17" == message(17)
    assert "m" == message(None) == message("") == message([])
    # Different messages stay different, whatever their ids are cut off in.
    assert message("a\ud83d") != message("a\ud83e")
    assert "$.messageId" == refusal(line(userId="ada", messageId="x" * 257)).path


def test_an_operator_blocks_ids_by_patterns() -> None:
    shop = load_parameters(assignments=["identity.blocked=test-.*,(?i)qa bot"])

    for value in ("test-1", "QA bot", "qa BOT"):
        assert "a-1" == read(line(userId=value, anonymousId="a-1"), shop).customer
        assert Reason.NO_IDENTITY == refusal(line(userId=value), shop).reason
    for value in ("a test-1", "qa bots", "tester"):
        assert value == read(line(userId=value), shop).customer
    [letter] = Replay(shop).feed(line(type="score", userId="test-1"), 1)
    assert isinstance(letter, DeadLetter)
    assert Reason.NO_IDENTITY == letter.reason


def test_a_pattern_that_is_none_refuses_to_start() -> None:
    with pytest.raises(
        ParameterError, match=r"identity.blocked: '\(test' is no regular .* write a"
    ):
        load_parameters(assignments=["identity.blocked=(test"])


def test_no_id_is_the_key_of_a_partitions_own_state() -> None:
    assert not is_id(STATE_KEY.decode())
