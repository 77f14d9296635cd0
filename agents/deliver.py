"""Deliver: triggers from Kafka to the Redis streams that marketing automation reads.

It reads its own topic with its own position, so that a Redis that is down delays deliveries and
nothing else.
"""

import asyncio
import logging
from time import monotonic

import msgspec

from config.topics import RETENTION_TRIGGERS
from models.decisions.trigger import Trigger
from streams.metrics import Metrics
from streams.record_batches import RecordBatch
from streams.redis_views import TriggerStreams

log = logging.getLogger(__name__)

RETRY_S_MAX = 5.0

_decode = msgspec.json.Decoder(Trigger).decode


class Deliver:
    """The agent of `retention-triggers`."""

    def __init__(self, streams: TriggerStreams, metrics: Metrics) -> None:
        self._streams = streams
        self._metrics = metrics

    async def take(self, batch: RecordBatch) -> None:
        """Append every trigger to its stream; try until Redis takes them or the batch is gone."""
        started_s = monotonic()
        triggers = []
        for record in batch:
            try:
                decided = _decode(record.value or b"")
            except msgspec.DecodeError:
                log.warning("left out a record at offset %d that is no trigger", record.offset)
                continue
            triggers.append((str(decided.kind), decided.id, record.value or b""))
        wait_s = 0.1
        while triggers and not await self._streams.append(triggers):
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, RETRY_S_MAX)
            if not batch.is_current:
                return
        batch.ack()
        self._metrics.observe_batch(RETENTION_TRIGGERS, len(batch), monotonic() - started_s)
