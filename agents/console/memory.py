"""The latest moments with a decision, read from the ledger."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from secrets import token_hex
from typing import NamedTuple

from config.settings import Settings
from models.decisions.trigger import ActionWithdrawn, Decision
from streams.decision_feed import follow_ledger
from streams.decision_ledger import Found, Moments
from streams.kafka_clients import BrokerUnreachable
from streams.topics import TopicsError

log = logging.getLogger(__name__)

MOMENTS_MAX = 2_000
#: Records to read from each partition at the start.
NEWEST = 500
RETRY_S = 2.0


class HeardMoment(NamedTuple):
    """A moment, and its number in the order of arrival."""

    number: int
    found: Found


class DecisionMemory:
    """The latest `MOMENTS_MAX` moments, by the ids of their decisions, and the readers that wait
    for more.

    ``problem``: why no news arrives, None if all is well. ``run``: identifies this process, so that
    a number from another process is not taken for one of its own.
    """

    def __init__(self) -> None:
        self.run = token_hex(4)
        self.problem: str | None = "the decision ledger is being read"
        self._number = 0
        self._latest: OrderedDict[str, HeardMoment] = OrderedDict()
        self._place: dict[str, str] = {}
        self._withdrawn: dict[str, ActionWithdrawn] = {}
        self._moments: dict[int, Moments] = {}
        self._changed = asyncio.Event()

    @property
    def number(self) -> int:
        """The number of the latest moment."""
        return self._number

    def take(self, decided: Mapping[int, Sequence[Decision]]) -> None:
        """Remember the decisions of one poll, by partition. An empty poll completes unfinished
        moments.
        """
        complete: list[Found] = []
        for partition, decisions in decided.items():
            moments = self._moments.setdefault(partition, Moments())
            for decision in decisions:
                complete += moments.take(decision)
        if not decided:
            for moments in self._moments.values():
                complete += moments.rest()
        # Each partition has its own order; readers want them by time.
        for found in sorted(complete, key=_when):
            self._add(found)
        self.problem = None
        self._wake()

    def newest_first(self) -> Iterator[HeardMoment]:
        """All remembered moments, newest first."""
        return reversed(self._latest.values())

    def after(self, number: int) -> list[HeardMoment]:
        """The moments after a number, oldest first."""
        found: list[HeardMoment] = []
        for heard in self.newest_first():
            if heard.number <= number:
                break
            found.append(heard)
        return found[::-1]

    def find(self, decision_id: str) -> Found | None:
        """The moment of a decision, if it is remembered."""
        place = self._place.get(decision_id)
        return self._latest[place].found if place is not None else None

    def withdrawal(self, decision_id: str) -> ActionWithdrawn | None:
        """The withdrawal of a decision, if there was one."""
        return self._withdrawn.get(decision_id)

    def of_customer(self, customer: str) -> list[Found]:
        """The customer's moments, newest first."""
        return [h.found for h in self.newest_first() if _first(h.found).user_id == customer]

    async def wait(self, number: int, timeout_s: float) -> None:
        """Wait until there is a moment after ``number``, or until the time is up."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._number <= number:
                    await self._changed.wait()
        except TimeoutError:
            return

    def _add(self, found: Found) -> None:
        ids = [one.id for one in _decisions(found)]
        if any(name in self._place for name in ids):
            return
        self._number += 1
        self._latest[ids[0]] = HeardMoment(self._number, found)
        self._place |= dict.fromkeys(ids, ids[0])
        if found.withdrawal is not None:
            self._withdrawn[found.withdrawal.decision_id] = found.withdrawal
        while len(self._latest) > MOMENTS_MAX:
            _, oldest = self._latest.popitem(last=False)
            self._forget(oldest.found)

    def _forget(self, found: Found) -> None:
        for one in _decisions(found):
            self._place.pop(one.id, None)
        if found.withdrawal is not None:
            self._withdrawn.pop(found.withdrawal.decision_id, None)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _decisions(found: Found) -> list[Decision]:
    told: Iterable[Decision | None] = (found.withdrawal, found.action, *found.triggers)
    return [one for one in told if one is not None]


def _first(found: Found) -> Decision:
    return _decisions(found)[0]


def _when(found: Found) -> str:
    return _first(found).timestamp


async def remember_decisions(settings: Settings, memory: DecisionMemory) -> None:
    """Follow the ledger, through outages as well, until cancelled."""
    while True:
        try:
            async for decided in follow_ledger(settings, NEWEST):
                memory.take(decided)
        except (BrokerUnreachable, TopicsError) as error:
            if memory.problem != str(error):
                log.warning("decisions are not heard of: %s", error)
            memory.problem = str(error)
        await asyncio.sleep(RETRY_S)
