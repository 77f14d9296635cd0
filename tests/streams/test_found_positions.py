"""Where reading continues after an assignment, also when a partition has no leader."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from faust.types import TP

import streams.loop_bound_client
from streams.loop_bound_client import LEADER_TRIES, found_positions
from streams.record_batches import PositionError

HERE, AWAY = TopicPartition("orders", 0), TopicPartition("orders", 1)


class Client:
    """The methods of aiokafka's client that are used; it never answers for a partition without a
    leader, as the real one does not until its time-out.
    """

    def __init__(self, leaders: Callable[[TopicPartition], int | None], **committed: int) -> None:
        self.looks = 0
        self._leaders = leaders
        self._committed = {
            tp: SimpleNamespace(offset=committed[name], metadata="id-1")
            for tp, name in ((HERE, "here"), (AWAY, "away"))
            if name in committed
        }
        cluster = SimpleNamespace(leader_for_partition=leaders)
        self._client = SimpleNamespace(cluster=cluster, force_metadata_update=self._look)
        self._coordinator = SimpleNamespace(fetch_committed_offsets=self._fetch_committed)

    def assignment(self) -> set[TopicPartition]:
        return {HERE, AWAY}

    async def _look(self) -> None:
        self.looks += 1

    async def _fetch_committed(self, _: object) -> dict[TopicPartition, Any]:
        return self._committed

    async def beginning_offsets(self, asked: list[TopicPartition]) -> dict[TopicPartition, int]:
        return await self._answered(asked, 2)

    async def end_offsets(self, asked: list[TopicPartition]) -> dict[TopicPartition, int]:
        return await self._answered(asked, 50)

    async def _answered(self, asked: list[TopicPartition], offset: int) -> dict[Any, int]:
        if any(self._leaders(tp) in (None, -1) for tp in asked):
            raise TimeoutError
        return dict.fromkeys(asked, offset)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def topic_ids(*_: object) -> dict[str, str]:
        return {"orders": "id-1"}

    monkeypatch.setattr(streams.loop_bound_client, "topic_ids", topic_ids)
    monkeypatch.setattr(streams.loop_bound_client, "LEADER_RETRY_S", 0.0)


def found(client: Any, *bound: str) -> dict[TP, int]:
    return asyncio.run(found_positions(client, bound))[0]


@pytest.mark.parametrize("away", [-1, None])
@pytest.mark.parametrize(("committed", "next_offset"), [({"away": 7}, 7), ({}, 0)])
def test_a_partition_without_a_leader_keeps_no_other_from_being_read(
    away: int | None,
    committed: dict[str, int],
    next_offset: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = Client(lambda tp: 1 if tp == HERE else away, here=30, **committed)
    assert {TP("orders", 0): 30, TP("orders", 1): next_offset} == found(client)
    assert LEADER_TRIES == client.looks
    assert "no leader: orders-1" in caplog.text


def test_an_election_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    client = Client(lambda tp: 1 if tp == HERE or client.looks > 2 else -1, here=30, away=60)
    # It is compared with its log, which ends at 50.
    with pytest.raises(PositionError, match="orders-1 ends at 50"):
        found(client)
    assert "no leader" not in caplog.text


def test_a_topic_that_was_replaced_is_told_without_a_leader() -> None:
    client = Client(lambda tp: 1 if tp == HERE else -1, away=7)
    client._committed[AWAY].metadata = "id-0"
    assert {TP("orders", 0): 2, TP("orders", 1): 0} == found(client)
    with pytest.raises(PositionError, match="is not the topic that this group has read"):
        found(client, "orders")
