"""A partition is recovered from its changelog as it was, whoever wrote there and in which order."""

import asyncio
import inspect
import random
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from config.settings import Settings, load_settings
from config.topics import CUSTOMER_EVENTS, CUSTOMERS
from models.customer.registry import VERSIONS
from models.customer.row import Row, encode_row
from models.customer.row_formats import ROW_FORMAT, NewerRow, OlderRow
from models.partition_state import STATE_FORMAT, PartitionState, encode_state, rehearsing_state
from streams import recovery
from streams.changelog import (
    STATE_KEY,
    UNKNOWN_ORIGIN,
    ChangelogRecord,
    Origin,
    known_by,
    marks_of,
    row_record,
    state_record,
)
from streams.customers_table import CustomerRows
from streams.embedded.kafka import EmbeddedKafka
from streams.kafka_clients import running
from streams.outbox import Outbox, new_outbox_producer
from streams.recovery import ChangelogFold, Recovered, RecoveryError, recover, require_events
from streams.set_aside import SetAside
from streams.topics import create_topics
from tests.models.lines import at, happened, lived
from tests.streams.test_record_batches import FakeRecord

Written = tuple[bytes | None, bytes | None]


def row(applied: int, messages: bytes = b"") -> bytes:
    written = Row()
    written.applied, written.messages = applied, messages
    return encode_row(written)


def state(applied: int, **fields: object) -> bytes:
    return encode_state(PartitionState(applied=applied, **fields))  # type: ignore[arg-type]


def folded(*written: Written) -> ChangelogFold:
    fold = ChangelogFold()
    for key, value in written:
        fold.add(key, value)
    return fold


def test_the_higher_applied_position_wins_not_the_later_record() -> None:
    fold = folded(
        (b"c-1", row(7)), (b"c-2", row(1)), (b"c-1", row(3)), (b"c-2", row(2)),
        (STATE_KEY, state(9, clock_ms=9)), (STATE_KEY, state(4, clock_ms=4)),
    )  # fmt: skip
    assert {"c-1": row(7), "c-2": row(2)} == fold.packed
    assert PartitionState(applied=9, clock_ms=9) == fold.state
    assert 0 == fold.quarantined


def test_any_order_of_what_two_owners_wrote_is_the_same_state() -> None:
    """Rows at the same position are equal, so it makes no difference which of them stays."""
    one = [(f"c-{n % 7}".encode(), row(n, messages=bytes([n]))) for n in range(60)]
    other = [(STATE_KEY, state(n, clock_ms=n)) for n in range(60)]
    written = [*one, *other, *one[20:], *other[20:]]
    expected = folded(*one, *other)
    chance = random.Random(1)
    for _ in range(20):
        chance.shuffle(written)
        fold = folded(*written)
        assert (expected.packed, expected.state) == (fold.packed, fold.state)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"c-1", b""),
        (b"c-1", row(9)[:-3]),
        (b"c-1", b'{"json": true}'),
        (b"c-1", b"\x93\x01\x02\x03"),
        (b"c-1", b"\x93\x02\x02\x03"),
        (b"c-1", row(9).replace(b"\x04", b"\x00", 1)),
        (b"\xff\xfe", row(9)),
        (b"\xff\xfe", None),
        (b"no id\n", None),
        (b"no id\n", row(9)),
        (b"x" * 257, row(9)),
        (b"", row(9)),
        (None, row(9)),
        (STATE_KEY, None),
        (STATE_KEY, state(9)[:-3]),
        (STATE_KEY, b"foreign"),
        (STATE_KEY, state(9, sources={"name": 1}).replace(b"name", b"na\xffe")),
    ],
)
def test_what_is_not_ours_is_left_out_and_counted(key: bytes | None, value: bytes | None) -> None:
    fold = folded((b"c-1", row(5)), (STATE_KEY, state(5)), (key, value), (b"c-2", row(6)))
    assert {"c-1": row(5), "c-2": row(6)} == fold.packed
    assert 5 == fold.state.applied
    assert 1 == fold.quarantined


def test_a_tombstone_lets_go_of_the_row_and_is_no_damage() -> None:
    fold = folded((b"c-1", row(5)), (b"c-2", row(6)), (b"c-1", None))
    assert {"c-2": row(6)} == fold.packed
    assert 0 == fold.quarantined


def test_a_customer_comes_back_after_a_tombstone() -> None:
    """Also at a position before that of the old row, which is forgotten with the row."""
    fold = folded((b"c-1", row(5)), (b"c-1", None), (b"c-1", row(7)))
    assert {"c-1": row(7)} == fold.packed
    fold = folded((b"c-1", row(5)), (b"c-1", None), (b"c-1", row(3)))
    assert {"c-1": row(3)} == fold.packed
    assert 0 == fold.quarantined


def test_a_tombstone_of_a_customer_nobody_knows_changes_nothing() -> None:
    fold = folded((b"c-9", None), (b"c-1", row(5)), (b"c-8", None))
    assert {"c-1": row(5)} == fold.packed
    assert 0 == fold.quarantined


def test_a_row_with_a_flipped_bit_is_left_out_and_counted() -> None:
    bought = happened("Order Completed", at(), order_id="o-1", revenue=40)
    dropped = happened("Product Added", at(days=1), product_id="p", price=3, quantity=2)
    sound = lived([bought, dropped, happened("Ticket Opened", at(days=2), ticket_id="t-1")])
    sound.applied = 9
    content = encode_row(sound)
    for place in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            if place == 1 and damaged[1] in range(1, 128):
                # The format: it reads as another release's, which is refused, not left out.
                continue
            fold = folded((b"c-1", row(5)), (b"c-1", bytes(damaged)))
            assert ({"c-1": row(5)}, 1) == (fold.packed, fold.quarantined)


def test_a_part_that_takes_the_place_of_another_is_damage() -> None:
    """Of two parts with one code only the last would be read."""
    opened = lived([happened("Ticket Opened", at(), ticket_id="t-1")])
    opened.applied = 9
    content = encode_row(opened)
    assert b"\xa2en" in content
    assert b"\xa2tl" in content
    fold = folded((b"c-1", row(5)), (b"c-1", content.replace(b"\xa2en", b"\xa2tl")))
    assert ({"c-1": row(5)}, 1) == (fold.packed, fold.quarantined)


def _its_format(content: bytes, its_format: int) -> bytes:
    """The same, in another release's format: its first field."""
    assert content[1] in (ROW_FORMAT, STATE_FORMAT)
    return bytes([content[0], its_format]) + content[2:]


def _of_format_1() -> bytes:
    """A row of earlier releases, with one struct for everything."""
    purchases = [[], 0, 0, 0, 0, 0, 0, []]
    fields = [1, 5, b"", purchases, [], [], [], [[0, 0]] * 5, {}, 0, [], None, [], [], [], None]
    return msgspec.msgpack.encode(fields)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"c-1", _its_format(row(5), ROW_FORMAT + 1)),
        (b"c-1", msgspec.msgpack.encode([ROW_FORMAT + 1, {"else": 1}])),
        (STATE_KEY, _its_format(state(5), ROW_FORMAT + 1)),
    ],
)
def test_a_newer_release_is_not_read_as_if_it_were_this_one(key: bytes, value: bytes) -> None:
    with pytest.raises(NewerRow, match="upgrade this worker"):
        folded((key, value))


def test_a_record_that_is_set_aside_counts_as_damaged() -> None:
    """Until the row is rebuilt: it is not known whether the record before it is the latest."""
    aside, fold = SetAside(frozenset({f"{CUSTOMERS}-2@41"})), ChangelogFold()
    newer = _its_format(row(9), ROW_FORMAT + 1)
    fold.take(FakeRecord(40, 2, CUSTOMERS, key=b"c-1", value=row(5)), 2, aside)
    fold.take(FakeRecord(41, 2, CUSTOMERS, key=b"c-1", value=newer), 2, aside)
    assert ({"c-1": row(5)}, {"c-1"}, 1) == (fold.packed, fold.damaged, fold.quarantined)
    with pytest.raises(NewerRow, match=r"set KEEPSTREAM_SET_ASIDE=customers-2@41,customers-2@42 "):
        fold.take(FakeRecord(42, 2, CUSTOMERS, key=b"c-1", value=newer), 2, aside)


def test_a_newer_part_is_refused_whatever_the_record_s_checksum_says() -> None:
    newer = msgspec.msgpack.decode(row(5))
    newer[7] = {"en": bytes([VERSIONS["en"] + 1])}
    theirs = known_by({**VERSIONS, "en": VERSIONS["en"] + 1})
    record = row_record("c-1", msgspec.msgpack.encode(newer), known=theirs)
    with pytest.raises(NewerRow, match="upgrade this worker"):
        ChangelogFold().add(*record)


@pytest.mark.parametrize("code", [*VERSIONS, "another"])
def test_a_release_that_knows_another_part_or_version_is_another_one(code: str) -> None:
    theirs = known_by({**VERSIONS, code: VERSIONS.get(code, 0) + 1})
    key, value, headers = row_record("c-1", row(5), known=theirs)
    told = marks_of(key, value, headers)
    assert (True, False) == (told.is_verified, told.is_known)
    ours = row_record("c-1", row(5))
    assert marks_of(*ours).is_known
    assert not marks_of(ours.key, row(6), ours.headers).is_verified


def test_the_rows_of_a_release_that_named_no_parts_are_read_by_their_checksum() -> None:
    """Their headers only had the checksum."""
    key, value, ((_, stated),) = row_record("c-1", row(5))
    before = [("crc", stated[:4])]
    assert (True, False) == (
        marks_of(key, value, before).is_verified,
        marks_of(key, value, before).is_known,
    )
    fold = ChangelogFold()
    fold.add(key, value, before)
    fold.add(key, row(6), before)
    assert ({"c-1": row(5)}, 1) == (fold.packed, fold.quarantined)


@pytest.mark.parametrize(
    ("key", "value"), [(b"c-1", _of_format_1()), (STATE_KEY, _its_format(state(5), 1))]
)
def test_an_older_format_is_refused_with_what_to_do(key: bytes, value: bytes) -> None:
    """To start with an empty table instead of a full one would lose all history."""
    with pytest.raises(OlderRow, match="is in format 1, .* another KEEPSTREAM_TOPIC_PREFIX, and"):
        folded((key, value))


BOUGHT = lived([happened("Order Completed", at(), order_id="o-1", revenue=40)])


def written_at(applied: int, *, is_sound: bool = True) -> ChangelogRecord:
    """A row as this release writes it."""
    BOUGHT.applied = applied
    return row_record("c-1", encode_row(BOUGHT), is_sound=is_sound)


def test_no_flipped_bit_of_a_record_passes_for_sound_or_for_another_release() -> None:
    """Neither in its key, which would make it another customer's, nor in its format."""
    key, value, headers = written_at(9)
    assert value is not None
    for place in range(len(key) + len(value)):
        for bit in range(8):
            content = bytearray(key + value)
            content[place] ^= 1 << bit
            torn = (bytes(content[: len(key)]), bytes(content[len(key) :]))
            fold = ChangelogFold()
            fold.add(b"c-1", row(5))
            fold.add(*torn, headers)
            assert ({"c-1": row(5)}, 1) == (fold.packed, fold.quarantined)


def test_no_flipped_bit_of_a_state_passes_for_sound() -> None:
    key, value, headers = state_record(state(9, clock_ms=70_000, sources={"s-0": 5}), Origin(), 0)
    assert value is not None
    for place in range(len(value)):
        for bit in range(8):
            content = bytearray(value)
            content[place] ^= 1 << bit
            fold = ChangelogFold()
            fold.add(STATE_KEY, state(5))
            fold.add(key, bytes(content), headers)
            assert (5, 1) == (fold.state.applied, fold.quarantined)


def test_a_damaged_row_is_known_until_a_sound_one_follows() -> None:
    fold = ChangelogFold()
    key, value, headers = written_at(7)
    fold.add(key, value, headers)
    assert set() == fold.damaged
    _, _, other = written_at(8)
    fold.add(key, value, other)
    assert {"c-1"} == fold.damaged
    # What a worker writes that went on from the row before says that it is not the whole story.
    fold.add(*written_at(9, is_sound=False))
    assert {"c-1"} == fold.damaged
    fold.add(*written_at(9))
    assert set() == fold.damaged


def test_a_row_that_was_continued_from_a_damaged_one_is_known_without_it() -> None:
    """Compaction removes the damaged record, and leaves the one that was written over it."""
    fold = ChangelogFold()
    fold.add(*written_at(9, is_sound=False))
    assert {"c-1"} == fold.damaged
    rows = CustomerRows(fold.packed, fold.damaged)
    changed = rows.get("c-1")
    assert changed is not None
    rows.put("c-1", changed)
    (written,) = rows.drain()
    assert not marks_of(*written).is_sound


def test_rows_without_a_checksum_are_those_of_earlier_releases() -> None:
    fold = folded((b"c-1", row(5)), (STATE_KEY, state(5)))
    assert (0, set(), 5) == (fold.quarantined, fold.damaged, fold.state.applied)


def test_the_end_of_a_changelog_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last fetch finds nothing, and the following requests would wait for its answer."""
    found: list[Any] = []

    def no_reader(_: Settings, *, fetch_max_wait_ms: int, **_others: int) -> None:
        found.append(fetch_max_wait_ms)
        raise InterruptedError

    monkeypatch.setattr(recovery, "new_reader", no_reader)
    with pytest.raises(InterruptedError):
        asyncio.run(recover(load_settings({}), 0))
    (ours_ms,) = found
    theirs_ms = inspect.signature(AIOKafkaConsumer).parameters["fetch_max_wait_ms"].default
    assert ours_ms <= theirs_ms / 20


@pytest.fixture
def settings(kafka: EmbeddedKafka) -> Settings:
    prefix = f"{uuid.uuid4().hex[:8]}."
    settings = load_settings({}, bootstrap_servers=kafka.bootstrap_servers, topic_prefix=prefix)
    create_topics(settings)
    return settings


async def _recovered(
    settings: Settings,
    events: int,
    changelog: list[tuple[bytes, bytes]],
    origin: Origin = UNKNOWN_ORIGIN,
) -> Recovered:
    """Recover partition 2 from ``changelog``, with so many events in the log."""
    await _write(settings, events, changelog, origin)
    return await recover(settings, 2)


async def _write(
    settings: Settings,
    events: int,
    changelog: list[tuple[bytes, bytes]],
    origin: Origin = UNKNOWN_ORIGIN,
) -> None:
    async with running(new_outbox_producer(settings), settings) as producer:
        outbox = Outbox(producer, settings)
        for _ in range(events):
            outbox.add(CUSTOMER_EVENTS, 2, key=None, value=b"{}")
        for key, value in changelog:
            headers = state_record(value, origin, 0).headers if key == STATE_KEY else ()
            outbox.add(CUSTOMERS, 2, key=key, value=value, headers=headers)
        await outbox.flush()


@pytest.mark.kafka
def test_a_partition_is_recovered_to_its_end(settings: Settings) -> None:
    rows = [(f"c-{number}".encode(), row(number)) for number in range(3_000)]
    changelog = [*rows, (STATE_KEY, state(2_999, clock_ms=17)), (b"torn", b"foreign")]
    recovered = asyncio.run(_recovered(settings, 3_000, changelog))
    assert (3_000, 3_002, 1) == (len(recovered.rows), recovered.records, recovered.quarantined)
    assert PartitionState(applied=2_999, clock_ms=17) == recovered.state
    found = recovered.rows.get("c-123")
    assert found is not None
    assert row(123) == encode_row(found)


@pytest.mark.kafka
def test_a_partition_is_recovered_into_a_scratch_file(settings: Settings, tmp_path: Path) -> None:
    """As it would be into memory; and no file is left there, however the process ends."""
    rows = [(f"c-{number % 300}".encode(), row(number)) for number in range(900)]
    settings = msgspec.structs.replace(settings, rows_dir=str(tmp_path))
    recovered = asyncio.run(_recovered(settings, 900, [*rows, (STATE_KEY, state(899))]))
    found = dict(recovered.rows.all_packed())
    assert {key.decode(): value for key, value in rows[600:]} == found
    assert sum(map(len, found.values())) == recovered.rows.packed_bytes
    assert [] == list(tmp_path.iterdir())


@pytest.mark.kafka
def test_a_partition_without_a_past_is_empty(settings: Settings) -> None:
    recovered = asyncio.run(_recovered(settings, 0, []))
    assert (0, 0, rehearsing_state()) == (len(recovered.rows), recovered.records, recovered.state)


@pytest.mark.kafka
def test_state_that_is_ahead_of_its_events_is_refused(settings: Settings) -> None:
    with pytest.raises(
        RecoveryError, match="has applied offset 10, .* ends at 10, .* the topic was"
    ):
        asyncio.run(_recovered(settings, 10, [(STATE_KEY, state(10))]))


class _Leader:
    """A broker that reports these ends, one after the other, and then always the last one."""

    def __init__(self, *ends: int) -> None:
        self._ends = list(ends)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        end = self._ends.pop(0) if len(self._ends) > 1 else self._ends[0]
        return dict.fromkeys(partitions, end)


@pytest.mark.parametrize("ends", [(10,), (7, 10), (7, 7, 10)])
def test_an_end_that_is_out_of_date_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, ends: tuple[int, ...]
) -> None:
    monkeypatch.setattr(recovery, "END_RETRY_S", 0.0)
    reader: Any = _Leader(*ends)
    asyncio.run(require_events(reader, TopicPartition("events", 2), 9))


def test_nobody_is_advised_to_delete_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "END_RETRY_S", 0.0)
    reader: Any = _Leader(9)
    with pytest.raises(RecoveryError, match="Nothing was changed") as refused:
        asyncio.run(require_events(reader, TopicPartition("events", 2), 9))
    assert "delete and create" not in str(refused.value)


@pytest.mark.kafka
def test_events_that_were_applied_while_the_rows_were_read_are_no_fault(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another owner continues meanwhile: the state may be ahead of the first end of the log."""
    changelog = [(STATE_KEY, state(10))]
    read = recovery.fold_up_to

    async def overtaken(*arguments: Any) -> Any:
        found = await read(*arguments)
        await _write(settings, 5, [])
        return found

    monkeypatch.setattr(recovery, "fold_up_to", overtaken)
    assert 10 == asyncio.run(_recovered(settings, 10, changelog)).state.applied


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("named", "fix"),
    [
        (Origin(log="another"), "customer-events with the id another, .* KEEPSTREAM_TOPIC_PREFIX"),
        (Origin(table="another"), "the id another, .* run `keepstream rebuild --all`"),
    ],
)
def test_state_of_other_topics_is_refused(settings: Settings, named: Origin, fix: str) -> None:
    """However many records the present topics of these names have."""
    with pytest.raises(RecoveryError, match=fix):
        asyncio.run(_recovered(settings, 10, [(STATE_KEY, state(5))], named))


@pytest.mark.kafka
def test_state_is_taken_over_in_the_topics_it_is_of(settings: Settings) -> None:
    first = asyncio.run(_recovered(settings, 10, [(STATE_KEY, state(5))]))
    assert first.origin.log
    assert first.origin.table
    again = asyncio.run(_recovered(settings, 0, [(STATE_KEY, state(6))], first.origin))
    assert (6, first.origin) == (again.state.applied, again.origin)
