"""C5: facts change by time alone exactly as they declare."""

from math import inf, isnan

import pytest

from config.duration import DAY_MS, HOUR_MS
from models.customer.motion import STILL, Motion
from models.customer.part import Fact, Part
from models.customer.registry import FACTS
from models.customer.row import Row
from models.customer.scene import Scene
from tests.contract.lives import Chance, by_chance, past_of, some_life, stepped
from tests.contract.parts import alike, every_part, present

#: A little later, and much.
_LATER_MS = (1, 17 * 60_000, 5 * HOUR_MS, 3 * DAY_MS, 40 * DAY_MS, 400 * DAY_MS)


def moving(part: Part[object]) -> dict[str, Fact]:
    """The facts that declare how they move and are known at any moment."""
    return {
        name: fact
        for name, fact in part.facts.items()
        if fact.moves is not None and fact.moment is None
    }


def value(row: Row, name: str, at_ms: int) -> float | str:
    return Scene(row, "ada", at_ms, present(at_ms).present)[name]


def expected(before: float | str, motion: Motion, after_ms: int) -> float | str:
    if isinstance(before, str) or isnan(before):
        return before
    return before + motion.per_ms * after_ms


@every_part
@by_chance
def test_a_fact_moves_as_it_says_until_it_says(part: Part[object], chance: Chance) -> None:
    row = Row()
    stepped(some_life(part, chance, span_ms=90 * DAY_MS), row)
    begin_ms = row.latest_ms + chance.rng.choice((0, *_LATER_MS))

    for name, fact in moving(part).items():
        assert fact.moves is not None
        motion = fact.moves.at(Scene(row, "ada", begin_ms, present(begin_ms).present))
        before = value(row, name, begin_ms)
        assert motion.until_ms > begin_ms, name
        last_ms = motion.until_ms - 1 - begin_ms
        for after_ms in (*_LATER_MS, last_ms):
            if after_ms <= last_ms and after_ms < inf:
                found = value(row, name, begin_ms + int(after_ms))
                assert alike(expected(before, motion, int(after_ms)), found), (name, after_ms)
        assert fact.moves.is_clock or not motion.per_ms, name
        assert fact.moves is not STILL or motion == Motion(), name


def test_most_of_what_rules_ask_for_can_be_timed() -> None:
    timed = {name for name, fact in FACTS.items() if fact.moves is not None}

    assert {"silent_days", "unseen_days", "cart_idle_hours", "ticket_waiting_hours"} <= timed
    assert {"orders_30d", "net_365d", "tickets_overdue", "level", "nps_class"} <= timed
    assert not timed & {"churn_risk", "intensity", "anomaly", "shop_nps", "price_sensitivity"}


@every_part
def test_edges_come_one_after_the_other(part: Part[object]) -> None:
    """Looks at each of a fact's times reach the last of them."""
    past = past_of(part)
    for name, fact in moving(part).items():
        at_ms: float = past.until_ms
        for _ in range(500):
            assert fact.moves is not None
            scene = Scene(past.row, "ada", int(at_ms), present(int(at_ms)).present)
            at_ms = fact.moves.at(scene).until_ms
            if at_ms == inf:
                break
        assert at_ms == inf, name


@pytest.mark.parametrize("name", ["silent_days", "unseen_days", "cart_idle_hours"])
def test_a_clock_stands_still_before_it_began(name: str) -> None:
    moves = FACTS[name].moves
    assert moves is not None

    assert Motion() == moves.at(Scene(Row(), "ada", 1_000, present(1_000).present))
