"""Finds what the changelog has about a person: their row, their grave, and their ids."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from aiokafka import ConsumerRecord

from config.parameters import Parameters
from config.settings import Settings
from config.topics import CUSTOMERS
from models.customer.identities import IDENTITIES
from models.customer.registry import VERSIONS
from models.customer.row import Row, decode_row
from models.customer.row_layout import check_row
from models.graves import Grave, decode_grave
from models.linked_id import goes_with, owner_of
from streams.changelog import GRAVE_KEY
from streams.graves import Fingerprints
from streams.kafka_clients import new_reader, partition_for, running
from streams.topic_scan import scan, spans_of


class KeptOfId(NamedTuple):
    """What is kept of an id; ``written_ms``: when the broker received its grave."""

    row: Row | None
    grave: Grave | None
    written_ms: int = 0

    @property
    def owner(self) -> str:
        """The person with whom the id is erased; "" if it belongs to nobody else."""
        return "" if self.row is None else owner_of(self.row)

    def person(self, parameters: Parameters) -> str:
        """The person whom this id means; "" if it means itself, or if several people share it."""
        return "" if self.row is None else goes_with(self.row, parameters)[0]

    @property
    def ids(self) -> set[str]:
        """The person's own ids, and those they claim."""
        return set() if self.row is None else {*self.row.ids, *self.row.read(IDENTITIES).claimed}


async def kept_of(settings: Settings, customers: Iterable[str]) -> dict[str, KeptOfId]:
    """What the workers last wrote about each of ``customers``.

    Raises `TopicsError` when there is no changelog, `BrokerUnreachable`, and ``RowError`` for what
    can't be read.
    """
    fingerprints, wanted = Fingerprints(settings.erasure_salt), set(customers)
    if not wanted:
        return {}
    last: dict[bytes, ConsumerRecord] = {}
    async with running(new_reader(settings), settings) as reader:
        spans = await spans_of(reader, CUSTOMERS, settings)
        keys: defaultdict[int, set[bytes]] = defaultdict(set)
        for customer in wanted:
            key = customer.encode()
            number = partition_for(key, len(spans))
            keys[number] |= {key, GRAVE_KEY + fingerprints.of(customer)}
        for number, of_number in keys.items():
            async for records in scan(reader, spans[number], settings):
                last |= {one.key: one for one in records if one.key in of_number}
    return {
        customer: _kept(
            last.get(customer.encode()), last.get(GRAVE_KEY + fingerprints.of(customer))
        )
        for customer in wanted
    }


def _kept(row: ConsumerRecord | None, grave: ConsumerRecord | None) -> KeptOfId:
    found: Row | None = None
    if row is not None and row.value is not None:
        check_row(row.value, VERSIONS)
        found = decode_row(row.value)
    if grave is None or grave.value is None:
        return KeptOfId(found, None)
    return KeptOfId(found, decode_grave(grave.value), grave.timestamp)


async def person_of(
    settings: Settings, customer: str, parameters: Parameters
) -> dict[str, KeptOfId]:
    """What is kept of each id that is erased with ``customer``: all ids of the person it belongs
    to.

    An id that several people share doesn't tell which of them asks, so it is returned alone.
    """
    found = await kept_of(settings, [customer])
    person = customer
    while (above := found[person].person(parameters)) and above not in found:
        person = above
        found |= await kept_of(settings, [person])
    looked: set[str] = set()
    while of_whom := found.keys() - looked:
        looked |= of_whom
        ids = {id_: owner for owner in of_whom for id_ in found[owner].ids}
        others = await kept_of(settings, ids.keys() - found.keys())
        # An id that they claim may belong to somebody else.
        found |= {id_: kept for id_, kept in others.items() if kept.owner == ids[id_]}
    return found
