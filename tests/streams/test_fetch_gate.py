"""Nothing is fetched from the wrong position: between a revocation and the end of a rebalance what
the client holds may belong after records that are still to come.
"""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from faust.types import TP

from streams.batch_consumer import BatchConsumer
from streams.record_batches import BatchLedger

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
