"""Profile: folds `customer-events` into the customers table and emits the effects.

The order of writes in a batch gives the delivery guarantee: effects durable, then rows durable,
then the ack. After a crash between two of them the batch is read again: rows know the last offset
that was applied to them, and repeated effects have the same ids.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from config.parameters import Parameters
from config.settings import Settings
from config.topics import (
    CUSTOMER_EVENTS,
    CUSTOMERS,
    DEAD_LETTERS,
    DECISION_LEDGER,
    DELIVERED_TOPICS,
)
from models.applied import ALREADY_APPLIED, Applied
from models.customer.contacts import CONTACTS, OUTCOMES, Outcome, decided_contact
from models.customer.labels import Dropped
from models.engine import Effect, Fate
from models.events.dead_letter import dead_letter, encode_dead_letter
from models.events.erasure_record import Erased, encode_notice, notice_of
from models.events.event import Event, Source
from models.events.line import Line
from models.events.link_record import FORWARDED, GRAFT, LEFT, LinkRecord
from models.events.rejection import Reason, Rejected
from models.learning.lessons import DayEnd, Tally, Taught
from streams.cloud_events import decision_headers, notice_headers
from streams.kafka_clients import partition_for
from streams.log_records import clock_record, is_event_to_come, log_line_of
from streams.metrics import Metrics
from streams.outbox import Headers, Outbox
from streams.outputs import OUTPUTS, Output
from streams.own_events import OwnEvents
from streams.owned_partitions import OwnedPartition, OwnedPartitions
from streams.profile_views import ProfileViews
from streams.pulse import Pulse
from streams.record_batches import PartitionSlice, Record, RecordBatch
from streams.set_aside import SetAside

if TYPE_CHECKING:
    # OpenTelemetry is optional.
    from streams.tracing import TracedStep, Traces

#: The clock is written into the log when it has advanced by at least this much.
CLOCK_STEP_MS = 1_000
#: Records folded before heartbeats, health answers and ingest get a turn. Turns of 50 are not
#: faster (ADR 95).
RECORDS_PER_TURN = 500
#: Lessons that concern no single customer. A tuple, because ``isinstance`` with a union would
#: create the union for each effect.
_OF_NOBODY = (Tally, DayEnd)


class ProfileAgent:
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
        traces: "Traces | None" = None,
    ) -> None:
        self._traces = traces
        #: Ingest in this process reports what it writes to the log, so that it need not be decoded
        #: again.
        self.own = OwnEvents()
        self._partitions = partitions
        self._outbox = outbox
        self._views = views
        self._pulse = pulse
        self._settings = settings
        self._set_aside = SetAside.of(settings)
        self._parameters = parameters
        self._metrics = metrics
        metrics.expect(
            (rule.channel for rule in parameters.actions.actions),
            (rule.name for rule in parameters.triggers.triggers),
        )

    async def take(self, batch: RecordBatch) -> None:
        """Fold every record of ``batch``, and make its effects and rows durable."""
        started_s = monotonic()
        counts = _Counts()
        opened = await self._open(batch.slices)
        owned = [await self._fold(*one, counts) for one in zip(opened, batch.slices, strict=True)]
        self._pulse.require()
        if not batch.is_current:
            # The partitions were revoked meanwhile. Their new owner reads the batch again, so
            # nothing of it is written, and the rows in memory are dropped.
            self._outbox.discard()
            self._partitions.forget(piece.partition for piece in batch.slices)
            return
        await self._outbox.flush()
        self._pulse.require()
        changed, gone = self._write_rows(owned)
        await self._outbox.flush()
        batch.ack()
        for step in counts.steps:
            step.end()
        self._views.offer(changed)
        self._views.remove(gone)
        self._count(counts)
        self._metrics.observe_batch(CUSTOMER_EVENTS, len(batch), monotonic() - started_s)

    async def _open(self, slices: Sequence[PartitionSlice]) -> list[OwnedPartition]:
        opened = [await self._partitions.open(one.partition, one.first_offset) for one in slices]
        begun = [owned for owned in opened if owned.archive is not None and owned.archive.is_new]
        if not begun:
            return opened
        # New secrets are written and then read back, so that all workers that generated some
        # continue with the same ones.
        for owned in begun:
            self._write_state(owned)
        await self._outbox.flush()
        self._partitions.forget(owned.fold.number for owned in begun)
        return [await self._partitions.open(one.partition, one.first_offset) for one in slices]

    async def _fold(
        self, owned: OwnedPartition, piece: PartitionSlice, counts: "_Counts"
    ) -> OwnedPartition:
        # An archive stores lines, so they must be read from the record.
        read_own = self.own.read if owned.archive is None else _read_none
        now_ms, events = int(time() * 1_000), counts.fates.total()
        for index, record in enumerate(piece.records, 1):
            if self._traces is not None:
                self._trace(self._traces, record, counts)
            event = read_own(record.value)
            if event is None or is_event_to_come(event, now_ms):
                await self._fold_line(owned, record, counts)
            else:
                applied = owned.fold.fold(record.offset, event, moves_clock=True)
                self._settle(owned, record, applied, event.source, counts)
            if not index % RECORDS_PER_TURN:
                await asyncio.sleep(0)
        if counts.fates.total() > events:
            owned.last_event_s = monotonic()
        if owned.archive is not None:
            owned.archive.write_to(self._outbox)
        return owned

    async def _fold_line(self, owned: OwnedPartition, record: Record, counts: "_Counts") -> None:
        line = self._read(owned, record, counts)
        if line is None:
            return
        if owned.fold.adopts(record.offset, line):
            await self._partitions.snapshots.fetch(line.version or 0, line.sha256 or "")
        try:
            applied = owned.apply(record.offset, line, record.value or b"")
        except Rejected as rejected:
            self._pass_over(owned, record, rejected, counts, line)
            return
        self._settle(owned, record, applied, line.source, counts)

    def _read(self, owned: OwnedPartition, record: Record, counts: "_Counts") -> Line | None:
        """The line in a record; None if ingest did not write the record."""
        try:
            return log_line_of(record, self._set_aside)
        except Rejected as rejected:
            self._pass_over(owned, record, rejected, counts, None)
            return None

    def _pass_over(
        self,
        owned: OwnedPartition,
        record: Record,
        rejected: Rejected,
        counts: "_Counts",
        line: Line | None,
    ) -> None:
        """Skip a record that ingest did not write, as a replay does."""
        self._refuse(owned, record, rejected, step="profile", counts=counts, source=None)
        owned.skip(record.offset, line)

    def _settle(
        self,
        owned: OwnedPartition,
        record: Record,
        applied: Applied,
        source: Source | None,
        counts: "_Counts",
    ) -> None:
        """Count the result of a record, and write its effects."""
        if applied.refused is not None:
            refused = applied.refused
            self._refuse(owned, record, refused, step="profile", counts=counts, source=source)
        counts.reread += applied is ALREADY_APPLIED
        if (fate := applied.fate) is not None:
            topic = source.topic if source is not None else CUSTOMER_EVENTS
            counts.fates[topic, str(fate)] += 1
            if fate is Fate.LATE:
                late = Rejected(Reason.TOO_LATE, "$.timestamp", "older than time.lateness allows")
                self._refuse(owned, record, late, step="profile", counts=counts, source=source)
        if (outcome := applied.outcome) is not None:
            self._count_outcome(owned, outcome, counts)
        for kind in applied.rehearsed:
            counts.decisions[kind, "rehearsed"] += 1
        for why, count in applied.dropped:
            counts.dropped_labels[why] += count
        for effect in applied.effects:
            self._emit(owned, effect, source, counts)

    @staticmethod
    def _trace(traces: "Traces", record: Record, counts: "_Counts") -> None:
        """Let the effects of a traced record carry its trace on."""
        counts.carried = ()
        if record.headers:
            about = {"partition": record.partition, "offset": record.offset}
            if (step := traces.follow("profile", record.headers, about)) is not None:
                counts.carried = step.headers
                counts.steps.append(step)

    @staticmethod
    def _count_outcome(owned: OwnedPartition, event: Event, counts: "_Counts") -> None:
        """Count an outcome as a success only if it belongs to a decision that was to be carried
        out.
        """
        row = owned.rows.get(event.customer)
        contact = decided_contact(row.read(CONTACTS), event) if row is not None else None
        if contact is None:
            # In history, outcomes name the decisions of other systems.
            if not owned.fold.context.is_rehearsal and not event.historical:
                counts.unknown_outcomes += 1
        elif contact.treated:
            counts.outcomes[OUTCOMES[event.name]] += 1
        elif contact.outcome == Outcome.CONTAMINATED:
            counts.control_treated[contact.channel] += 1

    def _emit(
        self, owned: OwnedPartition, effect: Effect, source: Source | None, counts: "_Counts"
    ) -> None:
        if isinstance(effect, Erased):
            self._tell_readers(owned, effect)
            return
        output = OUTPUTS[type(effect)]
        headers: Headers = ()
        if output.type_name is not None:
            headers = [
                *self._headers(effect, output.type_name(effect), source, counts),
                *counts.carried,
            ]
        counts.count(effect, output)
        if isinstance(effect, Taught) and not isinstance(effect, _OF_NOBODY):
            owned.taught_ms = max(owned.taught_ms, effect.timestamp_ms)
        number, key, value = owned.fold.number, output.key(effect), output.encode(effect)
        place = number if output.is_partitioned else 0
        if output.is_of_key:
            place = partition_for(key or b"", self._settings.partitions)
        self._outbox.add(output.topic, place, key=key, value=value, headers=headers)
        if output.ledger_key is not None:
            self._outbox.add(DECISION_LEDGER, number, key=output.ledger_key(effect), value=value)

    def _tell_readers(self, owned: OwnedPartition, erased: Erased) -> None:
        """Write to the partition of the customer's decisions, so that it comes after all of
        them.
        """
        notice = notice_of(erased, owned.graves.fingerprints.of(erased.customer))
        key, headers = notice.fingerprint.encode(), notice_headers(notice)
        for topic in DELIVERED_TOPICS:
            self._outbox.add(
                topic, owned.fold.number, key=key, value=encode_notice(notice), headers=headers
            )

    def _headers(
        self, decision: Any, type_name: str, source: Source | None, counts: "_Counts"
    ) -> Headers:
        received_at_ms = None
        # A deadline that ran before an event was not caused by that event.
        if decision.cause.message_id is not None and source is not None:
            received_at_ms = source.received_at
            counts.received_at_ms.append(received_at_ms)
        return decision_headers(decision, type_name, received_at_ms)

    def _refuse(
        self,
        owned: OwnedPartition,
        record: Record,
        rejected: Rejected,
        *,
        step: str,
        counts: "_Counts",
        source: Source | None,
    ) -> None:
        counts.refused[str(rejected.reason), rejected.path, rejected.fix] += 1
        letter = dead_letter(rejected, record.value or b"", step=step, source=source)
        self._outbox.add(
            DEAD_LETTERS, owned.fold.number, key=record.key, value=encode_dead_letter(letter)
        )

    @staticmethod
    def write_clock(owned: OwnedPartition, clock_ms: int, outbox: Outbox) -> bool:
        """Add a clock record to ``outbox`` if the clock advanced by `CLOCK_STEP_MS`; return whether
        it did.
        """
        if clock_ms < max(owned.fold.state.clock_ms, owned.clock_written_ms) + CLOCK_STEP_MS:
            return False
        owned.clock_written_ms = clock_ms
        outbox.add(CUSTOMER_EVENTS, owned.fold.number, key=None, value=clock_record(clock_ms))
        return True

    def _write_rows(self, owned: list[OwnedPartition]) -> tuple[list[str], list[str]]:
        """Add changed rows to the outbox; return the changed customers and the deleted ones."""
        changed: list[str] = []
        gone: list[str] = []
        for partition in owned:
            number = partition.fold.number
            # Before the rows that they replace: recovery handles a grave whose row is not deleted
            # yet.
            for key, value, headers in partition.graves.drain():
                self._outbox.add(CUSTOMERS, number, key=key, value=value, headers=headers)
            for key, value, headers in partition.rows.drain():
                self._outbox.add(CUSTOMERS, number, key=key, value=value, headers=headers)
                (gone if value is None else changed).append(key.decode())
            partition.settle()
            # After the rows: a state in the changelog implies that the rows up to it are there.
            self._write_state(partition)
        return changed, gone

    def _write_state(self, owned: OwnedPartition) -> None:
        key, value, headers = owned.state_record()
        self._outbox.add(CUSTOMERS, owned.fold.number, key=key, value=value, headers=headers)

    def _count(self, counts: "_Counts") -> None:
        self._metrics.count_events(counts.fates)
        self._metrics.count_dead_letters(counts.refused)
        self._metrics.count_decisions(counts.decisions, counts.suppressed, counts.outcomes)
        self._metrics.count_links(counts.links, counts.told[LEFT], counts.told[FORWARDED])
        self._metrics.count_dropped_labels(counts.dropped_labels)
        self._metrics.count_strays(counts.control_treated, counts.unknown_outcomes)
        self._metrics.reread_records.inc(counts.reread)
        now_ms = time() * 1_000
        for received_at_ms in counts.received_at_ms:
            self._metrics.event_to_trigger.observe(max(now_ms - received_at_ms, 0.0) / 1_000)


def _read_none(_value: bytes | None) -> None:
    return None


class _Counts:
    """The counts of a batch, added to the metrics at its end."""

    def __init__(self) -> None:
        self.fates: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[tuple[str, str, str]] = Counter()
        self.decisions: Counter[tuple[str, str]] = Counter()
        self.suppressed: Counter[tuple[str, str]] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.control_treated: Counter[str] = Counter()
        self.links: Counter[str] = Counter()
        self.told: Counter[str] = Counter()
        self.dropped_labels: Counter[Dropped] = Counter()
        self.unknown_outcomes = 0
        self.received_at_ms: list[int] = []
        self.reread = 0
        #: Traced records of the batch, and the headers that effects of the present record carry.
        self.steps: list[TracedStep] = []
        self.carried: Headers = ()

    def count(self, effect: Effect, output: Output) -> None:
        """Count an effect by kind and fate, and the actions it rejected by gate."""
        if isinstance(effect, LinkRecord):
            self.told[effect.kind] += 1
            if effect.kind == GRAFT and not effect.said.again:
                self.links[effect.said.by] += 1
            return
        if output.fate is not None:
            self.decisions[output.fate(effect)] += 1
        for passed_over in output.passed_over(effect):
            self.suppressed[passed_over] += 1
