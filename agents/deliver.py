"""Deliver: triggers from Kafka to the Redis streams that marketing automation reads.

It reads its own topic with its own position, so that a Redis that is down delays deliveries and
nothing else.
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

import msgspec

from config.topics import RETENTION_TRIGGERS
from models.decisions.trigger import Trigger
from streams.metrics import Metrics
from streams.record_batches import RecordBatch
from streams.redis_views import TriggerStreams

log = logging.getLogger(__name__)

RETRY_S = 0.5

_decode = msgspec.json.Decoder(Trigger).decode


class Deliver:
    """The agent of `retention-triggers`."""

    def __init__(
        self, streams: TriggerStreams, metrics: Metrics, is_leaving: Callable[[], bool]
    ) -> None:
        self._streams = streams
        self._metrics = metrics
        self._is_leaving = is_leaving
        self._left_epoch = -1

    async def take(self, batch: RecordBatch) -> None:
        """Append every trigger to its stream; try until Redis takes them or the batch is gone.

        A worker that leaves, or whose group rebalances, does not wait for Redis: all its
        partitions would wait with it.
        """
        if batch.epoch == self._left_epoch:
            # After one that was let go of: to ack this one would commit that one, too.
            batch.release()
            return
        started_s = monotonic()
        triggers = []
        for record in batch:
            try:
                decided = _decode(record.value or b"")
            except msgspec.DecodeError:
                log.warning("left out a record at offset %d that is no trigger", record.offset)
                continue
            triggers.append((str(decided.kind), decided.id, record.value or b""))
        while triggers and not await self._streams.append(triggers):
            if self._is_leaving():
                self._left_epoch = batch.epoch
                batch.release()
                return
            await asyncio.sleep(RETRY_S)
            if not batch.is_current:
                return
        batch.ack()
        self._metrics.observe_batch(RETENTION_TRIGGERS, len(batch), monotonic() - started_s)
