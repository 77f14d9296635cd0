"""C8: a part that is switched off keeps what it has, and says nothing of it."""

from math import isnan
from random import Random
from typing import Any

import pytest

from config.duration import DAY_MS
from models.customer.part import Part
from models.customer.profile import profile
from models.customer.registry import PARTS
from models.customer.row import Row
from models.customer.scene import Scene
from models.decisions.trigger import Trigger
from models.engine import Effect, take_up
from models.learning.lessons import Tally
from models.plan import Plan, plan_for
from tests.contract.lives import life, stepped
from tests.contract.parts import ALL_ON, present
from tests.contract.silence import at_once, silence
from tests.models.lines import START_MS

_SWITCHES = [part for part in PARTS if part.has_switch]
every_switch = pytest.mark.parametrize("part", _SWITCHES, ids=[part.name for part in _SWITCHES])
_MONTH_MS = 30 * DAY_MS


def month(part: Part[Any], number: int, row: Row, plan: Plan) -> list[Effect]:
    """The next month of a customer: events, then silence."""
    begin_ms = START_MS + number * _MONTH_MS
    rng, message = Random(number), f"month-{number}"
    events = life(part, rng, size=60, begin_ms=begin_ms, span_ms=_MONTH_MS // 2, message=message)
    effects = stepped(events, row, plan)
    return effects + silence(row, begin_ms + _MONTH_MS - 1, at_once, plan)[1]


def tallies(effects: list[Effect], part: Part[Any]) -> list[Tally]:
    return [one for one in effects if isinstance(one, Tally) and one.part == part.name]


def own_triggers(effects: list[Effect], part: Part[Any]) -> list[str]:
    """What was fired by rules of the part's own moments."""
    rules = {rule.name for rule in ALL_ON.triggers.triggers if rule.moment in part.moments}
    return [one.kind for one in effects if isinstance(one, Trigger) and one.kind in rules]


@every_switch
def test_off_and_on_again_leaves_the_state_as_it_was(part: Part[Any]) -> None:
    on, off = present().plan, plan_for(part.switched(ALL_ON, on=False))
    row = Row()

    told = month(part, 0, row, on)
    # Of a part that keeps only what it is still to tell, nothing.
    stored = row.packed().get(part.code)
    told_while_off = month(part, 1, row, off)

    assert stored == row.packed().get(part.code)
    assert [] == tallies(told_while_off, part) + own_triggers(told_while_off, part)
    # It does have something to say: it did before, and does again, though not in every month.
    for number in range(2, 12):
        told += month(part, number, row, on)
        has_changed = stored is None or stored != row.packed()[part.code]
        has_told = bool(tallies(told, part))
        if has_changed and has_told == bool(part.population):
            return
    raise AssertionError("whether it was off makes no difference: nothing of it ever changes")


@every_switch
def test_off_it_hears_nothing_wakes_for_nothing_and_knows_nothing(part: Part[Any]) -> None:
    off = plan_for(part.switched(ALL_ON, on=False))
    row = Row()
    month(part, 0, row, present().plan)
    scene = Scene(row, "ada", row.latest_ms, off.context(present().snapshot))

    assert [] == [route for route in off.routes if part in route]
    assert set() == {timer.code for timer in part.timers} & off.timers.keys()
    for name, fact in part.facts.items():
        value = scene[name]
        assert "" == value if fact.kind is str else isnan(float(value)), name


@every_switch
def test_off_it_has_no_section_in_the_profile(part: Part[Any]) -> None:
    off, row = plan_for(part.switched(ALL_ON, on=False)), Row()
    month(part, 0, row, present().plan)

    shown = profile("ada", row, row.latest_ms, off.context(present().snapshot))

    assert {None} >= {getattr(shown, section.name) for section in part.sections}


def test_a_part_that_finds_what_is_true_by_now_takes_it_up_when_it_is_on_again() -> None:
    without = {part.name for part in _SWITCHES if part.take_up is None}

    # They keep what they heard, and nothing that time or others change; or an improvement that was
    # told. Segments are looked at after all others, by the engine.
    assert {"improvements", "satisfaction", "segments", "timeline"} == without


@every_switch
def test_taken_up_once_nothing_is_left_to_take_up(part: Part[Any]) -> None:
    plan, row = present().plan, Row()
    month(part, 0, row, plan)
    at_ms = START_MS + _MONTH_MS
    context = plan.context(present().snapshot, clock_ms=at_ms)
    effects = take_up(row, "ada", at_ms, {part.code}, context, plan)
    once, told = row.packed(), [one for one in effects if not isinstance(one, Tally)]

    assert [] == told
    assert [] == take_up(row, "ada", at_ms, {part.code}, context, plan)
    assert once == row.packed()
