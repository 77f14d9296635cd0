"""Sums that wait for the end of their day are added up, in whatever order they come."""

from random import Random

from config.duration import DAY_MS
from models.learning.day_sums import DaySums, joined
from models.learning.improvements import IMPROVEMENTS_NAME
from models.learning.lessons import Tally
from tests.models.lines import at

DAY = at() // DAY_MS


def tally(
    key: str, amount: int, *, part: str = "tiers", ms: int = 0, window_days: int = 7
) -> Tally:
    return Tally(at() + ms, part, window_days, ((key, DAY, amount),))


def summed(*tallies: Tally) -> DaySums:
    found = DaySums()
    for one in tallies:
        found.add(one)
    return found


def test_amounts_of_a_key_and_a_day_are_one_with_how_many_tallies_they_were() -> None:
    [told] = summed(tally("b", 2), tally("a", 5), tally("b", 3)).told()

    assert (("a", DAY, 5), ("b", DAY, 5)) == told.sums
    assert ("tiers", 3, 7) == (told.part, told.tallies, told.window_days)


def test_what_comes_to_nothing_is_told_all_the_same_as_its_key_is_known_by_then() -> None:
    [told] = summed(tally("a", 1), tally("a", -1)).told()

    assert (("a", DAY, 0),) == told.sums


def test_the_window_is_what_the_latest_tally_says_whenever_it_was_heard() -> None:
    late, early = tally("a", 1, ms=9, window_days=30), tally("a", 1, window_days=7)
    for order in ((late, early), (early, late)):
        [told] = summed(*order).told()
        assert (30, at() + 9) == (told.window_days, told.timestamp_ms)


def test_partitions_say_the_same_in_any_order() -> None:
    rng = Random(3)
    tallies = [
        tally(rng.choice("abc"), rng.randrange(-5, 9), part=part, ms=number)
        for number in range(40)
        for part in ("tiers", "risk", IMPROVEMENTS_NAME)
    ]
    expected = list(summed(*tallies).told())
    for _ in range(5):
        rng.shuffle(tallies)
        lanes = [summed(*tallies[lane::3]) for lane in range(3)]
        assert expected == list(joined(lanes).told())
        # What was joined is as it was.
        assert expected == list(joined(lanes).told())


def test_of_improvements_each_keeps_its_time() -> None:
    told = list(summed(*(tally("price", 1, part=IMPROVEMENTS_NAME, ms=ms) for ms in (9, 4))).told())

    assert [at() + 4, at() + 9] == [one.timestamp_ms for one in told]
