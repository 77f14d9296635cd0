"""Reads the log from its beginning: first from the archive, then from the topic itself."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer

from config.settings import Settings
from config.topics import CUSTOMER_ARCHIVE, CUSTOMER_EVENTS, CUSTOMER_KEYS
from streams.archive.key_reading import Keys, keys_in
from streams.archive.unsealing import Unsealed, Unsealing
from streams.topic_scan import Span, scan, spans_of


class WholeLog:
    """Reads `customer-events` of a deployment, partition by partition. ``outcome``: what the
    archive has given so far, by partition.
    """

    def __init__(self, reader: AIOKafkaConsumer, settings: Settings) -> None:
        self._reader = reader
        self._settings = settings
        self._archives: list[Span] = []
        self._begins: dict[int, int] = {}
        self.outcome: dict[int, Unsealed] = {}

    async def spans(self) -> list[Span]:
        """The log of each partition. Where the topic's own beginning was deleted and there is an
        archive, the span begins where the archive does.
        """
        logs = await spans_of(self._reader, CUSTOMER_EVENTS, self._settings)
        if not self._settings.has_archive:
            return logs
        self._archives = await self.archives()
        self._begins = {span.partition.partition: span.begin for span in logs}
        return [
            log._replace(begin=0) if log.begin and archive.end > archive.begin else log
            for log, archive in zip(logs, self._archives, strict=True)
        ]

    async def scan(self, span: Span) -> AsyncIterator[Sequence[Any]]:
        """The records of ``span`` in order, in batches. Afterwards `outcome` says whether any were
        missing.
        """
        number = span.partition.partition
        begin = self._begins.get(number, span.begin)
        if span.begin >= begin:
            async for records in scan(self._reader, span, self._settings):
                yield records
            return
        outcome = self.outcome[number] = Unsealed()
        keys = await self.keys(number)
        outcome.foreign += keys.foreign
        unsealing = Unsealing(number, keys, outcome)
        async for frames in scan(self._reader, self._archives[number], self._settings):
            for frame in frames:
                yield [
                    record
                    for record in unsealing.take(frame.value)
                    if span.begin <= record.offset < span.end
                ]
        following = max(unsealing.next_offset, begin)
        outcome.missing += following - unsealing.next_offset
        async for records in scan(self._reader, span._replace(begin=following), self._settings):
            yield records

    async def archives(self) -> list[Span]:
        """The archive of each partition."""
        return await spans_of(self._reader, CUSTOMER_ARCHIVE, self._settings)

    async def keys(self, number: int) -> Keys:
        """The keys of the customers of a partition."""
        spans = await spans_of(self._reader, CUSTOMER_KEYS, self._settings)
        return await keys_in(self._reader, spans[number], self._settings)
