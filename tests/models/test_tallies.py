"""The sums of parts over all customers, which no order of arrival and no repeat can change."""

from itertools import permutations
from random import Random

import msgspec
import pytest
from msgspec.structs import replace

from models.learning.day_ends import day_end_ms
from models.learning.lessons import Cost, DayEnd, Observation, Tally, decode_lesson, encode_lesson
from models.learning.snapshot import decode_snapshot, encode_snapshot
from models.learning.tallies import NO_DAY, Tallies, TallyLearner, TallyState
from models.learning.trainer import Trainer
from tests.models.lines import DAY_MS, PARAMETERS, at

#: The day on which the story starts.
TODAY = at() // DAY_MS


def tally(
    *sums: tuple[str, int, int], part: str = "returns", window_days: int = 14, offset: int = 0
) -> Tally:
    """Amounts by key and by day, counted from the start of the story."""
    days = tuple((key, TODAY + day, amount) for key, day, amount in sums)
    return Tally(at(), part, window_days, days, offset=offset)


def told(tallies: list[Tally]) -> TallyLearner:
    learner = TallyLearner(None, PARAMETERS)
    for one in tallies:
        learner.learn(one)
    return learner


def sums(learner: TallyLearner, days: float = 0) -> dict[str, int]:
    """The part's sums so many days after the start of the story."""
    return learner.so_far(at(days)).parts["returns"]


def test_amounts_are_added_up_by_part_and_key() -> None:
    learner = told(
        [
            tally(("orders", 0, 2), ("returned", 0, 1)),
            tally(("orders", -3, 5)),
            tally(("orders", 0, 100), part="carts"),
        ]
    )

    assert {
        "returns": {"orders": 7, "returned": 1},
        "carts": {"orders": 100},
    } == learner.so_far(at()).parts
    assert {} == told([]).so_far(at()).parts


def test_the_order_in_which_parts_tell_makes_no_difference() -> None:
    rng = Random(1)
    tallies = [
        tally((rng.choice("ab"), rng.randrange(-20, 3), rng.randint(-9, 9)), part=rng.choice("xy"))
        for _ in range(200)
    ]
    shuffled = rng.sample(tallies, len(tallies))

    assert told(tallies).state() == told(shuffled).state()
    assert told(tallies).draw(at()) == told(shuffled).draw(at())


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_what_is_taken_back_before_it_is_told_comes_to_nothing_too(order: tuple[int, ...]) -> None:
    tallies = [
        tally(("orders", 0, 3)),
        tally(("orders", 0, -3)),
        tally(("orders", -1, -4)),
        tally(("orders", -1, 5)),
    ]
    learner = told([tallies[place] for place in order])

    assert {"orders": 1} == sums(learner)
    assert {"orders": {TODAY - 1: 1}} == learner.state().parts["returns"].sums


def test_a_sum_may_be_below_zero() -> None:
    assert {"net_minor": -250} == sums(told([tally(("net_minor", 0, 50), ("net_minor", -1, -300))]))


@pytest.mark.parametrize(
    ("window_days", "days", "expected"),
    [
        # Of the days -13 to 0, of which each has an amount of its own.
        (14, 0, 2 + 4 + 8),
        (14, 1, 4 + 8 + 16),
        (14, 13, 8 + 16),
        (14, 14, 16),
        (14, 15, 0),
        (1, 0, 8),
        (1, 1, 16),
        # For ever; what is yet to come still has to.
        (0, 0, 1 + 2 + 4 + 8),
        (0, 1_000, 1 + 2 + 4 + 8 + 16),
    ],
)
def test_a_sum_is_that_of_the_days_of_its_window_up_to_today(
    window_days: int, days: int, expected: int
) -> None:
    amounts = [("k", -14, 1), ("k", -13, 2), ("k", -1, 4), ("k", 0, 8), ("k", 1, 16)]
    learner = told([tally(*amounts, window_days=window_days)])

    # At any time of the day, and whether or not it was asked before.
    for hours in (0, 12, 23.9):
        assert {"k": expected} == sums(learner, days + hours / 24)
    assert {"k": expected} == learner.draw(at(days)).parts["returns"]


def test_a_sum_without_a_day_counts_for_ever() -> None:
    learner = told([Tally(at(), "returns", 0, (("customers", NO_DAY, 3),))])

    assert {"customers": 3} == sums(learner) == sums(learner, 5_000)


def test_days_that_have_left_the_window_are_let_go_of_when_a_snapshot_is_drawn() -> None:
    learner = told([tally(*(("k", day, 1) for day in range(400)))])
    assert 400 == len(learner.state().parts["returns"].sums["k"])
    learner.draw(at(399))

    assert {TODAY + day for day in range(386, 400)} == learner.state().parts["returns"].sums[
        "k"
    ].keys()
    assert {"k": 14} == sums(learner, 399)


def test_news_of_a_day_that_was_let_go_of_changes_no_sum() -> None:
    learner = told([tally(("k", 0, 5), ("k", 30, 1))])
    learner.draw(at(30))
    learner.learn(tally(("k", 0, -5)))

    assert {"k": 1} == sums(learner, 30) == learner.draw(at(30)).parts["returns"]
    assert {"k": {TODAY + 30: 1}} == learner.state().parts["returns"].sums


def test_the_latest_word_says_how_long_a_window_is() -> None:
    learner = told([tally(("k", -20, 1), window_days=0), tally(("k", 0, 2), window_days=14)])

    assert {"k": 2} == sums(learner)


def test_asking_changes_nothing() -> None:
    learner = told([tally(("k", 0, 5), ("k", 400, 1))])
    before = msgspec.json.encode(learner.state())
    for days in (0, 1_000, 400):
        learner.so_far(at(days))

    assert before == msgspec.json.encode(learner.state())


def test_a_tally_is_read_as_it_was_written() -> None:
    one = tally(("net_minor", -3, -(10**12)), ("a key", 0, 0), offset=7)

    assert one == decode_lesson(encode_lesson(one))


def test_repeats_are_dropped_by_their_place() -> None:
    trainer = Trainer(PARAMETERS)
    one, other = tally(("k", 0, 5), offset=4), tally(("k", 0, 7), offset=5)
    learnt = [trainer.learn(o) for o in (one, one, other, one, replace(one, partition=1), other)]

    assert [True, False, True, False, True, False] == learnt
    assert {"returns": {"k": 17}} == trainer.tallies(at()).parts
    assert 3 == trainer.lessons


def test_sums_are_told_before_there_is_a_snapshot_and_kept_in_it() -> None:
    trainer = Trainer(PARAMETERS)
    trainer.learn(tally(("k", 0, 5)))
    assert {"returns": {"k": 5}} == trainer.tallies(at()).parts
    assert Tallies() == trainer.snapshot.of(Tallies)

    content, name = encode_snapshot(trainer.draw())
    resumed = Trainer(PARAMETERS, decode_snapshot(content, name))
    resumed.learn(tally(("k", 0, 5)))
    resumed.learn(tally(("k", 0, 2), offset=1))
    assert {"returns": {"k": 7}} == resumed.tallies(at()).parts


def test_sums_are_told_before_the_end_of_their_day_and_learnt_after_it() -> None:
    trainer = Trainer(PARAMETERS, partitions=2)
    for partition in (0, 1):
        trainer.learn(DayEnd(day_end_ms(at()), partition=partition))
    assert trainer.learn(tally(("k", 0, 5), offset=1), 2)
    assert not trainer.learn_next()
    assert {"returns": {"k": 5}} == trainer.tallies(at()).parts

    before = trainer.draw(consumed=3)
    assert Tallies() == before.of(Tallies)
    assert 2 == trainer.consumed
    resumed = Trainer(PARAMETERS, before, partitions=2)
    # It is heard again, and counts once.
    for _ in range(2):
        resumed.learn(tally(("k", 0, 5), offset=1), 2)
    assert {"returns": {"k": 5}} == resumed.tallies(at()).parts


def test_sums_are_told_as_of_the_latest_lesson_of_any_kind() -> None:
    trainer = Trainer(PARAMETERS)
    # Nobody was checked in on yet: by the other lessons it is still the beginning of time.
    trainer.learn(tally(("k", 0, 5)))
    trainer.learn(replace(tally(("k", 20, 2), offset=1), timestamp_ms=at(20)))
    resumed = Trainer(PARAMETERS, decode_snapshot(*encode_snapshot(trainer.draw())))

    for asked in (trainer, resumed):
        assert 0 == asked.latest_ms
        assert {"returns": {"k": 2}} == asked.tallies(asked.heard_ms).parts
        assert {"returns": {"k": 0}} == asked.tallies(at(40)).parts


def checked_in(number: int) -> Observation:
    return Observation(
        timestamp_ms=at(),
        recency_days=1.0,
        frequency=1,
        monetary_minor=100,
        gap_days=None,
        enters=(0, 0, 1),
        offset=number,
    )


def test_a_tally_brings_no_snapshot_forward() -> None:
    minimum = PARAMETERS.learning.minimum_examples
    trainer, without = Trainer(PARAMETERS), Trainer(PARAMETERS)
    for number in range(2 * minimum):
        trainer.learn(replace(tally(("k", 0, 1), offset=number), timestamp_ms=at(number)))
    assert (False, 0) == (trainer.knows_enough, trainer.latest_ms)

    for number in range(2 * minimum, 3 * minimum):
        trainer.learn(checked_in(number))
        without.learn(checked_in(number))
    assert trainer.is_due
    assert trainer.draw().created_at_ms == without.draw().created_at_ms == at()

    # Time that only tallies tell of makes no snapshot due; that of anybody else does.
    late = 3 * minimum
    trainer.learn(replace(tally(("k", 0, 1), offset=late), timestamp_ms=at(days=300)))
    assert (False, at()) == (trainer.is_due, trainer.latest_ms)
    trainer.learn(Cost(at(days=300), "search", 1, offset=late + 1))
    assert (True, at(days=300)) == (trainer.is_due, trainer.latest_ms)


def test_a_restored_state_goes_on_as_if_it_had_never_stopped() -> None:
    steady = told([tally(("k", -13, 1), ("k", 0, 2)), tally(("other", 0, 3), part="carts")])
    state = msgspec.json.decode(msgspec.json.encode(steady.state()), type=TallyState)
    restored = TallyLearner(state, PARAMETERS)
    for learner in (steady, restored):
        learner.learn(tally(("k", 1, 4)))

    assert steady.draw(at(1)) == restored.draw(at(1))
    assert msgspec.json.encode(steady.state()) == msgspec.json.encode(restored.state())


@pytest.mark.parametrize("window_days", [0, 14])
def test_sums_are_those_of_the_days_within_the_window_however_often_they_are_drawn(
    window_days: int,
) -> None:
    """Totals continue from one snapshot to the next, through a restart, and with days to come."""
    rng, learner = Random(window_days), TallyLearner(None, PARAMETERS)
    known: list[tuple[str, int, int]] = []
    for today in range(60):
        for _ in range(rng.randrange(4)):
            day = today + rng.choice((0, 0, -1, -20, 3))
            one = rng.choice("abc"), day, rng.choice((1, 2, -1))
            known.append(one)
            learner.learn(tally(one, window_days=window_days))
        if rng.random() < 0.1:
            learner = TallyLearner(learner.state(), PARAMETERS)
        drawn = learner.draw(at(today)).parts.get("returns", {})
        within = [
            (key, amount)
            for key, day, amount in known
            if day <= today and (not window_days or day > today - window_days)
        ]

        assert drawn == {
            key: sum(amount for name, amount in within if name == key) for key, _, _ in known
        }
