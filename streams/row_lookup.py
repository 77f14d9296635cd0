"""Finds the rows of a few customers in the changelog, for commands."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable

from config.settings import Settings
from config.topics import CUSTOMERS
from models.customer.registry import VERSIONS
from models.customer.row import Row, decode_row
from models.customer.row_layout import check_row
from streams.kafka_clients import new_reader, partition_for, running
from streams.topic_scan import scan, spans_of


def stored_rows(settings: Settings, customers: Iterable[str]) -> dict[str, Row]:
    """The rows of those of ``customers`` who have one, as the workers wrote them last.

    Raises `TopicsError` when there is no changelog, `BrokerUnreachable`, and ``RowError`` for a row
    that can't be read.
    """
    return asyncio.run(_stored_rows(settings, [*customers]))


async def _stored_rows(settings: Settings, customers: list[str]) -> dict[str, Row]:
    found: dict[bytes, bytes | None] = {}
    async with running(new_reader(settings), settings) as reader:
        spans = await spans_of(reader, CUSTOMERS, settings)
        keys: defaultdict[int, set[bytes]] = defaultdict(set)
        for customer in customers:
            keys[partition_for(customer.encode(), len(spans))].add(customer.encode())
        for number, wanted in keys.items():
            async for records in scan(reader, spans[number], settings):
                found |= {one.key: one.value for one in records if one.key in wanted}
    rows: dict[str, Row] = {}
    for key, packed in found.items():
        if packed is not None:
            check_row(packed, VERSIONS)
            rows[key.decode()] = decode_row(packed)
    return rows
