"""What may be in flight and what may be committed: the ledger alone, without a broker."""

from dataclasses import dataclass, field

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streams.record_batches import (
    BatchLedger,
    Committed,
    PositionError,
    RecordBatch,
    TopicIdentities,
    verify_position,
)

EVENTS = "events"


@dataclass
class FakeRecord:
    """The fields of a record that the ledger reads."""

    offset: int
    partition: int = 0
    topic: str = EVENTS
    timestamp: int = 0
    timestamp_type: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: list[tuple[str, bytes]] = field(default_factory=list)


def records(first: int, count: int, partition: int = 0) -> list[FakeRecord]:
    return [FakeRecord(offset, partition) for offset in range(first, first + count)]


class Ledger(BatchLedger):
    """A ledger that remembers which batches have ended."""

    def __init__(self, **positions: int) -> None:
        self.ends: list[RecordBatch] = []
        super().__init__(on_end=self.ends.append)
        self.begin_epoch()
        self.seek({TP(EVENTS, int(name[1:])): offset for name, offset in positions.items()})


def test_a_batch_holds_its_partitions_records_and_says_where_they_end() -> None:
    batch = Ledger(p0=0, p3=7).admit(EVENTS, {3: records(7, 2, 3), 0: records(0, 3)})
    assert 5 == len(batch)
    assert [(3, 7), (3, 8), (0, 0), (0, 1), (0, 2)] == [(r.partition, r.offset) for r in batch]
    assert [(3, 7, 9), (0, 0, 3)] == [
        (s.partition, s.first_offset, s.next_offset) for s in batch.slices
    ]
    assert {TP(EVENTS, 3): 9, TP(EVENTS, 0): 3} == batch.positions


def test_an_acked_batch_is_due_for_commit_until_the_broker_has_it() -> None:
    ledger = Ledger(p0=0)
    batch = ledger.admit(EVENTS, {0: records(0, 3)})
    assert {} == ledger.commits_due()
    assert batch.ack()
    assert {TP(EVENTS, 0): 3} == ledger.commits_due() == ledger.commits_due()
    ledger.record_commit({TP(EVENTS, 0): 3}, epoch=ledger.epoch)
    assert {} == ledger.commits_due()


def test_what_was_acked_during_a_commit_is_still_due_after_it() -> None:
    ledger = Ledger(p0=0)
    ledger.admit(EVENTS, {0: records(0, 1)}).ack()
    on_its_way = ledger.commits_due()
    ledger.admit(EVENTS, {0: records(1, 1)}).ack()
    ledger.record_commit(on_its_way, epoch=ledger.epoch)
    assert {TP(EVENTS, 0): 2} == ledger.commits_due()


def test_a_topic_has_one_batch_in_flight_and_another_topic_has_its_own() -> None:
    ledger = Ledger(p0=0)
    ledger.seek({TP("other", 0): 0})
    batch = ledger.admit(EVENTS, {0: records(0, 1)})
    assert not ledger.is_idle(EVENTS)
    with pytest.raises(RuntimeError, match="in flight"):
        ledger.admit(EVENTS, {0: records(1, 1)})
    assert ledger.admit("other", {0: records(0, 1)}).ack()
    assert batch.ack()
    assert ledger.is_idle(EVENTS)


def test_a_batch_ends_once() -> None:
    ledger = Ledger(p0=0)
    batch = ledger.admit(EVENTS, {0: records(0, 1)})
    assert batch.is_current
    assert batch.ack()
    assert not batch.is_current
    assert not batch.ack()
    assert not batch.release()
    assert [batch] == ledger.ends


@pytest.mark.parametrize("end", ["ack", "release"])
def test_a_batch_of_an_older_epoch_can_neither_end_nor_be_committed(end: str) -> None:
    ledger = Ledger(p0=5)
    old = ledger.admit(EVENTS, {0: records(5, 3)})
    ledger.begin_epoch()
    ledger.seek({TP(EVENTS, 0): 5})
    assert not old.is_current
    assert not getattr(old, end)()
    assert not ledger.mark_committable(old.positions, epoch=old.epoch)
    ledger.record_commit(old.positions, epoch=old.epoch)
    assert {} == ledger.commits_due()
    # Its records come again, and its topic is free for them.
    assert ledger.admit(EVENTS, {0: records(5, 3)}).ack()
    assert {TP(EVENTS, 0): 8} == ledger.commits_due()


def test_a_released_batch_is_committed_when_told_to_and_not_before() -> None:
    ledger = Ledger(p0=0)
    first = ledger.admit(EVENTS, {0: records(0, 3)})
    assert first.release()
    second = ledger.admit(EVENTS, {0: records(3, 3)})
    assert {} == ledger.commits_due()
    assert ledger.mark_committable(first.positions, epoch=first.epoch)
    assert {TP(EVENTS, 0): 3} == ledger.commits_due()
    with pytest.raises(ValueError, match="End the batch first"):
        ledger.mark_committable(second.positions, epoch=second.epoch)
    assert second.release()
    assert ledger.mark_committable(second.positions, epoch=second.epoch)
    assert ledger.mark_committable(first.positions, epoch=first.epoch)
    assert {TP(EVENTS, 0): 6} == ledger.commits_due()


@pytest.mark.parametrize(
    ("first", "says"),
    [(6, "retention.ms"), (0, "created again"), (4, "created again")],
)
def test_a_partition_that_does_not_go_on_where_it_must_is_an_error(first: int, says: str) -> None:
    with pytest.raises(PositionError, match=says):
        Ledger(p0=5).admit(EVENTS, {0: records(first, 2)})


def test_a_gap_inside_is_an_error() -> None:
    with pytest.raises(PositionError, match="gap between offsets 5 and 9"):
        Ledger(p0=5).admit(EVENTS, {0: [*records(5, 2), *records(8, 2)]})


@pytest.mark.parametrize(
    ("committed", "expected"),
    [(None, 3), (Committed(3), 3), (Committed(7), 7), (Committed(9), 9)],
)
def test_reading_goes_on_at_the_commit_or_at_the_beginning(
    committed: Committed | None, expected: int
) -> None:
    assert expected == verify_position(TP(EVENTS, 0), committed, 3, 9)


@pytest.mark.parametrize(
    ("committed", "says"),
    [(Committed(2), "retention.ms"), (Committed(10), "created again"), (Committed(0), "retention")],
)
def test_a_commit_outside_the_log_is_an_error(committed: Committed, says: str) -> None:
    with pytest.raises(PositionError, match=says):
        verify_position(TP(EVENTS, 0), committed, 3, 9)


@pytest.mark.parametrize("offset", [0, 7, 99])
def test_another_topic_of_the_name_is_read_from_its_beginning(offset: int) -> None:
    """Whether or not its log has the committed offset, which belongs to another log."""
    committed = Committed(offset, "old")
    assert 3 == verify_position(TP(EVENTS, 0), committed, 3, 9, topic_id="new")


@pytest.mark.parametrize("offset", [0, 7, 99])
def test_another_topic_is_refused_where_state_is_a_fold_of_the_one_before(offset: int) -> None:
    committed = Committed(offset, "old")
    with pytest.raises(PositionError, match=r"had the id old, .* has new, .*set another KEEP"):
        verify_position(TP(EVENTS, 0), committed, 3, 9, topic_id="new", is_bound=True)


@pytest.mark.parametrize(("committed", "present"), [("", "new"), ("old", ""), ("", "")])
def test_an_unknown_topic_is_taken_to_be_the_same(committed: str, present: str) -> None:
    found = verify_position(TP(EVENTS, 0), Committed(7, committed), 3, 9, topic_id=present)
    assert 7 == found


def test_a_log_that_was_cut_is_to_be_created_anew() -> None:
    """Its next records would have the offsets of others, and count as repeats."""
    with pytest.raises(PositionError, match=r"was cut, .*`keepstream topics create`"):
        verify_position(TP(EVENTS, 0), Committed(10, "same"), 3, 9, topic_id="same")


def test_positions_without_their_topic_are_committed_with_it() -> None:
    one, other = TP(EVENTS, 0), TP(EVENTS, 1)
    ledger = BatchLedger(on_end=lambda _: None)
    ledger.begin_epoch()
    ledger.seek({one: 5, other: 0}, TopicIdentities({EVENTS: "id"}, frozenset({other})))
    assert {other: 0} == ledger.commits_due()
    assert "id" == ledger.admit(EVENTS, {0: records(5, 1)}).topic_id
    ledger.record_commit({other: 0}, epoch=ledger.epoch)
    assert {} == ledger.commits_due()


@given(st.lists(st.sampled_from(["admit", "ack", "release", "mark", "commit", "seek"])))
def test_a_commit_never_passes_what_has_ended_and_never_goes_back(steps: list[str]) -> None:
    ledger = Ledger(p0=0)
    tp = TP(EVENTS, 0)
    committed = ended = 0
    batch = None
    for step in steps:
        match step:
            case "admit" if ledger.is_idle(EVENTS):
                batch = ledger.admit(EVENTS, {0: records(ledger.delivered[tp], 2)})
            case "ack" | "release" if batch is not None:
                if getattr(batch, step)():
                    ended = batch.positions[tp]
            case "mark":
                ledger.mark_committable({tp: ended}, epoch=ledger.epoch)
            case "commit":
                for offset in ledger.commits_due().values():
                    assert committed < offset <= ended
                    committed = offset
                ledger.record_commit(ledger.commits_due(), epoch=ledger.epoch)
            case "seek":
                ledger.begin_epoch()
                ledger.seek({tp: committed})
                ended = committed
