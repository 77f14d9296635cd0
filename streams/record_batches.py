"""Record batches, and the ledger that knows which of them may be committed.

A batch holds consecutive records of one topic, merged over its partitions, so that queues, acks,
effects and changelog writes cost once per batch instead of once per message. There is at most one
batch of a topic in flight: batches then end in order, and a commit is the end of a batch.

An agent ends every batch in one of two ways::

    async for batch in stream:
        await write_effects(batch)      # durable first
        batch.ack()                     # may be committed from now on

    async for batch in stream:
        learn(batch)
        batch.release()                 # done, but a restart must read it again, until ...
        if await publish_snapshot():    # ... what it led to is durable
            ledger.mark_committable(batch.positions, epoch=batch.epoch)

No I/O and no clock here.
"""

from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, Protocol

from faust.types import TP


class Record(Protocol):
    """The interface of a batch's records."""

    @property
    def partition(self) -> int: ...

    @property
    def offset(self) -> int: ...

    @property
    def timestamp(self) -> int:
        """Broker or publisher time, as the topic is configured."""
        ...

    @property
    def key(self) -> bytes | None: ...

    @property
    def value(self) -> bytes | None: ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class PositionError(Exception):
    """A partition doesn't continue as expected: records are missing, repeated or replaced.

    State would no longer be exact, so this error ends the process.
    """


@dataclass(frozen=True, slots=True)
class PartitionSlice:
    """Records of one partition, at least one, without a gap."""

    partition: int
    records: Sequence[Record]

    @property
    def first_offset(self) -> int:
        """The offset of the first record."""
        return self.records[0].offset

    @property
    def next_offset(self) -> int:
        """The offset after the last record, which a commit of this slice stores."""
        return self.records[-1].offset + 1


class RecordBatch:
    """Consecutive records of one topic, by partition. ``topic_id``: the broker's, "" if unknown."""

    __slots__ = ("_ledger", "epoch", "slices", "topic", "topic_id")

    def __init__(
        self, topic: str, slices: tuple[PartitionSlice, ...], epoch: int, ledger: "BatchLedger"
    ) -> None:
        self.topic = topic
        self.slices = slices
        self.epoch = epoch
        self.topic_id = ledger.topic_ids.get(topic, "")
        self._ledger = ledger

    def __len__(self) -> int:
        return sum(len(piece.records) for piece in self.slices)

    def __iter__(self) -> Iterator[Record]:
        """All records: in order within a partition, one partition after the other."""
        return chain.from_iterable(piece.records for piece in self.slices)

    def __repr__(self) -> str:
        spans = (f"{s.partition}: {s.first_offset}-{s.next_offset - 1}" for s in self.slices)
        return f"<RecordBatch {self.topic} {{{', '.join(spans)}}} epoch {self.epoch}>"

    @property
    def positions(self) -> dict[TP, int]:
        """The next offset of each partition, once this batch is done."""
        return {TP(self.topic, piece.partition): piece.next_offset for piece in self.slices}

    @property
    def is_current(self) -> bool:
        """Whether this worker may still act on the batch: ask before producing anything.

        False once the batch is done, or its partitions were taken away or sought again. It can't
        know of a rebalance that the broker hasn't told this worker about yet.
        """
        return self._ledger.is_current(self)

    def ack(self) -> bool:
        """End the batch and let its positions be committed.

        Returns False, and changes nothing, when the batch is no longer current.
        """
        return self._ledger.end(self, commit=True)

    def release(self) -> bool:
        """End the batch without letting its positions be committed yet.

        The next batch of the topic may come. Positions are committed later, by
        `BatchLedger.mark_committable` or by the ack of a later batch of the same partition.
        Returns False, and changes nothing, when the batch is no longer current.
        """
        return self._ledger.end(self, commit=False)


#: A committed position before any that can be due.
_NEVER = -1


class Committed(NamedTuple):
    """A position as the broker has it, and the id of its topic; "" if unknown."""

    offset: int
    topic_id: str = ""


class TopicIdentities(NamedTuple):
    """The ids of topics by name, and the positions that the broker has without these ids."""

    topic_ids: Mapping[str, str]
    unnamed: frozenset[TP] = frozenset()


@dataclass(slots=True)
class _Position:
    """Next offsets of one partition, in ascending order of the fields."""

    committed: int
    committable: int
    ended: int
    delivered: int


class BatchLedger:
    """Positions and batches in flight, for the partitions that are assigned at the moment.

    An epoch lasts from one rebalance or seek to the next. Batches of an older epoch can't end or be
    committed: their records will be read again, by this worker or another.
    """

    def __init__(self, on_end: Callable[[RecordBatch], None]) -> None:
        self.epoch = 0
        self.topic_ids: Mapping[str, str] = {}
        self._on_end = on_end
        self._positions: dict[TP, _Position] = {}
        self._in_flight: dict[str, RecordBatch] = {}

    def begin_epoch(self) -> int:
        """Drop all positions, batches and due commits; return the new epoch."""
        self.epoch += 1
        self._positions.clear()
        self._in_flight.clear()
        return self.epoch

    def seek(self, positions: Mapping[TP, int], identity: "TopicIdentities | None" = None) -> None:
        """Set the next offset of each partition. Only partitions with a position are read.

        With an ``identity``, positions that the broker has without their topic's id are due to be
        committed at once.
        """
        for tp, offset in positions.items():
            self._positions[tp] = _Position(offset, offset, offset, offset)
        if identity is not None:
            self.topic_ids = identity.topic_ids
            for tp in identity.unnamed:
                self._positions[tp].committed = _NEVER

    @property
    def in_flight(self) -> Collection[RecordBatch]:
        """The batches that were delivered and have not ended."""
        return self._in_flight.values()

    def is_idle(self, topic: str) -> bool:
        """Whether no batch of ``topic`` is in flight."""
        return topic not in self._in_flight

    def has_position(self, tp: TP) -> bool:
        """Whether ``tp`` is assigned and has a position."""
        return tp in self._positions

    def read_up_to(self, tp: TP) -> int:
        """The next offset to read of a partition; 0 if it is not assigned, or not sought yet."""
        position = self._positions.get(tp)
        return 0 if position is None else position.delivered

    def is_current(self, batch: RecordBatch) -> bool:
        """Whether ``batch`` is the one in flight."""
        return self._in_flight.get(batch.topic) is batch

    @property
    def delivered(self) -> dict[TP, int]:
        """The next offset to read, by partition; the log's end minus this is the lag."""
        return {tp: position.delivered for tp, position in self._positions.items()}

    def delivered_of(self, topics: Container[str]) -> dict[TP, int]:
        """`delivered` for these topics only."""
        positions = self._positions.items()
        return {tp: position.delivered for tp, position in positions if tp.topic in topics}

    @property
    def ended(self) -> dict[TP, int]:
        """The next offset after all ended batches, by partition; it shows progress."""
        return {tp: position.ended for tp, position in self._positions.items()}

    def admit(
        self, topic: str, records_by_partition: Mapping[int, Sequence[Record]]
    ) -> RecordBatch:
        """Put the next records of ``topic`` in flight, as one batch.

        Raises PositionError when a partition doesn't continue at the expected offset.
        """
        if topic in self._in_flight:
            raise RuntimeError(f"{self._in_flight[topic]!r} is in flight; there can't be a second.")
        slices = tuple(
            PartitionSlice(partition, records)
            for partition, records in records_by_partition.items()
        )
        for piece in slices:
            self._advance(TP(topic, piece.partition), piece)
        batch = RecordBatch(topic, slices, self.epoch, self)
        self._in_flight[topic] = batch
        return batch

    def _advance(self, tp: TP, piece: PartitionSlice) -> None:
        position = self._positions[tp]
        expected, found = position.delivered, piece.first_offset
        if found != expected:
            raise PositionError(_explain_break(tp, expected, found))
        # Offsets only grow, so the first, the last and the count show whether one is missing.
        if piece.next_offset - found != len(piece.records):
            raise PositionError(
                f"{tp.topic}-{tp.partition} has a gap between offsets {found} and "
                f"{piece.next_offset - 1}. Topics that Keepstream reads must not be compacted or "
                f"written in transactions: check its cleanup.policy and its producers."
            )
        position.delivered = piece.next_offset

    def end(self, batch: RecordBatch, *, commit: bool) -> bool:
        """End ``batch``; True if it was current."""
        if not self.is_current(batch):
            return False
        del self._in_flight[batch.topic]
        for tp, offset in batch.positions.items():
            position = self._positions[tp]
            position.ended = offset
            if commit:
                position.committable = offset
        self._on_end(batch)
        return True

    def mark_committable(self, positions: Mapping[TP, int], *, epoch: int) -> bool:
        """Let ``positions`` (next offsets) be committed; they never move back.

        Returns False, and changes nothing, when ``epoch`` is over. Raises ValueError for a position
        past the batches that have ended.
        """
        if epoch != self.epoch:
            return False
        for tp, offset in positions.items():
            ended = self._positions[tp].ended
            if offset > ended:
                raise ValueError(
                    f"{tp.topic}-{tp.partition}: {offset} can't be committed, because batches have "
                    f"ended only up to {ended}. End the batch first."
                )
        for tp, offset in positions.items():
            position = self._positions[tp]
            position.committable = max(position.committable, offset)
        return True

    def commits_due(self) -> dict[TP, int]:
        """The positions that may be committed and are not committed yet."""
        return {
            tp: position.committable
            for tp, position in self._positions.items()
            if position.committable > position.committed
        }

    def record_commit(self, positions: Mapping[TP, int], *, epoch: int) -> None:
        """Remember that the broker has ``positions``, if ``epoch`` is still on."""
        if epoch == self.epoch:
            for tp, offset in positions.items():
                self._positions[tp].committed = offset


def _explain_break(tp: TP, expected: int, found: int) -> str:
    name = f"{tp.topic}-{tp.partition}"
    if found > expected:
        return _explain_loss(name, expected, found)
    return (
        f"{name} gives offset {found}, but {expected} was to be next: the topic was deleted and "
        f"created again, or its log was cut. Start the worker again: it compares the topic with "
        f"the one that its position is of, and goes on or says what to do."
    )


def _explain_loss(name: str, expected: int, found: int) -> str:
    return (
        f"{name} goes on at offset {found}, but {expected} was to be next: the records between "
        f"are gone, most likely deleted by retention before this group read them. Raise the "
        f"topic's retention.ms and retention.bytes; to go on without the lost records, stop "
        f"the workers and reset the group's offset to {found}."
    )


_START_OVER = (
    "Restore the topic, or start over with empty state beside it: set another "
    "KEEPSTREAM_TOPIC_PREFIX."
)


def is_replaced(committed: Committed | None, topic_id: str) -> bool:
    """Whether the position belongs to an earlier topic with the same name."""
    return bool(committed and committed.topic_id and topic_id and committed.topic_id != topic_id)


def verify_position(
    tp: TP,
    committed: Committed | None,
    beginning: int,
    end: int,
    *,
    topic_id: str = "",
    is_bound: bool = False,
) -> int:
    """The next offset of ``tp``: the committed one, else the log's beginning.

    A topic that was created after the position was committed is another topic, and is read from
    its beginning. If it ``is_bound``, state is a fold of the topic that is gone: then it raises
    PositionError, as it does when the log no longer holds the committed offset.
    """
    name = f"{tp.topic}-{tp.partition}"
    # Zero is a position like any other; only None means that there was no commit.
    if committed is None:
        return beginning
    offset = committed.offset
    if is_replaced(committed, topic_id):
        if not is_bound:
            return beginning
        raise PositionError(
            f"{tp.topic} is not the topic that this group has read: that one had the id "
            f"{committed.topic_id}, and this one has {topic_id}, so it was deleted and created "
            f"again, or is a copy. State belongs to the one that is gone. {_START_OVER}"
        )
    if offset < beginning:
        raise PositionError(_explain_loss(name, offset, beginning))
    if offset > end and committed.topic_id and topic_id and not is_bound:
        raise PositionError(
            f"{name} ends at {end}, and {offset} was to be next: its log was cut, and offsets that "
            f"were used once are given to other records, which would pass for repeated ones. If "
            f"all brokers are up and it stays so, replace this raw topic, in which no state is, "
            f"by a new one (`keepstream topics create`), which is read from its beginning, and "
            f"publish again what was lost."
        )
    if offset > end:
        raise PositionError(
            f"{name} ends at {end}, and {offset} was to be next: the topic was deleted and created "
            f"again, or its log was cut. State belongs to records that are gone. {_START_OVER}"
        )
    return offset
