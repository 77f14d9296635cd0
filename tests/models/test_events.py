"""The wire format: what is read, what is refused, and the messages."""

from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from config.topics import RAW_TOPICS
from models.admission import admit, decode_event
from models.catalogue import TOPICS, topic_of
from models.events.dead_letter import dead_letter, decode_dead_letter, encode_dead_letter
from models.events.event import Event, Source
from models.events.foreign import Foreign
from models.events.line import LOG_FORMAT, Position
from models.events.log_format import LogFormatError, require_log_format
from models.events.rejection import Reason, Rejected
from models.events.times import iso
from models.events.wire import (
    EVENT_BYTES_MAX,
    LOG_BYTES_MAX,
    decode_line,
    decode_log_line,
    encode_event,
    encode_log_event,
    timestamp_ms,
)
from streams.log_export import log_line
from tests.models.lines import PARAMETERS

GOOD: dict[str, Any] = {
    "type": "track",
    "event": "Product Viewed",
    "messageId": "m-1",
    "userId": "ada",
    "timestamp": "2026-01-01T00:00:00Z",
}


def raw(**changes: Any) -> bytes:
    """A valid event with some fields changed; None removes one."""
    return orjson.dumps({k: v for k, v in {**GOOD, **changes}.items() if v is not None})


def said(name: str, **properties: Any) -> bytes:
    return raw(event=name, properties=properties)


def refusal(content: bytes, **options: Any) -> tuple[Reason, str]:
    with pytest.raises(Rejected) as refused:
        admit(content, PARAMETERS, message_id="stand-in", **options)
    return refused.value.reason, refused.value.path


def survey(**changes: Any) -> bytes:
    return said("Survey Responded", **{"kind": "nps", "score": 3, **changes})


REFUSALS = {
    # Not a JSON object.
    "nothing at all": (b"", Reason.BAD_JSON, "$"),
    "half an object": (b'{"type":"track"', Reason.BAD_JSON, "$"),
    "two objects": (raw() + raw(), Reason.BAD_JSON, "$"),
    "an id that is not UTF-8": (
        raw().replace(b"ada", b"\xff\xfe"),
        Reason.OUT_OF_RANGE,
        "$.userId",
    ),
    "a ticket's id that is not UTF-8": (
        said("Ticket Opened", ticket_id="T").replace(b'"T"', b'"\xff"'),
        Reason.OUT_OF_RANGE,
        "$.properties.ticket_id",
    ),
    "an amount that is no number": (
        said("Order Completed", revenue=1).replace(b'"revenue":1', b'"revenue":NaN'),
        Reason.OUT_OF_RANGE,
        "$.properties.revenue",
    ),
    "nested without end": (
        raw(properties=0).replace(b":0}", b":" + b"[" * 15_000 + b"]" * 15_000 + b"}"),
        Reason.BAD_JSON,
        "$",
    ),
    "a list": (b"[]", Reason.WRONG_TYPE, "$"),
    "null": (b"null", Reason.WRONG_TYPE, "$"),
    # Which event.
    "no type": (raw(type=None), Reason.REQUIRED_MISSING, "$.type"),
    "unknown type": (raw(type="trakc"), Reason.UNKNOWN_EVENT, "$.type"),
    "a control line among events": (raw(type="watermark"), Reason.UNKNOWN_EVENT, "$.type"),
    "no event name": (raw(event=None), Reason.REQUIRED_MISSING, "$.event"),
    "empty event name": (raw(event=""), Reason.REQUIRED_MISSING, "$.event"),
    "endless event name": (raw(event="x" * 257), Reason.OUT_OF_RANGE, "$.event"),
    "event name is a number": (raw(event=5), Reason.WRONG_TYPE, "$.event"),
    "endless message id": (raw(messageId="x" * 257), Reason.OUT_OF_RANGE, "$.messageId"),
    # When.
    "no timestamp": (raw(timestamp=None), Reason.REQUIRED_MISSING, "$.timestamp"),
    "naive timestamp": (raw(timestamp="2026-01-01T00:00:00"), Reason.WRONG_TYPE, "$.timestamp"),
    "timestamp is a number": (raw(timestamp=1767225600), Reason.WRONG_TYPE, "$.timestamp"),
    "timestamp in words": (raw(timestamp="yesterday"), Reason.WRONG_TYPE, "$.timestamp"),
    "before 1970": (raw(timestamp="1969-12-31T23:59:59Z"), Reason.OUT_OF_RANGE, "$.timestamp"),
    "the epoch, which is an unset clock": (
        raw(timestamp="1970-01-01T00:00:00Z"),
        Reason.OUT_OF_RANGE,
        "$.timestamp",
    ),
    "year 3000": (raw(timestamp="3000-01-01T00:00:00Z"), Reason.OUT_OF_RANGE, "$.timestamp"),
    "year 9999 west of Greenwich": (
        raw(timestamp="9999-12-31T23:59:59-12:00"),
        Reason.OUT_OF_RANGE,
        "$.timestamp",
    ),
    # Who.
    "nobody": (raw(userId=None), Reason.NO_IDENTITY, "$.userId"),
    "user id is a fraction": (raw(userId=5.5), Reason.WRONG_TYPE, "$.userId"),
    "user id is an object": (raw(userId={"$oid": "5"}), Reason.WRONG_TYPE, "$.userId"),
    "user id is a list": (raw(userId=["ada"]), Reason.WRONG_TYPE, "$.userId"),
    "message id is a list": (raw(messageId=["m"]), Reason.WRONG_TYPE, "$.messageId"),
    "user id with a line feed": (raw(userId="a\nda"), Reason.OUT_OF_RANGE, "$.userId"),
    "endless user id": (raw(userId="x" * 257), Reason.OUT_OF_RANGE, "$.userId"),
    "user id of too many bytes": (raw(userId="ä" * 129), Reason.OUT_OF_RANGE, "$.userId"),
    "half a pair in a user id": (
        raw().replace(b"ada", b"ada\\ud83d"),
        Reason.OUT_OF_RANGE,
        "$.userId",
    ),
    "a control character in an anonymous id": (
        raw(userId=None, anonymousId="a\u0000b"),
        Reason.OUT_OF_RANGE,
        "$.anonymousId",
    ),
    # What.
    "too large": (raw(x="x" * EVENT_BYTES_MAX), Reason.TOO_LARGE, "$"),
    "properties are a list": (
        raw(event="Ticket Opened", properties=[1]),
        Reason.WRONG_TYPE,
        "$.properties",
    ),
    "properties are an empty list": (
        raw(event="Ticket Opened", properties=[]),
        Reason.REQUIRED_MISSING,
        "$.properties.ticket_id",
    ),
    "an order without an amount": (
        said("Order Completed", order_id="O"),
        Reason.REQUIRED_MISSING,
        "$.properties.revenue",
    ),
    "an order without properties": (
        raw(event="Order Completed"),
        Reason.REQUIRED_MISSING,
        "$.properties.revenue",
    ),
    "revenue in words": (
        said("Order Completed", revenue="five"),
        Reason.WRONG_TYPE,
        "$.properties.revenue",
    ),
    "revenue with a comma": (
        said("Order Completed", revenue="25,000"),
        Reason.WRONG_TYPE,
        "$.properties.revenue",
    ),
    "revenue with the sign of several currencies": (
        said("Order Completed", revenue="¥25"),
        Reason.WRONG_TYPE,
        "$.properties.revenue",
    ),
    "negative revenue as a text": (
        said("Order Completed", revenue="-25.00"),
        Reason.OUT_OF_RANGE,
        "$.properties.revenue",
    ),
    "revenue that is nothing": (
        said("Order Completed", revenue="", total=[], subtotal=None),
        Reason.REQUIRED_MISSING,
        "$.properties.revenue",
    ),
    "negative revenue": (
        said("Order Completed", revenue=-0.01),
        Reason.OUT_OF_RANGE,
        "$.properties.revenue",
    ),
    "more revenue than there is money": (
        said("Order Completed", revenue=1e13),
        Reason.OUT_OF_RANGE,
        "$.properties.revenue",
    ),
    "revenue beyond all numbers": (
        said("Order Completed", revenue=1).replace(b'"revenue":1', b'"revenue":1e999'),
        Reason.OUT_OF_RANGE,
        "$.properties.revenue",
    ),
    "another currency": (
        said("Order Completed", revenue=5, currency="USD"),
        Reason.OUT_OF_RANGE,
        "$.properties.currency",
    ),
    "a refund in another currency": (
        said("Order Refunded", order_id="O", total=5, currency="USD"),
        Reason.OUT_OF_RANGE,
        "$.properties.currency",
    ),
    "a refund of nothing": (
        said("Order Refunded", total=5),
        Reason.REQUIRED_MISSING,
        "$.properties.order_id",
    ),
    "a cancellation of an empty id": (
        said("Order Cancelled", order_id=""),
        Reason.REQUIRED_MISSING,
        "$.properties.order_id",
    ),
    "an order's id that is a list": (
        said("Order Completed", order_id=["o"], revenue=5),
        Reason.WRONG_TYPE,
        "$.properties.order_id",
    ),
    "half a pair in an order's id": (
        said("Order Completed", order_id="o", revenue=5).replace(b'"o"', b'"o\\ude00"'),
        Reason.OUT_OF_RANGE,
        "$.properties.order_id",
    ),
    "a control character in an order's id": (
        said("Order Completed", order_id="o\u0007", revenue=5),
        Reason.OUT_OF_RANGE,
        "$.properties.order_id",
    ),
    "an endless order's id": (
        said("Order Completed", order_id="ö" * 129, revenue=5),
        Reason.OUT_OF_RANGE,
        "$.properties.order_id",
    ),
    "refunded products that are no list": (
        said("Order Refunded", order_id="O", products="all"),
        Reason.WRONG_TYPE,
        "$.properties.products",
    ),
    "a negative quantity in the cart": (
        said("Product Added", product_id="P", quantity=-1),
        Reason.OUT_OF_RANGE,
        "$.properties.quantity",
    ),
    "a ticket without an id": (
        said("Ticket Opened", priority="high"),
        Reason.REQUIRED_MISSING,
        "$.properties.ticket_id",
    ),
    "a priority that doesn't exist": (
        said("Ticket Opened", ticket_id="T", priority="whenever"),
        Reason.OUT_OF_RANGE,
        "$.properties.priority",
    ),
    "a survey of no kind": (
        said("Survey Responded", score=3),
        Reason.REQUIRED_MISSING,
        "$.properties.kind",
    ),
    "a survey of an unknown kind": (
        survey(kind="smileys"),
        Reason.OUT_OF_RANGE,
        "$.properties.kind",
    ),
    "NPS 11": (survey(score=11), Reason.OUT_OF_RANGE, "$.properties.score"),
    "NPS -1": (survey(score=-1), Reason.OUT_OF_RANGE, "$.properties.score"),
    "NPS 11 on a scale of its own": (
        survey(score=21, scale_min=0, scale_max=20),
        Reason.OUT_OF_RANGE,
        "$.properties.score",
    ),
    "a scale that is none": (
        survey(scale="smileys"),
        Reason.OUT_OF_RANGE,
        "$.properties.scale",
    ),
    "a scale in words that the score is outside of": (
        survey(scale="1-2"),
        Reason.OUT_OF_RANGE,
        "$.properties.score",
    ),
    "CSAT 0 on the usual scale": (
        survey(kind="csat", score=0),
        Reason.OUT_OF_RANGE,
        "$.properties.score",
    ),
    "CES without its polarity": (
        survey(kind="ces"),
        Reason.REQUIRED_MISSING,
        "$.properties.higher_is_better",
    ),
    "a scale upside down": (
        survey(kind="csat", scale_min=5, scale_max=1),
        Reason.OUT_OF_RANGE,
        "$.properties.scale_max",
    ),
    "a scale wider than all numbers": (
        survey(kind="csat", score=1e308, scale_min=-1e308, scale_max=1e308),
        Reason.OUT_OF_RANGE,
        "$.properties.score",
    ),
}


@pytest.mark.parametrize(("content", "reason", "path"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_bad_event_is_refused_with_a_reason_and_the_place_of_the_fault(
    content: bytes, reason: Reason, path: str
) -> None:
    assert (reason, path) == refusal(content)


def test_an_event_of_exactly_the_limit_is_taken() -> None:
    padding = EVENT_BYTES_MAX - len(raw(x=""))

    assert "ada" == admit(raw(x="x" * padding), PARAMETERS, message_id="").customer
    assert (Reason.TOO_LARGE, "$") == refusal(raw(x="x" * (padding + 1)))


def test_what_is_taken_on_a_raw_topic_is_read_in_the_log_and_in_an_export() -> None:
    """Also if the event's source makes it larger than a sender's event may be."""
    context = {"channel": "c" * (EVENT_BYTES_MAX - len(raw(context={"channel": ""})))}
    source = Source("transactions", 3, 10**12, 1_767_225_700_000, "AbCdEfGh")
    event = admit(raw(context=context), PARAMETERS, message_id="", source=source)
    record = encode_log_event(event)
    assert EVENT_BYTES_MAX < len(record)
    exported = log_line(record, 63, 10**15)
    assert exported is not None
    assert [source, source] == [decode_log_line(one).source for one in (record, exported)]


def test_the_largest_record_of_the_log_is_read_in_an_export() -> None:
    event = replace(decode_event(raw(), message_id=""), channel="c")
    source = Source("transactions", 3, 10**12, 1_767_225_700_000, "AbCdEfGh")
    event = replace(event, source=source)
    padding = LOG_BYTES_MAX - len(encode_event(event))
    record = encode_log_event(replace(event, channel="c" * (padding + 1)))
    assert LOG_BYTES_MAX == len(record)
    exported = log_line(record, 63, 10**15)
    assert exported is not None
    assert source == decode_log_line(exported).source


def test_a_record_too_large_for_the_log_is_refused_before_it_is_there() -> None:
    event = replace(decode_event(raw(), message_id=""), message_id="m" * LOG_BYTES_MAX)
    with pytest.raises(Rejected, match="too_large"):
        encode_log_event(event)


def test_what_ingest_did_not_write_is_held_to_the_size_of_an_event_in_the_log_too() -> None:
    padding = EVENT_BYTES_MAX - len(raw(x=""))
    assert "ada" == decode_log_line(raw(x="x" * padding)).user_id
    with pytest.raises(Rejected, match="too_large"):
        decode_log_line(raw(x="x" * (padding + 1)))


@pytest.mark.parametrize("topic", [t for t in RAW_TOPICS if t != "clickstream"])
def test_an_unknown_name_is_an_interaction_on_clickstream_and_refused_elsewhere(topic: str) -> None:
    unknown = raw(event="Confetti Thrown")

    assert "Confetti Thrown" == admit(unknown, PARAMETERS, message_id="").name
    assert (Reason.UNKNOWN_EVENT, "$.event") == refusal(unknown, topic=topic)


def test_an_event_far_ahead_of_its_arrival_is_refused_so_that_one_date_moves_no_clock() -> None:
    occurred_ms = timestamp_ms(decode_line(raw()))
    received_ms = occurred_ms - PARAMETERS.time.future

    def arriving(ms: int) -> Source:
        return Source(topic="clickstream", partition=0, offset=0, received_at=ms)

    admitted = admit(raw(), PARAMETERS, message_id="", source=arriving(received_ms))
    assert occurred_ms == admitted.occurred_at_ms
    assert (Reason.OUT_OF_RANGE, "$.timestamp") == refusal(raw(), source=arriving(received_ms - 1))


@pytest.mark.parametrize("content", [case[0] for case in REFUSALS.values()], ids=REFUSALS.keys())
def test_the_words_of_a_refusal_never_quote_what_the_event_says(content: bytes) -> None:
    canary = b"Tr0ub4dor"
    for value in (b"ada", b"yesterday", b"whenever", b"smileys", b"USD", b"trakc"):
        content = content.replace(value, canary + value)

    with pytest.raises(Rejected) as refused:
        admit(content, PARAMETERS, message_id="")

    assert canary.decode() not in f"{refused.value.path} {refused.value.detail} {refused.value}"


@pytest.mark.parametrize(
    ("user_id", "anonymous_id", "customer", "identified"),
    [
        ("ada", None, "ada", True),
        ("ada", "a-1", "ada", True),
        (None, "a-1", "a-1", False),
        ("null", "a-1", "a-1", False),
        ("Anonymous", "a-1", "a-1", False),
        ("000-00-0", "a-1", "a-1", False),
        ("-1", "a-1", "a-1", False),
        ("undefined", "a-1", "a-1", False),
        ("10", None, "10", True),
        ("ada@example.com", None, "ada@example.com", True),
        ("x" * 256, None, "x" * 256, True),
    ],
)
def test_a_customer_is_the_user_id_else_the_anonymous_id(
    user_id: str | None, anonymous_id: str | None, customer: str, identified: bool
) -> None:
    event = decode_event(raw(userId=user_id, anonymousId=anonymous_id), message_id="")

    assert (customer, identified) == (event.customer, event.identified)


@pytest.mark.parametrize("nobody", ["", "0", "-", "0000", "-1", "NULL", "none", "nan", "guest"])
def test_values_that_stand_for_nobody_are_nobodys_id(nobody: str) -> None:
    assert (Reason.NO_IDENTITY, "$.userId") == refusal(raw(userId=nobody, anonymousId=nobody))


@pytest.mark.parametrize(
    ("timestamp", "text"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z"),
        ("2026-01-01T00:00:00.1239Z", "2026-01-01T00:00:00.123Z"),
        ("2026-01-01T01:30:00+01:30", "2026-01-01T00:00:00.000Z"),
        ("2024-02-29T23:59:59.999-00:00", "2024-02-29T23:59:59.999Z"),
        ("1970-01-01T00:00:00.001Z", "1970-01-01T00:00:00.001Z"),
        ("2999-12-31T23:59:59.999Z", "2999-12-31T23:59:59.999Z"),
    ],
)
def test_time_is_milliseconds_inside_and_iso_8601_in_utc_outside(timestamp: str, text: str) -> None:
    assert text == iso(timestamp_ms(decode_line(raw(timestamp=timestamp))))


def test_a_missing_message_id_is_stood_in_for() -> None:
    assert "stand-in" == decode_event(raw(messageId=None), message_id="stand-in").message_id
    assert "stand-in" == decode_event(raw(messageId=""), message_id="stand-in").message_id
    assert "m-1" == decode_event(raw(), message_id="stand-in").message_id


def test_only_what_state_needs_travels_on() -> None:
    event = admit(
        raw(
            event="Ticket Opened",
            properties={"ticket_id": "T", "text": "I live in Tr0ub4dor street"},
            context={"ip": "Tr0ub4dor", "channel": "web"},
            traits={"email": "Tr0ub4dor"},
        ),
        PARAMETERS,
        message_id="",
    )

    assert b"Tr0ub4dor" not in encode_event(event)
    assert b'"channel":"web"' in encode_event(event)


@pytest.mark.parametrize("version", ["1.1", 2, 2.0, None])
def test_a_client_librarys_version_is_no_matter(version: object) -> None:
    content = orjson.dumps({**GOOD, "version": version})

    assert decode_event(raw(), message_id="") == decode_event(content, message_id="")


def test_an_exported_event_names_its_place() -> None:
    event = decode_event(raw(), message_id="")
    exported = encode_event(event, Position(partition=3, offset=14))

    assert Position(partition=3, offset=14) == decode_line(exported).position
    assert event == decode_event(exported, message_id="")


PASSED_ON = {"topic": "clickstream", "partition": 0, "offset": 1, "receivedAt": 2}
CLOCK = {"type": "clock", "timestamp": "2026-01-01T00:00:00Z"}
MODEL = {"type": "model", "version": 1, "sha256": "00"}


@pytest.mark.parametrize("record", [{**GOOD, "source": PASSED_ON}, CLOCK, MODEL])
@pytest.mark.parametrize("its_format", [None, 1, LOG_FORMAT + 1, "2", [LOG_FORMAT]])
def test_a_record_of_the_log_in_another_format_is_refused_with_what_to_do(
    record: dict[str, Any], its_format: object
) -> None:
    stated = {} if its_format is None else {"logFormat": its_format}

    require_log_format(decode_line(orjson.dumps({**record, "logFormat": LOG_FORMAT})))
    with pytest.raises(LogFormatError, match="another KEEPSTREAM_TOPIC_PREFIX, .* newer: upgrade"):
        require_log_format(decode_line(orjson.dumps({**record, **stated})))


@pytest.mark.parametrize(
    "stray", [GOOD, {"type": "foreign"}, {"type": "clock"}, {"type": "model"}, {"type": "score"}]
)
def test_what_no_worker_wrote_is_in_no_format(stray: dict[str, Any]) -> None:
    """Such a record alone is refused: a worker that ended because of it could never start again."""
    require_log_format(decode_line(orjson.dumps(stray)))


@pytest.mark.parametrize("name", sorted(TOPICS))
def test_every_known_name_has_the_topic_it_is_published_on(name: str) -> None:
    assert topic_of("track", name) == TOPICS[name]
    assert TOPICS[name] in RAW_TOPICS


def test_whatever_is_not_known_is_clickstream() -> None:
    assert "clickstream" == topic_of("track", "Confetti Thrown")
    assert "clickstream" == topic_of("page", None)


def test_a_dead_letter_keeps_the_very_bytes_that_were_refused() -> None:
    content = b'{"type":"track", \xff'
    letter = dead_letter(
        Rejected(Reason.BAD_JSON, "$", "no"),
        content,
        step="ingest",
        source=Source(topic="support", partition=1, offset=2, received_at=3),
    )

    again = decode_dead_letter(encode_dead_letter(letter))

    assert letter == again
    assert content == again.content()


def test_a_refusal_names_what_mends_it() -> None:
    better = Rejected(
        Reason.OUT_OF_RANGE, "$.properties.currency", "USD", "--set money.currency=USD"
    )
    usual = [dead_letter(Rejected(reason), b"", step="ingest").fix for reason in Reason]

    assert "--set money.currency=USD" == dead_letter(better, b"", step="ingest").fix
    assert len(Reason) == len({fix for fix in usual if fix})


def test_a_letter_of_an_older_release_has_no_fix_and_can_be_read() -> None:
    letter = decode_dead_letter(
        b'{"reason":"bad_json","path":"$","detail":"no","step":"ingest","raw":"eA=="}'
    )

    assert (b"x", "") == (letter.content(), letter.fix)


def test_what_is_no_dead_letter_is_not_read_as_one() -> None:
    with pytest.raises(Foreign):
        decode_dead_letter(b"{}")


def test_an_event_is_immutable() -> None:
    event: Event = decode_event(raw(), message_id="")
    with pytest.raises(AttributeError):
        event.customer = "bob"  # type: ignore[misc]
