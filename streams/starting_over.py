"""Deletes what workers would continue from: all topics of a deployment, or only the rows, so that
they decide the whole log again. No worker may run meanwhile.
"""

from contextlib import closing
from time import monotonic, sleep

from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from config.settings import Settings
from config.topics import CUSTOMER_EVENTS, CUSTOMERS
from streams.kafka_clients import new_admin
from streams.recent_offsets import all_partitions, recent_offsets
from streams.topics import create_topics, declared, partition_counts
from streams.worker_group import described

#: How long a broker may take to remove topics.
GONE_S = 60.0
LOOK_S = 0.2


class StartingOverError(RuntimeError):
    """It can't be done now; the message says why, and what to do."""


def delete_topics(settings: Settings) -> list[str]:
    """Delete every topic of the deployment, and its groups' positions; return the topics' full
    names. Raises `StartingOverError` while one of the groups has a member.
    """
    with closing(new_admin(settings)) as admin:
        groups = _groups(admin, settings)
        _require_nobody(admin, groups)
        names = sorted(partition_counts(admin, [topic.name for topic in declared(settings)]))
        _delete(admin, names)
        if groups:
            admin.delete_groups(groups)
    return names


def decide_again(settings: Settings) -> int:
    """Recreate the changelog and move the workers' group to the beginning of the log; return how
    many records they will fold again.

    Every decision is then written again, with the same id. Raises `StartingOverError` while a
    worker runs, and for a log whose beginning was deleted.
    """
    with closing(new_admin(settings)) as admin:
        _require_nobody(admin, [settings.group_id])
        log = settings.topic(CUSTOMER_EVENTS)
        counts = partition_counts(admin, [log])
        if log not in counts:
            raise StartingOverError(f"there is no topic {log}: see `keepstream topics check`")
        found = recent_offsets(admin, all_partitions(counts), set())
        if any(found.begins.values()):
            raise StartingOverError(
                f"{log} does not go back to its beginning, so rows of it alone would be other "
                f"ones: `keepstream rebuild --all` makes them from the archive, too"
            )
        _delete(admin, [settings.topic(CUSTOMERS)])
        create_topics(settings)
        # Last: if this step is missing, workers refuse to start and name `keepstream rebuild`.
        admin.alter_group_offsets(
            settings.group_id,
            {tp: OffsetAndMetadata(0, "", -1) for tp in all_partitions(counts)},
        )
        return sum(found.ends.values())


def _groups(admin: KafkaAdminClient, settings: Settings) -> list[str]:
    """The workers' group and the endpoints' groups, those that exist."""
    prefix = settings.endpoint_group("")
    there = {str(found["group_id"]) for found in admin.list_groups()}
    return sorted(name for name in there if name == settings.group_id or name.startswith(prefix))


def _require_nobody(admin: KafkaAdminClient, groups: list[str]) -> None:
    for group in groups:
        if members := described(admin, group)["members"]:
            raise StartingOverError(
                f"{len(members)} are in the group {group}: stop workers and deliverers first, and "
                f"wait until their sessions are over"
            )


def _delete(admin: KafkaAdminClient, names: list[str]) -> None:
    """Delete topics, and return when the broker has forgotten them."""
    if not names:
        return
    try:
        admin.delete_topics(names)
    except KafkaError as error:
        raise StartingOverError(f"the broker refused to delete topics: {error}") from None
    deadline_s = monotonic() + GONE_S
    while left := partition_counts(admin, names):
        if monotonic() > deadline_s:
            raise StartingOverError(f"still there after {GONE_S:.0f} s: {', '.join(sorted(left))}")
        sleep(LOOK_S)
