"""A lesson belongs to a record that the log has; one for a later record is left out."""

import asyncio

import pytest
from aiokafka.errors import KafkaConnectionError

from models.events.foreign import Foreign
from models.learning.lessons import Cost
from streams import log_ends
from streams.log_ends import LogEnds


class Broker:
    """Reports the ends of two partitions, and counts the requests."""

    def __init__(self, *ends: int) -> None:
        self.ends = dict(enumerate(ends))
        self.asked = 0
        self.is_away = False

    async def __call__(self) -> dict[int, int]:
        self.asked += 1
        if self.is_away:
            raise KafkaConnectionError
        return dict(self.ends)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_ends, "END_RETRY_S", 0.0)


def lesson(offset: int, partition: int = 0) -> Cost:
    return Cost(1, "ads", 1, partition=partition, offset=offset)


def left_out(ends: LogEnds, *lessons: Cost) -> list[int]:
    """The offsets of the lessons that are left out."""

    async def heard() -> list[int]:
        found = []
        for one in lessons:
            try:
                await ends.require(one)
            except Foreign:
                found.append(one.offset)
        return found

    return asyncio.run(heard())


def test_the_broker_is_asked_only_for_what_is_beyond_what_is_known() -> None:
    broker = Broker(100, 7)
    ends = LogEnds(broker)
    assert [] == left_out(ends, *map(lesson, range(100)), lesson(6, 1))
    assert 1 == broker.asked
    broker.ends[0] = 200
    assert [] == left_out(ends, *map(lesson, range(100, 200)))
    assert 2 == broker.asked


def test_the_broker_is_not_asked_for_what_this_worker_has_read() -> None:
    broker = Broker(5, 9)
    ends = LogEnds(broker, lambda _: 4)
    assert [] == left_out(ends, lesson(0), lesson(3))
    assert 0 == broker.asked
    assert [7] == left_out(ends, lesson(4), lesson(7))
    assert broker.asked


def test_a_place_that_is_still_to_come_is_left_out_and_true_ones_are_not() -> None:
    ends = LogEnds(Broker(100, 7))
    assert [10**9, 100, 7] == left_out(
        ends, lesson(98), lesson(10**9), lesson(99), lesson(100), lesson(7, 1), lesson(6, 1)
    )
    # Nor is there a third partition.
    assert [0] == left_out(ends, lesson(0, 2))


def test_a_new_leader_that_tells_an_older_end_is_asked_again() -> None:
    class Late(Broker):
        async def __call__(self) -> dict[int, int]:
            found = await super().__call__()
            self.ends = {0: 101}
            return found

    assert [] == left_out(LogEnds(Late(100)), lesson(100))


def test_a_flood_is_not_looked_for_again_and_again() -> None:
    broker = Broker(100)
    left_out(LogEnds(broker), *(lesson(10**9 + number) for number in range(50)))
    assert broker.asked < 60


def test_while_the_broker_is_away_nothing_is_left_out() -> None:
    broker = Broker(100)
    broker.is_away = True
    assert [] == left_out(LogEnds(broker), lesson(500))
