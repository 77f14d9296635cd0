"""Bad records and secrets: the former are set aside with their reason, the latter never shown."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from config.topics import (
    CLICKSTREAM,
    CUSTOMER_EVENTS,
    CUSTOMERS,
    DEAD_LETTERS,
    LABELLED_EXAMPLES,
    MODEL_SNAPSHOTS,
    NEXT_BEST_ACTIONS,
    RETENTION_TRIGGERS,
    TRANSACTIONS,
)
from models.events.dead_letter import DeadLetter, decode_dead_letter
from models.events.line import LOG_FORMAT
from models.events.rejection import Reason
from models.events.times import iso
from models.events.wire import EVENT_BYTES_MAX
from models.learning.lessons import Cost, encode_lesson
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from streams.kafka_clients import partition_for
from streams.log_records import clock_record, live_record, model_record
from tests.kafka.deployment import START_MS, Deployment
from tests.kafka.exactness import assert_exact, assert_replayed

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

CUSTOMER = "c-1"
HOME = partition_for(CUSTOMER.encode(), 4)
#: About as large as a raw topic takes; its dead letter, in base64, is larger than that.
OVERSIZED_BYTES = 1_000_000
TO_COME_MS = 32_000_000_000_000


def event(number: int, **fields: object) -> bytes:
    """A valid event, unless ``fields`` make it invalid; each is later than the one before."""
    good = {
        "type": "track",
        "event": "Product Viewed",
        "userId": CUSTOMER,
        "messageId": f"m-{number}",
        "timestamp": iso(START_MS + number * 1_000),
        "properties": {"product_id": f"p-{number}"},
    }
    return json.dumps({**good, **fields}).encode()


class Poison(NamedTuple):
    """What is written, and the content of its dead letter."""

    value: bytes | None
    reason: Reason
    path: str = "$"
    topic: str = CLICKSTREAM


REFUSED_TIME = (Reason.OUT_OF_RANGE, "$.timestamp")
ORDER = {"event": "Order Completed"}
RAW_POISON = [
    Poison(b'{"type":"track"', Reason.BAD_JSON),
    Poison(b"\x00\xff no JSON at all", Reason.BAD_JSON),
    Poison(event(901).replace(b"c-1", b"\xff\xfe"), Reason.OUT_OF_RANGE, "$.userId"),
    Poison(
        event(901, event="Product Added").replace(b"p-901", b"\xff\xfe"),
        Reason.OUT_OF_RANGE,
        "$.properties.product_id",
    ),
    Poison(None, Reason.BAD_JSON),
    Poison(b"", Reason.BAD_JSON),
    Poison(
        event(902, **ORDER, properties={"order_id": "o", "revenue": float("nan")}),
        Reason.OUT_OF_RANGE,
        "$.properties.revenue",
        TRANSACTIONS,
    ),
    Poison(
        event(903, **ORDER, properties={"order_id": "o"}),
        Reason.REQUIRED_MISSING,
        "$.properties.revenue",
        TRANSACTIONS,
    ),
    Poison(event(904, userId=None), Reason.NO_IDENTITY, "$.userId"),
    Poison(event(905, timestamp=iso(4_000_000_000_000)), Reason.OUT_OF_RANGE, "$.timestamp"),
    Poison(event(906, properties={"note": "x" * OVERSIZED_BYTES}), Reason.TOO_LARGE),
    *(
        Poison(
            json.dumps({"type": control, "timestamp": iso(START_MS + 10**10)}).encode(),
            Reason.UNKNOWN_EVENT,
            "$.type",
        )
        for control in ("clock", "watermark", "model", "score")
    ),
]
#: Straight into the log: nothing of it is an event, and `profile` refuses it.
LOG_POISON = [
    Poison(b"[1, 2", Reason.BAD_JSON),
    Poison(None, Reason.BAD_JSON),
    Poison(event(907, timestamp=7), Reason.WRONG_TYPE, "$.timestamp"),
    Poison(b'{"type":"foreign"}', Reason.UNKNOWN_EVENT, "$.type"),
    Poison(b'{"type":"clock"}', Reason.REQUIRED_MISSING, "$.timestamp"),
    # By somebody who knows what a worker writes: a time to come, and a model that nobody drew.
    Poison(clock_record(TO_COME_MS), Reason.OUT_OF_RANGE, "$.timestamp"),
    Poison(live_record(TO_COME_MS), Reason.OUT_OF_RANGE, "$.timestamp"),
    Poison(model_record(7, "ff" * 32), Reason.OUT_OF_RANGE, "$.sha256"),
    Poison(event(908, timestamp=iso(TO_COME_MS), logFormat=LOG_FORMAT), *REFUSED_TIME),
    # Of an end that no worker tells: events would move the clock no more.
    Poison(
        json.dumps({"type": "watermark", "timestamp": iso(START_MS)}).encode(),
        Reason.UNKNOWN_EVENT,
        "$.type",
    ),
]


def test_bad_records_are_set_aside_and_their_neighbours_applied_once(
    deployment: Deployment,
) -> None:
    deployment.start_workers(1)
    for number, poison in enumerate(RAW_POISON):
        neighbours = (None, event(2 * number)), (None, event(2 * number + 1))
        before, after = neighbours
        deployment.write(CLICKSTREAM, HOME, before)
        deployment.write(poison.topic, HOME, (None, poison.value))
        deployment.write(CLICKSTREAM, HOME, after)
    deployment.write(CUSTOMER_EVENTS, HOME, *((b"k", poison.value) for poison in LOG_POISON))
    # As large as a sender may send; in the log its source makes it larger.
    padding = EVENT_BYTES_MAX - len(event(800, context={"channel": ""}))
    largest = event(800, context={"channel": "c" * padding})
    deployment.write(CLICKSTREAM, HOME, (None, largest))
    good = 2 * len(RAW_POISON) + 1
    deployment.wait("all is read", deployment.is_drained)

    assert good == deployment.metric("keepstream_events_total", fate="applied")
    refused = deployment.metric("keepstream_events_total", fate="dead_letter")
    assert len(RAW_POISON) == refused
    expected = [("ingest", poison) for poison in RAW_POISON]
    expected += [("profile", poison) for poison in LOG_POISON]
    assert len(expected) == deployment.metric("keepstream_dead_letters_total")
    letters = [decode_dead_letter(value) for _, _, value in deployment.read(DEAD_LETTERS)]
    assert sorted(
        (step, str(poison.reason), poison.path, poison.value or b"") for step, poison in expected
    ) == sorted(map(_told, letters))
    assert_exact(deployment, published=good + len(RAW_POISON))
    exact = assert_replayed(deployment)
    # A clock on a raw topic moves no clock.
    assert exact.summary.clock is not None
    assert exact.summary.clock < iso(START_MS + 10**10)


def _told(letter: DeadLetter) -> tuple[str, str, str, bytes]:
    return letter.step, str(letter.reason), letter.path, letter.content()


FOREIGN = "keepstream_foreign_records_total"
SINGLE = (LABELLED_EXAMPLES, MODEL_SNAPSHOTS)
#: What is on no internal topic ours: no JSON, no UTF-8, nested deeply, of wrong types and sizes.
GARBAGE = [
    (b"7", b"foreign"),
    (b"8", b'{"type":"\xff"}'),
    (None, None),
    (None, b"[" * 100_000),
    (None, b'{"version":' + b"9" * 400 + b"}"),
    (None, b'{"type":"tally","timestampMs":"noon","part":7,"windowDays":-1,"sums":{}}'),
    (None, b'{"type":"cost","timestampMs":-1,"channel":"x","amountMinor":1}'),
    (None, b'{"type":"dayEnd","timestampMs":32000000000000,"offset":9223372036854775807}'),
]


def test_foreign_records_elsewhere_are_left_out_and_counted(deployment: Deployment) -> None:
    (first,) = deployment.start_workers(1)
    deployment.write(CLICKSTREAM, HOME, *((None, event(number)) for number in range(100)))
    deployment.wait("all is read", deployment.is_drained)
    assert 0 == first.stop()
    row = deployment.changelog()[HOME].packed[CUSTOMER]
    foreign = [
        (CUSTOMER.encode(), row[: len(row) // 2]),
        (b"\xff\xfe", row),
        (b"foreign", b"\x93\x01\x02\x03"),
        (b"\x00partition", b"torn"),
    ]
    # No damage, but nobody: a tombstone lets go of whoever it names.
    deployment.write(CUSTOMERS, HOME, *foreign, (b"c-none", None))
    for topic in (LABELLED_EXAMPLES, MODEL_SNAPSHOTS):
        deployment.write(topic, 0, *GARBAGE)
    # Of a record of the log that is still to come, and of a partition that there is not.
    ahead = [Cost(START_MS, "ads", 1, partition=HOME, offset=10**9), Cost(1, "ads", 1, partition=9)]
    deployment.write(LABELLED_EXAMPLES, 0, *((None, encode_lesson(lesson)) for lesson in ahead))

    (second,) = deployment.start_workers(1)
    deployment.write(CLICKSTREAM, HOME, *((None, event(number)) for number in range(100, 200)))
    deployment.wait("all is read", deployment.is_drained)
    assert len(foreign) == second.metric("keepstream_quarantined_records_total")
    left_out = {topic: second.metric(FOREIGN, topic=topic) for topic in (CUSTOMERS, *SINGLE)}
    counts = {LABELLED_EXAMPLES: len(GARBAGE) + len(ahead), MODEL_SNAPSHOTS: len(GARBAGE)}
    assert {CUSTOMERS: len(foreign), **counts} == left_out
    told = json.loads(deployment.run("doctor", "--json", allowed=(1,)))["findings"]
    (lessons, snapshots) = [found for found in told if found["check"] == "records"]
    assert f"{len(GARBAGE)} of the newest " in lessons["words"]
    assert LABELLED_EXAMPLES in lessons["words"]
    assert MODEL_SNAPSHOTS in snapshots["words"]
    assert_exact(deployment, published=200, quarantined=len(foreign))


def test_a_trigger_that_is_none_keeps_no_other_from_redis(deployment: Deployment) -> None:
    (worker,) = deployment.start_workers(1)
    deployment.write(RETENTION_TRIGGERS, HOME, *GARBAGE)
    deployment.write(NEXT_BEST_ACTIONS, HOME, *GARBAGE)
    for topic in (RETENTION_TRIGGERS, NEXT_BEST_ACTIONS):
        deployment.wait("it is passed over", lambda: deployment.is_committed(topic))  # noqa: B023
        assert len(GARBAGE) == worker.metric(FOREIGN, topic=topic)


CANARY = "canary-3f9c1d"


def test_no_secret_and_no_personal_data_is_told(
    kafka: EmbeddedKafka, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    # A store that refuses the password, so that there is an error to tell of.
    url = valkey.url.replace("redis://", f"redis://user:{CANARY}-password@")
    personal = {"email": f"{CANARY}@example.com", "token": f"{CANARY}-token"}
    with Deployment(kafka.bootstrap_servers, url, "canary.", tmp_path) as deployment:
        worker = deployment.start_worker(KEEPSTREAM_LOG_LEVEL="DEBUG")
        deployment.wait("it is ready", worker.is_ready)
        values = [
            event(1, traits=personal, properties={"product_id": "p", **personal}),
            event(2, **ORDER, properties={"order_id": "o", "revenue": f"{CANARY}@example.com"}),
            event(3, userId=f"{CANARY}\u0001at example.com"),
            event(4, timestamp=CANARY),
            event(5, type=CANARY),
            b'{"' + CANARY.encode(),
        ]
        deployment.write(CLICKSTREAM, HOME, *((None, value) for value in values))
        deployment.write(CUSTOMER_EVENTS, HOME, *((None, value) for value in values[2:]))
        deployment.write(CUSTOMERS, HOME, (CANARY.encode(), CANARY.encode()))
        deployment.write(RETENTION_TRIGGERS, HOME, (None, CANARY.encode()))
        deployment.write(LABELLED_EXAMPLES, 0, (None, CANARY.encode()))
        deployment.wait("all is read", deployment.is_drained)
        told = [worker.get(path)[1] for path in ("/metrics", "/health/ready", "/health/live")]
        # Nor do the traits and free fields of a good event travel on.
        told += [v for _, _, v in deployment.read(CUSTOMER_EVENTS) if b'"source":' in v]
        worker.stop()
        assert "Redis did not take a write" in worker.log_text()
        assert CANARY not in worker.log_text()
        assert CANARY not in b"".join(told).decode()
        letters = [decode_dead_letter(value) for _, _, value in deployment.read(DEAD_LETTERS)]
        assert len(values[1:]) + len(values[2:]) == len(letters)
        assert CANARY not in "".join(letter.detail + letter.path for letter in letters)
