"""Deliver: copies decisions from Kafka to the Redis streams that marketing automation reads.

It reads the topics of decisions at its own position, so a Redis outage delays only deliveries.
Decisions that are too old by the wall clock are held back and counted: an action past its
``dueAt``, a trigger older than ``KEEPSTREAM_DELIVER_MAX_AGE``. A notice that a customer was erased
deletes that customer's delivered decisions.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from time import monotonic, time
from typing import TYPE_CHECKING

from models.decisions.trigger import decode_decision, does_nothing, is_too_old
from models.events.erasure_record import notice_in
from models.events.foreign import Foreign
from streams.graves import Fingerprints
from streams.metrics import Metrics
from streams.quarantine import Quarantine
from streams.record_batches import RecordBatch
from streams.trigger_streams import Deliverable, TriggerStreams

if TYPE_CHECKING:
    # OpenTelemetry is optional.
    from streams.tracing import TracedStep, Traces

RETRY_S = 0.5


class DeliverAgent:
    """The agent of one topic of decisions."""

    def __init__(
        self,
        topic: str,
        streams: TriggerStreams,
        metrics: Metrics,
        is_leaving: Callable[[], bool],
        max_age_ms: int,
        fingerprints: Fingerprints,
        traces: "Traces | None" = None,
    ) -> None:
        self._topic = topic
        self._traces = traces
        self._max_age_ms = max_age_ms
        self._streams = streams
        self._fingerprints = fingerprints
        self._metrics = metrics
        self._quarantine = Quarantine(metrics)
        self._is_leaving = is_leaving
        self._left_epoch = -1

    async def take(self, batch: RecordBatch) -> None:
        """Append every decision to its stream; retry until Redis accepts them or the batch was
        revoked.

        A worker that leaves, or whose group rebalances, does not wait for Redis: the handover of
        all its partitions would wait as well.
        """
        if batch.epoch == self._left_epoch:
            # An earlier batch was abandoned: acknowledging this one would commit that one, too.
            batch.release()
            return
        started_s = monotonic()
        decisions: list[Deliverable] = []
        erased: dict[bytes, int] = {}
        held_back: Counter[str] = Counter()
        steps = _traced(self._traces, batch)
        now_ms = int(time() * 1_000)
        for record in batch:
            notice = notice_in(record.value or b"")
            if notice is not None:
                erased[bytes.fromhex(notice.fingerprint)] = record.offset
                continue
            try:
                decided = decode_decision(record.value or b"")
            except Foreign as error:
                self._quarantine.leave_out(self._topic, record.partition, record.offset, str(error))
                continue
            # A decision to do nothing is only for the record; nobody acts on it.
            if does_nothing(decided):
                continue
            if is_too_old(decided, now_ms, self._max_age_ms):
                held_back[decided.kind] += 1
                continue
            if erased and self._fingerprints.of(decided.user_id) in erased:
                # The decision is about a new person with the same id: apply what came before it
                # first, so that the erasure does not delete it.
                if not await self._write(batch, decisions, erased):
                    return
                decisions, erased = [], {}
            decisions.append(Deliverable(decided, record.value or b"", self._topic, record.offset))
        if not await self._write(batch, decisions, erased):
            return
        batch.ack()
        _end(steps)
        self._metrics.count_held_back(held_back)
        self._metrics.observe_batch(self._topic, len(batch), monotonic() - started_s)

    async def _write(
        self, batch: RecordBatch, decisions: list[Deliverable], erased: dict[bytes, int]
    ) -> bool:
        """Append decisions, then delete those of erased customers; False if the batch was
        abandoned.
        """
        # Retry only what was not accepted.
        while decisions and (decisions := await self._streams.append(decisions)):
            if not await self._goes_on(batch):
                return False
        while erased and not await self._streams.erase(erased, self._topic):
            if not await self._goes_on(batch):
                return False
        return True

    async def _goes_on(self, batch: RecordBatch) -> bool:
        if self._is_leaving():
            self._left_epoch = batch.epoch
            batch.release()
            return False
        await asyncio.sleep(RETRY_S)
        return batch.is_current


def _traced(traces: "Traces | None", batch: RecordBatch) -> "list[TracedStep]":
    """A trace step for each decision whose event is traced."""
    steps: list[TracedStep] = []
    if traces is None:
        return steps
    for record in batch:
        told = {name: value.decode("ascii", "replace") for name, value in record.headers}
        about = {"decision": told.get("ce_id", ""), "type": told.get("ce_type", ""), "to": "redis"}
        if (step := traces.follow("deliver", record.headers, about)) is not None:
            steps.append(step)
    return steps


def _end(steps: "list[TracedStep]") -> None:
    for step in steps:
        step.end()
