"""Ingest: raw topics in, checked events on `customer-events` out, in the order of event time.

It keeps no state that matters: what it holds back is not committed and is read again after a
crash, and the fold drops what was passed on twice by its source.
"""

import asyncio
from collections import Counter
from time import monotonic
from typing import NamedTuple

from faust.types import TP

from config.parameters import Parameters
from config.settings import Settings
from config.topics import CUSTOMER_EVENTS, DEAD_LETTERS, RAW_TOPICS
from models.events.admission import admit
from models.events.dead_letter import dead_letter, encode_dead_letter
from models.events.rejection import Rejected
from models.events.wire import Source, encode_event
from streams.alignment import Alignment, Passed, Waiting
from streams.batch_consumer import BatchConsumer
from streams.kafka_clients import partition_for
from streams.metrics import Metrics
from streams.outbox import Outbox
from streams.record_batches import Record, RecordBatch

#: A topic whose next records don't come for this long no longer holds the others back.
PATIENCE_S = 2.0
#: How often to look again while waiting for a topic: the broker may say that nothing is to come.
LOOK_S = 0.05


class Outgoing(NamedTuple):
    """A record on its way out: an event for a customer's partition, or a dead letter."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes


class Ingest:
    """The agents of the raw topics, and the task that passes on what they took."""

    def __init__(
        self, outbox: Outbox, settings: Settings, parameters: Parameters, metrics: Metrics
    ) -> None:
        self._outbox = outbox
        self._settings = settings
        self._parameters = parameters
        self._metrics = metrics
        self._alignment: Alignment[Outgoing] = Alignment(RAW_TOPICS)
        self._epoch = -1
        self._full: dict[str, RecordBatch] = {}
        self._arrived = asyncio.Event()
        self._moved_s = monotonic()

    async def take(self, topic: str, batch: RecordBatch) -> None:
        """Check every record of ``batch`` and line it up."""
        if batch.epoch != self._epoch:
            # What was held is uncommitted, so whoever owns the partitions now reads it again.
            self._alignment.clear()
            self._full.clear()
            self._epoch = batch.epoch
        started_s = monotonic()
        if not len(self._alignment):
            # Nobody was waiting, so nobody's patience has been tried: not by an idle hour, and
            # not by the seconds it took to join the group.
            self._moved_s = started_s
        reasons: Counter[str] = Counter()
        for piece in batch.slices:
            waiting = [self._checked(topic, record, reasons) for record in piece.records]
            self._alignment.offer(topic, piece.partition, waiting)
            await asyncio.sleep(0)
        if self._alignment.held(topic) > self._settings.max_batch_records:
            # Full: the topic's next batch comes when this one has moved on.
            self._full[topic] = batch
        else:
            batch.release()
        self._arrived.set()
        self._metrics.count_events({(topic, "dead_letter"): reasons.total()})
        self._metrics.count_dead_letters(reasons)
        self._metrics.observe_batch(topic, len(batch), monotonic() - started_s)

    async def pass_on(self, consumer: BatchConsumer) -> None:
        """Pass on what its turn has come for, until cancelled."""
        while True:
            epoch = self._epoch
            positions = self._send_ready(consumer)
            if positions:
                await self._outbox.flush()
                self._moved_s = monotonic()
                if epoch == self._epoch == consumer.ledger.epoch:
                    self._make_room(consumer, positions, epoch)
                continue
            self._arrived.clear()
            try:
                # Without anything held back there is nothing to look at again.
                wait_s = LOOK_S if len(self._alignment) else None
                await asyncio.wait_for(self._arrived.wait(), wait_s)
            except TimeoutError:
                continue

    def _send_ready(self, consumer: BatchConsumer) -> dict[TP, int]:
        """Put what may go into the outbox; the next offset of each partition it came from."""
        patient = monotonic() - self._moved_s < PATIENCE_S
        to_come = consumer.to_come() if patient else set()

        def backlog(topic: str, partition: int) -> bool:
            return TP(self._settings.topic(topic), partition) in to_come

        positions: dict[TP, int] = {}
        passed: Passed[Outgoing]
        for passed in self._alignment.release(backlog):
            outgoing = passed.item
            self._outbox.add(
                outgoing.topic, outgoing.partition, key=outgoing.key, value=outgoing.value
            )
            source = TP(self._settings.topic(passed.topic), passed.partition)
            positions[source] = passed.offset + 1
        return positions

    def _make_room(self, consumer: BatchConsumer, positions: dict[TP, int], epoch: int) -> None:
        for topic, batch in list(self._full.items()):
            if self._alignment.held(topic) <= self._settings.max_batch_records:
                batch.release()
                del self._full[topic]
        held_back = {self._settings.topic(topic) for topic in self._full}
        done = {tp: offset for tp, offset in positions.items() if tp.topic not in held_back}
        consumer.ledger.mark_committable(done, epoch=epoch)

    def _checked(self, topic: str, record: Record, reasons: Counter[str]) -> Waiting[Outgoing]:
        source = Source(topic, record.partition, record.offset, record.timestamp)
        raw = record.value or b""
        try:
            event = admit(
                raw,
                self._parameters,
                message_id=f"{topic}-{record.partition}-{record.offset}",
                topic=topic,
                source=source,
            )
        except Rejected as rejected:
            reasons[rejected.reason] += 1
            letter = encode_dead_letter(dead_letter(rejected, raw, step="ingest", source=source))
            # It has no time that could be relied on: it goes at once.
            return Waiting(0, record.offset, Outgoing(DEAD_LETTERS, record.partition, None, letter))
        key = event.customer.encode()
        partition = partition_for(key, self._settings.partitions)
        outgoing = Outgoing(CUSTOMER_EVENTS, partition, key, encode_event(event))
        return Waiting(event.occurred_at_ms, record.offset, outgoing)
