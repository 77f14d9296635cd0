"""A partition that rehearses writes no triggers, and history may come in any order."""

from collections.abc import Iterable
from itertools import permutations

import msgspec
import orjson
import pytest

from config.duration import DAY_MS
from models.admission import decode_event
from models.applied import Applied
from models.customer.contacts import CONTACTS
from models.decisions.trigger import Trigger
from models.engine import Fate
from models.events.line import LOG_FORMAT
from models.events.wire import decode_line, encode_event
from models.partition import Partition
from models.partition_state import PartitionState, decode_state, encode_state, rehearsing_state
from models.plan import plan_for
from streams.log_records import live_record
from tests.models.lines import MINUTE_MS, PARAMETERS, PRIOR, at, line

NOW = at(days=400)


class Rows(dict):
    """Rows as live objects."""

    def put(self, customer, row) -> None:
        self[customer] = row

    def forget(self, customer) -> None:
        self.pop(customer, None)

    def due(self):
        return ((row.next_due_ms, name) for name, row in self.items() if row.next_due_ms)


class Log:
    """A partition of a log that a worker reads, and the worker's results."""

    def __init__(self, state: PartitionState | None = None) -> None:
        self.rows = Rows()
        state = state or rehearsing_state()
        self.partition = Partition(0, self.rows, PRIOR, plan_for(PARAMETERS), _none, state)
        self.offset = state.applied
        self.applied: list[Applied] = []

    @property
    def state(self) -> PartitionState:
        return self.partition.state

    def append(self, content: bytes) -> Applied:
        self.offset += 1
        self.applied.append(self.partition.apply(self.offset, decode_line(content)))
        return self.applied[-1]

    def live(self, at_ms: int = NOW) -> Applied:
        return self.append(live_record(at_ms))

    @property
    def told(self) -> list[str]:
        return [e.kind for one in self.applied for e in one.effects if isinstance(e, Trigger)]

    @property
    def rehearsed(self) -> list[str]:
        return [kind for one in self.applied for kind in one.rehearsed]

    @property
    def fates(self) -> set[Fate | None]:
        return {one.fate for one in self.applied if one.event is not None}


def _none(version, sha256):
    raise AssertionError("no model is announced here")


def record(name: str, at_ms: int, *, received_ms: int = NOW, topic: str = "clickstream", **more):
    """An event as ingest writes it, received by the broker at ``received_ms``."""
    record.number += 1
    log_format = more.pop("log_format", LOG_FORMAT)
    context = more.pop("context", None)
    said = orjson.loads(line(name, at_ms, message=f"m-{record.number}", **more))
    source = {
        "topic": topic,
        "partition": 0,
        "offset": record.number,
        "receivedAt": received_ms,
    }
    return orjson.dumps({**said, "source": source, "logFormat": log_format, "context": context})


record.number = 0


def put(at_ms: int, customer: str = "ada", **more):
    return record("Product Added", at_ms, customer=customer, properties={"product_id": "P"}, **more)


def page(at_ms: int, customer: str = "bob", **more):
    return record("page", at_ms, customer=customer, **more)


def test_history_is_rehearsed_counted_and_told_to_nobody() -> None:
    log = Log()
    log.append(put(at()))
    log.append(page(at(days=1)))

    assert ([], ["cart-abandoned"], 1) == (log.told, log.rehearsed, log.state.rehearsed)
    assert {} == log.rows["ada"].read(CONTACTS).fired_ms
    assert [] == log.rows["ada"].read(CONTACTS).latest


def test_the_first_live_decision_is_not_held_back_by_a_rehearsed_one() -> None:
    log = Log()
    log.append(put(NOW - 2 * 60 * MINUTE_MS))
    log.live()
    assert ["cart-abandoned"] == log.rehearsed
    log.append(put(NOW + MINUTE_MS, received_ms=NOW + MINUTE_MS))
    log.append(page(NOW + 300 * MINUTE_MS, received_ms=NOW + 300 * MINUTE_MS))

    assert ["cart-abandoned"] == log.told
    assert 1 == log.state.rehearsed


def test_going_live_brings_the_clock_to_its_time_and_rehearses_what_was_due_until_then() -> None:
    log = Log()
    log.append(put(at()))
    log.live()

    assert (NOW, NOW) == (log.state.clock_ms, log.state.live_at_ms)
    assert ([], ["cart-abandoned", "interest-faded"]) == (log.told, log.rehearsed)


def test_going_live_again_changes_nothing() -> None:
    log = Log()
    log.append(page(at()))
    log.live()
    log.live(NOW + DAY_MS)

    assert (NOW, NOW) == (log.state.clock_ms, log.state.live_at_ms)


def test_an_empty_partition_that_goes_live_takes_its_time_from_its_first_event() -> None:
    log = Log()
    log.live()
    log.append(put(at()))
    log.append(page(at(days=1)))

    assert ["cart-abandoned"] == log.told
    assert at(days=1) - PARAMETERS.time.disorder == log.state.clock_ms


HISTORY = {
    "clickstream": [page(at(days=n), topic="clickstream") for n in range(0, 397, 3)],
    "transactions": [
        record(
            "Order Completed",
            at(days=n, minutes=7),
            customer="bob",
            properties={"order_id": f"o-{n}", "revenue": 10},
            topic="transactions",
        )
        for n in range(0, 397, 30)
    ],
    "feedback": [
        record(
            "Survey Responded",
            at(days=n, minutes=9),
            customer="bob",
            properties={"kind": "nps", "score": 9, "scale_max": 10},
            topic="feedback",
        )
        for n in range(0, 397, 50)
    ],
}


@pytest.mark.parametrize("order", list(permutations(HISTORY)))
def test_one_live_event_before_the_import_costs_none_of_it(order: Iterable[str]) -> None:
    log = Log()
    log.append(page(NOW, customer="eve", topic="support"))
    for topic in order:
        for content in HISTORY[topic]:
            log.append(content)

    assert {Fate.APPLIED} == log.fates
    latest = log.state.clock_ms + PARAMETERS.time.disorder
    assert NOW - 5 * DAY_MS < latest <= NOW


def test_a_live_event_does_not_take_the_clock_away_from_history_that_is_still_to_come() -> None:
    log = Log()
    log.append(page(NOW, customer="eve", topic="support"))
    assert 0 == log.state.clock_ms
    log.append(page(at(days=9)))
    assert at(days=9) - PARAMETERS.time.disorder == log.state.clock_ms
    log.append(page(NOW, customer="eve", topic="support"))
    assert at(days=9) - PARAMETERS.time.disorder == log.state.clock_ms


def test_history_that_does_not_come_is_not_waited_for_for_ever() -> None:
    log, lateness_ms = Log(), PARAMETERS.time.lateness
    for hours in range(0, 24 * 5, 6):
        at_ms = NOW + hours * 3_600_000
        log.append(page(at_ms, received_ms=at_ms))
        is_waiting = at_ms - NOW <= lateness_ms
        assert is_waiting == (log.state.clock_ms == 0)


def test_a_live_partition_finds_late_what_is_late() -> None:
    log = Log()
    log.append(page(at(days=100)))
    log.live()
    assert Fate.LATE is log.append(page(at(days=100))).fate


def test_a_historical_event_brings_nothing_about_that_is_told() -> None:
    log = Log()
    log.live()
    log.append(page(at(days=2)))
    log.append(put(at(days=1), context={"historical": True}))
    log.append(put(at(days=2), customer="eve", context={"historical": True}))
    log.append(page(at(days=2, minutes=600)))

    # Of the first the hour had passed; the second's passed afterwards, so that it is news.
    assert (["cart-abandoned"], ["cart-abandoned"]) == (log.rehearsed, log.told)
    assert "ada" in log.rows
    assert {} == log.rows["ada"].read(CONTACTS).fired_ms


def test_a_historical_event_stays_one_in_the_log() -> None:
    event = decode_event(put(at(), context={"historical": True}), message_id="m")
    again = decode_event(encode_event(event), message_id="m")

    assert (True, True) == (event.historical, again.historical)
    assert not decode_event(put(at(), context={"historical": "no"}), message_id="m").historical


def test_a_partition_of_an_older_release_is_live_in_the_log_and_in_its_state() -> None:
    log = Log()
    log.append(put(at(), log_format=2))
    assert (0, 0) == (log.state.live_at_ms, log.state.clock_ms)
    stored = msgspec.msgpack.encode(msgspec.structs.astuple(PartitionState(applied=7))[:8])
    assert 0 == decode_state(stored).live_at_ms


def test_a_state_that_rehearses_is_read_back_as_one() -> None:
    log = Log()
    log.append(page(NOW, customer="eve", topic="support"))
    log.append(put(at()))
    log.append(page(at(days=1)))

    assert log.state == decode_state(encode_state(log.state))
    assert (None, 1, NOW) == (
        log.state.live_at_ms,
        log.state.rehearsed,
        log.state.waits_since_ms,
    )


@pytest.mark.parametrize("crash_at", range(1, 7))
def test_a_batch_read_again_after_a_crash_ends_in_the_same_rows_and_clock(crash_at: int) -> None:
    records = [put(at(days=n), customer=name) for n, name in enumerate(("ada", "bob", "ada") * 3)]
    whole, before = Log(), Log()
    for content in records:
        whole.append(content)
    for content in records[:crash_at]:
        before.append(content)
    # The rows were written, and the state was not.
    again = Log(rehearsing_state())
    again.rows.update(before.rows)
    again.partition = Partition(
        0, again.rows, PRIOR, plan_for(PARAMETERS), _none, rehearsing_state()
    )
    for content in records:
        again.append(content)

    assert whole.state.clock_ms == again.state.clock_ms
    assert {name: row.applied for name, row in whole.rows.items()} == {
        name: row.applied for name, row in again.rows.items()
    }
    assert {name: row.next_due_ms for name, row in whole.rows.items()} == {
        name: row.next_due_ms for name, row in again.rows.items()
    }
