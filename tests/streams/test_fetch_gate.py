"""Nothing is fetched from a wrong position: between a revocation and the end of a rebalance, the
client may hold records that belong after ones that are still to come.
"""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from faust.transport.consumer import Consumer
from faust.types import TP

import streams.batch_consumer
from streams.batch_consumer import BatchConsumer, Batching
from streams.record_batches import BatchLedger, TopicIdentities

HELD = TopicPartition("events", 0)


class Gate(BatchConsumer):
    """A consumer without Faust, whose client holds a record of one partition."""

    def __init__(self) -> None:
        # Faust's own parts are not made: nothing here asks for them.
        self.ledger = BatchLedger(on_end=lambda _: None)
        self.app: Any = SimpleNamespace(rebalancing=False)
        self.flow_active = True
        self._paused_partitions: set[TP] = set()
        self._sought_epoch = self._open_epoch = -1
        self._wake: Any = SimpleNamespace(set=lambda: None)
        self.client: Any = SimpleNamespace(
            _fetcher=SimpleNamespace(_records={HELD: []}),
            _subscription=SimpleNamespace(reassignment_in_progress=False),
        )

    def seek_at(self, offset: int) -> None:
        """Begin an epoch and seek, as `perform_seek` does."""
        self._sought_epoch = self.ledger.begin_epoch()
        self.ledger.seek({TP(*HELD): offset})

    @property
    def is_open(self) -> bool:
        return bool(self._fetched(self.client))


@pytest.fixture
def gate() -> Gate:
    gate = Gate()
    gate.seek_at(0)
    gate.allow_fetching()
    assert gate.is_open
    return gate


def test_it_shuts_when_partitions_are_sought_anew_and_opens_when_the_rebalance_ends(
    gate: Gate,
) -> None:
    gate.seek_at(5)
    # Faust has yet to clear the agents' queues.
    assert not gate.is_open
    gate.allow_fetching()
    assert gate.is_open


def test_the_end_of_an_older_rebalance_does_not_open_it(gate: Gate) -> None:
    gate.ledger.begin_epoch()
    gate.ledger.seek({TP(*HELD): 5})
    gate.allow_fetching()
    assert not gate.is_open


def test_it_is_shut_while_the_group_rebalances(gate: Gate) -> None:
    gate.app.rebalancing = True
    assert not gate.is_open
    gate.app.rebalancing = False
    gate.client._subscription.reassignment_in_progress = True
    assert not gate.is_open
    gate.client._subscription.reassignment_in_progress = False
    gate.flow_active = False
    assert not gate.is_open


class HeldClient:
    """The methods of aiokafka's client that a takeover uses: which partitions it fetches, and what
    was requested in between.
    """

    def __init__(self) -> None:
        self.held: set[TopicPartition] = set()
        self.sought: dict[TopicPartition, int] = {}

    def assignment(self) -> set[TopicPartition]:
        return {HELD, TopicPartition("events", 1)}

    def pause(self, *partitions: TopicPartition) -> None:
        self.held.update(partitions)

    def paused(self) -> set[TopicPartition]:
        return set(self.held)

    def resume(self, *partitions: TopicPartition) -> None:
        # What is fetched from here on is from the position that was sought.
        assert self.assignment() == self.sought.keys()
        self.held.difference_update(partitions)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.sought[tp] = offset


def taken_over(monkeypatch: pytest.MonkeyPatch, *, is_rebalanced: bool) -> HeldClient:
    """A client after an assignment and the seek, during which the group may rebalance again."""
    gate, client = Gate(), HeldClient()
    gate.app.conf = SimpleNamespace(broker_request_timeout=30.0)
    gate.batching = Batching()
    gate._thread = SimpleNamespace(client=client)
    gate._deliveries, gate._batch_ended = {}, asyncio.Event()

    async def positions(asked: HeldClient, _: object) -> tuple[dict[TP, int], TopicIdentities]:
        assert asked.assignment() == asked.held
        if is_rebalanced:
            gate.ledger.begin_epoch()
        return {TP(*tp): 5 for tp in asked.assignment()}, TopicIdentities({})

    async def assigned(*_: object) -> None:
        """What Faust does afterwards is not checked."""

    monkeypatch.setattr(streams.batch_consumer, "found_positions", positions)
    monkeypatch.setattr(Consumer, "on_partitions_assigned", assigned)

    async def take_over() -> None:
        await gate.on_partitions_assigned({TP(*tp) for tp in client.assignment()}, 1)
        await gate.perform_seek()

    asyncio.run(take_over())
    return client


def test_nothing_is_fetched_while_positions_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request would wait until the broker answers a fetch for which there is nothing."""
    assert set() == taken_over(monkeypatch, is_rebalanced=False).held


def test_nothing_is_fetched_until_the_latest_assignment_was_sought(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = taken_over(monkeypatch, is_rebalanced=True)
    assert (client.assignment(), {}) == (client.held, client.sought)
