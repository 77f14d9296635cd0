"""Records come out in the order of time, whether they fit in memory or not."""

import random

import pytest

from streams import time_order
from streams.time_order import TimeOrder

COUNT = 2_000


@pytest.mark.parametrize("memory_bytes_max", [1, 5_000, 100_000_000])
@pytest.mark.parametrize("runs_max", [2, 64])
def test_records_are_sorted_by_time_and_those_of_one_time_stay_as_they_came(
    memory_bytes_max: int, runs_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_order, "RUNS_MAX", runs_max)
    chance = random.Random(3)
    count = 60 if memory_bytes_max == 1 else COUNT
    given = [
        (chance.randrange(50), f"t{n % 3}", b"k%d" % n, bytes([n % 256])) for n in range(count)
    ]
    with TimeOrder(memory_bytes_max) as order:
        for at_ms, topic, key, value in given:
            order.add(at_ms, topic, key, value)
        found = [(r.occurred_at_ms, r.topic, r.key, r.value) for r in order]

    assert sorted(given, key=lambda record: record[0]) == found
    latest = [max(at for at, *_ in given[: n + 1]) for n in range(count)]
    assert sum(at < high for (at, *_), high in zip(given, latest, strict=True)) == order.earlier
    assert count == order.total


def test_memory_is_bounded_by_what_is_held_and_files_by_merging_them() -> None:
    with TimeOrder(10_000) as order:
        held = []
        for n in range(20_000):
            order.add(-n, "t", b"k", b"v" * 100)
            held.append(len(order._held))
        assert max(held) <= 10_000 / 100
        assert len(order._runs) < time_order.RUNS_MAX
        assert list(range(-19_999, 1)) == [record.occurred_at_ms for record in order]
