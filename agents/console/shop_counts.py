"""Counts of all customers by what is known about them, requested from the workers on demand."""

import asyncio
from collections.abc import Iterable
from time import monotonic
from typing import NamedTuple

from agents.console.knowledge import CustomersAsked
from config.parameters import Parameters
from config.settings import Settings
from models.customer.registry import FACTS, PARTS
from models.customer_counts import WAYS_MAX, values_of
from models.customer_list import CustomerList

#: The value that counts total: a customer's net revenue of 365 days.
WORTH = "net_365d"
#: The two facts of the map.
MAP = ("rfm_recency", "rfm_frequency")
#: The ending of facts that hold an earlier value.
_BEFORE = "_before"
#: Counting scans all rows, so it happens no more often than this.
FRESH_S = 300.0
#: How long to wait for the first count.
FIRST_S = 10.0


class ShopCount(NamedTuple):
    """A count, or why there is none."""

    found: CustomerList | None
    problem: str = ""


class ShopCounts:
    """Runs at most one count at a time, however many ask."""

    def __init__(self, settings: Settings, parameters: Parameters) -> None:
        self._customers = CustomersAsked(settings)
        self._ways = ways_of(parameters)
        self._latest: ShopCount | None = None
        self._until_s = 0.0
        self._running: asyncio.Task[None] | None = None

    async def latest(self) -> ShopCount | None:
        """The latest count. A stale one starts a new count in the background. Only the first count
        is waited for; returns None if it takes too long.
        """
        is_running = self._running is not None and not self._running.done()
        if not is_running and monotonic() > self._until_s:
            self._running = asyncio.create_task(self._count())
        has_none = self._latest is None or self._latest.found is None
        if has_none and self._running is not None:
            await asyncio.wait([self._running], timeout=FIRST_S)
        return self._latest

    async def _count(self) -> None:
        query = {"count": self._ways, "by": WORTH, "top": "1"}
        query |= {"partial": "true", "by_segment": "true"}
        answer = await self._customers.customers(query)
        if answer.found is not None or self._latest is None or self._latest.found is None:
            self._latest = ShopCount(answer.found, answer.problem)
        else:
            self._latest = self._latest._replace(problem=answer.problem)
        # A failed count is repeated at the next request.
        self._until_s = monotonic() + (FRESH_S if answer.found is not None else 0.0)


def ways_of(parameters: Parameters) -> str:
    """What to count by: the map, and each text fact with few values of the active parts. A fact
    that holds an earlier value is counted together with its present one.
    """
    singles, pairs = list[str](), list[str]()
    for part in PARTS:
        if part.is_on(parameters):
            named = [name for name in part.facts if _has_few_texts(name, parameters)]
            singles += [name for name in named if not name.endswith(_BEFORE)]
            pairs += [f"{name}*{now}" for name in named if (now := now_of(name, named))]
    return ",".join(["*".join(MAP), *singles, *pairs][:WAYS_MAX])


def _has_few_texts(name: str, parameters: Parameters) -> bool:
    fact = FACTS[name]
    is_text = fact.kind is str and fact.moment is None
    return is_text and values_of(fact, parameters) is not None


def now_of(fact: str, facts: Iterable[str]) -> str:
    """The fact among a part's ``facts`` that holds the present value of ``fact``; empty if ``fact``
    is itself a present value.
    """
    if not fact.endswith(_BEFORE):
        return ""
    stem = fact.removesuffix(_BEFORE)
    return next((name for name in facts if name == stem or name.endswith(f"_{stem}")), "")
