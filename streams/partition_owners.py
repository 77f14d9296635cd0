"""Where the owner of each partition of customers is asked.

A worker says its address when it joins the group, and whoever shares out the partitions sends all
addresses along with them. So every worker knows the owners from the moment at which they are the
owners, and there is no topic or key that could say otherwise. A worker of an earlier release says
no address: where it is in the group, owners may be unknown.
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
    """What a worker says when it joins."""

    url: str = ""


class _Told(msgspec.Struct):
    """What it is told with its partitions: the partitions at each address."""

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
        """Where another worker that owns the partition is asked. None if this one owns it, if
        nobody knows, and for an address that is also this worker's: whoever asked there might ask
        this worker again.
        """
        url = self._urls.get(number)
        return url if url and url != self.url else None

    @property
    def shared(self) -> frozenset[int]:
        """The partitions at this worker's own address: its own, unless two workers say the same."""
        return frozenset(number for number, url in self._urls.items() if url == self.url)

    def learn(self, owners: dict[str, list[int]]) -> None:
        """Take in who owns what from now on."""
        self._urls = {number: url for url, numbers in owners.items() for number in numbers}


class OwnersAssignor(RangePartitionAssignor):  # type: ignore[misc]
    """Shares out partitions by range, and tells everybody where the owners are.

    Its name in the group is that of range, which earlier releases go by as well.
    """

    def __init__(self, owners: PartitionOwners) -> None:
        self._owners = owners

    def metadata(self, topics: object) -> ConsumerProtocolMemberMetadata:
        """What this worker says when it joins."""
        said: ConsumerProtocolMemberMetadata = super().metadata(topics)
        content = msgspec.json.encode(_Joining(self._owners.url))
        return ConsumerProtocolMemberMetadata(said.version, said.subscription, content)

    def assign(
        self, cluster: ClusterMetadata, members: dict[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Share out, as the one member that the broker asked to."""
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
        """Learn who the owners are."""
        try:
            told = decoded(_TOLD, assignment.user_data or b"{}", "a list of owners")
        except Foreign:
            # Shared out by another kind of member: what it says of owners is not known.
            told = _Told()
        self._owners.learn(told.owners)


def _url_in(user_data: bytes | None) -> str:
    try:
        said: _Joining = decoded(_JOINING, user_data or b"{}", "an address")
    except Foreign:
        return ""
    return said.url
