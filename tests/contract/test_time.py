"""C4, C5: time is an argument. Silence has the same effects with any clock, and no state ages."""

from typing import Any

from config.duration import DAY_MS
from models.customer.part import Part
from models.customer.row import Row, decode_row, encode_row
from tests.contract.exceptions import SET_BY_DECISIONS
from tests.contract.lives import Chance, by_chance, past_of, some_life, stepped
from tests.contract.parts import alike, every_part, facts_of, present, sections_of
from tests.contract.silence import anyhow, at_once, month_by_month, silence, to_the_millisecond
from tests.models.lines import copied

_SILENCE_MS = 70 * DAY_MS
_LIFE_MS = 20 * DAY_MS


@every_part
@by_chance
def test_moments_come_at_their_time_whatever_steps_the_clock_takes(
    part: Part[Any], chance: Chance
) -> None:
    row = Row()
    stepped(some_life(part, chance, span_ms=_LIFE_MS), row)
    until_ms = row.latest_ms + _SILENCE_MS
    others = [copied(row) for _ in range(3)]
    expected = silence(row, until_ms, at_once)

    for other, clock in zip(
        others, (month_by_month, to_the_millisecond, anyhow(chance.seed)), strict=True
    ):
        assert expected == silence(other, until_ms, clock)
        assert encode_row(row) == encode_row(other)


@every_part
def test_no_time_is_dealt_with_twice_and_every_one_moves_on(part: Part[Any]) -> None:
    past = past_of(part)
    ran, _ = silence(past.row, past.until_ms + 400 * DAY_MS, at_once)
    times = [(one.code, one.at_ms) for one in ran]

    assert len(times) == len(set(times))
    assert times == sorted(times, key=lambda time: time[1])
    # Every timer is somebody's, and the part's own are set by its events, in one life or another.
    assert {code for code, _ in past.row.timers()} <= set(present().plan.timers)
    ever_set = ({code for code, _ in past_of(part, number).row.timers()} for number in range(4))
    assert any(_set_by_events(part) <= codes for codes in ever_set)


def _set_by_events(part: Part[Any]) -> set[str]:
    return {timer.code for timer in part.timers}.difference(SET_BY_DECISIONS)


@every_part
@by_chance
def test_facts_of_a_moment_are_those_of_a_row_that_was_read_at_that_moment(
    part: Part[Any], chance: Chance
) -> None:
    events = some_life(part, chance, span_ms=_LIFE_MS)
    lived, stored = Row(), encode_row(Row())
    stepped(events, lived)
    at_ms = lived.latest_ms + chance.rng.randint(0, _SILENCE_MS)
    silence(lived, at_ms, anyhow(chance.seed))

    # The same life, packed after every event, by a clock that first moves at the end.
    for event in events:
        row = decode_row(stored)
        stepped([event], row, clock_ms=0)
        stored = encode_row(row)
    fresh = decode_row(stored)
    silence(fresh, at_ms, at_once)

    assert alike(facts_of(part, lived, at_ms), facts_of(part, fresh, at_ms))
    assert alike(sections_of(part, lived, at_ms), sections_of(part, fresh, at_ms))


@every_part
def test_reading_changes_nothing(part: Part[Any]) -> None:
    past = past_of(part)
    row, at_ms = past.row, past.until_ms + DAY_MS

    first = facts_of(part, row, at_ms), sections_of(part, row, at_ms)

    assert past.stored == encode_row(row)
    assert repr(first) == repr((facts_of(part, row, at_ms), sections_of(part, row, at_ms)))
