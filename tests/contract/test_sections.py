"""What a profile says about its sections: their basis, and until when they are valid."""

from collections.abc import Callable, Iterator
from functools import cache
from random import Random
from typing import Any

import msgspec
import pytest

from config.duration import DAY_MS
from models.customer.part import Basis, Part, ProfileSection
from models.customer.profile import profile
from models.customer.registry import PARTS
from models.customer.row import Row
from models.customer.scene import Context, Scene
from models.learning.bgnbd import BgNbd
from models.learning.gamma_gamma import GammaGamma
from models.learning.population import Population
from models.learning.snapshot import Snapshot
from models.learning.tallies import Tallies
from tests.contract.lives import by_chance, folded, life, some_life
from tests.contract.parts import ALL_ON, every_part, present
from tests.contract.silence import at_once, silence
from tests.models.lines import START_MS, at, happened, lived

SECTIONS = [(part, section) for part in PARTS for section in part.sections]
every_section = pytest.mark.parametrize(
    ("part", "section"), SECTIONS, ids=[section.name for _, section in SECTIONS]
)
#: Of sections of which some decays or grows all the time: what changes in steps.
STEPS: dict[str, Callable[[Any], Any]] = {
    "rfm": lambda view: [view[name] for name in view if name not in ("recencyDays", "decayed")],
    "engagement": lambda view: view["interactions"],
    "prices": lambda view: view and view["discountOnly"],
    "churn_reason": lambda view: None,
    "churn": len,
    "explanations": len,
    "silent_churn": lambda view: None,
    "value": lambda view: None,
}


@cache
def learnt() -> Snapshot:
    """A snapshot whose figures differ from the shipped parameters."""
    before = present().snapshot
    population = msgspec.structs.replace(
        before.of(Population),
        gap_days=3.0,
        order_minor=77,
        recency_days_cuts=(1.0, 2.0, 3.0, 4.0),
        bgnbd=BgNbd(0.4, 2.0, 0.7, 2.5),
        gamma_gamma=GammaGamma(2.0, 3.0, 50.0),
    )
    sums = {
        part.name: dict.fromkeys(part.population.keys(ALL_ON), 40)
        for part in PARTS
        if part.population is not None
    }
    tallies = msgspec.structs.replace(before.of(Tallies), parts=sums)
    return before.replace(population, tallies, version=3)


def read(part: Part[Any], section: ProfileSection, row: Row, at_ms: int, context: Context) -> Any:
    assert section in part.sections
    return msgspec.to_builtins(section.read(Scene(row, "ada", at_ms, context)))


def lives(part: Part[Any]) -> Iterator[Row]:
    weekly = [
        happened("Order Completed", at(7 * n), order_id=str(n), revenue=20) for n in range(20)
    ]
    yield lived(weekly)
    for seed in range(30):
        yield folded(life(part, Random(seed), size=12), START_MS)


@every_section
def test_what_all_customers_are_like_is_named_as_a_source(
    part: Part[Any], section: ProfileSection
) -> None:
    plan = present().plan
    contexts = [plan.context(one) for one in (present().snapshot, learnt())]
    differs = any(
        read(part, section, row, at_ms, contexts[0]) != read(part, section, row, at_ms, contexts[1])
        for row in lives(part)
        for at_ms in (at(40), at(200))
    )
    assert differs == (section.basis is not Basis.PARAMETERS)


@every_part
@by_chance
def test_a_section_stands_until_it_says_that_it_does(part: Part[Any], chance: Any) -> None:
    row, within = folded(some_life(part, chance, span_ms=60 * DAY_MS), START_MS), present().present
    for days in (1, 20, 91):
        at_ms = (row.latest_ms or START_MS) + days * DAY_MS
        # What is due by then has run, as it has when the clock is there.
        silence(row, at_ms, at_once)
        for section in part.sections:
            steps = STEPS.get(section.name, lambda view: view)
            until_ms = section.edge(Scene(row, "ada", at_ms, within)) or at_ms + 500 * DAY_MS
            assert until_ms > at_ms
            now = steps(read(part, section, row, at_ms, within))
            for later_ms in {min(at_ms + 1, until_ms - 1), (at_ms + until_ms) // 2, until_ms - 1}:
                assert now == steps(read(part, section, row, later_ms, within)), section.name


def test_windows_end_and_scores_fall_when_it_is_said() -> None:
    row = lived(
        [happened("Order Completed", at(day), order_id=f"o-{day}", revenue=9) for day in (0, 20)]
    )
    part, rfm = next((p, s) for p, s in SECTIONS if s.name == "rfm")
    context, seen, at_ms = present().plan.context(learnt()), [], at(20)
    steps = STEPS["rfm"]
    while until_ms := rfm.edge(Scene(row, "ada", at_ms, context)):
        before, after = (
            steps(read(part, rfm, row, ms, context)) for ms in (until_ms - 1, until_ms)
        )
        assert before != after
        seen.append(until_ms)
        at_ms = until_ms

    cuts = [at(20 + days) + 1 for days in (1, 2, 3, 4)]
    windows = [at(day + size) for day in (0, 20) for size in (30, 90, 365)]
    assert sorted([*cuts, *windows]) == seen


def test_a_profile_tells_of_each_section_how_far_it_goes() -> None:
    row = lived([happened("Order Completed", at(), order_id="o-1", revenue=40)])
    untaught = present().plan.context(present().snapshot)
    taught = present().plan.context(learnt())
    shown, without = (profile("ada", row, at(2), context) for context in (taught, untaught))
    told = msgspec.to_builtins(shown.sections)

    day = "2026-01-03T00:00:00.000Z"
    assert len(SECTIONS) == len(told)
    assert {day} == {one["asOf"] for one in told.values()}
    assert "model 3" == told["churn"]["source"] == told["silentChurn"]["source"]
    assert ("population", "parameters") == (told["rfm"]["source"], told["cart"]["source"])
    assert {"parameters"} == {one.source for one in without.sections.values()}
    assert "2026-01-04T00:00:00.000Z" == told["activityAnomaly"]["validUntil"]
    assert told["decisions"]["validUntil"] is None


def test_a_part_that_is_off_is_not_told_of() -> None:
    loyalty = next(part for part in PARTS if part.name == "loyalty")
    shown = profile("ada", Row(), START_MS, present().plan.context(present().snapshot))
    assert loyalty.sections
    assert {section.name for section in loyalty.sections} <= set(shown.sections)


def test_a_purchase_that_leaves_the_year_may_end_buying_for_less_only() -> None:
    part, prices = next((p, s) for p, s in SECTIONS if s.name == "prices")
    row = lived(
        [
            happened("Order Completed", at(n), order_id=str(n), revenue=9, coupon="SALE")
            for n in (0, 1, 2)
        ]
    )
    context = present().plan.context(present().snapshot)
    until_ms = prices.edge(Scene(row, "ada", at(30), context))

    assert at(365) == until_ms
    only = [
        read(part, prices, row, at_ms, context)["discountOnly"]
        for at_ms in (until_ms - 1, until_ms)
    ]
    assert [True, False] == only
