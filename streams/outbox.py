"""Records that must all be durable before the worker continues."""

import asyncio
from collections.abc import Awaitable, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError
from aiokafka.producer.message_accumulator import BatchBuilder

from config.settings import Settings
from streams.kafka_clients import BrokerUnreachable, new_producer

#: The producer allocates a whole buffer for each batch. This is small enough for a handful of
#: records, and large enough that thousands of records don't need a thousand requests.
BUFFER_BYTES = 64 * 1024
#: A dead letter holds its event in base64, and the event may be as large as the broker accepts.
REQUEST_BYTES_MAX = 4 * 1024 * 1024

#: How long the broker may take to acknowledge what a command wrote.
ACKNOWLEDGED_S = 60.0

Headers = Sequence[tuple[str, bytes]]


def new_outbox_producer(settings: Settings) -> AIOKafkaProducer:
    """The idempotent producer that an `Outbox` writes through."""
    return new_producer(settings, max_batch_size=BUFFER_BYTES, max_request_size=REQUEST_BYTES_MAX)


class Outbox:
    """Gathers records by partition, in order; `flush` returns once all of them are durable.

    Only one task may use an outbox. After an error the records may or may not be written: end the
    process, and the batch they came from is read again.
    """

    def __init__(self, producer: AIOKafkaProducer, settings: Settings) -> None:
        self._producer = producer
        self._settings = settings
        self._buffers: dict[tuple[str, int], list[BatchBuilder]] = {}

    def add(
        self,
        topic: str,
        partition: int,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
    ) -> None:
        """Take one record for ``partition`` of ``topic`` (without the deployment's prefix)."""
        place = topic, partition
        buffers = self._buffers.get(place)
        if buffers is None:
            buffers = self._buffers[place] = [self._producer.create_batch()]
        fields = [*headers] if headers else []
        if buffers[-1].append(timestamp=None, key=key, value=value, headers=fields) is None:
            # The first record of a buffer always fits, whatever its size.
            buffers.append(self._producer.create_batch())
            buffers[-1].append(timestamp=None, key=key, value=value, headers=fields)

    def discard(self) -> None:
        """Discard all records since the last `flush`: another worker owns their partitions now."""
        self._buffers = {}

    async def flush(self) -> None:
        """Write all records added so far, and wait until every in-sync replica has them. While the
        brokers are away, it waits.
        """
        buffers, self._buffers = self._buffers, {}
        durable = [
            await self._sent(buffer, topic, partition)
            for (topic, partition), filled in buffers.items()
            for buffer in filled
        ]
        if durable:
            await asyncio.gather(*durable)

    async def _sent(self, buffer: BatchBuilder, topic: str, partition: int) -> Awaitable[object]:
        """Hand a buffer to the producer; the result completes when the buffer is durable."""
        while True:
            try:
                durable: Awaitable[object] = await self._producer.send_batch(
                    buffer, self._settings.topic(topic), partition=partition
                )
            except KafkaTimeoutError:
                # The partition's previous buffer still waits for its broker, so this one was not
                # taken. The wait for a buffer that was taken has no limit, so neither has this.
                continue
            return durable


async def flush_or_explain(outbox: Outbox, settings: Settings, fix: str) -> None:
    """Flush what a command wrote. Raises `BrokerUnreachable`, with ``fix``, when the broker does
    not acknowledge it within a minute: a worker may wait for its broker, but somebody waits for a
    command.
    """
    try:
        async with asyncio.timeout(ACKNOWLEDGED_S):
            await outbox.flush()
    except (KafkaError, TimeoutError) as error:
        raise BrokerUnreachable(
            f"{settings.bootstrap_servers} did not acknowledge every record "
            f"({type(error).__name__}): check the broker, then {fix}"
        ) from None
