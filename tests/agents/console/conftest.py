"""A small shop, replayed: real decisions and profiles for the console's pages."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import aiohttp
import pytest
from msgspec.structs import replace

from agents.console.console import Console
from agents.console.running import console_of
from agents.console.site import console_site
from agents.trials.demo.shop import ShopConfig, simulate
from agents.web.server import ListenAddress, listening
from config.people import People, Person, Role
from config.settings import load_settings
from config.sources import hash_of
from models.decisions.trigger import ActionWithdrawn, Cause, NextBestAction, Trigger
from models.replay import Replay
from streams.decision_ledger import Found, Moments
from streams.embedded.ports import free_ports
from tests.models.lines import PARAMETERS, START_MS

T = TypeVar("T")
Client = aiohttp.ClientSession
TOKENS = {Role.VIEWER: "vera's token", Role.OPERATOR: "otto's token"}
SHOP = ShopConfig(seed=5, customers=60, start_ms=START_MS, days=120)
#: Rules that see risk early, because the shop lasts only a few months.
EAGER = tuple(
    replace(rule, rises=replace(rule.rises, to=0.5, rearm=0.3))
    if rule.name == "churn-risk" and rule.rises is not None
    else rule
    for rule in PARAMETERS.triggers.triggers
)
PARAMETERS_EAGER = replace(PARAMETERS, triggers=replace(PARAMETERS.triggers, triggers=EAGER))


class SmallShop(NamedTuple):
    """The moments at which something was decided, in order, and every customer's profile at the
    end.
    """

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
    decided = [one for one in (*found, *moments.rest()) if one.withdrawal is None]
    return SmallShop(decided, {one.user_id: one for one in replay.profiles()})


@pytest.fixture(scope="session")
def actions(small_shop: SmallShop) -> list[NextBestAction]:
    """Every decision of the shop, including those to do nothing."""
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


@pytest.fixture
def console(small_shop: SmallShop) -> Console:
    """A console that has read a shop's decisions; no worker answers it."""
    ports = free_ports(3)
    settings = load_settings(
        {},
        bootstrap_servers=f"127.0.0.1:{ports[0]}",
        redis_url=f"redis://127.0.0.1:{ports[1]}/0",
        web_port=ports[2],
    )
    people = {
        str(role): Person(tokens=[hash_of(token)], role=role) for role, token in TOKENS.items()
    }
    console = console_of(settings, PARAMETERS, People(people))
    for found in small_shop.moments[-300:]:
        console.memory.take({0: [*found.triggers, *([found.action] if found.action else [])]})
    return console


def visited(
    console: Console, visit: Callable[[Client, str], Awaitable[T]], role: Role | None = Role.VIEWER
) -> T:
    """The result of ``visit`` by a user with this role, or by nobody logged in."""

    async def go() -> T:
        place = ListenAddress("the console", "127.0.0.1", 0, "", "", 100)
        async with listening(console_site(console), place) as port:
            # Also keep cookies of an address without a host name.
            jar = aiohttp.CookieJar(unsafe=True)
            async with aiohttp.ClientSession(cookie_jar=jar) as client:
                url = f"http://127.0.0.1:{port}"
                if role is not None:
                    async with client.post(f"{url}/login", data={"token": TOKENS[role]}) as answer:
                        assert f"{url}/" == str(answer.url)
                return await visit(client, url)

    return asyncio.run(go())


def form_token(page: str) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', page)
    assert found is not None
    return found[1]
