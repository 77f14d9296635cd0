"""The schemas accept what the engine accepts, and describe its output."""

import json
from typing import Any

import jsonschema
import msgspec
import pytest

from models.admission import admit
from models.answer import Score
from models.catalogue import TOPICS
from models.customer.profile import encode_profile
from models.decisions.trigger import NextBestAction, Trigger, encode_decision
from models.event_schema import event_names
from models.events.dead_letter import DeadLetter, dead_letter, encode_dead_letter
from models.events.event import Source
from models.events.names import EVENT_TYPES
from models.events.rejection import Reason, Rejected
from models.learning.snapshot import encode_snapshot
from models.learning.trainer import Trainer
from models.parameters import load_parameters
from models.replay import Replay
from models.schemas import document_schema, documents, slug
from streams.log_records import clock_record, live_record, model_record
from tests.models.lines import PARAMETERS, at, line
from tests.models.schemas import LEAST, faults

SCHEMAS = {document.name: document_schema(document) for document in documents()}
ENVELOPE: dict[str, Any] = {"userId": "ada", "timestamp": "2026-01-01T00:00:00Z"}


def event(name: str, properties: Any = None, **envelope: Any) -> dict[str, Any]:
    """An event with its required properties and these changes; None removes a field."""
    given = name if name in EVENT_TYPES else "track"
    value = {
        **ENVELOPE,
        "type": given,
        "event": None if given == name else name,
        "properties": LEAST.get(name) if properties is None else properties,
        **envelope,
    }
    return {name: inner for name, inner in value.items() if inner is not None}


def is_taken(value: dict[str, Any]) -> bool:
    try:
        admit(json.dumps(value).encode(), PARAMETERS, message_id="m")
    except Rejected:
        return False
    return True


def test_every_name_has_its_own_schema_and_file() -> None:
    names = [document.name for document in documents()]

    assert len(names) == len({slug(name) for name in names})
    assert set(TOPICS) | EVENT_TYPES - {"track"} | {"event"} == set(event_names())
    assert {
        "retention-trigger",
        "next-best-action",
        "profile",
        "dead-letter",
        "model",
        "score-line",
        "score",
    } <= set(names)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one_and_stands_by_itself(name: str) -> None:
    schema = SCHEMAS[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    text = json.dumps(schema)

    assert name == schema["title"]
    assert len(schema["description"]) > 15
    assert "``" not in text
    assert "\\n" not in text
    referred = {part.split('"')[0] for part in text.split('"#/$defs/')[1:]}
    assert referred == set(schema["$defs"])


@pytest.mark.parametrize("name", [name for name in event_names() if name != "event"])
def test_the_least_that_an_event_needs_is_enough(name: str) -> None:
    least = event(name)

    assert [] == faults(SCHEMAS[name], least)
    assert is_taken(least)
    # Whatever else a source sends along.
    more = {**least, "properties": {**least.get("properties", {}), "colour": 5}, "integrations": {}}
    assert [] == faults(SCHEMAS[name], more)
    assert is_taken(more)


@pytest.mark.parametrize("name", LEAST)
def test_without_what_it_needs_an_event_is_refused(name: str) -> None:
    for properties in ({}, dict.fromkeys(LEAST[name])):
        lacking = event(name, properties)
        assert faults(SCHEMAS[name], lacking)
        assert not is_taken(lacking)
    without = event(name)
    del without["properties"]
    assert faults(SCHEMAS[name], without)
    assert not is_taken(without)


@pytest.mark.parametrize(
    "changes",
    [
        {"userId": None},
        {"userId": "a\nb"},
        {"userId": "a\u0000b"},
        {"userId": "anonymous"},
        {"userId": "Not Authenticated"},
        {"userId": "distinct_id"},
        {"userId": "[object Object]"},
        {"userId": "{{ user.id }}"},
        {"userId": True},
        {"userId": 0},
        {"userId": 5.5},
        {"userId": ["ada"], "anonymousId": "a-1"},
        {"userId": "NULL"},
        {"userId": "000"},
        {"userId": ""},
        {"userId": "x" * 257},
        {"timestamp": None},
        {"timestamp": 5},
        {"messageId": "m" * 257},
        {"messageId": ["m"]},
        {"type": "tracks"},
    ],
)
@pytest.mark.parametrize("name", ["Product Viewed", "Order Completed", "page", "event"])
def test_an_envelope_that_schema_and_engine_refuse(name: str, changes: dict[str, Any]) -> None:
    wrong = event("Something Else" if name == "event" else name, **changes)
    wrong = {key: value for key, value in wrong.items() if value is not None}

    assert faults(SCHEMAS[name], wrong)
    assert not is_taken(wrong)


@pytest.mark.parametrize(
    "changes",
    [
        {"userId": None, "anonymousId": "a-1"},
        {"anonymousId": "a-1"},
        {"userId": 48213},
        {"userId": "auth0|65f1c0"},
        {"userId": "gid://shopify/Customer/1"},
        {"userId": "Zoë 王"},
        {"userId": "x" * 256},
        {"userId": [], "anonymousId": "a-1"},
        {"userId": "null", "anonymousId": "a-1"},
        {"userId": True, "anonymousId": 7},
        {"userId": "ada", "anonymousId": {"any": "thing"}},
        {"messageId": "m" * 256},
        {"messageId": 5},
        {"context": 5},
        {"context": []},
        {"context": {"channel": 5}},
        {"context": {"channel": "app", "ip": "127.0.0.1"}},
        {"timestamp": "2026-01-01T01:00:00.123+01:00"},
    ],
)
def test_an_envelope_that_schema_and_engine_take(changes: dict[str, Any]) -> None:
    right = event("Order Completed", **changes)

    assert [] == faults(SCHEMAS["Order Completed"], right)
    assert is_taken(right)


SURVEYS: list[tuple[dict[str, Any], bool]] = [
    ({"kind": "nps", "score": 10}, True),
    ({"kind": "nps", "score": 11}, False),
    ({"kind": "nps", "score": -1}, False),
    ({"kind": "nps", "score": 12, "scale_max": 20}, True),
    ({"kind": "nps", "score": 12, "scale_min": 0}, False),
    ({"kind": "nps", "score": 12, "scale": "0-20"}, True),
    ({"kind": "nps", "score": 12, "scale": 20}, True),
    ({"kind": "nps", "score": 12, "scale": None}, False),
    ({"kind": "csat", "score": 3, "scale": "five"}, False),
    ({"kind": "csat", "score": 0, "scale_max": 4}, False),
    ({"kind": "csat", "score": 5}, True),
    ({"kind": "csat", "score": 6}, False),
    ({"kind": "csat", "score": 6, "scale_max": None}, False),
    ({"kind": "csat", "score": 90, "scale_min": 0, "scale_max": 100}, True),
    ({"kind": "ces", "score": 7, "higher_is_better": True}, True),
    ({"kind": "ces", "score": 8, "higher_is_better": False}, False),
    ({"kind": "ces", "score": 5}, False),
    ({"kind": "ces", "score": 5, "higher_is_better": None}, False),
    ({"kind": "thumbs", "score": 1}, False),
    ({"kind": "nps", "score": "9"}, True),
    ({"kind": "nps", "score": "nine"}, False),
    ({"kind": "nps", "score": "9,5"}, True),
    ({"kind": "nps", "score": 12, "max": 20}, True),
    ({"kind": "nps", "score": 12, "max_score": "20"}, True),
    ({"kind": "nps", "score": 12, "scale": "20"}, True),
    ({"kind": "nps", "score": -5, "min": "-10"}, True),
]
OTHERS: list[tuple[str, dict[str, Any], bool]] = [
    ("Order Completed", {"total": 5, "revenue": None}, True),
    ("Order Completed", {"revenue": -1}, False),
    ("Order Completed", {"revenue": "25.00"}, True),
    ("Order Completed", {"revenue": "25,00"}, True),
    ("Order Completed", {"revenue": "1.234,50"}, True),
    ("Order Completed", {"revenue": "25,000"}, False),
    ("Order Completed", {"revenue": "¥25"}, False),
    ("Order Completed", {"revenue": "-5"}, False),
    ("Order Completed", {"revenue": "9" * 13}, False),
    ("Order Completed", {"revenue": 5, "currency": ""}, True),
    ("Order Completed", {"revenue": 5, "coupon": ["SPRING", "VIP"]}, True),
    ("Order Completed", {"revenue": 5, "coupon": 7}, True),
    ("Order Completed", {"revenue": 5, "order_id": 5123987}, True),
    ("Order Completed", {"revenue": 5, "order_id": "o\to"}, False),
    ("Order Completed", {"order_id": "o1", "revenue": 5, "status": "paid"}, True),
    ("Order Completed", {"order_id": "o1", "revenue": 5, "status": "cancelled"}, True),
    ("Order Updated", {"revenue": 5, "payment_status": "refunded"}, False),
    ("Order Completed", {"revenue": 5, "test": True}, False),
    ("Order Completed", {"revenue": 5, "test": False}, True),
    ("Order Refunded", {"order_id": "o", "partial": True}, False),
    ("Order Refunded", {"order_id": "o", "part": 3}, False),
    ("Order Completed", {"revenue": 5, "order_id": [1]}, False),
    ("Order Completed", {"revenue": 1e13}, False),
    ("Order Completed", {"coupon": "X"}, False),
    ("Order Refunded", {"order_id": "o", "products": [{"price": 5, "quantity": 1}]}, True),
    ("Order Refunded", {"order_id": "o", "products": [{"price": "5"}]}, True),
    ("Order Refunded", {"order_id": "o", "products": [{"price": "5 EUR"}]}, True),
    ("Order Refunded", {"order_id": "o", "products": [{"product_id": 5}]}, True),
    ("Order Refunded", {"order_id": "o", "products": {"price": 5}}, False),
    ("Order Refunded", {"order_id": "o", "partial": False}, True),
    ("Order Refunded", {"order_id": 7}, True),
    ("Order Refunded", {"order_id": None}, False),
    ("Product Added", {"product_id": "p", "price": 5, "quantity": 2}, True),
    ("Order Refunded", {"order_id": "o", "products": "all"}, False),
    ("Product Added", {"quantity": -2}, False),
    ("Ticket Opened", {"ticket_id": "t", "priority": "urgent"}, True),
    ("Ticket Opened", {"ticket_id": "t", "priority": "whenever"}, False),
    ("Ticket Opened", {"ticket_id": "t", "priority": " Very-HIGH"}, True),
    ("Ticket Opened", {"ticket_id": "t", "priority": "P1"}, True),
    ("Ticket Opened", {"ticket_id": "t", "priority": 2}, True),
    ("Ticket Opened", {"ticket_id": "t", "priority": 6}, False),
    ("Ticket Opened", {"ticket_id": "t", "priority": ""}, True),
    ("Ticket Opened", {"ticket_id": "t", "priority": None}, True),
    ("Ticket Opened", {"conversation_id": "c"}, True),
    ("Ticket Opened", {"case_id": "c", "ticket_id": None}, True),
    ("Ticket Replied", {"ticket_id": "t", "author": {"type": "admin", "id": 5}}, True),
    ("Ticket Opened", {"ticket_id": 35436}, True),
    ("Ticket Opened", {"ticket_id": "t", "category": ["a"]}, True),
    ("Action Clicked", {"decision_id": "d" * 257}, False),
    ("Campaign Cost", {"channel": [5], "amount": 1}, False),
]


@pytest.mark.parametrize(
    ("name", "properties", "is_right"),
    [("Survey Responded", survey, right) for survey, right in SURVEYS] + OTHERS,
)
def test_schema_and_engine_judge_alike(
    name: str, properties: dict[str, Any], is_right: bool
) -> None:
    value = event(name, properties)

    assert is_right is not bool(faults(SCHEMAS[name], value))
    assert is_right is is_taken(value)


def test_an_event_of_another_name_is_any_event_but_not_a_known_one() -> None:
    other = event("Fitting Room Entered", {"anything": [1, 2]})

    assert [] == faults(SCHEMAS["event"], other)
    assert is_taken(other)
    assert faults(SCHEMAS["event"], event("Order Completed"))
    assert faults(SCHEMAS["event"], event("x" * 257))


def test_whatever_comes_out_is_as_its_schema_says() -> None:
    parameters = load_parameters(assignments=["learning.minimum_examples=1"])
    replay = Replay(parameters)
    lines = [
        *(line("Order Completed", at(7 * n), properties={"revenue": 40}) for n in range(12)),
        line("Product Added", at(80), properties={"product_id": "p", "price": 60, "quantity": 1}),
        line("Ticket Opened", at(81), properties={"ticket_id": "t"}),
        line("Survey Responded", at(82), properties={"kind": "nps", "score": 2}),
        b"{not json",
        b'{"type":"score","userId":"ada","timestamp":"2026-06-01T00:00:00Z"}',
        b'{"type":"watermark","timestamp":"2026-09-01T00:00:00Z"}',
    ]
    outputs = [out for n, raw in enumerate(lines, 1) for out in replay.feed(raw, n)]
    kinds = {
        Trigger: ("retention-trigger", encode_decision),
        NextBestAction: ("next-best-action", encode_decision),
        DeadLetter: ("dead-letter", encode_dead_letter),
    }
    for out in outputs:
        if isinstance(out, Score):
            continue
        name, encode = kinds[type(out)]
        assert [] == faults(SCHEMAS[name], json.loads(encode(out)))
    assert set(kinds) | {Score} == {type(out) for out in outputs}
    [view] = replay.profiles()
    assert view.decisions
    assert [] == faults(SCHEMAS["profile"], json.loads(encode_profile(view)))


def test_records_of_the_log_are_as_their_schemas_say() -> None:
    assert [] == faults(SCHEMAS["clock"], json.loads(clock_record(at(1))))
    assert [] == faults(SCHEMAS["model"], json.loads(model_record(3, "ab")))
    assert [] == faults(SCHEMAS["live"], json.loads(live_record(at(1))))
    watermark = {"type": "watermark", "timestamp": "2026-01-01T00:00:00.000Z"}
    assert [] == faults(SCHEMAS["watermark"], watermark)
    assert faults(SCHEMAS["watermark"], {"type": "clock", "timestamp": "x"})

    content, _ = encode_snapshot(Trainer(PARAMETERS).draw())
    assert [] == faults(SCHEMAS["model-snapshot"], json.loads(content))
    assert "trainer" not in SCHEMAS["model-snapshot"]["properties"]


def test_score_lines_and_their_answers() -> None:
    asked = {"type": "score", "userId": "ada", "timestamp": "2026-01-01T00:00:00Z"}
    assert [] == faults(SCHEMAS["score-line"], asked)
    assert [] == faults(SCHEMAS["score-line"], {**asked, "horizonDays": 28, "messageId": "s"})
    assert faults(SCHEMAS["score-line"], {**asked, "horizonDays": 0})
    assert faults(SCHEMAS["score-line"], {"type": "score", "timestamp": "2026-01-01T00:00:00Z"})

    [answer] = Replay(PARAMETERS).feed(json.dumps(asked).encode(), 1)
    assert isinstance(answer, Score)
    assert [] == faults(SCHEMAS["score"], json.loads(msgspec.json.encode(answer)))


def test_a_dead_letter_of_the_live_system_has_its_source() -> None:
    letter = dead_letter(
        Rejected(Reason.BAD_JSON), b"x", step="ingest", source=Source("support", 1, 2, 3)
    )

    assert [] == faults(SCHEMAS["dead-letter"], json.loads(encode_dead_letter(letter)))
    assert faults(SCHEMAS["dead-letter"], {**json.loads(encode_dead_letter(letter)), "reason": "x"})
