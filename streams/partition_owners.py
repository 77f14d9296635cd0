"""Knows the address of the worker that owns each partition of customers.

A worker gives its address when it joins the group, and the member that assigns the partitions sends
all addresses with them. So every worker knows the owners from the moment they are owners, and no
topic or key can contradict that. A worker of an earlier release gives no address: while one is in
the group, owners may be unknown.
"""

import msgspec
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)

from models.events.foreign import Foreign, decoded


class _Joining(msgspec.Struct):
    """What a worker sends when it joins."""

    url: str = ""


class _Told(msgspec.Struct):
    """What it receives with its partitions: the partitions at each address."""

    owners: dict[str, list[int]] = {}


_JOINING: msgspec.json.Decoder[_Joining] = msgspec.json.Decoder(_Joining)
_TOLD: msgspec.json.Decoder[_Told] = msgspec.json.Decoder(_Told)


class PartitionOwners:
    """The addresses of the owners of ``topic``'s partitions, as of the last rebalance.

    ``url``: this worker's own address, to be set before it joins the group.
    """

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.url = ""
        self._urls: dict[int, str] = {}

    def url_of(self, number: int) -> str | None:
        """The address of another worker that owns the partition. None if this worker owns it, if
        the owner is unknown, and for an address that this worker has, too: a worker that asked
        there might ask itself again.
        """
        url = self._urls.get(number)
        return url if url and url != self.url else None

    @property
    def shared(self) -> frozenset[int]:
        """The partitions at this worker's own address: its own, unless two workers share the
        address.
        """
        return frozenset(number for number, url in self._urls.items() if url == self.url)

    def learn(self, owners: dict[str, list[int]]) -> None:
        """Note who owns what from now on."""
        self._urls = {number: url for url, numbers in owners.items() for number in numbers}


class OwnersAssignor(RangePartitionAssignor):  # type: ignore[misc]
    """Assigns partitions by range, and tells all members where the owners are.

    In the group it has the name of the range assignor, which earlier releases use as well.
    """

    def __init__(self, owners: PartitionOwners) -> None:
        self._owners = owners

    def metadata(self, topics: object) -> ConsumerProtocolMemberMetadata:
        """What this worker sends when it joins."""
        said: ConsumerProtocolMemberMetadata = super().metadata(topics)
        content = msgspec.json.encode(_Joining(self._owners.url))
        return ConsumerProtocolMemberMetadata(said.version, said.subscription, content)

    def assign(
        self, cluster: ClusterMetadata, members: dict[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Assign the partitions, as the member that the broker chose for it."""
        shares: dict[str, ConsumerProtocolMemberAssignment] = super().assign(cluster, members)
        owners: dict[str, list[int]] = {}
        for member, share in shares.items():
            if url := _url_in(members[member].user_data):
                numbers = dict(share.assignment).get(self._owners.topic, [])
                owners[url] = sorted([*owners.get(url, []), *numbers])
        told = msgspec.json.encode(_Told(owners))
        return {
            member: ConsumerProtocolMemberAssignment(share.version, share.assignment, told)
            for member, share in shares.items()
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Note who the owners are."""
        try:
            told = decoded(_TOLD, assignment.user_data or b"{}", "a list of owners")
        except Foreign:
            # Another kind of member assigned the partitions, so the owners are unknown.
            told = _Told()
        self._owners.learn(told.owners)


def _url_in(user_data: bytes | None) -> str:
    try:
        said: _Joining = decoded(_JOINING, user_data or b"{}", "an address")
    except Foreign:
        return ""
    return said.url
