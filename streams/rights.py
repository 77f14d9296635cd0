"""Checks whether Kafka lets this program do what it must, before it begins.

The broker can say what a client may do with each topic, the group and the cluster. A later refusal
would name only the topic, and come after part of the work is done.
"""

from collections.abc import Iterable, Mapping
from contextlib import closing
from itertools import groupby

from kafka import KafkaAdminClient
from kafka.errors import GroupAuthorizationFailedError

from config.rights import GROUP, RIGHTS, TOPIC, Right
from config.settings import Settings
from streams.kafka_clients import new_admin
from streams.worker_group import GroupUnanswered, described

_TOPIC_REFUSED = 29  # TOPIC_AUTHORIZATION_FAILED
_UNKNOWN = 3  # UNKNOWN_TOPIC_OR_PARTITION
#: The broker's name of each operation, by the name in its tools.
_TOLD = {
    "Read": "READ",
    "Write": "WRITE",
    "Describe": "DESCRIBE",
    "DescribeConfigs": "DESCRIBE_CONFIGS",
    "Create": "CREATE",
    "Delete": "DELETE",
}


class RightsError(PermissionError):
    """The broker does not let this program do what it must; the message names what is missing."""


def require_rights(settings: Settings, program: str) -> None:
    """Raise `RightsError`, which names each topic with the operation that is refused.

    Without authentication nothing is checked.
    """
    if not (settings.uses_sasl or settings.ssl_certfile):
        return
    with closing(new_admin(settings)) as admin:
        missing = missing_rights(admin, settings, RIGHTS[program])
    if missing:
        who = f"the user {settings.sasl_username}" if settings.uses_sasl else "this certificate"
        raise RightsError(
            f"{settings.bootstrap_servers} does not let {who} do what `keepstream {program}` "
            f"must:\n{_in_words(missing, settings)}\nGrant it as docs/security.md has it"
        )


def missing_rights(
    admin: KafkaAdminClient, settings: Settings, needed: Iterable[Right]
) -> list[Right]:
    """The members of ``needed`` that the broker does not grant; a missing topic grants all."""
    wanted = list(needed)
    granted = _granted_topics(admin, settings, {one.name for one in wanted if one.kind == TOPIC})
    missing = []
    for right in wanted:
        told = _TOLD[right.operation]
        if right.kind == TOPIC:
            known = granted.get(right.name)
        elif right.kind == GROUP:
            known = _granted_group(admin, settings.group_id)
        else:
            known = _known(admin.describe_cluster().get("authorized_operations"))
        if known is not None and told not in known:
            missing.append(right)
    return missing


def _granted_topics(
    admin: KafkaAdminClient, settings: Settings, names: set[str]
) -> Mapping[str, frozenset[str] | None]:
    """The operations allowed on each topic; None where that is unknown."""
    granted: dict[str, frozenset[str] | None] = {}
    by_full_name = {settings.topic(name): name for name in names}
    for found in admin.describe_topics(sorted(by_full_name)) if names else ():
        name = by_full_name.get(str(found["name"]))
        if name is None:
            continue
        if found["error_code"] == _TOPIC_REFUSED:
            granted[name] = frozenset()
        elif not found["error_code"]:
            granted[name] = _known(found.get("authorized_operations"))
    return granted


def _granted_group(admin: KafkaAdminClient, group: str) -> frozenset[str] | None:
    """The operations allowed on the group; None where that is unknown."""
    try:
        found = described(admin, group, with_rights=True)
    except GroupAuthorizationFailedError:
        return frozenset()
    except GroupUnanswered:
        return None
    if error := found["error"]:
        # A refusal, when the client knew the coordinator already; or there is no such group yet.
        return frozenset() if GroupAuthorizationFailedError.__name__ in error else None
    return _known(found.get("authorized_operations"))


def _known(operations: Iterable[str] | None) -> frozenset[str] | None:
    """The operations; None for a broker before 2.3, which doesn't name them."""
    return None if operations is None else frozenset(operations)


def _in_words(missing: Iterable[Right], settings: Settings) -> str:
    lines = []
    for (kind, operation), rights in groupby(
        sorted(missing, key=lambda one: (one.kind, one.operation)),
        lambda one: (one.kind, one.operation),
    ):
        if kind == TOPIC:
            names = ", ".join(settings.topic(right.name) for right in rights)
            lines.append(f"  - {operation} on the topics {names}")
        elif kind == GROUP:
            lines.append(f"  - {operation} on the group {settings.group_id}")
        else:
            lines.append(f"  - {operation} on the cluster")
    return "\n".join(lines)
