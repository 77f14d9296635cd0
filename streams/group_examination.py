"""Examines the workers' group for `streams.diagnosis`: how far it is, and whether it advances."""

from collections.abc import Iterable
from contextlib import closing
from time import monotonic, sleep

from kafka import KafkaAdminClient, TopicPartition

from config import topics
from config.settings import Settings
from streams.diagnosis import LOOK_AGAIN_S, LOOK_SOON_S
from streams.kafka_clients import new_admin
from streams.recent_offsets import Offsets, RecentOffsets, all_partitions, recent_offsets
from streams.topics import partition_counts
from streams.vitals import GroupPosition, WorkerGroup
from streams.worker_group import GroupUnanswered, committed_offsets, described

#: How often to ask for a group: a new broker has none, and an examination must not hang.
GROUP_TRIES = 3
#: The topics that the group consumes.
TAKEN = (
    *topics.RAW_TOPICS,
    topics.CUSTOMER_EVENTS,
    topics.LABELLED_EXAMPLES,
    *topics.DELIVERED_TOPICS,
)


def group_progress(settings: Settings, names: Iterable[str]) -> tuple[WorkerGroup, int]:
    """The workers' group, and how many records of these topics it has not committed yet."""
    wanted = [settings.topic(name) for name in names]
    with closing(new_admin(settings)) as admin:
        partitions = all_partitions(partition_counts(admin, wanted))
        log = recent_offsets(admin, partitions, set())
        committed = _committed(admin, settings, log, partitions)
        waiting = sum(max(log.ends[tp] - committed[tp], 0) for tp in partitions)
        return _group(admin, settings.group_id), waiting


class GroupLook:
    """Two looks at how far the group is: at once, and after everything else was examined."""

    def __init__(self, admin: KafkaAdminClient, settings: Settings, log: RecentOffsets) -> None:
        self._admin, self._settings, self._log = admin, settings, log
        self._taken = sorted(tp for tp in log.ends if self._name(tp) in TAKEN)
        self.before = _committed(admin, settings, log, self._taken)
        self._since_s = monotonic()

    def again(self) -> tuple[WorkerGroup, tuple[GroupPosition, ...]]:
        """The group and its positions; partitions with lag get time to advance, if they need it."""
        now = self.before
        for look_s in (LOOK_SOON_S, LOOK_AGAIN_S):
            if self._has_moved(now):
                break
            sleep(max(0.0, self._since_s + look_s - monotonic()))
            now = _committed(self._admin, self._settings, self._log, self._taken)
        positions = tuple(
            GroupPosition(
                self._name(tp), tp.partition, now[tp], self._log.ends[tp], self.before[tp]
            )
            for tp in self._taken
        )
        return _group(self._admin, self._settings.group_id), positions

    def _has_moved(self, now: Offsets) -> bool:
        """Whether every partition with lag has advanced since the first look."""
        return all(
            now[tp] > self.before[tp]
            for tp in self._taken
            # The trainer commits up to its last snapshot only.
            if now[tp] < self._log.ends[tp] and self._name(tp) != topics.LABELLED_EXAMPLES
        )

    def _name(self, tp: TopicPartition) -> str:
        return str(tp.topic.removeprefix(self._settings.topic_prefix))


def _committed(
    admin: KafkaAdminClient, settings: Settings, log: RecentOffsets, taken: Iterable[TopicPartition]
) -> Offsets:
    """Committed offsets, or the beginning of a partition without one."""
    try:
        found = committed_offsets(admin, settings.group_id, tries=GROUP_TRIES)
    except GroupUnanswered:
        found = {}  # a new broker has not set up its first group yet
    at = {tp: found[tp].offset if tp in found else -1 for tp in taken}
    return {tp: offset if offset >= 0 else log.begins[tp] for tp, offset in at.items()}


def _group(admin: KafkaAdminClient, name: str) -> WorkerGroup:
    try:
        found = described(admin, name, tries=GROUP_TRIES)
    except GroupUnanswered:
        return WorkerGroup(name, "Dead", 0)
    return WorkerGroup(name, str(found["group_state"]), len(found["members"] or ()))
