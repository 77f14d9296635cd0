"""Reading `customer-keys`: the latest key of each customer of a partition."""

from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from config.settings import Settings
from config.topics import CUSTOMER_KEYS
from models.events.foreign import Foreign
from streams.customer_keys import PARTITION_KEY, SECRET_BYTES, id_of, read_key
from streams.kafka_clients import new_reader, running
from streams.topic_scan import Span, scan, spans_of


@dataclass
class Keys:
    """The keys of a partition's customers as they are stored, by id. ``frame``: the partition's
    own secret, b"" without one. ``foreign``: how many records are not ours.
    """

    kept: dict[bytes, bytes] = field(default_factory=dict)
    frame: bytes = b""
    foreign: int = 0

    def add(self, record: ConsumerRecord) -> None:
        """Take one record; the latest of a customer counts."""
        customer, kept = record.key or b"", record.value
        if kept is None:
            self.kept.pop(customer, None)
            return
        try:
            secret = read_key(customer, kept).secret
        except Foreign:
            self.foreign += 1
            return
        if customer == PARTITION_KEY:
            self.frame = secret
        else:
            self.kept[customer] = kept

    def secrets(self) -> dict[bytes, bytes]:
        """The customers' secrets by the ids of their keys."""
        secrets = (kept[:SECRET_BYTES] for kept in self.kept.values())
        return {id_of(secret): secret for secret in secrets}


async def read_keys(settings: Settings, number: int) -> Keys:
    """All keys of one partition."""
    async with running(new_reader(settings), settings) as reader:
        spans = await spans_of(reader, CUSTOMER_KEYS, settings)
        return await keys_in(reader, spans[number], settings)


async def keys_in(reader: AIOKafkaConsumer, span: Span, settings: Settings) -> Keys:
    """All keys in a span of `customer-keys`."""
    keys = Keys()
    async for records in scan(reader, span, settings):
        for record in records:
            keys.add(record)
    return keys
