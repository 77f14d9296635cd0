"""The ends of the log, and the committed positions of the workers' group."""

from collections.abc import Iterable
from typing import Self

from kafka import TopicPartition
from kafka.admin import OffsetSpec

from config.settings import Settings
from config.topics import partitions_of
from streams.kafka_clients import new_admin
from streams.worker_group import GroupUnanswered, committed_offsets

Positions = dict[tuple[str, int], int]


class Broker:
    """Asks the broker for positions, by (topic without the deployment's prefix, partition)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = new_admin(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._admin.close()

    def ends(self, topics: Iterable[str]) -> Positions:
        """The offset that the next record of each partition will have."""
        asked = {
            TopicPartition(self._settings.topic(topic), partition): OffsetSpec.LATEST
            for topic in topics
            for partition in range(partitions_of(topic, self._settings.partitions))
        }
        found = self._admin.list_partition_offsets(asked)
        return {self._named(tp): at.offset for tp, at in found.items()}

    def committed(self) -> Positions:
        """The next offset that the group will read, where it has committed one."""
        group = self._settings.group_id
        try:
            found = committed_offsets(self._admin, group, tries=1)
        except GroupUnanswered:
            # A new broker has yet to set up its first group; the caller asks again.
            return {}
        return {self._named(tp): at.offset for tp, at in found.items()}

    def _named(self, tp: TopicPartition) -> tuple[str, int]:
        return tp.topic.removeprefix(self._settings.topic_prefix), tp.partition


def is_reached(positions: Positions, ends: Positions) -> bool:
    """Whether every partition has reached its end."""
    return all(positions.get(place, 0) >= end for place, end in ends.items())
