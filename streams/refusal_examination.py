"""Examines for `streams.diagnosis` what was not understood: refused events, misnamed events, and
records that Keepstream did not write.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable

import msgspec
from aiokafka import AIOKafkaConsumer
from msgspec import Struct

from config import topics
from config.settings import Settings
from models.catalogue import nearest_known_name
from models.events.dead_letter import Closing
from models.events.foreign import UNREADABLE
from models.events.refusals import Misnamed, Refusals
from streams.dead_letters import decode_stored
from streams.quarantine import DECODERS, why_foreign
from streams.recent_offsets import Offsets, RecentOffsets
from streams.topic_scan import scan_together
from streams.vitals import ForeignRecords, Letters, LoudCause

LETTERS_READ_MAX = 10_000
#: How many of the newest records of each partition of clickstream have their names checked.
NAMES_READ_MAX = 2_000
#: How many of the newest records of each partition of an internal topic are checked.
FOREIGN_READ_MAX = 100


async def examine_letters(
    reader: AIOKafkaConsumer, settings: Settings, log: RecentOffsets
) -> Letters | None:
    """The dead letters of the last hour that were not put back; None without their topic."""
    partitions = log.of(settings.topic(topics.DEAD_LETTERS))
    if not partitions:
        return None
    windows = [Refusals() for _ in log.windows_ms]
    #: By partition and offset: the reason of each letter, and which were put back.
    why: dict[tuple[int, int], str] = {}
    put_back: set[tuple[int, int]] = set()
    closings = 0
    spans = log.newest(settings.topic(topics.DEAD_LETTERS), LETTERS_READ_MAX)
    async for (_, number), records in scan_together(reader, spans, settings):
        for record in records:
            letter = decode_stored(record.value)
            if isinstance(letter, Closing):
                closings += 1
                put_back.update((number, offset) for offset in letter.offsets)
                continue
            why[number, record.offset] = str(letter.reason) if letter else "no dead letter"
            if letter is not None:
                # By the time the event came, to compare it with the events that came with it.
                source = letter.source
                at_ms = source.received_at if source is not None else record.timestamp
                windows[max(bisect_right(log.windows_ms, at_ms) - 1, 0)].add(letter)
    closed = closings + len(put_back & why.keys())
    reasons = Counter(reason for place, reason in why.items() if place not in put_back)
    raw = {settings.topic(name) for name in topics.RAW_TOPICS}

    def events(begins: Offsets, ends: Offsets) -> int:
        return sum(end - begins[tp] for tp, end in ends.items() if tp.topic in raw)

    counts = [events(*of) for of in zip(log.windows, (*log.windows[1:], log.ends), strict=True)]
    return Letters(
        count=sum(log.ends[tp] - log.hour[tp] for tp in partitions) - closed,
        events=events(log.hour, log.ends),
        reasons=dict(reasons),
        read=reasons.total(),
        loud=loudest(windows, counts),
    )


def loudest(windows: Iterable[Refusals], events: Iterable[int]) -> tuple[LoudCause, ...]:
    """Each cause that is loud in a window, counted in the window where its share is largest."""
    found: dict[tuple[str, str], LoudCause] = {}
    for refusals, count in zip(windows, events, strict=True):
        for cause in refusals.loud(count):
            key, loud = (cause.reason, cause.path), LoudCause(cause, count)
            if key not in found or _share(loud) > _share(found[key]):
                found[key] = loud
    return tuple(sorted(found.values(), key=_share, reverse=True))


def _share(loud: LoudCause) -> float:
    return loud.cause.count / loud.events


class _Named(Struct):
    type: str = ""
    event: str = ""


_NAMED = msgspec.json.Decoder(_Named)


async def examine_names(
    reader: AIOKafkaConsumer, settings: Settings, log: RecentOffsets
) -> tuple[Misnamed, ...]:
    """Names among the newest events of the last hour that resemble known ones."""
    found = Refusals()
    spans = log.newest(settings.topic(topics.CLICKSTREAM), NAMES_READ_MAX)
    async for _, records in scan_together(reader, spans, settings):
        for record in records:
            name = _name(record.value)
            if name and (meant := nearest_known_name(name)) is not None:
                found.add_name(name, meant)
    return found.misnamed()


def _name(value: bytes | None) -> str:
    """The name of a raw event; empty if it has none."""
    try:
        return _NAMED.decode(value or b"").event
    except UNREADABLE:
        return ""


async def examine_foreign(
    reader: AIOKafkaConsumer, settings: Settings, log: RecentOffsets
) -> tuple[ForeignRecords, ...]:
    """Foreign records among the newest of each internal topic in the last hour."""
    names = {settings.topic(name): name for name in DECODERS}
    spans = [span for topic in names for span in log.newest(topic, FOREIGN_READ_MAX)]
    read: Counter[str] = Counter()
    count: Counter[str] = Counter()
    last: dict[str, tuple[int, int, str]] = {}
    async for (topic, number), records in scan_together(reader, spans, settings):
        name = names[topic]
        read[name] += len(records)
        for record in records:
            if (why := why_foreign(name, record.value)) is not None:
                count[name] += 1
                # The maximum, so that the order in which partitions were read doesn't matter.
                last[name] = max(last.get(name, (-1, -1, "")), (number, record.offset, why))
    return tuple(
        ForeignRecords(name, count[name], read[name], *last[name])
        for name in DECODERS
        if name in last
    )
