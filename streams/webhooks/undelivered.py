"""Messages that endpoints refused: kept by their place in the log, without customer data.

The topic `undelivered` has a record for each until it is settled. A retry reads the decision again
from its place. Decisions erased meanwhile are not sent: their topic has the erasure notice.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from time import time

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from msgspec import Struct

from config.settings import Settings
from config.topics import UNDELIVERED
from models.events.times import iso
from streams.kafka_clients import new_reader, running
from streams.topic_scan import Span, scan_together, spans_of
from streams.webhooks.queue import Delivery, LogPlace

log = logging.getLogger(__name__)

RETRY_S = 1.0


class UndeliveredMessage(Struct, frozen=True, rename="camel"):
    """The message's ``id`` and ``type``, its decision's place in the log, the ``reason`` (the
    status of the last answer, or why there was none), the number of tries, and when it was given
    up.
    """

    endpoint: str
    id: str
    type: str
    topic: str
    partition: int
    offset: int
    reason: str
    tries: int
    timestamp: str

    @property
    def place(self) -> LogPlace:
        return LogPlace(self.topic, self.partition, self.offset)

    @property
    def key(self) -> bytes:
        return f"{self.endpoint}/{self.topic}/{self.partition}/{self.offset}".encode()


_DECODER = msgspec.json.Decoder(UndeliveredMessage)


class UndeliveredMessages:
    """Writes refused messages, and which of them are settled."""

    def __init__(self, producer: AIOKafkaProducer, settings: Settings) -> None:
        self._producer = producer
        self._topic = settings.topic(UNDELIVERED)

    async def keep(self, endpoint: str, delivery: Delivery, reason: str) -> None:
        """Keep the message; return when it is durable, however long the broker is away."""
        place = delivery.place
        refused = UndeliveredMessage(
            endpoint, delivery.message.id, delivery.message.type, place.topic, place.partition,
            place.offset, reason, delivery.tries, iso(int(time() * 1_000)),
        )  # fmt: skip
        await self._write(refused, msgspec.json.encode(refused))

    async def settle(self, refused: UndeliveredMessage) -> None:
        """Note that the message was delivered, or must not be sent any more."""
        await self._write(refused, None)

    async def _write(self, refused: UndeliveredMessage, value: bytes | None) -> None:
        while True:
            try:
                await self._producer.send_and_wait(
                    self._topic, value, key=refused.key, partition=refused.partition
                )
                return
            except KafkaError as error:
                log.warning(
                    "can't keep what %s refused (%s): trying again",
                    refused.endpoint, type(error).__name__,
                )  # fmt: skip
                await asyncio.sleep(RETRY_S)


async def unsettled(settings: Settings, endpoint: str | None) -> list[UndeliveredMessage]:
    """Refused and unsettled messages, of one endpoint or of all, in the order of the log."""
    async with running(new_reader(settings), settings) as reader:
        spans = await spans_of(reader, UNDELIVERED, settings)
        found = await unsettled_within(reader, spans, settings)
    return [refused for refused in found if endpoint in (None, refused.endpoint)]


async def unsettled_within(
    reader: AIOKafkaConsumer, spans: Iterable[Span], settings: Settings
) -> list[UndeliveredMessage]:
    """Refused and unsettled messages within ``spans`` of the topic."""
    found: dict[bytes, UndeliveredMessage] = {}
    async for _, records in scan_together(reader, spans, settings):
        for record in records:
            key = record.key or b""
            # The latest record counts; a message that was refused again moves to the end.
            found.pop(key, None)
            if record.value is None:
                continue
            with suppress(msgspec.DecodeError):
                found[key] = _DECODER.decode(record.value)
    return sorted(found.values(), key=lambda one: (one.endpoint, one.topic, one.place))
