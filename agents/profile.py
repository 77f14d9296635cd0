"""Profile: folds `customer-events` into the customers table and emits what should happen.

The order of a batch is the guarantee: effects durable, then rows durable, then the ack. A crash
between any two of them leads to reading the batch again; rows that were written know how far they
are, and what was emitted has the same ids.
"""

import asyncio
from collections import Counter
from time import monotonic, time

from config.parameters import Parameters
from config.settings import Settings
from config.topics import (
    CUSTOMER_EVENTS,
    CUSTOMERS,
    DEAD_LETTERS,
    LABELLED_EXAMPLES,
    NEXT_BEST_ACTIONS,
    RETENTION_TRIGGERS,
)
from models.decisions.trigger import Decision, NextBestAction, encode_decision
from models.engine import Fate
from models.events.catalogue import OUTCOMES
from models.events.dead_letter import dead_letter, encode_dead_letter
from models.events.rejection import Reason, Rejected
from models.events.wire import Line, decode_line
from models.learning.examples import Lesson, encode_lesson
from models.partition import ALREADY_APPLIED, Applied, encode_state
from streams.cloud_events import decision_headers
from streams.customers_table import STATE_KEY
from streams.log_records import clock_record
from streams.metrics import Metrics
from streams.outbox import Outbox
from streams.owned_partitions import OwnedPartition, OwnedPartitions
from streams.pulse import Pulse
from streams.record_batches import PartitionSlice, Record, RecordBatch
from streams.redis_views import ProfileViews

#: The clock is written into the log when it has moved by this much.
CLOCK_STEP_MS = 1_000
#: Records folded before heartbeats and health answers get a turn.
RECORDS_PER_TURN = 500


class Profile:
    """The agent of `customer-events`."""

    def __init__(
        self,
        partitions: OwnedPartitions,
        outbox: Outbox,
        views: ProfileViews,
        pulse: Pulse,
        settings: Settings,
        parameters: Parameters,
        metrics: Metrics,
    ) -> None:
        self._partitions = partitions
        self._outbox = outbox
        self._views = views
        self._pulse = pulse
        self._settings = settings
        self._parameters = parameters
        self._metrics = metrics

    async def take(self, batch: RecordBatch) -> None:
        """Fold every record of ``batch`` and make what follows from it durable."""
        started_s = monotonic()
        tally = _Tally()
        owned = [await self._fold(piece, tally) for piece in batch.slices]
        self._pulse.require()
        if not batch.is_current:
            # Taken away meanwhile: the rows in memory are ahead of the log's owner. Nothing of it
            # is written, and whoever owns the partitions reads the batch again.
            self._outbox.discard()
            self._partitions.forget(piece.partition for piece in batch.slices)
            return
        await self._outbox.flush()
        self._pulse.require()
        changed = self._write_rows(owned)
        await self._outbox.flush()
        batch.ack()
        self._views.offer(changed)
        self._count(tally)
        self._metrics.observe_batch(CUSTOMER_EVENTS, len(batch), monotonic() - started_s)

    async def _fold(self, piece: PartitionSlice, tally: "_Tally") -> OwnedPartition:
        owned = await self._partitions.open(piece.partition, piece.first_offset)
        for index, record in enumerate(piece.records, 1):
            await self._apply(owned, record, tally)
            if not index % RECORDS_PER_TURN:
                await asyncio.sleep(0)
        self._write_clock(owned)
        return owned

    async def _apply(self, owned: OwnedPartition, record: Record, tally: "_Tally") -> None:
        raw = record.value or b""
        try:
            line = decode_line(raw)
            if line.type == "model":
                await self._partitions.snapshots.fetch(line.version or 0, line.sha256 or "")
            applied = owned.fold.apply(record.offset, line)
        except Rejected as rejected:
            # Not written by ingest; it changes nothing, in a replay either.
            self._refuse(owned, record, rejected, step="profile", tally=tally)
            owned.fold.skip(record.offset)
            return
        tally.reread += applied is ALREADY_APPLIED
        if applied.fate is not None:
            owned.last_event_s = monotonic()
            topic = line.source.topic if line.source is not None else CUSTOMER_EVENTS
            tally.fates[topic, str(applied.fate)] += 1
            if applied.event is not None and applied.event.name in OUTCOMES:
                tally.outcomes[OUTCOMES[applied.event.name]] += applied.fate is Fate.APPLIED
        if applied.fate is Fate.LATE:
            late = Rejected(Reason.TOO_LATE, "$.timestamp", "older than time.lateness allows")
            self._refuse(owned, record, late, step="profile", tally=tally, line=line)
        self._emit(owned, applied, line, tally)

    def _emit(self, owned: OwnedPartition, applied: Applied, line: Line, tally: "_Tally") -> None:
        for effect in applied.effects:
            if isinstance(effect, Lesson):
                self._outbox.add(LABELLED_EXAMPLES, 0, key=None, value=encode_lesson(effect))
            else:
                self._emit_decision(owned, effect, line, tally)

    def _emit_decision(
        self, owned: OwnedPartition, decision: Decision, line: Line, tally: "_Tally"
    ) -> None:
        received_at_ms = None
        # A deadline that ran before an event was not caused by it.
        if decision.cause.message_id is not None and line.source is not None:
            received_at_ms = line.source.received_at
            tally.received_at_ms.append(received_at_ms)
        is_action = isinstance(decision, NextBestAction)
        tally.count_decision(decision)
        self._outbox.add(
            NEXT_BEST_ACTIONS if is_action else RETENTION_TRIGGERS,
            owned.fold.number,
            key=decision.user_id.encode(),
            value=encode_decision(decision),
            headers=decision_headers(decision, received_at_ms),
        )

    def _refuse(
        self,
        owned: OwnedPartition,
        record: Record,
        rejected: Rejected,
        *,
        step: str,
        tally: "_Tally",
        line: Line | None = None,
    ) -> None:
        tally.reasons[str(rejected.reason)] += 1
        letter = dead_letter(
            rejected, record.value or b"", step=step, source=line.source if line else None
        )
        self._outbox.add(
            DEAD_LETTERS, owned.fold.number, key=record.key, value=encode_dead_letter(letter)
        )

    def _write_clock(self, owned: OwnedPartition) -> None:
        """Put the time that events have reached into the log."""
        clock_ms = owned.fold.state.latest_ms - self._parameters.time.disorder
        self.write_clock(owned, clock_ms, self._outbox)

    @staticmethod
    def write_clock(owned: OwnedPartition, clock_ms: int, outbox: Outbox) -> bool:
        """Add a clock record to ``outbox`` if the clock has moved by a step; whether it did."""
        if clock_ms < max(owned.fold.state.clock_ms, owned.clock_written_ms) + CLOCK_STEP_MS:
            return False
        owned.clock_written_ms = clock_ms
        outbox.add(CUSTOMER_EVENTS, owned.fold.number, key=None, value=clock_record(clock_ms))
        return True

    def _write_rows(self, owned: list[OwnedPartition]) -> list[str]:
        changed: list[str] = []
        for partition in owned:
            number = partition.fold.number
            for key, value in partition.rows.drain():
                self._outbox.add(CUSTOMERS, number, key=key, value=value)
                changed.append(key.decode())
            state = encode_state(partition.fold.state)
            # After its rows: a state in the changelog says that the rows up to it are there.
            self._outbox.add(CUSTOMERS, number, key=STATE_KEY, value=state)
        return changed

    def _count(self, tally: "_Tally") -> None:
        self._metrics.count_events(tally.fates)
        self._metrics.count_dead_letters(tally.reasons)
        self._metrics.count_decisions(tally.decisions, tally.suppressed, tally.outcomes)
        self._metrics.reread_records.inc(tally.reread)
        now_ms = time() * 1_000
        for received_at_ms in tally.received_at_ms:
            self._metrics.event_to_trigger.observe(max(now_ms - received_at_ms, 0.0) / 1_000)


class _Tally:
    """What a batch counts, for the metrics once it is done."""

    def __init__(self) -> None:
        self.fates: Counter[tuple[str, str]] = Counter()
        self.reasons: Counter[str] = Counter()
        self.decisions: Counter[tuple[str, str]] = Counter()
        self.suppressed: Counter[tuple[str, str]] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.received_at_ms: list[int] = []
        self.reread = 0

    def count_decision(self, decision: Decision) -> None:
        """Count a decision by kind and fate, and the actions it passed over by the gate."""
        if isinstance(decision, NextBestAction):
            self.decisions[decision.kind, decision.group] += 1
            self.suppressed.update((other.action, other.by) for other in decision.suppressed)
        else:
            self.decisions[decision.kind, "fired"] += 1
