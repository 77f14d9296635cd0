"""What the broker says of the workers' group: its members, and how far it has committed.

A new broker has yet to set up where groups are kept, and a group's coordinator may be reading its
offsets, or have moved to another broker. Such answers pass, so the question is put again.
"""

from collections.abc import Callable, Mapping
from time import sleep
from typing import Any, TypeVar

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    NotCoordinatorError,
)
from kafka.structs import OffsetAndMetadata

#: A coordinator that reads a large offsets topic takes a while.
TRIES = 40
RETRY_S = 0.5

#: What a broker says of a group until somebody can speak for it.
PASSING = (CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError)

Answer = TypeVar("Answer")


class GroupUnanswered(ConnectionError):
    """No broker could speak for the group in time; the message names the group and the reason."""


def committed_offsets(
    admin: KafkaAdminClient, group: str, tries: int = TRIES
) -> Mapping[TopicPartition, OffsetAndMetadata]:
    """The next offset of each partition of which the group has committed one.

    Raises `GroupUnanswered` after so many ``tries``.
    """
    found: Mapping[TopicPartition, OffsetAndMetadata]
    found = _asked(lambda: admin.list_group_offsets(group)[group], group, tries)
    return found


def described(
    admin: KafkaAdminClient, group: str, tries: int = TRIES, *, with_rights: bool = False
) -> Mapping[str, Any]:
    """The group's state and members, as the broker words them, and what whoever asks may do with
    it. Raises `GroupUnanswered`.
    """

    def ask() -> Mapping[str, Any]:
        found = admin.describe_groups([group], include_authorized_operations=with_rights)
        one: Mapping[str, Any] = found[group]
        return one

    return _asked(ask, group, tries)


def _asked(question: Callable[[], Answer], group: str, tries: int) -> Answer:
    for tries_left in reversed(range(tries)):
        try:
            return question()
        except PASSING as error:
            if not tries_left:
                raise GroupUnanswered(
                    f"the broker does not say how the group {group} is doing "
                    f"({type(error).__name__}): check it, then try again"
                ) from None
        sleep(RETRY_S)
    raise AssertionError("a group is asked once at least")
