"""The trainer learns the same from the same lessons, wherever it is stopped and resumed."""

from typing import NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from config.duration import DAY_MS
from models.learning.acquisition import AcquisitionState
from models.learning.bgnbd import cell_of
from models.learning.day_ends import day_end_ms
from models.learning.feature_names import NAMES, pack
from models.learning.gamma_gamma import cell_of as spend_cell_of
from models.learning.lessons import (
    Cost,
    DayEnd,
    Example,
    Forecast,
    Lesson,
    Observation,
    Tally,
    decode_lesson,
    encode_lesson,
    packed_text,
)
from models.learning.population import PopulationState
from models.learning.scorers import SCORERS, Said, combined, pack_said
from models.learning.snapshot import Snapshot, decode_snapshot, encode_snapshot
from models.learning.spend_models import NAMES as SPEND_NAMES
from models.learning.tallies import TallyState
from models.learning.trainer import Trainer, TrainerState
from tests.examples import drawn
from tests.models.lines import PARAMETERS as SHIPPED
from tests.models.lines import at

#: So that a few lessons are enough for every part of a snapshot.
PARAMETERS = replace(SHIPPED, learning=replace(SHIPPED.learning, minimum_examples=3))

#: The start of a day.
START_MS = at() // DAY_MS * DAY_MS

amounts = st.floats(0, 1e9, allow_nan=False)
chances = st.floats(0, 1)


class Seen(NamedTuple):
    """A check-in."""

    later_ms: int
    recency: float
    frequency: int
    monetary: int
    gap: float | None


class Matured(NamedTuple):
    """The outcome of a decision point."""

    later_ms: int
    horizon: float
    churned: bool
    features: list[float]
    said: Said


class Paid(NamedTuple):
    """A campaign's cost."""

    later_ms: int
    channel: str
    amount_minor: int


class Told(NamedTuple):
    """A part's contribution to the sums."""

    later_ms: int
    part: str
    sums: list[tuple[str, int, int]]


Fact = Seen | Matured | Paid | Told

times = st.integers(0, 10**9)
checks = st.builds(
    Seen, times, amounts, st.integers(0, 500), st.integers(0, 10**12), st.none() | amounts
)
values = st.lists(st.floats(-20, 20, width=32), min_size=len(NAMES), max_size=len(NAMES))
odds = st.floats(-12, 12, width=32)
#: Nobody yet, the formula alone, everybody.
spoken = st.builds(
    Said,
    st.just((None,) * len(SCORERS))
    | st.tuples(odds, *[st.none()] * (len(SCORERS) - 1))
    | st.builds(combined, odds, odds, odds, odds),
    st.sampled_from(range(len(SCORERS))),
)
costs = st.builds(Paid, times, st.sampled_from(["search", "letters"]), st.integers(0, 10**9))
# Days about those of the lessons, within the window, before it, and after now.
told_sums = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(20_430, 20_475), st.integers(-9, 9)),
    max_size=4,
)
tallies = st.builds(Told, times, st.sampled_from(["one", "other"]), told_sums)
labels = st.builds(
    Matured,
    times,
    st.sampled_from([28.0, 90.0]),
    st.booleans(),
    values,
    spoken,
)


def lanes_of(facts: st.SearchStrategy[Fact]) -> st.SearchStrategy[list[list[Lesson]]]:
    """The lessons of several partitions, each in its own order."""
    drawn = st.lists(st.lists(facts, max_size=12), min_size=1, max_size=4)
    return drawn.map(
        lambda lanes: [
            [_lesson(fact, number, place) for place, fact in enumerate(lane)]
            for number, lane in enumerate(lanes)
        ]
    )


def forecast_of(fact: Matured) -> Forecast | None:
    """By the formula alone, by both, or by none, as with the scorers."""
    formula, *_, last = fact.said.log_odds
    if formula is None:
        return None
    corrected = None if last is None else 2_000.0 + 100.0 * last
    seen = tuple(fact.features[: len(SPEND_NAMES)])
    return Forecast(4_000.0 + 100.0 * formula, corrected, 5_000.0, seen)


def _lesson(fact: Fact, partition: int, place: int) -> Lesson:
    lesson = _unplaced(fact, at() + fact.later_ms)
    lesson.partition, lesson.offset, lesson.index = partition, place // 2, place % 2
    return lesson


def _unplaced(fact: Fact, at_ms: int) -> Lesson:
    if isinstance(fact, Seen):
        return Observation(
            timestamp_ms=at_ms,
            recency_days=fact.recency,
            frequency=fact.frequency,
            monetary_minor=fact.monetary,
            gap_days=fact.gap,
            enters=cell_of(fact.frequency, fact.frequency / 7, 40.0),
            spend_enters=(*spend_cell_of(fact.frequency + 1, fact.monetary), fact.monetary),
            acquired="search" if fact.frequency % 2 else "",
        )
    if isinstance(fact, Paid):
        return Cost(at_ms, fact.channel, fact.amount_minor)
    if isinstance(fact, Told):
        window_days = 0 if fact.part == "other" else 14
        return Tally(at_ms, fact.part, window_days, tuple(fact.sums))
    return Example(
        timestamp_ms=at_ms,
        horizon_days=fact.horizon,
        kind="purchase" if fact.churned else "check-in",
        churned=fact.churned,
        features=packed_text(pack(tuple(fact.features))),
        said=packed_text(pack_said(fact.said)),
        spent_minor=0 if fact.churned else 7_000,
        forecast=forecast_of(fact),
    )


@st.composite
def interleaved(draw: st.DrawFn, lanes: list[list[Lesson]]) -> list[Lesson]:
    """All lessons in one order, which keeps that of each partition."""
    turns = [number for number, lane in enumerate(lanes) for _ in lane]
    waiting = [iter(lane) for lane in lanes]
    return [next(waiting[turn]) for turn in draw(st.permutations(turns))]


def learnt(trainer: Trainer, lessons: list[Lesson]) -> bytes:
    for lesson in lessons:
        trainer.learn(lesson)
    return encode_snapshot(trainer.draw(consumed=9))[0]


def told(content: bytes) -> list[object]:
    """A snapshot's content, and the sums behind it, in any order."""
    snapshot = decode_snapshot(content)
    learners = msgspec.json.decode(snapshot.trainer, type=TrainerState).learners
    return [
        (snapshot.version, snapshot.created_at_ms, snapshot.drawn),
        msgspec.json.decode(learners["population"], type=PopulationState),
        msgspec.json.decode(learners["acquisition"], type=AcquisitionState),
        msgspec.json.decode(learners["tallies"], type=TallyState),
    ]


@given(lanes=lanes_of(checks | costs | tallies), data=st.data())
@drawn(times=0.5)
def test_any_interleaving_of_partitions_teaches_the_same_of_the_population(
    lanes: list[list[Lesson]], data: st.DataObject
) -> None:
    one = data.draw(interleaved(lanes))
    other = data.draw(interleaved(lanes))

    assert told(learnt(Trainer(PARAMETERS), one)) == told(learnt(Trainer(PARAMETERS), other))


@given(lanes=lanes_of(checks | labels | costs | tallies), data=st.data())
@drawn(times=0.8)
def test_resuming_anywhere_and_reading_some_again_teaches_the_same_bit_for_bit(
    lanes: list[list[Lesson]], data: st.DataObject
) -> None:
    order = data.draw(interleaved(lanes))
    cut = data.draw(st.integers(0, len(order)))
    again = data.draw(st.integers(0, cut))
    steady = Trainer(PARAMETERS)
    content = learnt(steady, order[:cut])
    resumed = Trainer(PARAMETERS, decode_snapshot(content))

    assert learnt(steady, order[cut:]) == learnt(resumed, order[again:])
    assert steady.lessons == resumed.lessons == len(order)


class Day(NamedTuple):
    """A partition's lessons of one day, and whether it reports the day's end by itself: if not, its
    next reported end covers both days.
    """

    facts: list[Fact]
    is_ended: bool


class Drawn(NamedTuple):
    """A snapshot without the trainer's position, and the position from which to continue."""

    content: bytes
    consumed: int
    snapshot: Snapshot


days = st.builds(Day, st.lists(checks | labels | costs | tallies, max_size=4), st.booleans())
#: Up to four partitions, told day by day. With many partitions the days are few, and the reverse.
shops = st.integers(2, 4).flatmap(
    lambda partitions: st.lists(st.tuples(*[days] * partitions), min_size=2, max_size=6)
)


def told_by(shop: list[tuple[Day, ...]], partition: int) -> list[Lesson]:
    """A partition's lessons in its own order; the offset is the number of the day."""
    found: list[Lesson] = []
    is_silent = False
    for number, by_partition in enumerate(shop):
        day = by_partition[partition]
        start_ms = START_MS + number * DAY_MS
        lessons = [_unplaced(fact, start_ms + fact.later_ms % DAY_MS) for fact in day.facts]
        # Two ends in a row are never left out, nor the first and the last one.
        is_ended = day.is_ended or is_silent or number in (0, len(shop) - 1)
        is_silent = not is_ended
        if is_ended:
            lessons.append(DayEnd(day_end_ms(start_ms)))
        for index, lesson in enumerate(lessons):
            lesson.partition, lesson.offset, lesson.index = partition, number, index
        found += lessons
    return found


@st.composite
def told_in_some_order(
    draw: st.DrawFn, shop: list[tuple[Day, ...]], *, ahead_max: int
) -> list[Lesson]:
    """The topic of lessons: in any order, as long as partitions stay within so many days of each
    other, and with some lessons again, as after a crash of a worker.
    """
    lanes = [told_by(shop, partition) for partition in range(len(shop[0]))]
    topic: list[Lesson] = []
    nexts = [0] * len(lanes)
    while left := [n for n, lane in enumerate(lanes) if nexts[n] < len(lane)]:
        days_of = {n: lanes[n][nexts[n]].offset for n in left}
        latest = min(days_of.values()) + ahead_max
        number = draw(st.sampled_from([n for n in left if days_of[n] <= latest]))
        nexts[number] += 1
        again = draw(st.integers(0, 3)) if draw(st.booleans()) else 0
        topic.append(lanes[number][nexts[number] - 1])
        topic += lanes[number][max(nexts[number] - again, 0) : nexts[number]]
    return topic


def drawn_from(topic: list[Lesson], begin: Drawn | None, partitions: int) -> list[Drawn]:
    """The snapshots that a trainer draws from the topic, from the beginning or from a snapshot."""
    trainer = Trainer(PARAMETERS, begin and begin.snapshot, partitions=partitions)
    found: list[Drawn] = []
    for place in range(begin.consumed if begin else 0, len(topic)):
        # As it is read: each time anew.
        trainer.learn(decode_lesson(encode_lesson(topic[place])), place)
        while trainer.learn_next():
            if trainer.is_due:
                snapshot = trainer.draw(place + 1)
                found.append(Drawn(unplaced(snapshot), trainer.consumed, snapshot))
    return found


def unplaced(snapshot: Snapshot) -> bytes:
    """A snapshot's bytes, without the positions of its lessons and of those of the snapshot before
    it.
    """
    state = msgspec.json.decode(snapshot.trainer, type=TrainerState)
    state = replace(state, positions={}, clocks_ms={}, consumed=0, previous="")
    return encode_snapshot(snapshot.replace(trainer=msgspec.json.encode(state)))[0]


@given(shop=shops, data=st.data())
@drawn(times=0.5)
def test_any_interleaving_of_partitions_gives_the_same_snapshots_bit_for_bit(
    shop: list[tuple[Day, ...]], data: st.DataObject
) -> None:
    # With an end of a day left out, this is the most for which everybody is waited for.
    one = data.draw(told_in_some_order(shop, ahead_max=0))
    other = data.draw(told_in_some_order(shop, ahead_max=0))
    partitions = len(shop[0])

    expected = [drawn.content for drawn in drawn_from(one, None, partitions)]
    assert expected == [drawn.content for drawn in drawn_from(other, None, partitions)]


@given(shop=shops, data=st.data())
@drawn(times=0.5)
def test_a_trainer_that_goes_on_from_any_snapshot_draws_the_rest_of_them_bit_for_bit(
    shop: list[tuple[Day, ...]], data: st.DataObject
) -> None:
    topic = data.draw(told_in_some_order(shop, ahead_max=9))
    partitions = len(shop[0])
    steady = drawn_from(topic, None, partitions)

    for number, begin in enumerate(steady, 1):
        stored = decode_snapshot(*encode_snapshot(begin.snapshot))
        resumed = drawn_from(topic, begin._replace(snapshot=stored), partitions)
        assert [encode_snapshot(one.snapshot) for one in steady[number:]] == [
            encode_snapshot(one.snapshot) for one in resumed
        ]


@given(shop=shops, data=st.data())
@drawn(times=0.5)
def test_what_waits_for_its_day_is_neither_lost_nor_learnt_twice(
    shop: list[tuple[Day, ...]], data: st.DataObject
) -> None:
    topic = data.draw(told_in_some_order(shop, ahead_max=9))
    told = [one for day in shop for lane in day for one in lane.facts]
    trainer = Trainer(PARAMETERS, partitions=len(shop[0]))
    for place, lesson in enumerate(topic):
        trainer.learn(lesson, place)
        while trainer.learn_next():
            pass

    assert len(told) == trainer.lessons
    assert len(topic) == trainer._days.first_place(len(topic))
