"""Everything in an outbox is in the log when `flush` returns, and in order."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import MessageSizeTooLargeError

from config.settings import Settings, load_settings
from config.topics import DEAD_LETTERS, MODEL_SNAPSHOTS, RETENTION_TRIGGERS
from streams.embedded.kafka import EmbeddedKafka
from streams.kafka_clients import new_reader, running
from streams.outbox import BUFFER_BYTES, Outbox, new_outbox_producer
from streams.topics import create_topics

pytestmark = pytest.mark.kafka

Use = Callable[[Outbox], Awaitable[None]]


@pytest.fixture(scope="module")
def settings(kafka: EmbeddedKafka) -> Settings:
    prefix = f"{uuid.uuid4().hex[:8]}."
    settings = load_settings({}, bootstrap_servers=kafka.bootstrap_servers, topic_prefix=prefix)
    create_topics(settings)
    return settings


async def _written(
    settings: Settings, topic: str, partition: int, use: Use
) -> list[ConsumerRecord]:
    """The records in the log at the moment when ``use`` returns that were not there before."""
    place = TopicPartition(settings.topic(topic), partition)
    async with (
        running(new_outbox_producer(settings), settings) as producer,
        running(new_reader(settings), settings) as reader,
    ):
        reader.assign([place])
        begin = (await reader.end_offsets([place]))[place]
        reader.seek(place, begin)
        await use(Outbox(producer, settings))
        end = (await reader.end_offsets([place]))[place]
        found: list[ConsumerRecord] = []
        while await reader.position(place) < end:
            found += (await reader.getmany(place, timeout_ms=500)).get(place, [])
        return found


def test_thousands_of_records_keep_their_order_over_many_buffers(settings: Settings) -> None:
    values = [f"{number:05d}".encode() * 40 for number in range(3_000)]
    assert sum(map(len, values)) > 8 * BUFFER_BYTES

    async def use(outbox: Outbox) -> None:
        for value in values:
            outbox.add(RETENTION_TRIGGERS, 1, key=None, value=value)
        await outbox.flush()

    written = asyncio.run(_written(settings, RETENTION_TRIGGERS, 1, use))
    assert values == [record.value for record in written]


@pytest.mark.parametrize("size", [BUFFER_BYTES - 100, BUFFER_BYTES, 1_000_000])
def test_a_value_larger_than_a_buffer_keeps_its_place(settings: Settings, size: int) -> None:
    values = [b"before", b"x" * size, b"after"]

    async def use(outbox: Outbox) -> None:
        for value in values:
            outbox.add(DEAD_LETTERS, 0, key=b"k", value=value)
        await outbox.flush()

    written = asyncio.run(_written(settings, DEAD_LETTERS, 0, use))
    assert values == [record.value for record in written]


def test_a_topic_that_takes_more_gets_more(settings: Settings) -> None:
    content = b"x" * 3_000_000

    async def use(outbox: Outbox) -> None:
        outbox.add(MODEL_SNAPSHOTS, 0, key=b"1", value=content)
        await outbox.flush()

    written = asyncio.run(_written(settings, MODEL_SNAPSHOTS, 0, use))
    assert [content] == [record.value for record in written]


def test_a_value_that_no_broker_takes_is_an_error(settings: Settings) -> None:
    async def use(outbox: Outbox) -> None:
        outbox.add(RETENTION_TRIGGERS, 0, key=None, value=b"x" * 2_000_000)
        await outbox.flush()

    with pytest.raises(MessageSizeTooLargeError):
        asyncio.run(_written(settings, RETENTION_TRIGGERS, 0, use))


def test_keys_headers_and_nothing_at_all_arrive_as_they_are(settings: Settings) -> None:
    async def use(outbox: Outbox) -> None:
        await outbox.flush()
        outbox.add(RETENTION_TRIGGERS, 2, key=b"k", value=b"v", headers=[("id", b"\xff")])
        outbox.add(RETENTION_TRIGGERS, 3, key=b"elsewhere", value=b"v")
        outbox.add(RETENTION_TRIGGERS, 2, key=None, value=None)
        await outbox.flush()

    written = asyncio.run(_written(settings, RETENTION_TRIGGERS, 2, use))
    assert [(b"k", b"v", (("id", b"\xff"),)), (None, None, ())] == [
        (record.key, record.value, record.headers) for record in written
    ]


def test_what_was_discarded_is_not_written(settings: Settings) -> None:
    async def use(outbox: Outbox) -> None:
        outbox.add(RETENTION_TRIGGERS, 2, key=None, value=b"no longer ours")
        outbox.discard()
        outbox.add(RETENTION_TRIGGERS, 2, key=None, value=b"ours")
        await outbox.flush()

    written = asyncio.run(_written(settings, RETENTION_TRIGGERS, 2, use))
    assert [b"ours"] == [record.value for record in written]
