"""Examines the decisions of the last hour for `streams.diagnosis`: which were delivered, which were
too late, and which gates rejected actions.
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

#: How many of the newest records of each partition are read.
DECISIONS_READ_MAX = 500


class DeliveryCounts:
    """Counts decisions by what the deliver agent and the gates did with them."""

    def __init__(self, max_age_ms: int) -> None:
        self._max_age_ms = max_age_ms
        self._read = 0
        self._delivered: Counter[str] = Counter()
        self._held_back: Counter[str] = Counter()
        self._nothing = 0
        self._gates: Counter[str] = Counter()

    def add(self, decision: Decision, at_ms: int) -> None:
        """Count a decision as of ``at_ms``, when it is delivered."""
        self._read += 1
        if isinstance(decision, NextBestAction):
            # An action that answers other triggers than these was not held back by a gate.
            self._gates.update(one.by for one in decision.suppressed if one.by != ANSWERS)
        if does_nothing(decision):
            self._nothing += 1
        elif is_too_old(decision, at_ms, self._max_age_ms):
            self._held_back[decision.kind] += 1
        else:
            self._delivered[decision.kind] += 1

    def counted(self, count: int) -> Deliveries:
        """The counts; ``count``: the number of all decisions, including those not read."""
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
    """Count the newest decisions within ``spans``. ``committed``: how far the workers delivered
    them.

    A delivered decision counts as delivered when it was made: Redis takes it right afterwards,
    except in an outage. A waiting decision is judged as of ``now_ms``.
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
