"""A small shop, replayed: real decisions and profiles for the console's pages."""

from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from agents.trials.demo.shop import ShopConfig, simulate
from models.decisions.trigger import ActionWithdrawn, Cause, NextBestAction, Trigger
from models.replay import Replay
from streams.decision_ledger import Found, Moments
from tests.models.lines import PARAMETERS, START_MS

SHOP = ShopConfig(seed=5, customers=60, start_ms=START_MS, days=120)
#: Customers are found at risk early, for the shop lasts for a few months.
EAGER = tuple(
    replace(rule, rises=replace(rule.rises, to=0.5, rearm=0.3))
    if rule.name == "churn-risk" and rule.rises is not None
    else rule
    for rule in PARAMETERS.triggers.triggers
)
PARAMETERS_EAGER = replace(PARAMETERS, triggers=replace(PARAMETERS.triggers, triggers=EAGER))


class SmallShop(NamedTuple):
    """Its moments in order, and every profile at its end, by customer."""

    moments: list[Found]
    profiles: dict[str, Any]


@pytest.fixture(scope="session")
def small_shop() -> SmallShop:
    replay, moments = Replay(PARAMETERS_EAGER), Moments()
    found: list[Found] = []
    for number, record in enumerate(simulate(SHOP), 1):
        for output in replay.feed(record.value, number):
            if isinstance(output, Trigger | NextBestAction | ActionWithdrawn):
                found += moments.take(output)
    return SmallShop([*found, *moments.rest()], {one.user_id: one for one in replay.profiles()})


@pytest.fixture(scope="session")
def actions(small_shop: SmallShop) -> list[NextBestAction]:
    """Every decision of the shop, those that nothing is done included."""
    return [one.action for one in small_shop.moments if one.action is not None]


def withdrawal_of(action: NextBestAction) -> ActionWithdrawn:
    return ActionWithdrawn(
        id="f" * 32,
        kind="action-withdrawn",
        user_id=action.user_id,
        timestamp=action.timestamp,
        cause=Cause(message_id="m"),
        decision_id=action.id,
        action=action.action or "",
        channel=action.channel or "",
        because="consent",
        since=action.timestamp,
        what="marketing",
        group=action.group,
    )
