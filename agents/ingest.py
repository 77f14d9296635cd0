"""Ingest: reads raw topics, writes checked events to `customer-events` in the order of event time.

It keeps no durable state. Records that it holds back are not committed, so they are read again
after a crash; the fold drops events that were written twice, by their source.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from time import monotonic, time
from typing import TYPE_CHECKING

from faust.types import TP
from msgspec.structs import replace

from config.parameters import Parameters
from config.settings import Settings
from config.topics import CUSTOMER_EVENTS, LABELLED_EXAMPLES, RAW_TOPICS
from models.catalogue import MISSPELT, nearest_known_name
from models.events.rejection import Rejected
from streams import pacing
from streams.alignment import NO_DOUBT, Alignment, Backlog, Doubt, Queued
from streams.batch_consumer import BatchConsumer, LogEnd
from streams.log_records import clock_record
from streams.metrics import Metrics
from streams.outbox import Headers, Outbox
from streams.own_events import OwnEvents
from streams.pacing import Pace, Standings, Turn
from streams.raw_records import Outgoing, outgoing_of
from streams.record_batches import Record, RecordBatch
from streams.topic_identity import generation_of

if TYPE_CHECKING:
    # OpenTelemetry is optional.
    from streams.tracing import TracedStep, Traces

log = logging.getLogger(__name__)

#: After this long without progress, the other topics no longer wait for a topic whose records don't
#: arrive. They run ahead of it, but not so far that its records would be late ...
PATIENCE_S = 10.0
#: ... and after this long without any limit, until it delivers records: a partition without a
#: leader must not stop the shop.
GIVE_UP_S = 120.0
#: Records checked before other tasks get a turn. Yielding after each partition's few records would
#: pass events on in small pieces.
RECORDS_PER_TURN = 100
#: Seconds between checks while waiting for a topic: the broker may report that it has no more.
LOOK_S = 0.05


class _Counts:
    """The counts of a batch: refused events by (reason, path, fix), misspelt event names by the
    name that was meant, events whose consent can't be read; and the steps of its traced events.
    """

    def __init__(self) -> None:
        self.refused: Counter[tuple[str, str, str]] = Counter()
        self.misnamed: Counter[str] = Counter()
        self.unread_consents = 0
        #: Trace steps, by the headers of the outgoing records.
        self.steps: dict[Headers, TracedStep] = {}


class IngestAgent:
    """The agents of the raw topics, and the task that passes their events on.

    ``standings``: the progress of the worker's own partitions of the log that rehearse. ``own``:
    told of the events written to the log, if this process folds them, too. ``is_leaving``: whether
    partitions are about to be revoked. No more records arrive then, so the records held back are
    dropped: without the missing ones they would be passed on out of order.
    """

    def __init__(
        self,
        outbox: Outbox,
        settings: Settings,
        parameters: Parameters,
        metrics: Metrics,
        is_leaving: Callable[[], bool],
        standings: Standings,
        traces: "Traces | None" = None,
        own: OwnEvents | None = None,
    ) -> None:
        times = parameters.time
        self._pace = Pace(standings, disorder_ms=times.disorder, lateness_ms=times.lateness)
        self._outbox = outbox
        self._settings = settings
        self._parameters = parameters
        self._metrics = metrics
        self._is_leaving = is_leaving
        self._alignment: Alignment[Outgoing] = Alignment(RAW_TOPICS)
        #: The raw topics by their full names.
        self._raw = {settings.topic(topic): topic for topic in RAW_TOPICS}
        self._epoch = self._left_epoch = -1
        self._full: dict[str, RecordBatch] = {}
        self._passed: dict[TP, int] = {}
        self._arrived = asyncio.Event()
        self._moved_s = monotonic()
        #: The raw (topic, partition) that nobody waits for until they deliver records again.
        self._given_up: set[tuple[str, int]] = set()
        self._traces = traces
        self._own = own
        #: Steps of traced events that wait for their turn, and of those that were passed on.
        self._steps: dict[Headers, TracedStep] = {}
        self._passed_steps: list[TracedStep] = []

    async def take(self, topic: str, batch: RecordBatch) -> None:
        """Check every record of ``batch`` and queue it for its turn."""
        started_s = monotonic()
        counts, generation = _Counts(), generation_of(batch.topic_id)
        # The broker's clock may be ahead of this one.
        taken_ms = int(time() * 1_000)
        checked: list[tuple[int, list[Queued[Outgoing]]]] = []
        this_turn = 0
        for piece in batch.slices:
            waiting = [
                self._checked(topic, record, generation, counts, taken_ms)
                for record in piece.records
            ]
            checked.append((piece.partition, waiting))
            this_turn += len(waiting)
            if this_turn >= RECORDS_PER_TURN:
                this_turn = 0
                await asyncio.sleep(0)
        self._line_up(topic, batch, checked, counts.steps)
        self._metrics.count_events({(topic, "dead_letter"): counts.refused.total()})
        self._metrics.count_dead_letters(counts.refused)
        self._metrics.count_misnamed(counts.misnamed)
        self._metrics.unread_consents.inc(counts.unread_consents)
        self._metrics.observe_batch(topic, len(batch), monotonic() - started_s)

    async def pass_on(self, consumer: BatchConsumer) -> None:
        """Pass records on when their turn has come, until cancelled."""
        while True:
            epoch = self._epoch
            if self._is_leaving() or epoch != consumer.ledger.epoch:
                self._let_go()
            elif self._send_ready(consumer):
                await self._outbox.flush()
                self._end_steps()
                self._moved_s = monotonic()
                self._commit(consumer, epoch)
                continue
            self._make_room(consumer)
            self._arrived.clear()
            try:
                # If no record is held back, wait until one arrives.
                wait_s = LOOK_S if len(self._alignment) else None
                await asyncio.wait_for(self._arrived.wait(), wait_s)
            except TimeoutError:
                continue

    def _line_up(
        self,
        topic: str,
        batch: RecordBatch,
        checked: list[tuple[int, list[Queued[Outgoing]]]],
        steps: "dict[Headers, TracedStep]",
    ) -> None:
        """Queue all records of a batch at once, so that none is sent before all are queued."""
        if not batch.is_current:
            return
        if batch.epoch == self._left_epoch:
            # An earlier batch was dropped, so passing on this one would leave a gap.
            batch.release()
            return
        if batch.epoch != self._epoch:
            self._let_go()
            self._epoch = batch.epoch
        if not len(self._alignment):
            # No record was waiting, so patience starts now: neither an idle hour nor the time it
            # took to join the group counts.
            self._moved_s = monotonic()
        for partition, waiting in checked:
            self._alignment.offer(topic, partition, waiting)
            self._given_up.discard((topic, partition))
        self._steps.update(steps)
        if self._alignment.held(topic) > self._settings.max_batch_records:
            # The queue is full: read the topic's next batch after enough of this one was passed on.
            self._full[topic] = batch
        else:
            batch.release()
        self._arrived.set()

    def _let_go(self) -> None:
        """Drop the records held back: they are uncommitted, so the next owner reads them again."""
        for batch in self._full.values():
            batch.release()
        self._full.clear()
        self._passed.clear()
        self._alignment.clear()
        self._pace.clear()
        self._given_up.clear()
        self._steps.clear()
        self._left_epoch = self._epoch

    def _to_come(self, consumer: BatchConsumer, ends: Mapping[TP, LogEnd]) -> set[tuple[str, int]]:
        """The raw (topic, partition) with records that are not queued yet: records of a batch that
        is being checked, and records still in the log, except where the others have waited too
        long.
        """
        names = self._raw
        to_come = {
            (names[batch.topic], piece.partition)
            for batch in consumer.ledger.in_flight
            if batch.topic in names and batch is not self._full.get(names[batch.topic])
            for piece in batch.slices
        }
        in_log = {(names[tp.topic], tp.partition) for tp, end in ends.items() if end.has_more}
        # A partition without further records was read to its end, and is waited for again.
        self._given_up &= in_log
        if len(self._alignment) and monotonic() - self._moved_s >= GIVE_UP_S:
            self._give_up(in_log - to_come)
        return to_come | (in_log - self._given_up)

    def _give_up(self, in_log: set[tuple[str, int]]) -> None:
        """Stop waiting for partitions whose records are in the log but don't arrive."""
        given_up = self._alignment.missing(in_log - self._given_up)
        for topic, partition in sorted(given_up):
            log.warning(
                "%s-%d has given nothing for %d s, though it may have records, while others wait "
                "for them: events of other topics go on without it, and its own may come late. See "
                "that it has a leader (`keepstream doctor`)",
                self._settings.topic(topic), partition, GIVE_UP_S,
            )  # fmt: skip
        self._given_up |= given_up

    def _send_ready(self, consumer: BatchConsumer) -> bool:
        """Put the records whose turn has come into the outbox; return whether there were any."""
        if not len(self._alignment):
            return False
        ends = consumer.ends(self._raw)
        to_come = self._to_come(consumer, ends)
        is_patient = monotonic() - self._moved_s < PATIENCE_S
        doubt = self._doubt(ends) if is_patient else NO_DOUBT
        turn = self._turn(to_come, doubt)
        # A record no more than this far ahead of the other topics makes none of their records late.
        leeway_ms = 0 if is_patient else self._parameters.time.lateness
        add, reached = self._outbox.add, {}
        released = self._alignment.release(_backlog(to_come), turn.until_ms, leeway_ms, doubt)
        for passed in released:
            outgoing = passed.item
            add(
                outgoing.topic,
                outgoing.partition,
                key=outgoing.key,
                value=outgoing.value,
                headers=outgoing.headers,
            )
            if outgoing.headers:
                self._passed_steps.append(self._steps.pop(outgoing.headers))
            reached[passed.topic, passed.partition] = passed.offset + 1
        for (topic, partition), offset in reached.items():
            self._passed[TP(self._settings.topic(topic), partition)] = offset
        return bool(released or turn.partitions)

    def _doubt(self, ends: Mapping[TP, LogEnd]) -> Doubt:
        """How far to trust that a topic has no more records. The broker's last answer may be old,
        because a topic is not polled while its earlier batch is processed; and an event published
        just now may not have reached every topic. A record no more than the leeway ahead makes none
        of theirs late.
        """
        names = self._raw
        answered_ms = {(names[tp.topic], tp.partition): end.answered_ms for tp, end in ends.items()}
        leeway_ms = self._parameters.time.lateness // 2
        known_ms = self._alignment.known_ms(answered_ms)
        return Doubt(known_ms, leeway_ms, time() * 1_000 - leeway_ms)

    def _turn(self, to_come: set[tuple[str, int]], doubt: Doubt) -> Turn:
        """Decide how far to go now; put the clock records that come first into the outbox."""
        next_ms = self._alignment.next_ms(to_come, doubt)
        turn = self._pace.turn(next_ms, int(time() * 1_000), monotonic())
        if turn.until_ms < 0:
            # The trainer is waited for, so no topic keeps the others waiting.
            self._moved_s = monotonic()
        if turn.given_up:
            log.warning(
                "history goes on without waiting for the trainer: nothing was learnt of partitions "
                "%s for %d s. Until it gets on, decisions are made by the model there is; see the "
                "log of the worker that owns %s",
                ", ".join(map(str, turn.given_up)), pacing.PATIENCE_S,
                self._settings.topic(LABELLED_EXAMPLES),
            )  # fmt: skip
        for number in turn.partitions:
            record = clock_record(turn.day_end_ms)
            self._outbox.add(CUSTOMER_EVENTS, number, key=None, value=record)
        return turn

    def _commit(self, consumer: BatchConsumer, epoch: int) -> None:
        """Mark the positions of the records that were passed on as committable."""
        if not epoch == self._epoch == consumer.ledger.epoch:
            return
        self._make_room(consumer)
        held_back = {self._settings.topic(topic) for topic in self._full}
        done = {tp: offset for tp, offset in self._passed.items() if tp.topic not in held_back}
        consumer.ledger.mark_committable(done, epoch=epoch)
        for tp in done:
            del self._passed[tp]

    def _make_room(self, consumer: BatchConsumer) -> None:
        """Continue reading a full topic when enough of it was passed on, or when other topics wait
        for it: they may wait for one of its partitions that has no records in the queue.
        """
        if not self._full:
            return
        awaited = self._alignment.awaited(self._to_come(consumer, consumer.ends(self._raw)))
        for topic, batch in list(self._full.items()):
            if topic in awaited or self._alignment.held(topic) <= self._settings.max_batch_records:
                batch.release()
                del self._full[topic]

    def _checked(
        self,
        topic: str,
        record: Record,
        generation: str | None,
        counts: "_Counts",
        taken_ms: int,
    ) -> Queued[Outgoing]:
        outgoing, found = outgoing_of(
            topic, record, generation, self._parameters, self._settings.partitions
        )
        if self._traces is not None and record.headers:
            outgoing = _traced(self._traces, topic, record, outgoing, counts)
        if isinstance(found, Rejected):
            counts.refused[str(found.reason), found.path, found.fix] += 1
            # A refused record has no reliable time, so it goes at once.
            return Queued(0, record.offset, outgoing)
        if self._own is not None:
            self._own.wrote(outgoing.value, found)
        if found.kind is MISSPELT:
            counts.misnamed[nearest_known_name(found.name) or ""] += 1
        counts.unread_consents += found.has_unread_consent
        published_ms = min(record.timestamp, taken_ms)
        return Queued(found.occurred_at_ms, record.offset, outgoing, published_ms)

    def _end_steps(self) -> None:
        for step in self._passed_steps:
            step.end()
        self._passed_steps.clear()


def _backlog(to_come: set[tuple[str, int]]) -> Backlog:
    return lambda topic, partition: (topic, partition) in to_come


def _traced(
    traces: "Traces", topic: str, record: Record, outgoing: Outgoing, counts: _Counts
) -> Outgoing:
    """The record to write. It carries the trace on if the incoming record has one."""
    about: dict[str, str | int] = {
        "topic": topic,
        "partition": record.partition,
        "offset": record.offset,
        "to": outgoing.topic,
    }
    step = traces.follow("ingest", record.headers, about)
    if step is None:
        return outgoing
    counts.steps[step.headers] = step
    return replace(outgoing, headers=step.headers)
