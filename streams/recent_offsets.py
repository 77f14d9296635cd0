"""Asks the broker once where partitions begin and end, and where their last hour begins.

So all examinations of a deployment look at the same records.
"""

from collections.abc import Mapping
from time import time
from typing import Any, NamedTuple

from aiokafka import TopicPartition as ReaderPartition
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import UnsupportedVersionError

from streams.topic_scan import Span

HOUR_MS = 3_600_000
#: The windows of the last hour in which refusals are compared with events.
WINDOW_MS = 600_000

Offsets = dict[TopicPartition, int]


class RecentOffsets(NamedTuple):
    """The offsets at which partitions begin and end, and those at which the ten-minute windows of
    the last hour begin; ``windows_ms``: when these windows begin.
    """

    begins: Offsets
    ends: Offsets
    windows: tuple[Offsets, ...]
    windows_ms: tuple[int, ...]
    newest_ms: int | None

    @property
    def hour(self) -> Offsets:
        """The offsets at which the last hour begins."""
        return self.windows[0]

    def span(self, partition: TopicPartition, begin: int) -> Span:
        begin = max(begin, self.begins[partition])
        return Span(ReaderPartition(*partition), begin, self.ends[partition])

    def newest(self, topic: str, count: int) -> list[Span]:
        """The last ``count`` records of the last hour, of each partition of the topic (full
        name).
        """
        return [self.span(tp, max(self.hour[tp], self.ends[tp] - count)) for tp in self.of(topic)]

    def of(self, topic: str) -> list[TopicPartition]:
        """The partitions of the topic with this full name."""
        return sorted(tp for tp in self.ends if tp.topic == topic)


def all_partitions(counts: Mapping[str, int]) -> list[TopicPartition]:
    """The partitions of all topics; ``counts``: how many each has, by its full name."""
    return [TopicPartition(name, n) for name, count in counts.items() for n in range(count)]


def recent_offsets(
    admin: KafkaAdminClient, partitions: list[TopicPartition], raw: set[str]
) -> RecentOffsets:
    """Ask for the offsets of ``partitions``; ``raw``: the full names of the raw topics, which show
    when the newest record came.
    """

    def asked(spec: Any) -> dict[TopicPartition, Any]:
        if not partitions:
            return {}
        found: dict[TopicPartition, Any] = admin.list_partition_offsets(
            dict.fromkeys(partitions, spec)
        )
        return found

    begins = {tp: found.offset for tp, found in asked(OffsetSpec.EARLIEST).items()}
    ends = {tp: found.offset for tp, found in asked(OffsetSpec.LATEST).items()}
    hour_ms = int(time() * 1_000) - HOUR_MS
    windows_ms = tuple(range(hour_ms, hour_ms + HOUR_MS, WINDOW_MS))

    def since(at_ms: int) -> Offsets:
        found = asked(at_ms)
        # No record since then: the window begins where the partition ends.
        return {tp: found[tp].offset if found[tp].offset >= 0 else ends[tp] for tp in partitions}

    try:
        # Only timestamps that the broker set show the broker's clock.
        newest = asked(OffsetSpec.MAX_TIMESTAMP)
    except UnsupportedVersionError:
        newest = {}
    stamps = [found.timestamp for tp, found in newest.items() if tp.topic in raw]
    newest_ms = max((ms for ms in stamps if ms >= 0), default=None)
    return RecentOffsets(begins, ends, tuple(map(since, windows_ms)), windows_ms, newest_ms)
