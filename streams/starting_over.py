"""Taking away what workers would go on from: all topics of a deployment, or the rows alone, so that
they decide all of the log once more. Nobody may be at work meanwhile.
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

#: How long a broker may take to be rid of topics.
GONE_S = 60.0
LOOK_S = 0.2


class StartingOverError(RuntimeError):
    """It cannot be done as things are; the message says why, and what to do."""


def delete_topics(settings: Settings) -> list[str]:
    """Delete every topic of the deployment that there is, and the positions of its groups; the full
    names of the topics. Raises `StartingOverError` while somebody is in one of the groups.
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
    """Make the changelog anew and put the workers' group at the beginning of the log; the number of
    records that they will fold again.

    Every decision is written again then, with the id it had. Raises `StartingOverError` while a
    worker runs, and for a log that does not go back to its beginning.
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
        # Last: what is left half-way is refused by workers, which name `keepstream rebuild`.
        admin.alter_group_offsets(
            settings.group_id,
            {tp: OffsetAndMetadata(0, "", -1) for tp in all_partitions(counts)},
        )
        return sum(found.ends.values())


def _groups(admin: KafkaAdminClient, settings: Settings) -> list[str]:
    """The workers' group, and those of endpoints, as far as there are any."""
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
