"""Follows the versions of the models as they are drawn."""

import asyncio
import logging

from aiokafka.errors import KafkaError

from config.settings import Settings
from config.topics import MODEL_SNAPSHOTS
from models.model_history import POINTS_MAX, ModelHistory
from streams.kafka_clients import BrokerUnreachable, new_reader, running
from streams.topic_scan import spans_of
from streams.topics import TopicsError

log = logging.getLogger(__name__)

POLL_MS = 2_000
RETRY_S = 2.0


async def follow_models(settings: Settings, history: ModelHistory) -> None:
    """Read the latest versions and then new ones, through outages, until cancelled."""
    offset = 0
    while True:
        try:
            async with running(new_reader(settings), settings) as reader:
                [span] = await spans_of(reader, MODEL_SNAPSHOTS, settings)
                offset = max(offset, span.begin, span.end - POINTS_MAX) if offset <= span.end else 0
                reader.assign([span.partition])
                reader.seek(span.partition, offset)
                while True:
                    found = await reader.getmany(timeout_ms=POLL_MS, max_records=1)
                    for record in found.get(span.partition, ()):
                        # In a thread, so that other tasks get their turn: a snapshot may be large.
                        await asyncio.to_thread(history.add, record.value or b"")
                        offset = record.offset + 1
        except (BrokerUnreachable, KafkaError, TopicsError) as error:
            log.debug("versions of the models are not heard of: %s", error)
        await asyncio.sleep(RETRY_S)
