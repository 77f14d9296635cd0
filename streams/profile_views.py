"""The latest profile of each customer in Redis, for fast reads.

Redis is never the source of truth. While it is down, the worker continues; when it is back, even
empty, missing profiles are written again.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, islice, takewhile
from math import inf
from secrets import token_hex
from time import monotonic, thread_time
from typing import Any

import redis.asyncio as redis
from redis.exceptions import RedisError, ResponseError

from config.settings import Settings
from streams.metrics import Metrics
from streams.segment_sets import SegmentSets
from streams.store_keys import customer_key
from streams.store_writes import has_failed, is_foreign, results_of, tell_failure

PROFILES_PER_WRITE = 200
#: How long profiles may be rendered before heartbeats and the agents get a turn. An event needs
#: about twenty turns from its arrival to a trigger.
TURN_S = 0.001
#: Seconds between two profiles of a customer. Without this, most profiles of a very active customer
#: would be rendered for nobody.
REST_S = 1.0
#: Stands for no profile: the id belongs to another customer, was only mentioned, or was erased.
NOBODY = b""


class ProfileViews:
    """Keeps the profiles in Redis up to date, with a delay after rows change.

    A customer's latest row is always written in the end, however often it changed meanwhile, and at
    most once in `REST_S`: an offer is forgotten only when the profile is rendered after it. Erased
    customers come first, then those who changed, and last those whose profiles fill an empty store.
    """

    def __init__(
        self,
        client: "redis.Redis",
        settings: Settings,
        metrics: Metrics,
        render: Callable[[str], bytes | None],
        now_s: Callable[[], float] = monotonic,
        sets: SegmentSets | None = None,
    ) -> None:
        self._client = client
        self._settings = settings
        self._metrics = metrics
        self._render = render
        #: The sets of segments, which are written with the profiles.
        self._sets = sets
        self._may_have_gone_sets = sets is not None
        self._now_s = now_s
        self._changed: dict[str, None] = {}
        self._gone: dict[str, None] = {}
        #: Customers who did not change, but may have no profile in the store.
        self._unshown: dict[str, None] = {}
        #: When each customer's profile was last rendered, the earliest first; and those of these
        #: customers whose rows have changed since.
        self._drawn_s: dict[str, float] = {}
        self._resting: set[str] = set()
        #: CPU seconds spent on rendering profiles so far.
        self.spent_s = 0.0
        # Every worker compares the marker with the value it saw last. So when one worker sets a new
        # marker after a loss of data, the others still notice that the old one is gone.
        self._marker = f"{settings.topic_prefix}keepstream:filled"
        self._mark: bytes | None = None

    def offer(self, customers: Iterable[str]) -> None:
        """Note that these customers' profiles must be written again."""
        for customer in customers:
            if customer in self._drawn_s:
                self._resting.add(customer)
            elif customer not in self._gone:
                self._changed[customer] = None
                self._unshown.pop(customer, None)

    def remove(self, customers: Iterable[str]) -> None:
        """Note that these customers were erased: their profiles are deleted before any other is
        written.
        """
        for customer in customers:
            self._gone[customer] = None
            self._changed.pop(customer, None)
            self._unshown.pop(customer, None)

    def fill(self, customers: Iterable[str]) -> None:
        """Note that the store may have no profile of these customers."""
        for customer in customers:
            if customer in self._drawn_s:
                self._resting.add(customer)
            elif customer not in self._changed and customer not in self._gone:
                self._unshown[customer] = None

    @property
    def waiting(self) -> int:
        """The number of profiles still to be written."""
        return self.due + len(self._resting)

    @property
    def due(self) -> int:
        """The number of profiles that may be written at once."""
        self._end_rests()
        return len(self._gone) + len(self._changed) + len(self._unshown)

    @property
    def is_filling(self) -> bool:
        """Whether the store may lack profiles of customers who did not change."""
        return bool(self._unshown)

    def _end_rests(self) -> None:
        """Let profiles that were rendered long enough ago be written again."""
        ended_s = self._now_s() - REST_S
        ended = [c for c, _ in takewhile(lambda one: one[1] <= ended_s, self._drawn_s.items())]
        for customer in ended:
            del self._drawn_s[customer]
            if customer in self._resting:
                self._resting.discard(customer)
                self._changed[customer] = None

    async def write_some(self, spent_s_max: float = inf) -> bool:
        """Write the profiles that waited longest: at least one, and as many as ``spent_s_max`` CPU
        seconds allow. False when Redis did not take all of them.
        """
        self._end_rests()
        # Not a list of all: a million of them wait while an empty store is filled.
        waiting = chain(self._gone, self._changed, self._unshown)
        customers = deque(islice(waiting, PROFILES_PER_WRITE))
        views: dict[str, bytes] = {}
        ends_s = self.spent_s + spent_s_max
        while customers and self.spent_s < ends_s:
            self._draw(customers, views)
            # Heartbeats and batches come first, even while a whole store is filled.
            await asyncio.sleep(0)
        taken = await self._put(views)
        if not taken:
            for customer in views:
                self._drawn_s.pop(customer, None)
                self._resting.discard(customer)
                self._changed[customer] = None
        return taken

    def _draw(self, customers: deque[str], views: dict[str, bytes]) -> None:
        """Take customers off the front for one turn, and add their profiles to ``views``."""
        # Monotonic time limits the turn: asking for CPU time costs as much as a small profile.
        begun_s, ends_s = thread_time(), monotonic() + TURN_S
        while True:
            customer = customers.popleft()
            # From here on, an offer means a later row than the one being rendered.
            self._gone.pop(customer, None)
            self._changed.pop(customer, None)
            self._unshown.pop(customer, None)
            # Move the customer to the end, as the order is by time.
            self._drawn_s.pop(customer, None)
            self._drawn_s[customer] = self._now_s()
            view = self._render(customer)
            if view is not None:
                views[customer] = view
            if not customers or monotonic() >= ends_s:
                break
        if not self._unshown:
            # A new dict: the old one keeps its memory for all customers.
            self._unshown = {}
        self.spent_s += thread_time() - begun_s

    async def _put(self, views: Mapping[str, bytes]) -> bool:
        """Write profiles; return whether Redis took them. Either all are written or none, unless
        the connection broke. One command for all: a command costs a client more than a profile
        does.
        """
        if not views:
            return True
        keys = {customer_key(self._settings, one): view for one, view in views.items()}
        gone = [key for key, view in keys.items() if view is NOBODY]
        shown = {key: view for key, view in keys.items() if view is not NOBODY}
        async with self._client.pipeline(transaction=False) as pipeline:
            if gone:
                pipeline.delete(*gone)
            if shown:
                pipeline.mset(shown)
            if self._sets is not None:
                for customer in views:
                    self._sets.follow(pipeline, customer)
            results = await results_of(pipeline, len(pipeline.command_stack))
        taken = not any(map(has_failed, results))
        self._metrics.redis_up.set(taken)
        return taken

    async def was_emptied(self) -> bool:
        """Whether Redis lost its data since the last call; False for the first call."""
        try:
            await self._client.set(self._marker, token_hex(8), nx=True)
            try:
                found: Any = await self._client.get(self._marker)
            except ResponseError as error:
                if not is_foreign(error):
                    raise
                # The key is Keepstream's by its name, like the profiles' keys: overwrite it.
                found = token_hex(8).encode()
                await self._client.set(self._marker, found)
        except (RedisError, OSError) as error:
            tell_failure(error)
            self._metrics.redis_up.set(0)
            return False
        self._metrics.redis_up.set(1)
        if self._sets is not None and self._may_have_gone_sets:
            self._may_have_gone_sets = not await self._sets.forget_gone(self._client)
        before, self._mark = self._mark, found
        return before is not None and before != self._mark
