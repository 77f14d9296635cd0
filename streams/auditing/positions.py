"""Asks over one connection where topics begin and end, and how far the workers are."""

from collections.abc import Mapping, Sequence

from aiokafka import TopicPartition as ReaderPartition
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec

from config.settings import Settings
from config.topics import CUSTOMER_EVENTS, DELIVERED_TOPICS, RAW_TOPICS
from streams.record_batches import Committed, is_replaced
from streams.topic_scan import Span
from streams.topics import TopicsError, partition_counts
from streams.worker_group import GroupUnanswered, committed_offsets

#: By (topic, partition), without the deployment's prefix.
Places = dict[tuple[str, int], int]
#: Topics where records before the committed offset must have had their effects.
COMMITTED_TOPICS = (CUSTOMER_EVENTS, *RAW_TOPICS, *DELIVERED_TOPICS)


class Positions:
    """Blocks while the broker answers: call it from a thread."""

    def __init__(self, admin: KafkaAdminClient, settings: Settings) -> None:
        self._admin = admin
        self._settings = settings

    def committed(self, topic_ids: Mapping[str, str]) -> Places:
        """The workers' next offsets on `COMMITTED_TOPICS`. Offsets of a deleted topic that had the
        same name are left out; ``topic_ids`` has the present ids, by full name.
        """
        names = {self._settings.topic(topic): topic for topic in COMMITTED_TOPICS}
        group = self._settings.group_id
        try:
            found = committed_offsets(self._admin, group)
        except GroupUnanswered:
            return {}  # the first group of a new broker is yet to be set up
        return {
            (names[tp.topic], tp.partition): at.offset
            for tp, at in found.items()
            if tp.topic in names
            and at.offset >= 0
            and not is_replaced(Committed(at.offset, at.metadata), topic_ids.get(tp.topic, ""))
        }

    def spans(self, topics: Sequence[str]) -> dict[str, list[Span]]:
        """The present span of each partition of these topics, asked in the order given. Raises
        `TopicsError` when a topic is missing.
        """
        names = {topic: self._settings.topic(topic) for topic in topics}
        counts = partition_counts(self._admin, list(names.values()))
        for name in names.values():
            if name not in counts:
                raise TopicsError(f"{name} is missing: run `keepstream topics create`")
        return {topic: self._spans(name, counts[name]) for topic, name in names.items()}

    def _spans(self, name: str, count: int) -> list[Span]:
        partitions = [TopicPartition(name, number) for number in range(count)]
        begins, ends = (
            self._admin.list_partition_offsets(dict.fromkeys(partitions, spec))
            for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
        )
        return [Span(ReaderPartition(*tp), begins[tp].offset, ends[tp].offset) for tp in partitions]
