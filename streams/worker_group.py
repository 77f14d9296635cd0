"""Asks the broker about the workers' group: its members, and how far it has committed.

A new broker must first set up its storage of groups, and a group's coordinator may still read its
offsets, or have moved to another broker. Such answers are temporary, so the question is repeated.
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

#: A coordinator with a large offsets topic needs some time to read it.
TRIES = 40
RETRY_S = 0.5

#: A broker's answers until a coordinator can speak for the group.
PASSING = (CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError)

Answer = TypeVar("Answer")


class GroupUnanswered(ConnectionError):
    """No broker answered for the group in time; the message names the group and the reason."""


def committed_offsets(
    admin: KafkaAdminClient, group: str, tries: int = TRIES
) -> Mapping[TopicPartition, OffsetAndMetadata]:
    """The next offset of each partition for which the group has committed one.

    Raises `GroupUnanswered` after ``tries``.
    """
    found: Mapping[TopicPartition, OffsetAndMetadata]
    found = _asked(lambda: admin.list_group_offsets(group)[group], group, tries)
    return found


def described(
    admin: KafkaAdminClient, group: str, tries: int = TRIES, *, with_rights: bool = False
) -> Mapping[str, Any]:
    """The group's state and members in the broker's words, and what the client may do with it.
    Raises `GroupUnanswered`.
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
