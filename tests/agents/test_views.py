"""Reading one profile or all of them uses no memory, and leaves time for folding."""

import asyncio
from typing import Any

import pytest

from agents import store_upkeep
from agents.app import Worker
from agents.store_upkeep import BURST_S, CHANGING_SHARE, FILLING_SHARE, StoreUpkeep
from config.settings import load_settings
from models.customer.row import encode_row
from models.partition import Partition
from models.plan import plan_for
from streams.customers_table import CustomerRows
from streams.kafka_clients import partition_for
from streams.owned_partitions import OwnedPartition
from tests.models.lines import PARAMETERS, PRIOR, at, happened, lived
from tests.simulation.virtual_time import VirtualLoop


def test_profiles_that_are_read_are_not_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """For an emptied store every profile is read, also in partitions in which nothing happens."""
    worker = Worker(load_settings({}), PARAMETERS)
    packed = encode_row(lived([happened("Order Completed", at(), order_id="o-1", revenue=40)]))
    everybody = [f"c-{number}" for number in range(3_000)]
    monkeypatch.setattr(worker.partitions, "_owned", _partitions(worker, everybody, packed))

    assert all(worker.customers.profile(customer) is not None for customer in everybody)
    assert not worker.customers.profile("nobody")
    assert 0 == sum(owned.rows.live for owned in worker.partitions)


def _partitions(worker: Worker, customers: list[str], packed: bytes) -> dict[int, OwnedPartition]:
    by_number: dict[int, dict[str, bytes]] = {}
    for customer in customers:
        number = partition_for(customer.encode(), worker.settings.partitions)
        by_number.setdefault(number, {})[customer] = packed
    plan = plan_for(PARAMETERS)
    owned: dict[int, OwnedPartition] = {}
    for number, rows_of in by_number.items():
        rows = CustomerRows(rows_of)
        fold = Partition(number, rows, PRIOR, plan, worker.snapshots.get)
        owned[number] = OwnedPartition(fold, rows)
    return owned


def test_a_row_that_is_live_is_the_one_that_is_read() -> None:
    """It may be newer than what was packed last."""
    rows = CustomerRows({"ada": encode_row(lived([happened("page", at())]))})
    changed = rows.get("ada")
    assert changed is not None
    changed.applied = 7
    rows.put("ada", changed)
    assert changed is rows.peek("ada")
    assert rows.peek("nobody") is None


class _Clocks:
    """A loop in virtual time, on a machine that gives this thread only a share."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, had: float) -> None:
        self.loop = VirtualLoop()
        monkeypatch.setattr(store_upkeep, "had_s", lambda: self.loop.time() * had)

    def rested_s(self, views: "_Views", *, is_idle: bool = False) -> float:
        """The pause after profiles took a twentieth of a second."""
        nothing: Any = None
        upkeep = StoreUpkeep(views, nothing, nothing)  # type: ignore[arg-type]
        begun_s = self.loop.time()
        self.loop.run_until_complete(upkeep._rest(0.05, lambda: is_idle))
        ended_s = self.loop.time()
        return ended_s - begun_s


@pytest.mark.parametrize("had", [1.0, 0.1])
def test_profiles_take_a_share_of_the_time_that_the_worker_has(
    monkeypatch: pytest.MonkeyPatch, had: float
) -> None:
    """On a busy machine nine tenths of the time are not the worker's, and are not shared."""
    clocks, views = _Clocks(monkeypatch, had=had), _Views()
    rested_s = clocks.rested_s(views)
    assert CHANGING_SHARE == pytest.approx(0.05 / (0.05 + rested_s * had), rel=0.1)
    views.is_filling = True
    rested_s = clocks.rested_s(views)
    assert FILLING_SHARE == pytest.approx(0.05 / (0.05 + rested_s * had), rel=0.3)


def test_while_nothing_comes_profiles_take_all_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks, views = _Clocks(monkeypatch, had=1.0), _Views()
    assert 0.0 == clocks.rested_s(views, is_idle=True)
    views.due = 0
    assert 0.0 < clocks.rested_s(views, is_idle=True)


def test_no_profile_is_written_while_partitions_change_hands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Profiles of a partition that is ready would delay those that are not, and the end."""
    worker, unread = Worker(load_settings({}), PARAMETERS), [3]
    monkeypatch.setattr(worker.condition, "unread", lambda: unread)
    views: Any = _Views()
    streams: Any = None
    upkeep = StoreUpkeep(views, streams, worker.partitions)
    assert not asyncio.run(upkeep.write_some(worker.condition.is_changing_hands, lambda: False))
    assert 0 == views.written
    unread.clear()
    monkeypatch.setattr(worker.condition, "is_leaving", lambda: True)
    assert not asyncio.run(upkeep.write_some(worker.condition.is_changing_hands, lambda: False))
    assert 0 == views.written
    monkeypatch.setattr(worker.condition, "is_leaving", lambda: False)
    assert asyncio.run(upkeep.write_some(worker.condition.is_changing_hands, lambda: False))
    assert 1 == views.written


class _Views:
    """Profiles that are due, and how often some of them were written."""

    due = 9
    written = 0
    spent_s = 0.0
    is_filling = False

    async def write_some(self, spent_s_max: float) -> bool:
        assert BURST_S == spent_s_max
        self.written += 1
        return True
