"""Reading `customer-keys`: the latest key of each customer of a partition."""

from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from config.settings import Settings
from config.topics import CUSTOMER_KEYS
from models.events.foreign import Foreign
from models.graves import Graves
from streams.customer_keys import PARTITION_KEY, CustomerKey, read_key
from streams.kafka_clients import new_reader, running
from streams.topic_scan import Span, scan, spans_of


@dataclass
class Keys:
    """The keys of a partition's customers. ``frame``: the partition's own secret, b"" if it has
    none. ``foreign``: how many records Keepstream did not write.
    """

    frame: bytes = b""
    foreign: int = 0
    #: By the name under which each is stored.
    _by_name: dict[bytes, tuple[bytes, CustomerKey]] = field(default_factory=dict)
    #: Names whose key was deleted, and those of them that were written again.
    _deleted: set[bytes] = field(default_factory=set)
    _revived: set[bytes] = field(default_factory=set)

    def add(self, record: ConsumerRecord) -> None:
        """Take one record. A deleted key stays deleted: no other key ever gets its name. One
        written after the deletion comes from a worker that didn't know that it had been replaced.
        """
        name, kept = record.key or b"", record.value
        if kept is None:
            self._by_name.pop(name, None)
            self._deleted.add(name)
            self._revived.discard(name)
            return
        try:
            customer, key = read_key(name, kept)
        except Foreign:
            self.foreign += 1
            return
        if customer == PARTITION_KEY:
            self.frame = key.secret
        elif name in self._deleted:
            self._revived.add(name)
        else:
            self._by_name[name] = customer, key

    def by_customer(self) -> dict[bytes, bytes]:
        """The latest key of each customer, as it is stored."""
        latest: dict[bytes, CustomerKey] = {}
        for customer, key in self._by_name.values():
            if customer not in latest or latest[customer].since < key.since:
                latest[customer] = key
        return {customer: key.kept(customer) for customer, key in latest.items()}

    def outlived(self, graves: Graves) -> list[bytes]:
        """The names of keys that were stored again after their customers were erased.

        Workers that didn't know that they had been replaced wrote them. Such keys must be deleted:
        the topic is compacted, and afterwards nothing in it tells of the earlier deletion.
        """
        alive = (
            name
            for name, (customer, key) in self._by_name.items()
            if (grave := graves.get(customer.decode())) is not None and key.since <= grave.erased
        )
        return [*sorted(self._revived), *alive]

    def secrets(self) -> dict[bytes, bytes]:
        """The customers' secrets by key id."""
        return {key.id: key.secret for _, key in self._by_name.values()}


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
