"""Value tiers: what they are made of, who moves between them, and who must not."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from config.parameters import Parameters
from models.customer.part import KEYS_MAX
from models.customer.row import Row
from models.customer.tiers import TIERS
from models.decisions.trigger import Trigger
from models.engine import Effect
from models.events.event import Event
from models.learning.lessons import Tally
from models.learning.tallies import NO_DAY
from models.learning.tiers import (
    ENDS,
    Side,
    TierCuts,
    TierCutsLearner,
    TierParameters,
    bin_of,
    key_of,
)
from tests.models.lines import (
    DAY_MS,
    PARAMETERS,
    PRIOR,
    Within,
    at,
    context,
    happened,
    lived,
    lived_with_effects,
    scene,
    waited,
)

#: A hundred customers, by orders in a year, by what they spend an order in typical ones of 50.00,
#: by active days, and by what is expected of them.
CUTS = TierCuts(
    1,
    {
        Side.FREQUENCY: (60, 20, 10, 5, 1, 1, 1, 1, 1, 0, 0),
        Side.AVERAGE_ORDER: (0, 0, 0, 0, 0, 20, 20, 20, 20, 10, 10, 0, 0, 0, 0, 0, 0, 0),
        Side.ACTIVE_DAYS: (40, 30, 10, 10, 5, 5, 0, 0, 0, 0),
        Side.EXPECTED: (100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    },
)
SHOP = context(snapshot=PRIOR.replace(CUTS, version=1))


def bought(day: float, revenue: float = 50.0) -> Event:
    return happened("Order Completed", at(day), order_id=f"o-{day}", revenue=revenue)


def told(effects: Iterable[Effect]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for effect in effects:
        if isinstance(effect, Tally) and effect.part == TIERS.name:
            for key, _day, amount in effect.sums:
                sums[key] += amount
    return +sums


def changes(effects: Iterable[Effect]) -> list[tuple[str, str]]:
    mine = {"vip-slipping", "became-vip"}
    found = [one for one in effects if isinstance(one, Trigger) and one.kind in mine]
    return [(one.kind, one.timestamp[:10]) for one in found]


def tier_of(events: list[Event], day: float, within: Within = SHOP) -> Any:
    row, _ = waited(lived(events, within=within), at(day), within=within)
    return scene(row, at(day), within)["tier"]


@pytest.mark.parametrize(
    ("side", "value", "rank"),
    [
        (Side.FREQUENCY, 1, 0.60),
        (Side.FREQUENCY, 2, 0.80),
        (Side.FREQUENCY, 4, 0.95),
        (Side.FREQUENCY, 1_000, 1.0),
        (Side.ACTIVE_DAYS, 1, 0.70),
        # Between 0.71 and 1 typical orders, twenty of a hundred spend; evenly, as far as is known.
        (Side.AVERAGE_ORDER, 2**-0.5, 0.60),
        (Side.AVERAGE_ORDER, (2**-0.5 + 1) / 2, 0.70),
        (Side.AVERAGE_ORDER, 1.0, 0.80),
        (Side.AVERAGE_ORDER, 1_000.0, 1.0),
        (Side.AVERAGE_ORDER, 0.0, 0.0),
    ],
)
def test_a_rank_is_the_share_of_customers_at_or_below(
    side: Side, value: float, rank: float
) -> None:
    assert pytest.approx(rank) == CUTS.rank(side, value)


#: Below half of the shop's orders, and a little above: ranks .60 and .70.
SMALL, MIDDLE = 50 * 2**-0.5, 50 * (2**-0.5 + 1) / 2


def test_a_tier_is_by_how_often_for_how_much_and_how_present() -> None:
    """.4 of the rank by orders (.95), .4 by the average order and .2 by active days (.70)."""
    days = (0, 1, 2, 30)
    tiers = []
    for revenue in (SMALL, 50 * (2**-0.5 + 0.6 * (1 - 2**-0.5))):
        row, _ = waited(
            lived([bought(day, revenue) for day in days], within=SHOP), at(31), within=SHOP
        )
        seen = scene(row, at(31), SHOP)
        ranks = [seen[f"tier_rank_{side}"] for side in ("frequency", "order", "activity")]
        tiers.append((seen["tier"], ranks, round(float(seen["tier_score"]), 3)))

    assert ("potential", [0.95, 0.60, 0.70], 0.76) == tiers[0]
    assert ("vip", [0.95, 0.72, 0.70], 0.808) == tiers[1]


@pytest.mark.parametrize(
    ("events", "day", "expected"),
    [
        ([bought(day) for day in (0, 5, 10, 15)], 16, "vip"),
        # One huge order is no VIP: two orders at least.
        ([bought(0, 5_000.0)], 1, "potential"),
        ([bought(0), bought(5, 5_000.0)], 6, "vip"),
        # What was given back is no order, an hour after.
        (
            [bought(0), bought(5, 5_000.0), happened("Order Refunded", at(6), order_id="o-0")],
            6.05,
            "potential",
        ),
        ([bought(0, 5.0)], 1, "ordinary"),
        ([happened("page", at(0))], 1, ""),
        ([bought(0), happened("Order Cancelled", at(0.1), order_id="o-0")], 1, ""),
        # Lost, after four of the shop's usual gaps.
        ([bought(0, 5.0)], 140, ""),
    ],
)
def test_who_is_in_which_tier(events: list[Event], day: float, expected: str) -> None:
    assert expected == tier_of(events, day)


def test_a_vip_has_thirty_days_of_grace_and_says_once_that_they_slip() -> None:
    four = [bought(day, MIDDLE) for day in (0, 5, 10, 15)]
    row, effects = lived_with_effects(four, within=SHOP)
    tiers = []
    for day in range(16, 100):
        row, more = waited(row, at(day), within=SHOP)
        effects += more
        tiers.append((row.read(TIERS).tier, row.read(TIERS).below_ms))
    below_ms = next(below_ms for _, below_ms in tiers if below_ms)
    slipped_ms = row.read(TIERS).since_ms

    assert ["vip", "potential"] == list(dict.fromkeys(tier for tier, _ in tiers))
    # At the first check-in after the grace.
    assert 30 * DAY_MS <= slipped_ms - below_ms < 37 * DAY_MS
    assert ["became-vip", "vip-slipping"] == [kind for kind, _ in changes(effects)]


def test_nothing_is_said_of_a_vip_whose_score_wavers() -> None:
    """Twice away for so long that the score falls below .75, and back within the grace."""
    orders = [bought(day, MIDDLE) for day in (0, 5, 10, 15, 50, 100)]
    row, effects, was_below = Row(), list[Effect](), 0
    for event in orders:
        row, waited_for = waited(row, event.occurred_at_ms - 1, within=SHOP)
        was_below += bool(row.read(TIERS).below_ms)
        row, more = lived_with_effects([event], row=row, within=SHOP)
        effects += [*waited_for, *more]
    row, more = waited(row, at(110), within=SHOP)

    assert 2 == was_below
    assert [("became-vip", "2026-01-11")] == changes([*effects, *more])
    assert ("vip", 0) == (row.read(TIERS).tier, row.read(TIERS).below_ms)


def refunded(order: float, day: float, **said: Any) -> Event:
    return happened("Order Refunded", at(day), order_id=f"o-{order}", **said)


@pytest.mark.parametrize(
    ("given_back", "tier"),
    [
        # The average order falls to 37.50, which was never enough of a score.
        (refunded(5, 9, total=4_975.0), "potential"),
        # One order of two is left.
        (refunded(5, 9), "potential"),
        (happened("Order Cancelled", at(9), order_id="o-5"), "potential"),
        (happened("Order Updated", at(9), order_id="o-5", revenue=10.0), "ordinary"),
        # What is given back changes nothing of why they are one.
        (refunded(5, 9, total=10.0), "vip"),
    ],
)
def test_what_made_a_vip_and_is_given_back_makes_none_an_hour_later(
    given_back: Event, tier: str
) -> None:
    """Without the grace of who buys less: or a month as a VIP were the price of a refund."""
    row, _ = waited(lived([bought(0), bought(5, 5_000.0)], within=SHOP), at(8), within=SHOP)
    row, effects = lived_with_effects([given_back], row=row, within=SHOP)
    before, nothing = waited(row, at(9, hours=1, ms=-1), within=SHOP)
    after, more = waited(before, at(9, hours=1), within=SHOP)

    assert ("vip", tier) == (before.read(TIERS).tier, after.read(TIERS).tier)
    assert [] == changes([*effects, *nothing])
    told_of = [("vip-slipping", "2026-01-10")] if tier != "vip" else []
    assert told_of == changes(more)
    assert tier == waited(after, at(30), within=SHOP)[0].read(TIERS).tier
    assert ("refund" if tier != "vip" else "activity") == scene(after, at(10))["tier_cause"]


def test_a_vip_in_their_grace_keeps_it_whatever_is_given_back() -> None:
    four = [bought(day, MIDDLE) for day in (0, 5, 10, 15)]
    row, day = lived(four, within=SHOP), 16
    while not row.read(TIERS).below_ms:
        day += 1
        row, _ = waited(row, at(day), within=SHOP)
    below_ms = row.read(TIERS).below_ms
    row = lived([refunded(15, day + 1)], row=row, within=SHOP)
    row, _ = waited(row, at(day + 2), within=SHOP)

    assert ("vip", below_ms) == (row.read(TIERS).tier, row.read(TIERS).below_ms)


def test_a_vip_who_goes_on_as_ever_and_is_overtaken_does_not_slip() -> None:
    """Once a week as before, while others come to buy as often."""
    row, effects = lived_with_effects([bought(7 * n) for n in range(8)], within=SHOP)
    others = {**CUTS.counts, Side.FREQUENCY: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100)}
    anew = context(snapshot=PRIOR.replace(TierCuts(2, others), version=2))
    assert "vip" == row.read(TIERS).tier
    for n in range(8, 16):
        row, more = lived_with_effects([bought(7 * n)], row=row, within=anew)
        effects += more
    row, more = waited(row, at(7 * 15 + 1), within=anew)

    assert ("ordinary", "others") == (row.read(TIERS).tier, row.read(TIERS).cause)
    assert ["became-vip"] == [kind for kind, _ in changes([*effects, *more])]


def test_whoever_is_moved_by_what_others_buy_is_told_so() -> None:
    row, _ = waited(lived([bought(0)], within=SHOP), at(1), within=SHOP)
    others = {**CUTS.counts, Side.FREQUENCY: (10, 0, 0, 0, 0, 90, 0, 0, 0, 0, 0)}
    anew = context(snapshot=PRIOR.replace(TierCuts(2, others), version=2))
    moved, _ = waited(row, at(9), within=anew)
    silent, _ = waited(row, at(40), within=SHOP)

    assert ("potential", "activity") == (row.read(TIERS).tier, row.read(TIERS).cause)
    assert ("ordinary", "others") == (moved.read(TIERS).tier, moved.read(TIERS).cause)
    # Nothing but the day on which they came is no longer one of 28.
    assert ("ordinary", "silence") == (silent.read(TIERS).tier, silent.read(TIERS).cause)


def test_until_enough_customers_are_known_the_operator_s_cut_points_count() -> None:
    four = [bought(day) for day in (0, 5, 10, 15)]
    assert PRIOR.of(TierCuts).rank(Side.FREQUENCY, 4) is None
    assert "ordinary" == tier_of(four[:1], 1, context())
    # Four orders, of 50.00, on four days: the third fifth of each is .6 or .8 of all.
    row, _ = waited(lived(four), at(16))
    assert pytest.approx(0.4 * 0.6 + 0.4 * 0.6 + 0.2 * 0.8) == scene(row, at(16))["tier_score"]


def tally(*sums: tuple[str, int]) -> Tally:
    return Tally(0, TIERS.name, 0, tuple((key, NO_DAY, by) for key, by in sums))


def learner(minimum: int = 1) -> tuple[TierCutsLearner, Parameters]:
    learning = replace(PARAMETERS.learning, minimum_examples=minimum)
    parameters = replace(PARAMETERS, learning=learning)
    return TierCutsLearner(None, parameters), parameters


def test_cut_points_move_once_in_four_weeks_and_not_with_each_snapshot() -> None:
    cuts, _ = learner()
    assert {} == cuts.draw(at(0)).counts
    cuts.learn(tally(("frequency:0", 3)))
    first = cuts.draw(at(1))
    cuts.learn(tally(("frequency:0", -1), ("frequency:3", 1)))

    assert first == cuts.draw(at(28))
    second = cuts.draw(at(29))
    assert (2, 0, 0, 1) == second.counts[Side.FREQUENCY][:4]
    assert pytest.approx(2 / 3) == second.rank(Side.FREQUENCY, 1)


def test_who_moves_while_nothing_is_drawn_anew_did_something() -> None:
    """Whatever all others buy meanwhile: the same cut points, the same tier."""
    cuts, _ = learner()
    cuts.learn(tally(("frequency:0", 3), ("tier:vip", 5)))
    first = cuts.draw(at(1))
    cuts.learn(tally(("frequency:9", 1_000)))

    assert first.rank(Side.FREQUENCY, 1) == cuts.draw(at(20)).rank(Side.FREQUENCY, 1) == 1.0


def test_the_sums_hold_everybody_once_and_nobody_who_is_lost() -> None:
    four = [bought(day) for day in (0, 5, 10, 15)]
    row, effects = lived_with_effects(four, within=SHOP)
    row, more = waited(row, at(16), within=SHOP)
    _, lost = waited(row, at(400), within=SHOP)

    sums = told([*effects, *more])
    assert (1, 20_000) == (sums["tier:vip"], sums["net:vip"])
    assert 1 == sums[key_of(Side.FREQUENCY, bin_of(Side.FREQUENCY, 4))]
    assert Counter() == told([*effects, *more, *lost])


def test_there_are_few_enough_sums_for_metrics() -> None:
    assert TIERS.population is not None
    keys = TIERS.population.keys(PARAMETERS)
    assert len(keys) == len(set(keys)) <= KEYS_MAX
    assert all(list(ends) == sorted(ends) for ends in ENDS.values())
    assert PARAMETERS.of(TierParameters).enabled
