"""Examines the decisions of the last hour for `streams.diagnosis`: which were delivered, which came
too late, and which gates were shut.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from config.settings import Settings
from models.decisions.gates import ANSWERS
from models.decisions.trigger import (
    Decision,
    NextBestAction,
    decode_decision,
    does_nothing,
    is_too_old,
)
from models.events.foreign import Foreign
from streams.topic_scan import Span, scan_together
from streams.vitals import Deliveries

#: Newest records of each partition that are looked at.
DECISIONS_READ_MAX = 500


class DeliveryCounts:
    """Counts decisions by what the deliver agent and the gates do with them."""

    def __init__(self, max_age_ms: int) -> None:
        self._max_age_ms = max_age_ms
        self._read = 0
        self._delivered: Counter[str] = Counter()
        self._held_back: Counter[str] = Counter()
        self._nothing = 0
        self._gates: Counter[str] = Counter()

    def add(self, decision: Decision, at_ms: int) -> None:
        """Count a decision that is delivered at ``at_ms``, if it is."""
        self._read += 1
        if isinstance(decision, NextBestAction):
            # That an action answers other triggers than these is nobody's news.
            self._gates.update(one.by for one in decision.suppressed if one.by != ANSWERS)
        if does_nothing(decision):
            self._nothing += 1
        elif is_too_old(decision, at_ms, self._max_age_ms):
            self._held_back[decision.kind] += 1
        else:
            self._delivered[decision.kind] += 1

    def counted(self, count: int) -> Deliveries:
        """What was counted, of ``count`` decisions in all."""
        return Deliveries(
            count=count,
            read=self._read,
            delivered=dict(self._delivered),
            held_back=dict(self._held_back),
            nothing=self._nothing,
            gates=dict(self._gates),
        )


async def examine_deliveries(
    reader: AIOKafkaConsumer,
    spans: Iterable[Span],
    committed: Mapping[TopicPartition, int],
    now_ms: int,
    settings: Settings,
) -> Deliveries:
    """The newest decisions within ``spans``; ``committed``: how far the workers delivered them.

    When a decision was delivered is known by when it was made: Redis takes it right after, but for
    an outage. One that still waits is judged by now.
    """
    counts, of_the_hour = DeliveryCounts(settings.deliver_max_age_ms), list(spans)
    newest = [
        span._replace(begin=max(span.begin, span.end - DECISIONS_READ_MAX)) for span in of_the_hour
    ]
    async for partition, records in scan_together(reader, newest, settings):
        done = committed.get(partition, 0)
        for record in records:
            if (decision := _decision(record)) is not None:
                counts.add(decision, record.timestamp if record.offset < done else now_ms)
    return counts.counted(_length(of_the_hour))


def _length(spans: Iterable[Span]) -> int:
    return sum(span.end - span.begin for span in spans)


def _decision(record: ConsumerRecord) -> Decision | None:
    try:
        return decode_decision(record.value or b"")
    except Foreign:
        return None
