"""All customers counted by what is known of them: asked of the workers when somebody looks."""

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

#: What everybody is worth here: the totals of counts.
WORTH = "net_365d"
#: Two facts that make a map.
MAP = ("rfm_recency", "rfm_frequency")
#: How facts end that say what was so before.
_BEFORE = "_before"
#: Counting looks at all rows, so it is done no more often than this.
FRESH_S = 300.0
#: The first count is worth waiting for.
FIRST_S = 10.0


class ShopCount(NamedTuple):
    """A count, or why there is none."""

    found: CustomerList | None
    problem: str = ""


class ShopCounts:
    """At most one count at a time, whoever asks."""

    def __init__(self, settings: Settings, parameters: Parameters) -> None:
        self._customers = CustomersAsked(settings)
        self._ways = ways_of(parameters)
        self._latest: ShopCount | None = None
        self._until_s = 0.0
        self._running: asyncio.Task[None] | None = None

    async def latest(self) -> ShopCount | None:
        """The latest count; if it is not fresh, another is on its way. The first one is waited for,
        and None if it takes too long.
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
        # What failed is tried again by whoever looks next.
        self._until_s = monotonic() + (FRESH_S if answer.found is not None else 0.0)


def ways_of(parameters: Parameters) -> str:
    """The map, and each text of the facts that has few values, of parts that are switched on; one
    that says what was before, together with what it says that of.
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
    """The one of a part's ``facts`` that says now what ``fact`` says of before; empty for one that
    is of now.
    """
    if not fact.endswith(_BEFORE):
        return ""
    stem = fact.removesuffix(_BEFORE)
    return next((name for name in facts if name == stem or name.endswith(f"_{stem}")), "")
