"""Whoever logs in from another browser is what they were before: of the same class, stage, tier and
band, and nothing is told.
"""

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from models.customer.channels import CHANNELS
from models.customer.key_customers import KEY_CUSTOMERS
from models.customer.lifecycle import LIFECYCLE
from models.customer.relationship import RELATIONSHIP
from models.customer.risk import RISK
from models.customer.tier_state import Tier, Tiered
from models.customer.tiers import TIERS
from models.decisions.trigger import Trigger
from models.learning.acquisition import WON
from tests.models.lines import DAY_MS, HOUR_MS, MINUTE_MS, PRIOR, at
from tests.models.persons import LINKING, Deployment, said_by
from tests.models.test_tiers import CUTS

BROWSERS = ("anon-1", "anon-2")


def bought(at_ms: int, revenue: float = 50.0, **who: str) -> bytes:
    return said_by("Order Completed", at_ms, order_id=f"o-{at_ms}", revenue=revenue, **who)


def login(at_ms: int, visitor: str = "anon-1") -> bytes:
    return said_by("identify", at_ms, user="ada", visitor=visitor)


def customer(days: tuple[float, ...], until: float) -> Deployment:
    """ada, who bought on these days."""
    shop = Deployment()
    shop.tell(*(bought(at(day), user="ada") for day in days))
    shop.tick(at(until))
    return shop


def counted(shop: Deployment, part: str, *kinds: str) -> dict[str, int]:
    """The sums over all customers of these kinds, over all days."""
    sums: Counter[str] = Counter()
    for (name, key, _day), amount in shop.sums().items():
        if name == part and key.split(":")[0] in kinds:
            sums[key] += amount
    return {key: amount for key, amount in sums.items() if amount}


def test_whoever_is_lost_and_logs_in_stays_lost_without_a_word() -> None:
    shop = customer((0, 10, 20), 300)
    before, told = shop.profile("ada").lifecycle, len(shop.effects)
    left = counted(shop, "lifecycle", "left")

    shop.tell(said_by("page", at(301), visitor="anon-1", channel="web"))
    shop.tick(at(301, hours=2))
    shop.tell(login(at(301, hours=3)))
    at_once = shop.profile("ada").lifecycle
    shop.tick(at(302))

    assert "lost" == before.customer_class
    assert before == at_once == shop.profile("ada").lifecycle
    assert [] == [one.kind for one in shop.effects[told:] if isinstance(one, Trigger)]
    assert left == counted(shop, "lifecycle", "left")
    assert {"class:lost": 1} == counted(shop, "lifecycle", "class")


@pytest.mark.parametrize(
    "order",
    [
        # After the login, or before it in the same visit or one of last month.
        {"at_ms": at(301, hours=4), "user": "ada"},
        {"at_ms": at(301, hours=2, minutes=50), "visitor": "anon-1"},
        {"at_ms": at(271), "visitor": "anon-1"},
    ],
)
def test_whoever_was_lost_and_buys_from_another_browser_has_returned(order: dict[str, Any]) -> None:
    shop = customer((0, 10, 20), 250)
    events = [bought(**order), login(at(301, hours=3))]
    shop.tell(said_by("page", at(270), visitor="anon-1"))
    shop.tell(*sorted(events, key=lambda raw: raw[raw.index(b"timestamp") :]))
    shop.tick(at(302))

    found = shop.profile("ada").lifecycle
    assert ("returned", "lost") == (found.customer_class, found.class_before)


def test_an_advocate_becomes_none_anew_by_logging_in() -> None:
    shop = customer(tuple(range(0, 170, 10)), 170)
    shop.tell(said_by("Survey Responded", at(170), user="ada", kind="nps", score=10))
    shop.tell(*(bought(at(day), user="ada") for day in range(180, 335, 10)))
    shop.tick(at(335))
    before = shop.profile("ada").lifecycle

    shop.tell(said_by("page", at(335, hours=1), visitor="anon-1"))
    shop.tick(at(335, hours=3))
    shop.tell(login(at(335, hours=4)))
    shop.tick(at(336))

    assert "advocacy" == before.stage
    assert before == shop.profile("ada").lifecycle
    assert 1 == len(shop.fired({"became-advocate"}))


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("after_ms", [MINUTE_MS, HOUR_MS - 1, HOUR_MS, HOUR_MS + 1, DAY_MS])
def test_whoever_buys_and_then_logs_in_is_a_new_customer_an_hour_later(
    known: bool, after_ms: int
) -> None:
    """Also if nothing but the order is known of the visitor, who was not looked at yet."""
    shop = Deployment()
    if known:
        shop.tell(said_by("page", at(0), user="ada", channel="web"))
        shop.tick(at(5))
    shop.tell(bought(at(10), visitor="anon-1", channel="web"))
    shop.tick(at(10) + after_ms - 1)
    shop.tell(login(at(10) + after_ms))
    shop.tick(at(10) + after_ms + HOUR_MS)

    found = shop.profile("ada").lifecycle
    assert ("new", "purchase") == (found.customer_class, found.stage)
    assert {"class:new": 1, "stage:purchase": 1} == counted(shop, "lifecycle", "class", "stage")
    assert {f"{WON}:web": 1} == counted(shop, "acquisition", WON)


def found_of(shop: Deployment) -> dict[str, tuple[object, ...]]:
    """What looks have found of ada, and since when."""
    row = shop.row("ada")
    assert row is not None
    stage, tier, risk = row.read(LIFECYCLE), row.read(TIERS), row.read(RISK)
    level, key, channel = row.read(RELATIONSHIP), row.read(KEY_CUSTOMERS), row.read(CHANNELS)
    return {
        "class": (stage.customer_class, stage.class_since_ms, stage.class_before),
        "stage": (stage.stage, stage.stage_since_ms, stage.stage_before),
        "tier": (tier.tier, tier.since_ms, tier.before, tier.below_ms, *tier.percents),
        "band": (risk.band, risk.since_ms, risk.before),
        "level": (level.level, level.since_ms, level.before),
        "key": (key.is_key, key.since_ms, *key.percents),
        "channel": (channel.preferred, channel.since_ms, channel.before, channel.hour),
    }


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32))
def test_one_more_browser_changes_nothing_that_was_found(seed: int) -> None:
    """Of a person who also buys without logging in, so that each id is found to be something."""
    rng, shop = Random(seed), Deployment()
    names = ["Order Completed", "Order Completed", "page", "Product Viewed", "Product Shared"]
    days = sorted(rng.uniform(1, rng.choice([40, 300])) for _ in range(rng.randint(1, 10)))
    join_day = rng.choice([0, rng.uniform(1, 300)])
    events = [(join_day, login(at(join_day)))]
    for day in days:
        name = rng.choice(names)
        said = {"order_id": f"o-{day}", "revenue": rng.choice([5.0, 80.0])}
        who = {"user": "ada"} if rng.random() < 0.6 else {"visitor": "anon-1"}
        channel = rng.choice(["web", "app"])
        events.append((day, said_by(name, at(day), channel=channel, **who, **said)))
    shop.tell(*(raw for _, raw in sorted(events, key=lambda event: event[0])))
    until = max(days[-1], join_day) + rng.choice([1, 9, 100])
    shop.tell(said_by("page", at(until), visitor="anon-2", channel="web"))
    shop.tick(at(until, hours=3))
    before, told = found_of(shop), len(shop.effects)

    shop.tell(login(at(until, hours=3, ms=1), "anon-2"))
    assert before == found_of(shop)
    # An hour later, class and stage are looked at.
    shop.tick(at(until, hours=4, ms=1))
    after = found_of(shop)
    assert (before["class"], before["stage"]) == (after["class"], after["stage"])
    kinds = {"customer-lost", "became-advocate", "interest-faded", "became-vip", "vip-slipping"}
    more = [one.kind for one in shop.effects[told:] if isinstance(one, Trigger)]
    assert not kinds & {*more}


def test_a_vip_who_once_ordered_without_logging_in_stays_one() -> None:
    shop = Deployment()
    for lane in shop.lanes:
        lane.adopt(PRIOR.replace(CUTS, version=1))
    shop.tell(*(bought(at(day), user="ada") for day in (0, 5, 10, 15)))
    shop.tick(at(16))
    before = shop.profile("ada").tier
    shop.tell(bought(at(16, hours=1), 5.0, visitor="anon-1"))
    shop.tick(at(18))
    assert Tier.ORDINARY == shop.profile("anon-1").tier.tier

    shop.tell(login(at(18, hours=1)))
    at_once = shop.profile("ada").tier
    shop.tick(at(30))

    assert Tier.VIP == before.tier
    assert before == at_once
    assert (Tier.VIP, before.since) == (
        shop.profile("ada").tier.tier,
        shop.profile("ada").tier.since,
    )
    assert ["became-vip"] == [kind for kind, _ in shop.fired({"became-vip", "vip-slipping"})]
    assert {"tier:vip": 1} == counted(shop, "tiers", "tier")


def test_of_the_ids_of_one_person_the_highest_tier_stands_in_any_order() -> None:
    states = [Tiered("vip", 5), Tiered("ordinary", 9), Tiered(), Tiered("potential", 7)]
    rng = Random(1)
    for _ in range(8):
        rng.shuffle(states)
        one = TIERS.united([replace(state) for state in states], LINKING)
        assert ("vip", 5) == (one.tier, one.since_ms)
