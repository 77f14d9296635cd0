"""Deliver: decisions from Kafka to the Redis streams that marketing automation reads.

It reads its own topic at its own position, so that a Redis outage delays only deliveries.
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

import msgspec

from models.decisions.trigger import Decision, decode_decision, does_nothing
from streams.metrics import Metrics
from streams.record_batches import RecordBatch
from streams.redis_views import TriggerStreams

log = logging.getLogger(__name__)

RETRY_S = 0.5


class DeliverAgent:
    """The agent of one topic of decisions."""

    def __init__(
        self,
        topic: str,
        streams: TriggerStreams,
        metrics: Metrics,
        is_leaving: Callable[[], bool],
    ) -> None:
        self._topic = topic
        self._streams = streams
        self._metrics = metrics
        self._is_leaving = is_leaving
        self._left_epoch = -1

    async def take(self, batch: RecordBatch) -> None:
        """Append every decision to its stream; retry until Redis accepts them or the batch is not
        ours any more.

        A worker that leaves, or whose group rebalances, does not wait for Redis: all its
        partitions would wait with it.
        """
        if batch.epoch == self._left_epoch:
            # An earlier batch was given up: an ack of this one would commit that one, too.
            batch.release()
            return
        started_s = monotonic()
        decisions: list[tuple[Decision, bytes]] = []
        for record in batch:
            try:
                decided = decode_decision(record.value or b"")
            except (msgspec.DecodeError, UnicodeDecodeError):
                log.warning("left out a record at offset %d that is no decision", record.offset)
                continue
            # That nothing is done is for the record, and nobody's work.
            if not does_nothing(decided):
                decisions.append((decided, record.value or b""))
        while decisions and not await self._streams.append(decisions):
            if self._is_leaving():
                self._left_epoch = batch.epoch
                batch.release()
                return
            await asyncio.sleep(RETRY_S)
            if not batch.is_current:
                return
        batch.ack()
        self._metrics.observe_batch(self._topic, len(batch), monotonic() - started_s)
