"""Reads dead letters, and puts them back on the topics where they were refused."""

import asyncio
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from hashlib import blake2b
from typing import Any, NamedTuple, Self

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from config.settings import Settings
from config.topics import DEAD_LETTERS, RAW_TOPICS
from models.catalogue import topic_of
from models.events.dead_letter import (
    WEBHOOK,
    Closing,
    DeadLetter,
    decode_entry,
    encode_closing,
)
from models.events.foreign import UNREADABLE, Foreign
from streams.kafka_clients import BrokerUnreachable, new_producer, new_reader, running
from streams.topic_scan import Span, scan, scan_together, spans_of

IN_FLIGHT_MAX = 1_000
#: How many letters one record closes.
CLOSED_TOGETHER = 10_000
#: How long the acknowledgement of those in flight may take.
SETTLE_S = 60.0
#: A raw event may be as large as the broker accepts, and a messageId may be added to it.
REQUEST_BYTES_MAX = 4 * 1024 * 1024


class StoredLetter(NamedTuple):
    """A dead letter and when it was written; ``letter`` is None for an unreadable record."""

    stored_at_ms: int
    partition: int
    offset: int
    letter: DeadLetter | None


class Parcel(NamedTuple):
    """A record for a raw topic (named without the deployment's prefix)."""

    topic: str
    key: bytes | None
    value: bytes

    def fingerprint(self) -> bytes:
        """Equal for equal values on the same topic."""
        return blake2b(self.topic.encode() + b"\0" + self.value, digest_size=16).digest()


class _Envelope(msgspec.Struct, rename="camel"):
    # Any type: a field's value may be why the event was refused.
    type: Any = ""
    event: Any = None
    message_id: Any = None
    user_id: Any = None
    anonymous_id: Any = None


_ENVELOPE = msgspec.json.Decoder(_Envelope)
#: Steps whose letters hold an event in the form of a raw topic.
_AS_SENT = frozenset({"collector", "ingest"})
#: What ingest adds to an event in the log.
_ENVELOPE_FIELDS = frozenset({"source", "logFormat", "position"})

Wanted = Callable[[DeadLetter], bool]
#: The records that put back a webhook; a webhook's mapping makes its events.
ReadWebhook = Callable[[DeadLetter], list[Parcel]]


async def read_dead_letters(
    settings: Settings, *, with_closed: bool = False
) -> AsyncGenerator[StoredLetter, None]:
    """Every dead letter so far; those that were put back only with ``with_closed``."""
    async with running(new_reader(settings), settings) as reader:
        for span in await spans_of(reader, DEAD_LETTERS, settings):
            # The record that closes a letter comes after it.
            closed = set() if with_closed else await _closed(reader, span, settings)
            async for records in scan(reader, span, settings):
                for record in records:
                    entry = decode_stored(record.value)
                    if not isinstance(entry, Closing) and record.offset not in closed:
                        yield StoredLetter(record.timestamp, record.partition, record.offset, entry)


async def newest_letters(
    settings: Settings, count: int, *, with_closed: bool = False
) -> list[StoredLetter]:
    """About the newest ``count`` of each partition, in its order; those that were put back only
    with ``with_closed``.
    """
    letters: dict[tuple[int, int], StoredLetter] = {}
    closed: set[tuple[int, int]] = set()
    async with running(new_reader(settings), settings) as reader:
        spans = await spans_of(reader, DEAD_LETTERS, settings)
        newest = [span._replace(begin=max(span.begin, span.end - count)) for span in spans]
        async for (_, number), records in scan_together(reader, newest, settings):
            for record in records:
                entry = decode_stored(record.value)
                if isinstance(entry, Closing):
                    closed.update((number, offset) for offset in entry.offsets)
                    continue
                place = number, record.offset
                letters[place] = StoredLetter(record.timestamp, *place, entry)
    gone = set() if with_closed else closed
    return [letter for place, letter in sorted(letters.items()) if place not in gone]


async def _closed(reader: AIOKafkaConsumer, span: Span, settings: Settings) -> set[int]:
    """The offsets of the letters of a partition that were put back."""
    closed: set[int] = set()
    async for records in scan(reader, span, settings):
        for record in records:
            entry = decode_stored(record.value)
            if isinstance(entry, Closing):
                closed.update(entry.offsets)
    return closed


async def retry_dead_letters(
    settings: Settings, wanted: Wanted, read_webhook: ReadWebhook, *, dry_run: bool = False
) -> Counter[tuple[str, str]]:
    """Put the wanted letters back on their raw topics; return the number by (topic, reason).

    Returns when all are acknowledged and closed, so that they are not put back again. Ingest treats
    them like new events: those that are still wrong become dead letters again. An event without a
    messageId gets the one that ingest would have given it, so that it counts once even if it is
    retried twice. An event that was refused several times is sent once.
    """
    counts: Counter[tuple[str, str]] = Counter()
    sent: set[bytes] = set()
    async with _Mailbox(settings, dry_run=dry_run) as mailbox:
        async for stored in read_dead_letters(settings):
            letter = stored.letter
            if letter is None or not wanted(letter):
                continue
            is_webhook = letter.step == WEBHOOK
            parcels = list(read_webhook(letter)) if is_webhook else [parcel_of(letter)]
            if parcels:
                mailbox.close_later(stored)
            for parcel in parcels:
                # A repeat: without this, each retry would double the number of letters.
                if (mark := parcel.fingerprint()) in sent:
                    continue
                sent.add(mark)
                counts[parcel.topic, str(letter.reason)] += 1
                await mailbox.send(parcel)
    return counts


async def find_letter(settings: Settings, partition: int, offset: int) -> StoredLetter | None:
    """The dead letter at a place, unless it was put back; None if there is none."""
    async with running(new_reader(settings), settings) as reader:
        spans = await spans_of(reader, DEAD_LETTERS, settings)
        span = next((one for one in spans if one.partition.partition == partition), None)
        if span is None or not span.begin <= offset < span.end:
            return None
        rest = span._replace(begin=offset)
        if offset in await _closed(reader, rest, settings):
            return None
        async for records in scan(reader, rest._replace(end=offset + 1), settings):
            for record in records:
                entry = decode_stored(record.value)
                if isinstance(entry, DeadLetter):
                    return StoredLetter(record.timestamp, partition, offset, entry)
    return None


def mended(letter: DeadLetter, content: bytes) -> DeadLetter:
    """The letter with ``content`` in place of what was refused."""
    return msgspec.structs.replace(letter, raw=b64encode(content).decode())


async def put_back(settings: Settings, stored: StoredLetter, parcel: Parcel) -> None:
    """Put one letter's parcel on its raw topic, and close the letter."""
    async with _Mailbox(settings, dry_run=False) as mailbox:
        mailbox.close_later(stored)
        await mailbox.send(parcel)


def is_retried(letter: DeadLetter, *, include_late: bool) -> bool:
    """Whether to retry the letter: always, except that late events need ``include_late``."""
    return include_late or letter.reason != "too_late"


def parcel_of(letter: DeadLetter) -> Parcel:
    """The record that puts a dead letter back on its raw topic."""
    raw = letter.content()
    if letter.step not in _AS_SENT:
        raw = _without_envelope(raw)
    try:
        envelope = _ENVELOPE.decode(raw)
    except UNREADABLE:
        envelope = None
    source = letter.source
    topic = source.topic if source is not None else ""
    if topic not in RAW_TOPICS:
        topic = topic_of(str(envelope.type), str(envelope.event)) if envelope else RAW_TOPICS[0]
    if envelope is None:
        return Parcel(topic, None, raw)
    key = str(envelope.user_id or envelope.anonymous_id or "").encode("utf-8", "replace") or None
    if envelope.message_id is None and source is not None:
        raw = with_message_id(raw, source.message_id)
    elif envelope.message_id is None and letter.sender:
        # It was never on a topic, so the id is made of its content.
        raw = with_message_id(raw, f"{letter.sender}-{blake2b(raw, digest_size=16).hexdigest()}")
    return Parcel(topic, key, raw)


def _without_envelope(raw: bytes) -> bytes:
    """A record of the log as its sender might have sent it. What ingest added would count towards
    the size of an event.
    """
    try:
        fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return raw
    return msgspec.json.encode({k: v for k, v in fields.items() if k not in _ENVELOPE_FIELDS})


def with_message_id(raw: bytes, message_id: str) -> bytes:
    """The JSON object with a messageId, which it lacks."""
    # At the end: the last of two equal fields counts, and there may already be a null.
    fields = raw.strip(b" \t\r\n")[1:-1].rstrip(b" \t\r\n")
    comma = b"," if fields else b""
    return b"{%b%b%b%b}" % (fields, comma, b'"messageId":', msgspec.json.encode(message_id))


def decode_stored(value: bytes | None) -> DeadLetter | Closing | None:
    """The content of a record of the topic; None if no release of Keepstream wrote it."""
    try:
        return decode_entry(value or b"")
    except Foreign:
        return None


def decode_letter(value: bytes | None) -> DeadLetter | None:
    """The dead letter in a record's value, or None if it is not one."""
    entry = decode_stored(value)
    return entry if isinstance(entry, DeadLetter) else None


class _Mailbox:
    """Sends parcels, waits for their acknowledgement, and then closes the letters that they came
    from. In a dry run it does nothing.
    """

    def __init__(self, settings: Settings, *, dry_run: bool) -> None:
        self._settings = settings
        self._producer = (
            None
            if dry_run
            else new_producer(settings, linger_ms=5, max_request_size=REQUEST_BYTES_MAX)
        )
        self._connection = AsyncExitStack()
        self._pending: list[Awaitable[object]] = []
        self._put_back: dict[int, list[int]] = {}
        self.acknowledged = 0

    def close_later(self, stored: StoredLetter) -> None:
        """Close a letter once all that was sent is acknowledged."""
        self._put_back.setdefault(stored.partition, []).append(stored.offset)

    async def send(self, parcel: Parcel) -> None:
        if self._producer is None:
            return
        topic = self._settings.topic(parcel.topic)
        with self._explained():
            async with asyncio.timeout(SETTLE_S):
                sent = await self._producer.send(topic, parcel.value, key=parcel.key)
            self._pending.append(sent)
        if len(self._pending) >= IN_FLIGHT_MAX:
            await self._settle()

    async def __aenter__(self) -> Self:
        if self._producer is not None:
            await self._connection.enter_async_context(running(self._producer, self._settings))
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                await self._settle()
                await self._close_letters()
        finally:
            await self._connection.aclose()

    async def _settle(self) -> None:
        pending, self._pending = self._pending, []
        with self._explained():
            # An idempotent producer never gives up by itself.
            async with asyncio.timeout(SETTLE_S):
                await asyncio.gather(*pending)
            self.acknowledged += len(pending)

    async def _close_letters(self) -> None:
        """Close the letters once all parcels are acknowledged: a closed letter is never retried."""
        if self._producer is None:
            return
        with self._explained():
            async with asyncio.timeout(SETTLE_S):
                for partition, offsets in self._put_back.items():
                    for begin in range(0, len(offsets), CLOSED_TOGETHER):
                        closing = Closing(tuple(offsets[begin : begin + CLOSED_TOGETHER]))
                        await self._producer.send_and_wait(
                            self._settings.topic(DEAD_LETTERS),
                            encode_closing(closing),
                            partition=partition,
                        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (KafkaError, TimeoutError) as error:
            raise BrokerUnreachable(
                f"{self._settings.bootstrap_servers} did not acknowledge everything "
                f"({type(error).__name__}): {self.acknowledged:,} letters are back on their "
                f"topics, of the others that is not known. Check the broker, then retry again: "
                f"what is there already counts once"
            ) from None
