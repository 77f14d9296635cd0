"""Leaves out records on internal topics that Keepstream did not write; counts and logs them.

The record stays where it is, and the log names its place, so that anyone can look at it.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from time import monotonic, time

from config import topics
from models.decisions.trigger import decode_decision
from models.events.dead_letter import decode_entry
from models.events.foreign import Foreign
from models.learning.lesson_checks import learnable_lesson, require_past
from models.learning.lessons import Lesson
from models.learning.snapshot import SnapshotError, decode_snapshot
from streams.metrics import Metrics

log = logging.getLogger(__name__)

#: Whoever floods a topic must not flood the log.
TELL_EVERY_S = 60.0


def past_lesson(content: bytes) -> Lesson:
    """Read a lesson of the past. Raises ``Foreign`` for one that no worker can have written."""
    lesson = learnable_lesson(content)
    require_past(lesson, int(time() * 1_000))
    return lesson


#: How the records of each internal topic are read. The log and the changelog have readers of their
#: own, which refuse and quarantine records.
DECODERS: Mapping[str, Callable[[bytes], object]] = {
    topics.LABELLED_EXAMPLES: past_lesson,
    topics.MODEL_SNAPSHOTS: decode_snapshot,
    topics.RETENTION_TRIGGERS: decode_decision,
    topics.NEXT_BEST_ACTIONS: decode_decision,
    topics.DECISION_LEDGER: decode_decision,
    topics.DEAD_LETTERS: decode_entry,
}


def why_foreign(topic: str, value: bytes | None) -> str | None:
    """Why a record of ``topic`` is not Keepstream's; None if it is."""
    try:
        DECODERS[topic](value or b"")
    except (Foreign, SnapshotError) as error:
        return str(error)
    return None


class Quarantine:
    """Counts and logs the records that readers left out."""

    def __init__(self, metrics: Metrics, now_s: Callable[[], float] = monotonic) -> None:
        self._metrics = metrics
        self._now_s = now_s
        self._untold: Counter[str] = Counter()
        self._told_s: dict[str, float] = {}

    def leave_out(self, topic: str, partition: int, offset: int, why: str) -> None:
        """Note that a record of ``topic`` (without the deployment's prefix) was left out."""
        self._metrics.foreign_records.labels(topic).inc()
        self._untold[topic] += 1
        now_s = self._now_s()
        if now_s - self._told_s.get(topic, -TELL_EVERY_S) < TELL_EVERY_S:
            return
        self._told_s[topic] = now_s
        count = self._untold.pop(topic)
        log.warning(
            "left out %d record%s of %s that %s not ours, the last at partition %d, offset %d: %s",
            count,
            "" if count == 1 else "s",
            topic,
            "is" if count == 1 else "are",
            partition,
            offset,
            why,
            extra={"fields": {"topic": topic, "partition": partition, "offset": offset}},
        )
