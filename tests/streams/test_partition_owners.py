"""Every worker knows the address of each partition's owner."""

from typing import Any

import pytest
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocol

from streams.partition_owners import OwnersAssignor, PartitionOwners

EVENTS, RAW = "customer-events", "transactions"


class Cluster:
    """What an assignor reads from a cluster: five partitions of every topic."""

    def partitions_for_topic(self, _: str) -> set[int]:
        return set(range(5))


class Member:
    """A worker's side of the group: it joins, and gets its share, both as bytes."""

    def __init__(self, url: str) -> None:
        self.owners = PartitionOwners(EVENTS)
        self.owners.url = url
        self.assignor: Any = OwnersAssignor(self.owners)

    def joining(self) -> bytes:
        said: bytes = self.assignor.metadata([EVENTS, RAW]).encode()
        return said

    def take(self, share: bytes) -> None:
        self.assignor.on_assignment(ConsumerProtocol.ASSIGNMENT.decode(share))


class Earlier(Member):
    """A member with an earlier release, which sends no address and forwards none."""

    def __init__(self) -> None:
        super().__init__("")
        self.assignor = RangePartitionAssignor


def share_out(leader: Member, *others: Member) -> None:
    """One rebalance, led by ``leader``; members are named by their order."""
    members = {f"m{number}": member for number, member in enumerate((leader, *others))}
    said = {name: ConsumerProtocol.METADATA.decode(m.joining()) for name, m in members.items()}
    for name, share in leader.assignor.assign(Cluster(), said).items():
        members[name].take(share.encode())


def places(member: Member) -> dict[int, str | None]:
    return {number: member.owners.url_of(number) for number in range(5)}


def test_everybody_is_told_where_the_others_are_asked() -> None:
    one, other = Member("http://one:1"), Member("http://other:2")
    share_out(one, other)

    assert {0: None, 1: None, 2: None, 3: "http://other:2", 4: "http://other:2"} == places(one)
    assert {0: "http://one:1", 1: "http://one:1", 2: "http://one:1", 3: None, 4: None} == (
        places(other)
    )
    assert [{0, 1, 2}, {3, 4}] == [one.owners.shared, other.owners.shared]


def test_the_shares_are_those_of_range() -> None:
    members = [Member("http://one:1"), Member("http://other:2"), Member("http://third:3")]
    said = {str(n): ConsumerProtocol.METADATA.decode(m.joining()) for n, m in enumerate(members)}

    shares = members[0].assignor.assign(Cluster(), said)
    plain = RangePartitionAssignor.assign(Cluster(), said)
    assert [plain[name].assignment for name in sorted(plain)] == [
        shares[name].assignment for name in sorted(shares)
    ]


def test_after_a_rebalance_the_owners_are_the_new_ones() -> None:
    one, other = Member("http://one:1"), Member("http://other:2")
    share_out(one, other)
    share_out(other)

    assert dict.fromkeys(range(5)) == places(other)


@pytest.mark.parametrize("is_led_by_the_earlier", [False, True])
def test_a_worker_of_an_earlier_release_is_in_the_group_and_nowhere(
    is_led_by_the_earlier: bool,
) -> None:
    present, earlier = Member("http://one:1"), Earlier()
    share_out(*((earlier, present) if is_led_by_the_earlier else (present, earlier)))

    assert dict.fromkeys(range(5)) == places(present)


def test_what_was_told_once_is_forgotten_when_nothing_is_told() -> None:
    one, other, earlier = Member("http://one:1"), Member("http://other:2"), Earlier()
    share_out(one, other)
    share_out(earlier, one, other)

    assert dict.fromkeys(range(5)) == places(one)


def test_an_address_that_two_workers_share_is_nobody_elses() -> None:
    """This worker might be asked again by the one that it asks there."""
    one, other = Member("http://127.0.0.1:8080"), Member("http://127.0.0.1:8080")
    share_out(one, other)

    assert dict.fromkeys(range(5)) == places(one) == places(other)


@pytest.mark.parametrize("said", [b"\xff\x00", b"[]", b'{"owners": 7}', b'{"url": []}', None])
def test_what_others_say_in_other_words_is_left_out(said: bytes | None) -> None:
    one = Member("http://one:1")
    metadata = ConsumerProtocol.METADATA(0, [EVENTS], said)
    own = ConsumerProtocol.METADATA.decode(one.joining())
    shares = one.assignor.assign(Cluster(), {"a": metadata, "b": own})
    one.take(shares["b"].encode())
    assert [None, None] == [one.owners.url_of(0), one.owners.url_of(4)]

    one.take(ConsumerProtocol.ASSIGNMENT(0, [], said).encode())
    assert dict.fromkeys(range(5)) == places(one)
