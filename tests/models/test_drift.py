"""Drift: what raises an alarm, what does not, how soon, and what a check-in says about gaps."""

from collections.abc import Iterator
from itertools import pairwise
from math import log
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from config.duration import DAY_MS
from models.events.wire import decode_line, timestamp_ms
from models.learning.drift import (
    ALARMS_MAX,
    COOLDOWN_MS,
    FEATURES,
    RESIDUAL_GAP,
    STREAMS,
    WARM_UP_MS,
    DriftAlarm,
    DriftMonitor,
)
from models.learning.feature_names import NAMES, pack
from models.learning.gaps import OWN_GAPS_MIN, RESIDUALS_MAX, gap_residuals
from models.learning.lessons import Observation, packed_text
from models.replay import Replay
from tests.models.lines import PARAMETERS, at, line

TENURE = NAMES.index("tenure")


def check_in(days: float, **said: Any) -> Observation:
    """A check-in of a customer who bought yesterday."""
    about = {"recency_days": 1.0, "frequency": 1, "monetary_minor": 1, "gap_days": None}
    return Observation(timestamp_ms=at(days=days), enters=(0, 0, 0), **(about | said))


def featured(days: float, values: dict[str, float], tenure: float = 6.0) -> Observation:
    features = [0.0] * len(NAMES)
    features[TENURE] = tenure
    for name, value in values.items():
        features[NAMES.index(name)] = value
    return check_in(days, features=packed_text(pack(tuple(features))))


def day_of(alarm: DriftAlarm) -> float:
    moment = decode_line(b'{"type":"page","timestamp":"%s"}' % alarm.timestamp.encode())
    return (timestamp_ms(moment) - at()) / DAY_MS


def bought(rng: Random, until: int, thin_from: int, pace: float) -> tuple[int, ...]:
    """The purchase days of a customer whose pace changes on one day."""
    gap = 6.0 * rng.gammavariate(3.0, 1 / 3.0) + 1.0
    day, days = rng.uniform(0, gap), []
    while day < until:
        days.append(int(day))
        step = rng.gammavariate(2.0, gap / 2.0)
        left = thin_from - day
        day += step if left >= step else step * pace if left <= 0 else left + (step - left) * pace
    return tuple(sorted(set(days)))


def shop(
    seed: int, customers: int, until: int, thin_from: int = 10_000, pace: float = 1.0
) -> Iterator[Observation]:
    """All customers' weekly check-ins, day by day, which differ only in gaps."""
    rng = Random(seed)
    lives = [bought(rng, until, thin_from, pace) for _ in range(customers)]
    for day in range(until):
        for days in lives:
            if days and day > days[0] and not (day - days[0]) % 7:
                yield check_in(day + 0.99, gap_residuals=gap_residuals(days, day - 7, day))


def watched(observations: Iterator[Observation]) -> list[DriftAlarm]:
    monitor = DriftMonitor()
    return [alarm for one in observations for alarm in monitor.learn(one)]


@pytest.mark.parametrize(
    ("days", "after", "until", "expected"),
    [
        ((), 0, 9, []),
        ((1, 3, 5, 7), 0, 9, []),
        # Three gaps of their own, all of two days: the fourth is twice as long.
        ((1, 3, 5, 7, 11), 0, 20, [log(4) - log(2)]),
        ((1, 3, 5, 7, 11, 13), 7, 20, [log(4) - log(2), log(2) - (3 * log(2) + log(4)) / 4]),
        ((1, 3, 5, 7, 11, 13), 11, 20, [log(2) - (3 * log(2) + log(4)) / 4]),
        # What comes after the moment does not exist yet.
        ((1, 3, 5, 7, 11, 13), 7, 12, [log(4) - log(2)]),
    ],
)
def test_a_residual_is_a_gap_against_those_before_it(
    days: tuple[int, ...], after: int, until: int, expected: list[float]
) -> None:
    assert pytest.approx(expected, abs=1e-12) == list(gap_residuals(days, after, until))


def test_a_check_in_tells_a_bounded_number_of_residuals() -> None:
    daily = tuple(range(400))

    assert (0.0,) * RESIDUALS_MAX == gap_residuals(daily, 0, 400)
    assert () == gap_residuals(daily[: OWN_GAPS_MIN + 1], 0, 400)


def test_customers_who_keep_their_rhythm_raise_no_alarm_in_a_year() -> None:
    assert [] == watched(shop(1, 300, 56 + 365))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("pace", "direction"), [(1 / 0.7, "up"), (0.7, "down")])
def test_a_change_of_pace_by_a_third_is_noticed_within_a_fortnight(
    pace: float, direction: str, seed: int
) -> None:
    first, *_ = watched(shop(seed, 1_000, 150, thin_from=110, pace=pace))

    assert (RESIDUAL_GAP, direction) == (first.stream, first.direction)
    assert 110 < day_of(first) <= 124
    assert abs(first.before) < 0.1 < abs(first.after)
    assert first.words.startswith(f"residual gap drifted {direction}: its mean was ")


WARM_UP_DAYS = WARM_UP_MS // DAY_MS


def stepped(
    days: int, step: float, *, from_day: float, seed: int = 1, a_day: int = 50
) -> Iterator[Observation]:
    """Settled customers whose intensity steps up on one day; all else stays the same."""
    rng = Random(seed)
    for number in range(days * a_day):
        day = number / a_day
        value = rng.gauss(2.0, 1.0) + (step if day >= from_day else 0.0)
        yield featured(day, {"intensity": value})


def test_a_feature_that_steps_is_one_alarm_with_its_means() -> None:
    [alarm] = watched(stepped(180, 0.5, from_day=100))

    assert ("intensity", "up") == (alarm.stream, alarm.direction)
    assert 100 < day_of(alarm) < 110
    assert pytest.approx(2.0, abs=0.1) == alarm.before
    assert alarm.before + 0.15 < alarm.after < 2.7


def test_a_difference_that_is_certain_and_small_is_no_alarm() -> None:
    steps = stepped(180, 0.08, from_day=100, a_day=300)
    monitor = DriftMonitor()
    for one in steps:
        monitor.learn(one)

    assert not monitor.alarms
    # ADWIN did notice it: the window it keeps has the new mean.
    assert monitor.means()["intensity"] == pytest.approx(2.08, abs=0.02)


def test_small_steps_one_way_add_up_to_an_alarm() -> None:
    rng = Random(4)

    def creeping() -> Iterator[Observation]:
        for number in range(400 * 100):
            day = number / 100
            value = rng.gauss(2.0, 1.0) + 0.06 * max((day - WARM_UP_DAYS) // 28, 0)
            yield featured(day, {"intensity": value})

    alarms = watched(creeping())
    assert {("intensity", "up")} == {(a.stream, a.direction) for a in alarms}
    assert 2 <= len(alarms)


def test_nothing_is_said_during_the_warm_up() -> None:
    assert [] == watched(stepped(WARM_UP_DAYS - 1, 3.0, from_day=20))


def test_an_alarm_is_followed_by_silence() -> None:
    rng = Random(2)

    def restless() -> Iterator[Observation]:
        for number in range(300 * 50):
            day = number / 50
            up = day >= WARM_UP_DAYS and day // 9 % 2
            yield featured(day, {"intensity": rng.gauss(4.0 if up else 2.0, 1.0)})

    days = [day_of(alarm) for alarm in watched(restless())]
    assert len(days) > 2
    assert all(later - earlier >= COOLDOWN_MS / DAY_MS for earlier, later in pairwise(days))


def test_weekdays_with_other_customers_are_no_drift() -> None:
    rng = Random(3)

    def weekly() -> Iterator[Observation]:
        for number in range(300 * 50):
            day = number // 50
            usual = (1.0, 3.0, 2.0, 2.0, 1.5, 2.5, 2.0)[day % 7]
            yield featured(day, {"intensity": rng.gauss(usual, 0.5)})

    assert [] == watched(weekly())


def test_features_are_watched_of_settled_customers_alone() -> None:
    monitor = DriftMonitor()
    young = featured(1, {"intensity": 1.0}, tenure=3.0)
    gone = replace(featured(1, {"intensity": 1.0}), recency_days=90.0)
    without, foreign = check_in(1), check_in(1, features=packed_text(b"not ours"))
    for number in range(2_000):
        for one in (young, gone, without, foreign):
            monitor.learn(replace(one, timestamp_ms=at(days=number / 10)))

    assert {} == monitor.means()


def test_alarms_are_bounded_and_every_stream_is_a_feature_or_the_gap() -> None:
    monitor = DriftMonitor()

    assert ALARMS_MAX == monitor.alarms.maxlen
    assert set(FEATURES) < set(NAMES)
    assert (RESIDUAL_GAP, *FEATURES) == STREAMS
    assert "tenure" not in STREAMS


def test_the_same_lessons_give_the_same_alarms() -> None:
    assert watched(stepped(150, 0.6, from_day=90)) == watched(stepped(150, 0.6, from_day=90))


def test_a_replay_tells_of_drift_and_a_shorter_log_of_its_beginning() -> None:
    rng = Random(9)
    orders = sorted(
        (day, customer)
        for customer in range(150)
        for day in bought(rng, 105, thin_from=70, pace=2.0)
    )
    lines = [
        line(
            "Order Completed",
            at(days=day, minutes=customer),
            customer=f"c-{customer}",
            properties={"revenue": 20.0},
        )
        for day, customer in orders
    ]

    def told(lines: list[bytes]) -> tuple[DriftAlarm, ...]:
        replay = Replay(PARAMETERS)
        for number, raw in enumerate(lines, 1):
            replay.feed(raw, number)
        return replay.summary().drift

    whole, shorter = told(lines), told(lines[: len(lines) * 7 // 8])
    assert RESIDUAL_GAP in {alarm.stream for alarm in whole}
    assert all(day_of(alarm) > 70 for alarm in whole)
    assert whole[: len(shorter)] == shorter
