"""Delivers again what endpoints refused: each decision is read again from its place in the log.

What the log says since then is respected: erased, withdrawn and outdated decisions are not sent.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from time import time
from typing import NamedTuple

from aiokafka import ConsumerRecord

from config.endpoints import Endpoint
from config.settings import Settings
from models.events.foreign import Foreign
from streams.graves import Fingerprints
from streams.kafka_clients import new_producer, new_reader, running
from streams.topic_scan import scan, spans_of
from streams.webhooks import metrics as fates
from streams.webhooks.destinations import Composer
from streams.webhooks.messages import Message, message_in
from streams.webhooks.queue import LogPlace
from streams.webhooks.sender import HttpVerdict, Sender
from streams.webhooks.undelivered import UndeliveredMessage, UndeliveredMessages

#: Its place in the log holds nothing any more.
LOST = "lost"
#: Fates that leave a message unsettled: refused again, no answer, or no longer declared.
REFUSED, AWAY, UNKNOWN = "refused again", "not tried, the endpoint is away", "no such endpoint"
STAYS = (REFUSED, AWAY, UNKNOWN)


class _Found(NamedTuple):
    """Messages by place, and the fates of those that must not be sent any more."""

    messages: Mapping[LogPlace, Message]
    over: Mapping[LogPlace, str]


async def retry_undelivered(
    settings: Settings,
    endpoints: Sequence[Endpoint],
    refused: Sequence[UndeliveredMessage],
    *,
    dry_run: bool,
) -> Counter[tuple[str, str]]:
    """Send each of ``refused`` again; return the number by (endpoint, fate).

    A message that was delivered, or must not be sent any more, is settled. A dry run sends and
    settles nothing, and counts what it would send as delivered.
    """
    found = await _found(settings, {one.place for one in refused})
    by_endpoint = defaultdict(list)
    for one in refused:
        by_endpoint[one.endpoint].append(one)
    known = {endpoint.name: endpoint for endpoint in endpoints}
    counts: Counter[tuple[str, str]] = Counter()
    async with AsyncExitStack() as stack:
        settled = None
        if not dry_run:
            producer = await stack.enter_async_context(running(new_producer(settings), settings))
            settled = UndeliveredMessages(producer, settings)
        for name, theirs in by_endpoint.items():
            if name not in known:
                counts[name, UNKNOWN] += len(theirs)
                continue
            async with Sender(known[name]) as sender:
                turn = _Turn(known[name], sender, found, settled)
                counts.update([(name, fate) for fate in await turn.take(theirs)])
    return counts


class _Turn:
    """Retries one endpoint's messages; without ``settled`` it sends nothing."""

    def __init__(
        self,
        endpoint: Endpoint,
        sender: Sender,
        found: _Found,
        settled: UndeliveredMessages | None,
    ) -> None:
        self._composer = Composer(endpoint)
        self._rest_s = 1 / endpoint.rule.rate
        self._sender = sender
        self._found = found
        self._settled = settled

    async def take(self, refused: Iterable[UndeliveredMessage]) -> list[str]:
        """The fate of each message. After the first one without an answer, no other is tried: none
        would get one.
        """
        told: list[str] = []
        for one in refused:
            fate = AWAY if told and told[-1] == AWAY else await self._fate(one)
            if self._settled is not None and fate not in STAYS:
                await self._settled.settle(one)
            told.append(fate)
        return told

    async def _fate(self, refused: UndeliveredMessage) -> str:
        message = self._found.messages.get(refused.place)
        over = self._found.over.get(refused.place)
        if over is not None or message is None:
            return over or LOST
        now_ms = int(time() * 1_000)
        if message.is_too_late(now_ms):
            return fates.EXPIRED
        if self._settled is None:
            return fates.DELIVERED
        await asyncio.sleep(self._rest_s)
        answer = await self._sender.post(self._composer.request(message, now_ms // 1_000), now_ms)
        if answer.verdict == HttpVerdict.TAKEN:
            return fates.DELIVERED
        return AWAY if answer.verdict == HttpVerdict.RETRY else REFUSED


async def _found(settings: Settings, wanted: Collection[LogPlace]) -> _Found:
    """Read the wanted messages, and everything that came after them."""
    first: dict[tuple[str, int], int] = {}
    for topic, partition, offset in wanted:
        first[topic, partition] = min(offset, first.get((topic, partition), offset))
    reading = _Reading(settings, wanted)
    async with running(new_reader(settings), settings) as reader:
        for topic in sorted({place.topic for place in wanted}):
            for span in await spans_of(reader, topic, settings):
                begin = first.get((topic, span.partition.partition))
                if begin is None:
                    continue
                wanted_span = span._replace(begin=max(begin, span.begin))
                async for records in scan(reader, wanted_span, settings):
                    for record in records:
                        reading.read(topic, record)
    return _Found(reading.messages, reading.over)


class _Reading:
    """The wanted decisions, until something later in the log is about them."""

    def __init__(self, settings: Settings, wanted: Collection[LogPlace]) -> None:
        self._fingerprints = Fingerprints(settings.erasure_salt)
        self._max_age_ms = settings.deliver_max_age_ms
        self._wanted = frozenset(wanted)
        self.messages: dict[LogPlace, Message] = {}
        self.over: dict[LogPlace, str] = {}
        self._erasures: set[str] = set()

    def read(self, topic: str, record: ConsumerRecord) -> None:
        try:
            message = message_in(record.value or b"", topic, self._fingerprints, self._max_age_ms)
        except Foreign:
            return
        if message is None:
            return
        if message.is_erasure or message.withdraws:
            self._end(message, topic)
        place = LogPlace(topic, record.partition, record.offset)
        if place in self._wanted:
            self.messages[place] = message

    def _end(self, later: Message, topic: str) -> None:
        if later.is_erasure and later.id in self._erasures:
            # A repeat, from a worker that was cut off: decisions made since are about somebody
            # else.
            return
        self._erasures.add(later.id)
        for place, message in self.messages.items():
            if message.id == later.withdraws:
                self.over[place] = fates.WITHDRAWN
            elif (
                later.is_erasure
                and not message.is_erasure
                and message.whose == later.whose
                and place.topic == topic
            ):
                self.over[place] = fates.ERASED
