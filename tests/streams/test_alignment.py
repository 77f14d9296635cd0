"""Records of several topics leave in the order of their times, as far as all have come."""

import random
from collections.abc import Callable
from math import inf

import pytest
from msgspec.structs import replace

from streams.alignment import FAR_MS, FEW, SETTLED_MS, UNSURE_MS, Alignment, Doubt, Passed, Queued

CLICKS, ORDERS = "clicks", "orders"


def nothing_to_come(topic: str, partition: int) -> bool:
    return False


def to_come(*places: tuple[str, int]) -> Callable[[str, int], bool]:
    return lambda topic, partition: (topic, partition) in places


@pytest.fixture
def alignment() -> Alignment[str]:
    return Alignment([CLICKS, ORDERS])


def waiting(*times_ms: int, first_offset: int = 0, published_ms: int = 0) -> list[Queued[str]]:
    return [Queued(at, first_offset + n, f"at {at}", published_ms) for n, at in enumerate(times_ms)]


def times(passed: list[Passed[str]]) -> list[tuple[str, int]]:
    return [(record.topic, int(record.item.removeprefix("at "))) for record in passed]


def test_topics_are_merged_by_time(alignment: Alignment[str]) -> None:
    alignment.offer(CLICKS, 0, waiting(1, 4, 5))
    alignment.offer(ORDERS, 0, waiting(2, 3, 9))
    passed = list(alignment.release(nothing_to_come))
    assert [(CLICKS, 1), (ORDERS, 2), (ORDERS, 3), (CLICKS, 4), (CLICKS, 5), (ORDERS, 9)] == times(
        passed
    )
    assert Passed(ORDERS, 0, 2, "at 9", 9) == passed[-1]
    assert 0 == len(alignment)


def test_a_topic_keeps_its_own_order_whatever_its_times(alignment: Alignment[str]) -> None:
    alignment.offer(CLICKS, 0, waiting(5, 1, 7))
    alignment.offer(ORDERS, 0, waiting(6))
    passed = times(list(alignment.release(nothing_to_come)))
    assert [(CLICKS, 5), (CLICKS, 1), (ORDERS, 6), (CLICKS, 7)] == passed


def test_who_has_more_to_come_holds_the_others_back(alignment: Alignment[str]) -> None:
    alignment.offer(ORDERS, 0, waiting(1, 8))
    backlog = to_come((CLICKS, 0))
    # Nothing is known of the clicks yet: any of them may be older than what is here.
    assert [] == list(alignment.release(backlog))
    alignment.offer(CLICKS, 0, waiting(2, 3))
    assert [(ORDERS, 1), (CLICKS, 2), (CLICKS, 3)] == times(list(alignment.release(backlog)))
    # The next click may be of the time of the last.
    alignment.offer(ORDERS, 0, waiting(3, first_offset=2))
    assert [] == list(alignment.release(backlog))
    alignment.offer(CLICKS, 0, waiting(9, first_offset=2))
    assert [(ORDERS, 8), (ORDERS, 3), (CLICKS, 9)] == times(list(alignment.release(backlog)))


def test_who_has_nothing_to_come_holds_nobody_back(alignment: Alignment[str]) -> None:
    alignment.offer(ORDERS, 0, waiting(1, 8))
    assert 2 == len(list(alignment.release(nothing_to_come)))


HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def doubt(alignment: Alignment[str], clicks_ms: int, orders_ms: int, present_ms: float) -> Doubt:
    """When the broker last reported the ends of the two topics, with a leeway of a day."""
    known_ms = alignment.known_ms({(CLICKS, 0): clicks_ms, (ORDERS, 0): orders_ms})
    return Doubt(known_ms, DAY_MS, present_ms)


def test_whose_end_is_older_news_than_what_is_here_holds_the_past_back(
    alignment: Alignment[str],
) -> None:
    """Clicks were read slowly, and in between orders of later days were requested."""
    alignment.offer(CLICKS, 0, waiting(0, HOUR_MS))
    alignment.offer(ORDERS, 0, waiting(2 * HOUR_MS, 9 * DAY_MS))

    def released(clicks_ms: int, orders_ms: int, present_ms: float = inf) -> list[tuple[str, int]]:
        told = doubt(alignment, clicks_ms, orders_ms, present_ms)
        return times(list(alignment.release(nothing_to_come, doubt=told)))

    assert [(CLICKS, 0), (CLICKS, HOUR_MS), (ORDERS, 2 * HOUR_MS)] == released(1_000, 1_001)
    # Not before the broker has said that there are no more clicks.
    assert [] == released(1_000, 1_001)
    assert [(ORDERS, 9 * DAY_MS)] == released(1_001, 1_001)
    alignment.offer(ORDERS, 0, waiting(19 * DAY_MS, 20 * DAY_MS, first_offset=2))
    # What is of now need not wait for it.
    assert [] == released(1_001, 1_002, 19 * DAY_MS + 1)
    assert [(ORDERS, 19 * DAY_MS), (ORDERS, 20 * DAY_MS)] == released(1_001, 1_002, 19 * DAY_MS)


def test_what_was_published_a_moment_ago_holds_the_past_back_until_all_are_asked_once_more(
    alignment: Alignment[str],
) -> None:
    """One answer found orders, and did not yet find clicks written just before them."""
    answered_ms, published_ms = 10_000, 9_999
    alignment.offer(ORDERS, 0, waiting(2 * DAY_MS, 3 * DAY_MS, published_ms=published_ms))

    def released(clicks_ms: int, present_ms: float = inf) -> list[tuple[str, int]]:
        told = doubt(alignment, clicks_ms, clicks_ms, present_ms)
        assert told.known_ms == dict.fromkeys(told.known_ms, clicks_ms - SETTLED_MS)
        return times(list(alignment.release(nothing_to_come, doubt=told)))

    assert [] == released(answered_ms)
    assert [] == released(published_ms + SETTLED_MS - 1)
    alignment.offer(CLICKS, 0, waiting(DAY_MS, published_ms=published_ms))
    assert [(CLICKS, DAY_MS), (ORDERS, 2 * DAY_MS)] == released(published_ms + SETTLED_MS - 1)
    assert [(ORDERS, 3 * DAY_MS)] == released(published_ms + SETTLED_MS)
    # From there on it is a leeway as well, though there are no clicks.
    waits = waiting(4 * DAY_MS, 9 * DAY_MS, first_offset=2, published_ms=published_ms + SETTLED_MS)
    alignment.offer(ORDERS, 0, waits)
    assert [(ORDERS, 4 * DAY_MS)] == released(published_ms + SETTLED_MS)
    assert [(ORDERS, 9 * DAY_MS)] == released(published_ms + SETTLED_MS, present_ms=9 * DAY_MS)
    # What is no later than that makes nothing late.
    alignment.offer(ORDERS, 0, waiting(8 * DAY_MS, first_offset=4, published_ms=published_ms * 2))
    assert [(ORDERS, 8 * DAY_MS)] == released(answered_ms)


def test_who_gave_something_of_late_holds_nothing_back(alignment: Alignment[str]) -> None:
    """Otherwise a shop whose days pass in moments would wait at each event."""
    known_ms = dict.fromkeys([(CLICKS, 0), (ORDERS, 0)], 9_999)
    told = Doubt(known_ms, DAY_MS, inf)
    for topic, at_ms in ((CLICKS, 20), (ORDERS, 40), (CLICKS, 60), (ORDERS, 85)):
        alignment.offer(topic, 0, waiting(at_ms * HOUR_MS, published_ms=10_000))
        passed = times(list(alignment.release(nothing_to_come, doubt=told)))
        assert passed == ([(topic, at_ms * HOUR_MS)] if at_ms < 85 else [])


def test_no_clock_goes_beyond_what_is_known_of_any_partition(alignment: Alignment[str]) -> None:
    """A record of the other partition was written just after the last answer about it."""
    alignment.offer(CLICKS, 1, waiting(DAY_MS))
    assert [(CLICKS, DAY_MS)] == times(list(alignment.release(nothing_to_come)))
    alignment.offer(CLICKS, 0, waiting(9 * DAY_MS, published_ms=10_000))
    alignment.offer(ORDERS, 0, waiting(9 * DAY_MS, published_ms=10_000))

    def next_ms(answered_ms: int, present_ms: float = inf) -> float:
        places = [(topic, partition) for topic in (CLICKS, ORDERS) for partition in (0, 1)]
        known_ms = alignment.known_ms(dict.fromkeys(places, answered_ms))
        return alignment.next_ms([], Doubt(known_ms, HOUR_MS, present_ms))

    assert DAY_MS + HOUR_MS == next_ms(10_001)
    assert 9 * DAY_MS == next_ms(10_001, present_ms=9 * DAY_MS)
    assert 9 * DAY_MS == next_ms(10_000 + SETTLED_MS)


def test_who_never_gets_an_answer_is_not_waited_for(alignment: Alignment[str]) -> None:
    alignment.offer(ORDERS, 0, waiting(9 * DAY_MS))

    def known_ms(clicks_ms: int, orders_ms: int) -> float:
        return alignment.known_ms({(CLICKS, 0): clicks_ms, (ORDERS, 0): orders_ms})[CLICKS, 0]

    assert -inf == known_ms(1, UNSURE_MS)
    assert inf == known_ms(1, UNSURE_MS + 1)
    # Whose own end is the older news waits for nobody.
    assert 9 - SETTLED_MS == known_ms(9, 8)


@pytest.mark.parametrize("seed", range(30))
def test_what_is_published_in_order_leaves_in_time_however_it_is_read(seed: int) -> None:
    """A publisher writes history to several topics at a pace: all of a day within a moment, but not
    in one go; the broker answers for each topic at its own time.
    """
    chance = random.Random(seed)
    topics, partitions, lateness_ms = [CLICKS, ORDERS, "calls"], range(2), 3 * DAY_MS
    places = [(topic, partition) for topic in topics for partition in partitions]
    rates = dict(zip(places, chance.choices((0, 1, 5, 20), k=len(places)), strict=True))
    logs: dict[tuple[str, int], list[Queued[str]]] = {place: [] for place in places}
    for at_ms in range(0, 60 * DAY_MS, DAY_MS // 20):
        for place, rate in rates.items():
            if chance.random() * 20 < rate:
                logs[place].append(Queued(at_ms, len(logs[place]), f"at {at_ms}"))
    # A hundred days a second, and a record is in its topic as much later as all is within.
    for records in logs.values():
        last_ms = 0
        for number, record in enumerate(records):
            published_ms = 1_000_000 + record.at_ms // (DAY_MS // 10)
            last_ms = max(last_ms, published_ms + chance.randrange(SETTLED_MS))
            records[number] = replace(record, published_ms=last_ms)
    alignment: Alignment[str] = Alignment(topics)
    read, answered_ms = dict.fromkeys(places, 0), dict.fromkeys(places, 0)
    clock_ms = dict.fromkeys(partitions, 0)
    passed, now_ms = 0, 1_000_000
    while passed < sum(map(len, logs.values())):
        now_ms += chance.randrange(1, 60)
        for place in chance.sample(places, chance.randint(1, len(places))):
            answered_ms[place] = now_ms
            there = [one for one in logs[place][read[place] :] if one.published_ms <= now_ms]
            alignment.offer(*place, there)
            read[place] += len(there)
        known = Doubt(alignment.known_ms(answered_ms), lateness_ms // 2, inf)
        for one in alignment.release(nothing_to_come, doubt=known):
            assert one.at_ms > clock_ms[one.partition] - lateness_ms
            clock_ms[one.partition] = max(clock_ms[one.partition], one.at_ms)
            passed += 1
        assert now_ms < 1_000_000 + 60 * 10 + UNSURE_MS


def test_a_partition_waits_for_no_other(alignment: Alignment[str]) -> None:
    alignment.offer(ORDERS, 0, waiting(1))
    alignment.offer(ORDERS, 1, waiting(7))
    passed = list(alignment.release(to_come((CLICKS, 0))))
    assert [(ORDERS, 7)] == times(passed)
    assert [1] == [record.partition for record in passed]


def test_a_topic_that_others_wait_for_is_known(alignment: Alignment[str]) -> None:
    """Otherwise two full topics would each wait for records that the other must not fetch."""
    missing = [(CLICKS, 0), (ORDERS, 1)]
    assert set() == alignment.awaited(missing)
    alignment.offer(ORDERS, 0, waiting(1))
    assert {CLICKS, ORDERS} == alignment.awaited(missing)
    alignment.offer(ORDERS, 1, waiting(1))
    assert {CLICKS} == alignment.awaited(missing)
    assert set() == alignment.awaited([])


def test_the_time_before_which_nothing_leaves_any_more_is_known(
    alignment: Alignment[str],
) -> None:
    assert inf == alignment.next_ms([])
    alignment.offer(CLICKS, 0, waiting(7, 9))
    alignment.offer(CLICKS, 1, waiting(6))
    alignment.offer(ORDERS, 0, waiting(2))
    assert 2 == alignment.next_ms([])
    list(alignment.release(nothing_to_come, 2))
    assert 6 == alignment.next_ms([(CLICKS, 0)])
    # Of what is not here yet, the next is at least as late as the one before it.
    assert 2 == alignment.next_ms([(ORDERS, 0)])
    assert 0 == alignment.next_ms([(ORDERS, 1)])


def test_what_is_held_is_counted_and_forgotten(alignment: Alignment[str]) -> None:
    alignment.offer(CLICKS, 0, waiting(1, 2))
    alignment.offer(CLICKS, 3, waiting(1))
    alignment.offer(ORDERS, 0, waiting(1))
    assert (3, 1, 4) == (alignment.held(CLICKS), alignment.held(ORDERS), len(alignment))
    alignment.clear()
    assert (0, 0, 0) == (alignment.held(CLICKS), alignment.held(ORDERS), len(alignment))
    assert [] == list(alignment.release(nothing_to_come))
    # Where a topic was before counts no longer: the records are read again.
    alignment.offer(ORDERS, 0, waiting(1))
    assert [] == list(alignment.release(to_come((CLICKS, 0))))


@pytest.mark.parametrize("seed", range(50))
def test_however_records_come_in_all_leave_in_order_and_none_starves(seed: int) -> None:
    chance = random.Random(seed)
    topics = [CLICKS, ORDERS, "calls"]
    partitions = range(3)
    left = {
        (topic, partition): waiting(*sorted(chance.choices(range(1_000), k=chance.randint(0, 60))))
        for topic in topics
        for partition in partitions
    }
    total = sum(map(len, left.values()))
    alignment: Alignment[str] = Alignment(topics)
    passed: list[Passed[str]] = []

    def backlog(topic: str, partition: int) -> bool:
        return bool(left[topic, partition])

    while any(left.values()):
        place = chance.choice([place for place, records in left.items() if records])
        size = chance.randint(1, 20)
        alignment.offer(*place, left[place][:size])
        del left[place][:size]
        passed += alignment.release(backlog)
    assert total == len(passed)
    assert 0 == len(alignment)
    for partition in partitions:
        order = times([record for record in passed if record.partition == partition])
        assert sorted(at_ms for _, at_ms in order) == [at_ms for _, at_ms in order]


def test_one_record_of_now_does_not_hold_back_the_history_behind_it(
    alignment: Alignment[str],
) -> None:
    now_ms, history = 9 * FAR_MS, list(range(2, 2 * FEW + 4, 2))
    alignment.offer(CLICKS, 0, waiting(now_ms, now_ms + 1))
    alignment.offer(CLICKS, 0, waiting(*history, first_offset=2))
    alignment.offer(ORDERS, 0, waiting(*(at + 1 for at in history)))
    passed = times(list(alignment.release(nothing_to_come)))

    # The two of now go with the beginning of it, and the rest in the order of time.
    assert passed.index((CLICKS, now_ms + 1)) <= FEW + 1
    rest = [at for _, at in passed if at < now_ms]
    assert len(rest) == 2 * len(history)
    assert sorted(rest[2 * FEW :]) == rest[2 * FEW :] != []


def test_a_straggler_does_not_hurry_the_records_before_it(alignment: Alignment[str]) -> None:
    now_ms = 9 * FAR_MS
    alignment.offer(CLICKS, 0, waiting(*range(now_ms, now_ms + FEW), 1, now_ms + FEW))
    alignment.offer(ORDERS, 0, waiting(now_ms - 1))
    assert (ORDERS, now_ms - 1) == times(list(alignment.release(nothing_to_come)))[0]


def test_nothing_leaves_beyond_a_limit_but_what_has_no_time(alignment: Alignment[str]) -> None:
    alignment.offer(CLICKS, 0, waiting(0, 1, 5))
    alignment.offer(CLICKS, 1, waiting(6))
    assert [(CLICKS, 0), (CLICKS, 1)] == times(list(alignment.release(nothing_to_come, 4)))
    assert 5 == alignment.next_ms([])
    assert [(CLICKS, 5), (CLICKS, 6)] == times(list(alignment.release(nothing_to_come, 6)))


def test_with_a_leeway_others_go_on_so_far_that_what_is_missing_is_not_late(
    alignment: Alignment[str],
) -> None:
    alignment.offer(CLICKS, 0, waiting(10, 30, 31))
    alignment.offer(ORDERS, 0, waiting(10))

    def orders_to_come(topic: str, _partition: int) -> bool:
        return topic == ORDERS

    assert [(CLICKS, 10), (ORDERS, 10)] == times(list(alignment.release(orders_to_come)))
    assert [(CLICKS, 30)] == times(list(alignment.release(orders_to_come, leeway_ms=20)))
