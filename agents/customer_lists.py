"""Lists of customers over all partitions: each owner searches its own rows, and the worker that was
asked merges the answers.

No copy of the facts exists that could be out of date. Rows are read as they were when the list
began, each partition as of its own clock, and the answer gives that time.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from time import monotonic

import aiohttp
from msgspec import UNSET
from msgspec.structs import replace

from agents.ration import Ration
from models.customer_counts import Counts
from models.customer_list import (
    ANSWER,
    CustomerList,
    ListQuestion,
    PartitionAsOf,
    Search,
    Unanswered,
)
from models.events.foreign import Foreign, decoded
from models.events.times import iso
from streams.owned_partitions import OwnedPartition, OwnedPartitions
from streams.partition_owners import PartitionOwners

#: How long to search rows before heartbeats and batches get a turn.
SLICE_S = 0.01
#: The web port aborts a request after 30 s, so the results of other workers must be in before.
PEER_TIMEOUT_S, CONNECT_TIMEOUT_S = 22.0, 2.0
OWN_TIMEOUT_S = 20.0
#: Lists that may wait for their turn.
WAITING_MAX = 8

_TOOK_TOO_LONG = (
    f"took longer than {OWN_TIMEOUT_S:g} s: a worker with events to fold has little time for lists"
)


class CustomerLists:
    """Answers queries about the customers of all partitions, or of some that this worker has.

    ``away``: why this worker can't answer for any partition, None if it can. ``ration``: limits the
    time that lists take from folding; no limit without it. ``headers``: sent to other workers.
    """

    def __init__(
        self,
        owned: OwnedPartitions,
        owners: PartitionOwners,
        partitions: int,
        away: Callable[[], str | None],
        ration: Ration | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._owned = owned
        self._owners = owners
        #: The number of partitions of the deployment.
        self.partitions = partitions
        self._away = away
        self._ration = ration
        self._headers = headers
        self._waiting = 0
        # One list at a time: several at once would leave no time for folding between their slices.
        self._turn = asyncio.Lock()

    async def over_all(
        self, asked: ListQuestion, as_of_ms: int | None, query: Mapping[str, str]
    ) -> CustomerList:
        """The list over every partition; ``query`` is the same query in the form sent to other
        workers.

        Waits for the slowest of the other workers, up to a limit.
        """
        if (why := self._away()) is not None:
            return _merged(asked, [_nothing(range(self.partitions), why)])
        own, elsewhere, unknown = self._places()
        others = [self._asked_of(url, numbers, query) for url, numbers in sorted(elsewhere.items())]
        found = await asyncio.gather(self.over(own, asked, as_of_ms), *others)
        return _merged(asked, [*found, CustomerList((), 0, None, (), unknown)])

    def reached_ms(self) -> int:
        """The latest time that any partition of this worker has reached."""
        return max((owned.settled_ms for owned in self._owned), default=0)

    async def over(
        self, numbers: Iterable[int], asked: ListQuestion, as_of_ms: int | None
    ) -> CustomerList:
        """The list over these partitions, as far as this worker has them."""
        if self._waiting >= WAITING_MAX:
            return _nothing(numbers, f"{WAITING_MAX} lists are waiting already: ask again later")
        self._waiting += 1
        try:
            async with self._turn:
                looked = self._looked_over(numbers, asked, as_of_ms)
                return await (looked if self._ration is None else self._ration.metered(looked))
        finally:
            self._waiting -= 1

    async def _looked_over(
        self, numbers: Iterable[int], asked: ListQuestion, as_of_ms: int | None
    ) -> CustomerList:
        deadline_s = monotonic() + OWN_TIMEOUT_S
        found = [await self._over_one(n, asked, as_of_ms, deadline_s) for n in numbers]
        return _merged(asked, found)

    def _places(self) -> tuple[list[int], dict[str, list[int]], tuple[Unanswered, ...]]:
        """The partitions on this worker, those on others by address, and those without a known
        owner.
        """
        own: list[int] = []
        elsewhere: dict[str, list[int]] = {}
        unknown: list[Unanswered] = []
        for number in range(self.partitions):
            url = self._owners.url_of(number)
            if self._owned.get(number) is not None or number in self._owners.shared:
                own.append(number)
            elif url is not None:
                elsewhere.setdefault(url, []).append(number)
            else:
                unknown.append(Unanswered(number, "no worker says that it owns it"))
        return own, elsewhere, tuple(unknown)

    async def _over_one(
        self, number: int, asked: ListQuestion, as_of_ms: int | None, deadline_s: float
    ) -> CustomerList:
        owned = self._owned.get(number)
        if owned is None:
            return _nothing([number], self._away() or "its rows are being read, or it is not here")
        at_ms = owned.settled_ms if as_of_ms is None else as_of_ms
        if at_ms < owned.settled_ms:
            why = f"it has reached {iso(owned.settled_ms)}, and rows do not know what was before"
            return _nothing([number], why)
        search = Search(asked, at_ms, owned.settled)
        return await _looked_at(owned, search, asked, deadline_s, self._ration)

    async def _asked_of(
        self, url: str, numbers: Sequence[int], query: Mapping[str, str]
    ) -> CustomerList:
        """The answer of another worker for its partitions."""
        only = {**query, "partitions": ",".join(map(str, numbers)), "partial": "true"}
        limit = aiohttp.ClientTimeout(total=PEER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit) as session,
                session.get(
                    f"{url}/customers",
                    params=only,
                    headers=self._headers,
                    allow_redirects=False,
                ) as answer,
            ):
                if answer.status != 200:
                    return _nothing(numbers, f"{url} answered with {answer.status}")
                found: CustomerList = decoded(ANSWER, await answer.read(), "a list")
        except (aiohttp.ClientError, TimeoutError, Foreign) as error:
            return _nothing(numbers, f"no answer from {url} ({type(error).__name__})")
        heard = {one.partition for one in found.partitions}
        heard |= {one.partition for one in found.unanswered}
        missing = tuple(Unanswered(n, f"{url} left it out") for n in numbers if n not in heard)
        return replace(found, unanswered=(*found.unanswered, *missing))


async def _looked_at(
    owned: OwnedPartition,
    search: Search,
    asked: ListQuestion,
    deadline_s: float,
    ration: Ration | None,
) -> CustomerList:
    """The list of one partition, made in slices whose time is earned first."""
    number, as_of, version = owned.fold.number, search.as_of, owned.settled.snapshot.version
    with owned.rows.frozen() as rows:
        # The first slice is a single customer, so that short lists that are requested again and
        # again wait too.
        slice_end_s = 0.0
        for customer in rows.customers:
            search.look(customer, rows[customer])
            if monotonic() > slice_end_s:
                await asyncio.sleep(0)
                if ration is not None:
                    await ration.turn()
                if monotonic() > deadline_s:
                    return _nothing([number], _TOOK_TOO_LONG)
                slice_end_s = monotonic() + SLICE_S
        first = search.first(rows)
        by_segment = dict(search.by_segment) if asked.by_segment else UNSET
        looked = PartitionAsOf(number, as_of, version, search.customers, search.matched, by_segment)
    last = asked.cursor(first[-1]) if first and search.has_more else None
    return CustomerList(first, search.matched, last, (looked,), (), search.counted)


def _nothing(numbers: Iterable[int], why: str) -> CustomerList:
    return CustomerList((), 0, None, (), tuple(Unanswered(number, why) for number in numbers))


def _merged(asked: ListQuestion, parts: Sequence[CustomerList]) -> CustomerList:
    """Merge lists into one: the first customers of all of them, in order."""
    everyone = list(chain.from_iterable(part.customers for part in parts))
    first = asked.best(everyone)
    counts = Counts(asked.ways)
    for part in parts:
        counts.take(part.counts)
    has_more = len(everyone) > len(first) or any(part.next for part in parts)
    return CustomerList(
        first,
        sum(part.matched for part in parts),
        asked.cursor(first[-1]) if first and has_more else None,
        sorted(chain.from_iterable(p.partitions for p in parts), key=lambda one: one.partition),
        sorted(chain.from_iterable(p.unanswered for p in parts), key=lambda one: one.partition),
        counts.counted(),
    )
