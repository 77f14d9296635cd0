"""Finds the release of Kafka: brokers don't name it, but they name the features they have."""

from typing import Any, Final

from kafka.errors import KafkaError

#: The newest metadata.version of each release, from `kafka-storage.sh version-mapping`.
RELEASES: Final = (
    (14, "3.6"),
    (19, "3.7"),
    (20, "3.8"),
    (21, "3.9"),
    (25, "4.0"),
    (27, "4.1"),
    (29, "4.2"),
    (30, "4.3"),
    (33, "4.4"),
)


def release_of(metadata_version: int) -> str:
    """The first release whose newest metadata.version is at least this one."""
    for newest, release in RELEASES:
        if metadata_version <= newest:
            return release
    return f"{RELEASES[-1][1]} or later"


def broker_release(admin: Any) -> str:
    """The release of the brokers that ``admin`` is connected to, such as 4.4. For a broker that
    names no features: the newest release whose protocol it speaks.
    """
    try:
        supported = admin.describe_features()["metadata.version"]["supported"]
    except (KafkaError, KeyError):
        return f"{'.'.join(map(str, admin._manager.broker_version))} or later"
    return release_of(supported[1])
