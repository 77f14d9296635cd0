"""Rows that were damaged or lost are rebuilt from the log as they were."""

import asyncio
import uuid
from typing import NamedTuple

import pytest
from msgspec.structs import astuple, replace

from config.settings import Settings, load_settings
from config.topics import CUSTOMER_EVENTS, CUSTOMERS
from models.customer.row import decode_row, encode_row
from models.events.event import Event
from models.events.wire import decode_line, encode_event
from models.partition import Partition
from models.partition_state import PartitionState, encode_state, rehearsing_state
from models.parts_in_force import known
from models.plan import plan_for
from streams.changelog import ChangelogRecord, Origin, row_record, state_record
from streams.customers_table import CustomerRows
from streams.embedded.kafka import EmbeddedKafka
from streams.kafka_clients import running
from streams.log_records import clock_record, live_record
from streams.outbox import Outbox, new_outbox_producer
from streams.rebuilding import Rebuilding, Rebuilt
from streams.recovery import Recovered, recover
from streams.topics import create_topics
from tests.models.lines import PARAMETERS, PRIOR, START_MS, at, happened

pytestmark = pytest.mark.kafka

CUSTOMERS_COUNT = 30


@pytest.fixture
def settings(kafka: EmbeddedKafka) -> Settings:
    prefix = f"{uuid.uuid4().hex[:8]}."
    settings = load_settings({}, bootstrap_servers=kafka.bootstrap_servers, topic_prefix=prefix)
    create_topics(settings)
    return settings


class Past(NamedTuple):
    """A log, and what follows from it."""

    log: list[bytes]
    rows: dict[str, bytes]
    state: PartitionState


def _bought(number: int) -> Event:
    event = happened("Order Completed", at(hours=number), order_id=f"o-{number}", revenue=40)
    return replace(event, customer=f"c-{number % CUSTOMERS_COUNT}")


@pytest.fixture(scope="module")
def past() -> Past:
    log = [live_record(START_MS), *(encode_event(_bought(number)) for number in range(300))]
    log.append(clock_record(at(days=90)))
    rows, plan = CustomerRows(), plan_for(PARAMETERS)

    def no_snapshot(*_: object) -> object:
        raise AssertionError("the log names no model")

    state = rehearsing_state()
    fold = Partition(2, rows, PRIOR, plan, no_snapshot, state)  # type: ignore[arg-type]
    for offset, value in enumerate(log):
        fold.apply(offset, decode_line(value))
    for _ in rows.drain():
        pass
    return Past(log, dict(rows.all_packed()), fold.state)


def _damaged(record: ChangelogRecord) -> ChangelogRecord:
    value = bytearray(record.value or b"")
    value[len(value) // 2] ^= 1
    return record._replace(value=bytes(value))


async def _write(settings: Settings, log: list[bytes], table: list[ChangelogRecord]) -> None:
    async with running(new_outbox_producer(settings), settings) as producer:
        outbox = Outbox(producer, settings)
        for value in log:
            outbox.add(CUSTOMER_EVENTS, 2, key=None, value=value)
        for key, stored, headers in table:
            outbox.add(CUSTOMERS, 2, key=key, value=stored, headers=headers)
        await outbox.flush()


def _rebuilt(settings: Settings, *, whole: bool = False, writes: bool = True) -> list[Rebuilt]:
    rebuilding = Rebuilding(settings, PARAMETERS, writes=writes)
    return asyncio.run(rebuilding.run(whole=whole, on_progress=lambda *_: None))


def _packed(recovered: Recovered) -> dict[str, bytes]:
    return recovered.rows.all_packed()


def test_a_damaged_row_is_made_anew_and_the_others_stay(settings: Settings, past: Past) -> None:
    table = [row_record(customer, packed) for customer, packed in past.rows.items()]
    table[3] = _damaged(table[3])
    # Continued from nothing, as a worker would; what it was before is not in the changelog.
    table[5] = row_record("c-5", past.rows["c-6"], is_sound=False)
    # It belongs to no customer, though its key may be a customer's.
    table.append(ChangelogRecord(b"c-404", b"foreign", []))
    table.append(state_record(encode_state(past.state), Origin(), 2))
    asyncio.run(_write(settings, past.log, table))
    damaged = asyncio.run(recover(settings, 2))
    assert {"c-3", "c-5", "c-404"} == damaged.rows.damaged

    looked = _rebuilt(settings, writes=False)
    assert [Rebuilt(2, len(past.log), CUSTOMERS_COUNT, damaged=3, different=3)] == looked
    assert {"c-3", "c-5", "c-404"} == asyncio.run(recover(settings, 2)).rows.damaged

    assert looked == _rebuilt(settings)
    recovered = asyncio.run(recover(settings, 2))
    assert (past.rows, past.state) == (_packed(recovered), recovered.state)
    assert set() == recovered.rows.damaged
    assert [] == _rebuilt(settings)


def test_a_table_that_was_lost_is_made_anew(settings: Settings, past: Past) -> None:
    """As after the changelog was deleted; only the applied position is left of its state."""
    packed = past.rows["c-1"]
    of_another = Origin(table="another")
    state = state_record(encode_state(past.state), of_another, 0)
    asyncio.run(_write(settings, past.log, [row_record("c-1", packed), state]))

    (rebuilt,) = [one for one in _rebuilt(settings, whole=True) if one.customers]
    assert (CUSTOMERS_COUNT, CUSTOMERS_COUNT - 1) == (rebuilt.customers, rebuilt.different)
    recovered = asyncio.run(recover(settings, 2))
    assert (past.rows, past.state) == (_packed(recovered), recovered.state)


def test_rows_may_be_ahead_of_their_state(settings: Settings, past: Past) -> None:
    """After a crash between the two writes, the fold of the log is compared as of the rows."""
    earlier = PartitionState(applied=past.state.applied - 20, live_at_ms=START_MS)
    table = [row_record(customer, packed) for customer, packed in past.rows.items()]
    table[0] = _damaged(table[0])
    asyncio.run(
        _write(settings, past.log, [*table, state_record(encode_state(earlier), Origin(), 0)])
    )

    assert [1] == [one.different for one in _rebuilt(settings)]
    recovered = asyncio.run(recover(settings, 2))
    assert past.rows == _packed(recovered)
    # What was decided by then came of rows of a release that did not note its parts.
    assert past.state.in_force == recovered.state.in_force
    (replaced,) = recovered.state.replaced
    assert (earlier.applied + 1, known((), earlier.applied)) == astuple(replaced)


def test_a_row_that_is_further_than_the_log_takes_it_is_made_anew(
    settings: Settings, past: Past
) -> None:
    """With other rules or parts, a timer changed it later than any does now."""
    log = [*past.log, clock_record(at(days=90) + 1_000)]
    other = decode_row(past.rows["c-2"])
    other.applied = len(past.log)
    table = [row_record(name, packed) for name, packed in past.rows.items()]
    table.append(row_record("c-1", encode_row(other)))
    state = replace(past.state, applied=len(past.log))
    table.append(state_record(encode_state(state), Origin(), 0))
    asyncio.run(_write(settings, log, table))
    assert past.rows != _packed(asyncio.run(recover(settings, 2)))

    assert 1 == sum(one.different for one in _rebuilt(settings, whole=True))
    assert past.rows == _packed(asyncio.run(recover(settings, 2)))
    assert 0 == sum(one.different for one in _rebuilt(settings, whole=True))
