"""A shop's events, a few workers, and faults, all drawn from one seed.

The same seed gives the same run, so the output of a failing test is enough to repeat it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from random import Random
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec
from faust.types import TP
from msgspec.structs import replace

import agents.deliver
import agents.idle_clocks
import agents.ingest
import agents.profile
import agents.trainer
import models.learning.population
import models.learning.worth
import models.replay
import streams.log_ends
import streams.log_records
import streams.owned_partitions
import streams.pacing
import streams.quarantine
import streams.snapshot_store
from config.duration import DAY_MS, HOUR_MS, MINUTE_MS, DurationMs
from config.settings import load_settings
from config.topics import (
    CLICKSTREAM,
    CUSTOMER_EVENTS,
    DELIVERED_TOPICS,
    FEEDBACK,
    LABELLED_EXAMPLES,
    RAW_TOPICS,
    SUPPORT,
    TRANSACTIONS,
)
from models.events.erasure_record import ERASE_REQUESTED, MODES
from models.plan import plan_for
from streams.kafka_clients import partition_for
from streams.log_records import live_record
from streams.pulse import StoodStill
from tests.models.lines import SHIPPED, START_MS, line
from tests.simulation.broker import TAKEN_MS, Broker
from tests.simulation.reader import new_reader, running
from tests.simulation.store import Store
from tests.simulation.verdict import Verdict
from tests.simulation.virtual_time import VirtualLoop
from tests.simulation.worker import DRAIN_S, Dead, SimulatedWorker

PARTITIONS = 2
Fit = Callable[..., Any]
#: Any event out of order, even by a second, is late.
PARAMETERS = replace(
    SHIPPED,
    time=replace(SHIPPED.time, disorder=0, lateness=1_000),
    # Few examples are enough to learn from.
    churn=replace(SHIPPED.churn, horizon_days=(3.0,), check_in_days=2),
    # Message ids are not remembered for long either: offsets alone must tell what was folded
    # already.
    bounds=replace(SHIPPED.bounds, messages=1),
    # A snapshot a day, from the first day on.
    learning=replace(SHIPPED.learning, minimum_examples=0),
    # Visitors log in; they are one person with a user of another partition, until they are split.
    identity=replace(SHIPPED.identity, enabled=True, anonymous_ids=1),
)
PLAN = plan_for(PARAMETERS)
#: Inactive customers are erased. Not with history, which has no erasure requests either: their
#: waiting labels are lost, and a replay, whose clock is that of all partitions, would have learnt
#: from more of these by then.
FORGETFUL = replace(PARAMETERS, privacy=replace(SHIPPED.privacy, inactive=DurationMs(10 * DAY_MS)))
FORGETFUL_PLAN = plan_for(FORGETFUL)
SETTINGS = load_settings(
    {}, partitions=PARTITIONS, max_batch_records=8, deliver_max_age="0", archive="on"
)
CUSTOMERS_OF_SHOP = ("ada", "bob", "eve", "ida")
VISITORS_OF_SHOP = ("v-1", "v-2", "v-3")
#: Virtual seconds until everything must be done: far more than any run takes.
LIVENESS_S = 1_500.0
SESSION_S = 3.0
#: A worker's fault comes within this many requests: later ones would find nothing left to do.
REQUESTS_MAX = 250


#: Low enough that customers have something to erase.
SHARE_OF_ERASURES = 0.08


class Publication(StrEnum):
    """When the events come: all before the first worker, while workers run, or all before it as
    history, which is rehearsed a day at a time.
    """

    BACKLOG = "backlog"
    LIVE = "live"
    HISTORY = "history"


class Fault(NamedTuple):
    """The fault of the worker that sends the broker request number ``request``."""

    request: int
    kind: str


class Run(NamedTuple):
    """What a run left behind, and what is ``wrong`` with it, in words. ``decisions``: how many were
    delivered; ``snapshots``: how many were drawn.
    """

    faults: list[Fault]
    published: int
    decisions: int
    snapshots: int
    wrong: list[str]


class Simulation:
    """One run."""

    def __init__(self, seed: int, publication: Publication) -> None:
        self._chance = Random(seed)
        self._broker = Broker(self._chance)
        self._broker.on_request = self._on_request
        self._store = Store(self._chance)
        self._publication = publication
        is_history = publication is Publication.HISTORY
        self._share_erased = 0.0 if is_history else SHARE_OF_ERASURES
        self._parameters = PARAMETERS if is_history else FORGETFUL
        self._plan = PLAN if is_history else FORGETFUL_PLAN
        #: Only one worker at a time reads history, as in a replay: two of them learn of each
        #: other's lessons only through snapshots.
        self._workers_max = 1 if publication is Publication.HISTORY else 3
        #: A zombie may be an additional one for a moment.
        self._members_most = 0
        self._requests = 0
        self._faults = self._drawn_faults()
        self._happened: list[Fault] = []
        self._workers: list[SimulatedWorker] = []
        self._numbers = 0
        self._zombies: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._published: list[bytes] = []

    def _drawn_faults(self) -> list[Fault]:
        kinds = ["kill", "kill", "suspend", "leave", "join", "rebalance"]
        number = self._chance.choice((0, 1, 2, 3, 5))
        faults = [
            Fault(self._chance.randrange(5, REQUESTS_MAX), self._chance.choice(kinds))
            for _ in range(number)
        ]
        return sorted(faults, reverse=True)

    async def run(self) -> Run:
        if self._publication is not Publication.HISTORY:
            for number in range(PARTITIONS):
                self._broker.append(CUSTOMER_EVENTS, number, None, live_record(START_MS - DAY_MS))
        story = self._story()
        if self._publication is not Publication.LIVE:
            for topic, partition, value in story:
                self._publish(topic, partition, value)
        for _ in range(min(self._chance.choice((1, 2)), self._workers_max)):
            self._join()
        coordinator = asyncio.create_task(self._coordinate())
        if self._publication is Publication.LIVE:
            await self._publish_slowly(story)
        await self._until_drained()
        coordinator.cancel()
        for worker in self._workers:
            worker.die()
        await asyncio.sleep(100)
        return await self._judged()

    async def _judged(self) -> Run:
        verdict = Verdict(self._broker, self._store, SETTINGS, self._parameters, self._plan)
        wrong = [
            *await verdict.differences(self._published),
            *self._broker.broken_promises,
            *self._errors(),
        ]
        if self._publication is not Publication.LIVE:
            wrong += verdict.late()
        if self._publication is Publication.HISTORY and self._members_most == 1:
            wrong += verdict.unlike_replay(self._published)
        if not self._happened and not self._store.share_broken and not self._was_cut_short():
            wrong += verdict.repeated()
        return Run(
            self._happened, len(self._published), verdict.decisions, verdict.snapshots, wrong
        )

    def _was_cut_short(self) -> bool:
        """Whether the broker took a worker's commits too slowly before a rebalance: the next owner
        must repeat work that may not have been committed.
        """
        return any(worker.was_cut_short for worker in self._workers)

    async def _until_drained(self) -> None:
        try:
            async with asyncio.timeout(LIVENESS_S):
                while not self._is_drained():
                    await asyncio.sleep(0.5)
                    self._replace_ended()
        except TimeoutError:
            raise AssertionError(f"it stands still: {self._standing()}") from None

    # The shop

    def _story(self) -> list[tuple[str, int, bytes]]:
        """Events by time, each topic's in its order."""
        at_ms, story = START_MS, []
        for number in range(self._chance.choice((8, 16, 32))):
            at_ms += self._chance.choice((1_000, MINUTE_MS, HOUR_MS, 2 * DAY_MS))
            who = self._drawn_ids()
            name, topic, said = self._chance.choice(_EVENTS)
            if len(who) > 1 and self._chance.random() < 0.3:
                name, topic, said = self._chance.choice(_ACTS)
            elif self._chance.random() < self._share_erased:
                name, topic = ERASE_REQUESTED, self._chance.choice(RAW_TOPICS)
                said = self._chance.choice(_MODES)
            # With its own message id, a repeat in the log can only be recognised by its offset.
            value = line(
                name,
                at_ms,
                message=f"m-{number}",
                properties={**said, "order_id": f"o-{number}"},
            )
            value = msgspec.json.encode(
                {**msgspec.json.decode(value), "userId": None, "anonymousId": None, **who}
            )
            first = next(iter(who.values()))
            story.append((topic, partition_for(first.encode(), PARTITIONS), value))
        return story

    def _drawn_ids(self) -> dict[str, str]:
        """A user, a visitor or both; in history only a user. Persons may have ids in several
        partitions, which exchange records in their own time, so a replay of history would learn
        something else about them.
        """
        user = {"userId": self._chance.choice(CUSTOMERS_OF_SHOP)}
        visitor = {"anonymousId": self._chance.choice(VISITORS_OF_SHOP)}
        if self._publication is Publication.HISTORY:
            return user
        return self._chance.choice((user, visitor, user | visitor))

    def _publish(self, topic: str, partition: int, value: bytes) -> None:
        self._published.append(value)
        self._broker.append(topic, partition, None, value)

    async def _publish_slowly(self, story: list[tuple[str, int, bytes]]) -> None:
        for topic, partition, value in story:
            self._publish(topic, partition, value)
            if self._chance.random() < 0.3:
                await asyncio.sleep(self._broker.latency_s())

    # What goes wrong

    def _on_request(self, worker: SimulatedWorker) -> None:
        self._requests += 1
        if worker.is_dead or not self._faults or self._requests < self._faults[-1].request:
            return
        fault = self._faults.pop()
        self._happened.append(fault)
        if fault.kind == "kill":
            worker.die()
        elif fault.kind == "suspend":
            worker.suspend()
            self._wake_later(worker)
        elif fault.kind == "leave":
            worker.is_told_to_leave = True
        elif fault.kind == "join" and len(self._alive()) < self._workers_max:
            self._join()
        self._changed.set()

    def _join(self) -> None:
        self._numbers += 1
        worker = SimulatedWorker(
            f"worker-{self._numbers}",
            self._broker,
            self._store,
            SETTINGS,
            self._parameters,
            self._plan,
        )
        self._workers.append(worker)
        self._changed.set()

    def _alive(self) -> list[SimulatedWorker]:
        return [w for w in self._workers if not w.is_dead and not w.is_suspended]

    def _replace_ended(self) -> None:
        """As a supervisor, start another worker for one that ended."""
        missing = min(2, self._workers_max) - len(self._alive())
        if not self._alive() or (missing > 0 and self._chance.random() < 0.1):
            if len(self._workers) < 12:
                self._join()

    async def _coordinate(self) -> None:
        """Share the partitions out again whenever a member came or went."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await asyncio.sleep(self._chance.choice((0.0, 0.2, SESSION_S)))
            members = self._alive()
            await _within(SESSION_S + DRAIN_S, (member.revoke() for member in members))
            for member in members:
                if member.is_told_to_leave:
                    member.die()
            self._broker.generation += 1
            members = [m for m in members if not m.is_dead and not m.is_suspended]
            self._members_most = max(self._members_most, len(members))
            self._chance.shuffle(members)
            shares = [list(range(PARTITIONS))[n :: len(members)] for n in range(len(members))]
            generation = self._broker.generation
            shared = zip(members, shares, strict=True)
            # A member that is suspended in the middle of this finds out when it wakes.
            await _within(SESSION_S, (m.assign(share, generation) for m, share in shared))

    def _wake_later(self, zombie: SimulatedWorker) -> None:
        """After its partitions have gone to others, it continues as their owner for a moment."""

        async def wake() -> None:
            await asyncio.sleep(self._chance.uniform(SESSION_S, 4 * SESSION_S))
            zombie.resume()
            await asyncio.sleep(self._chance.uniform(0.0, 1.0))
            zombie.die()
            self._changed.set()

        self._zombies.append(asyncio.create_task(wake()))

    # The end

    def _is_drained(self) -> bool:
        topics = (*RAW_TOPICS, CUSTOMER_EVENTS, *DELIVERED_TOPICS)
        places = [TP(topic, number) for topic in topics for number in range(PARTITIONS)]
        return self._is_taught() and all(
            self._broker.committed.get(tp, 0) >= self._broker.end(tp) for tp in places
        )

    def _is_taught(self) -> bool:
        """Whether a trainer has read all lessons: they are committed only up to a snapshot."""
        place = TP(LABELLED_EXAMPLES, 0)
        heard = (w.ledger.ended.get(place) for w in self._alive() if w.is_trainer)
        return self._broker.end(place) in heard or not self._broker.end(place)

    def _standing(self) -> str:
        return f"{self._broker.committed}, {self._errors()}, {self._happened}"

    def _errors(self) -> list[str]:
        """The errors that ended workers, except the one with which a zombie must end."""
        return [
            f"{worker.name} ended: {worker.error!r}"
            for worker in self._workers
            if worker.error is not None and not isinstance(worker.error, StoodStill)
        ]


_EVENTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("page", CLICKSTREAM, {}),
    ("page", CLICKSTREAM, {}),
    ("Product Viewed", CLICKSTREAM, {"product_id": "P"}),
    ("Order Completed", TRANSACTIONS, {"revenue": 20.0}),
    ("Survey Responded", SUPPORT, {"kind": "nps", "score": 2, "scale_max": 10}),
    ("Email Opened", FEEDBACK, {}),
    ("Campaign Cost", FEEDBACK, {"channel": "ads", "amount": 5.0}),
)


_MODES: tuple[dict[str, Any], ...] = ({}, *({"mode": mode} for mode in MODES))

#: Events that merge ids into one person, or split them.
_ACTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("Customer Merged", CLICKSTREAM, {"from_user_id": "bob"}),
    ("Customer Merged", CLICKSTREAM, {"from_user_id": "eve"}),
    ("Customer Split", CLICKSTREAM, {"id": "v-1"}),
    ("Customer Split", CLICKSTREAM, {"id": "v-2"}),
    ("Customer Split", CLICKSTREAM, {"id": "bob"}),
)


async def _within(seconds: float, works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run these for this long at most; after that they continue without being awaited."""
    if tasks := [asyncio.ensure_future(_until_dead(work)) for work in works]:
        await asyncio.wait(tasks, timeout=seconds)


async def _until_dead(work: Coroutine[Any, Any, None]) -> None:
    # The unfinished work of a killed worker ends with it.
    with suppress(Dead):
        await work


async def _ready() -> None:
    pass


def _once(fit: Fit) -> Fit:
    """``fit``, cached: learning again and replaying search the same table."""
    found: dict[bytes, Any] = {}

    def fitted(counts: Mapping[Any, int], start: Any = None) -> Any:
        asked = msgspec.msgpack.encode([sorted(counts.items()), start])
        if asked not in found:
            found[asked] = fit(counts, start)
        return found[asked]

    return fitted


FIT_POPULATION, FIT_WORTH = _once(models.learning.population.fit), _once(models.learning.worth.fit)


@contextmanager
def _quickened() -> Iterator[None]:
    with (
        patch.object(models.learning.population, "fit", FIT_POPULATION),
        patch.object(models.learning.worth, "fit", FIT_WORTH),
        patch.object(models.replay, "plan_for", lambda _: PLAN),
    ):
        yield


@contextmanager
def _virtual_clocks(loop: VirtualLoop) -> Iterator[None]:
    """Modules that read a clock read the loop's."""
    with (
        patch.object(agents.ingest, "monotonic", loop.time),
        patch.object(agents.idle_clocks, "monotonic", loop.time),
        patch.object(agents.idle_clocks, "_clocks_ms", lambda: (TAKEN_MS, TAKEN_MS)),
        patch.object(agents.ingest, "time", lambda: TAKEN_MS / 1_000),
        patch.object(streams.log_records, "time", lambda: TAKEN_MS / 1_000),
        # Seconds cost nothing here, but polls do.
        patch.object(agents.ingest, "LOOK_S", 0.5),
        patch.object(agents.profile, "monotonic", loop.time),
        # So few that others run in the middle of a batch.
        patch.object(agents.ingest, "RECORDS_PER_TURN", 1),
        patch.object(agents.profile, "RECORDS_PER_TURN", 2),
        patch.object(streams.owned_partitions, "monotonic", loop.time),
        patch.object(agents.trainer, "monotonic", loop.time),
        # Imported already, and there are no threads.
        patch.object(agents.trainer, "ready_to_learn", _ready),
        patch.object(agents.deliver, "monotonic", loop.time),
        patch.object(streams.log_ends, "monotonic", loop.time),
        patch.object(streams.quarantine, "time", lambda: TAKEN_MS / 1_000),
        patch.object(streams.snapshot_store, "time", lambda: TAKEN_MS / 1_000),
        patch.object(streams.snapshot_store, "monotonic", loop.time),
        # A worker that waits this long waits for what never comes, and must report a lack of
        # progress.
        patch.object(streams.pacing, "PATIENCE_S", 2 * LIVENESS_S),
    ):
        yield


@contextmanager
def _read_from_memory() -> Iterator[None]:
    with (
        patch.object(streams.snapshot_store, "new_reader", new_reader),
        patch.object(streams.snapshot_store, "running", running),
    ):
        yield


def simulate(seed: int, publication: Publication) -> Run:
    """Run ``seed`` to its end. Raises `AssertionError` as soon as something forbidden happens."""
    loop = VirtualLoop()
    try:
        with _virtual_clocks(loop), _read_from_memory(), _quickened():
            return loop.run_until_complete(_run(seed, publication))
    finally:
        loop.close()


async def _run(seed: int, publication: Publication) -> Run:
    try:
        return await Simulation(seed, publication).run()
    finally:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
