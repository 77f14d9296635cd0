"""A shop's events, a few workers, and what goes wrong, all drawn from one seed.

The same seed gives the same run: what a failing test prints is enough to see it again.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest.mock import patch

from faust.types import TP
from msgspec.structs import replace

import agents.ingest
import agents.profile
import streams.log_records
import streams.owned_partitions
from config.duration import DAY_MS, HOUR_MS, MINUTE_MS
from config.settings import load_settings
from config.topics import (
    CLICKSTREAM,
    CUSTOMER_EVENTS,
    CUSTOMERS,
    DEAD_LETTERS,
    DECISION_LEDGER,
    FEEDBACK,
    LABELLED_EXAMPLES,
    NEXT_BEST_ACTIONS,
    RAW_TOPICS,
    RETENTION_TRIGGERS,
    SUPPORT,
    TRANSACTIONS,
)
from models.decisions.trigger import decode_decision
from models.events.dead_letter import decode_dead_letter
from models.events.rejection import Rejected
from models.learning.lessons import decode_lesson
from models.learning.snapshot import prior_snapshot
from models.plan import plan_for
from streams.auditing.partition_audit import PartitionAudit, Scope, lesson_id
from streams.auditing.report import Audit
from streams.auditing.spools import (
    DROPPED,
    IN_LOG,
    REFUSED,
    Contrast,
    Effect,
    EffectSpool,
    RawFates,
    digest_of,
)
from streams.kafka_clients import partition_for
from streams.log_records import live_record
from streams.pulse import StoodStill
from streams.raw_records import outgoing_of
from streams.recovery import ChangelogFold
from streams.snapshot_store import SnapshotStore
from tests.models.lines import SHIPPED, START_MS, line
from tests.simulation.broker import TAKEN_MS, Broker
from tests.simulation.virtual_time import VirtualLoop
from tests.simulation.worker import DRAIN_S, Dead, SimulatedWorker

PARTITIONS = 2
#: No event may come even a second out of its order without being late.
PARAMETERS = replace(
    SHIPPED,
    time=replace(SHIPPED.time, disorder=0, lateness=1_000),
    churn=replace(SHIPPED.churn, horizon_days=(28.0,)),
    # Nor is it remembered by its id for long: places alone must tell what was folded already.
    bounds=replace(SHIPPED.bounds, messages=1),
)
PLAN = plan_for(PARAMETERS)
SETTINGS = load_settings({}, partitions=PARTITIONS, max_batch_records=8)
CUSTOMERS_OF_SHOP = ("ada", "bob", "eve", "ida")
#: Virtual seconds until everything must be done: far more than any run takes.
LIVENESS_S = 900.0
SESSION_S = 3.0
#: Writes before an outage of a worker can come: later ones would find nothing left to do.
REQUESTS_MAX = 250


class Fault(NamedTuple):
    """What happens to whoever makes the broker's request number ``request``."""

    request: int
    kind: str


class Run(NamedTuple):
    """What a run left behind of ``published`` events; ``lost`` are those in no row."""

    published: int
    audit: Audit
    contrasts: list[Contrast]
    lost: list[str]
    faults: list[Fault]
    broken_promises: list[str]


class Simulation:
    """One run. ``is_backlog``: all was published before the first worker came."""

    def __init__(self, seed: int, *, is_backlog: bool) -> None:
        self._chance = Random(seed)
        self._broker = Broker(self._chance)
        self._broker.on_request = self._on_request
        self._is_backlog = is_backlog
        self._requests = 0
        self._faults = self._drawn_faults()
        self._happened: list[Fault] = []
        self._workers: list[SimulatedWorker] = []
        self._numbers = 0
        self._zombies: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._published = 0

    def _drawn_faults(self) -> list[Fault]:
        kinds = ["kill", "kill", "suspend", "leave", "join", "rebalance"]
        number = self._chance.choice((0, 1, 2, 3, 5))
        faults = [
            Fault(self._chance.randrange(5, REQUESTS_MAX), self._chance.choice(kinds))
            for _ in range(number)
        ]
        return sorted(faults, reverse=True)

    async def run(self) -> Run:
        for number in range(PARTITIONS):
            self._broker.append(CUSTOMER_EVENTS, number, None, live_record(START_MS - DAY_MS))
        story = self._story()
        if self._is_backlog:
            for topic, partition, value in story:
                self._publish(topic, partition, value)
        for _ in range(self._chance.choice((1, 2))):
            self._join()
        coordinator = asyncio.create_task(self._coordinate())
        if not self._is_backlog:
            await self._publish_slowly(story)
        await self._until_drained()
        coordinator.cancel()
        for worker in self._workers:
            worker.die()
        await asyncio.sleep(100)
        return await self._judged()

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
            customer = self._chance.choice(CUSTOMERS_OF_SHOP)
            name, topic, said = self._chance.choice(_EVENTS)
            # By its own message id, a repeat in the log is told by its place alone.
            value = line(
                name,
                at_ms,
                customer=customer,
                message=f"m-{number}",
                properties={**said, "order_id": f"o-{number}"},
            )
            story.append((topic, partition_for(customer.encode(), PARTITIONS), value))
        return story

    def _publish(self, topic: str, partition: int, value: bytes) -> None:
        self._published += 1
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
        elif fault.kind == "join" and len(self._alive()) < 3:
            self._join()
        self._changed.set()

    def _join(self) -> None:
        self._numbers += 1
        worker = SimulatedWorker(
            f"worker-{self._numbers}", self._broker, SETTINGS, PARAMETERS, PLAN
        )
        self._workers.append(worker)
        self._changed.set()

    def _alive(self) -> list[SimulatedWorker]:
        return [w for w in self._workers if not w.is_dead and not w.is_suspended]

    def _replace_ended(self) -> None:
        """A supervisor starts another worker for one that ended."""
        if not self._alive() or (len(self._alive()) < 2 and self._chance.random() < 0.1):
            if len(self._workers) < 12:
                self._join()

    async def _coordinate(self) -> None:
        """Share the partitions out anew whenever a member came or went."""
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
            self._chance.shuffle(members)
            shares = [list(range(PARTITIONS))[n :: len(members)] for n in range(len(members))]
            generation = self._broker.generation
            shared = zip(members, shares, strict=True)
            # Whoever is suspended in the middle of it finds out when it wakes.
            await _within(SESSION_S, (m.assign(share, generation) for m, share in shared))

    def _wake_later(self, zombie: SimulatedWorker) -> None:
        """When its partitions have gone to others, it goes on as their owner for a moment."""

        async def wake() -> None:
            await asyncio.sleep(self._chance.uniform(SESSION_S, 4 * SESSION_S))
            zombie.resume()
            await asyncio.sleep(self._chance.uniform(0.0, 1.0))
            zombie.die()
            self._changed.set()

        self._zombies.append(asyncio.create_task(wake()))

    # The end

    def _is_drained(self) -> bool:
        topics = (*RAW_TOPICS, CUSTOMER_EVENTS)
        places = [TP(topic, number) for topic in topics for number in range(PARTITIONS)]
        return all(self._broker.committed.get(tp, 0) >= self._broker.end(tp) for tp in places)

    def _standing(self) -> str:
        return f"{self._broker.committed}, {self._errors()}, {self._happened}"

    def _errors(self) -> list[str]:
        """What ended workers, but for the error that a zombie is to end with."""
        return [
            f"{worker.name} ended: {worker.error!r}"
            for worker in self._workers
            if worker.error is not None and not isinstance(worker.error, StoodStill)
        ]

    async def _judged(self) -> Run:
        with TemporaryDirectory() as directory, EffectSpool(None) as spool:
            audit, fates = Audit(), dict(self._fates(Path(directory)))
            self._find_effects(spool)
            snapshots = SnapshotStore(SETTINGS, prior_snapshot(PARAMETERS))
            scope = Scope(PLAN, snapshots, fates, spool, audit)
            contrasts = [await self._audited(number, scope) for number in range(PARTITIONS)]
            lost = [
                f"{topic}-{number} at {offset}"
                for (topic, number), found in fates.items()
                for offset, expected, marks in found
                if marks & DROPPED or (not marks & IN_LOG and expected != REFUSED)
            ]
            for found in fates.values():
                found.close()
        broken = [*self._broker.broken_promises, *self._errors()]
        return Run(self._published, audit, contrasts, lost, self._happened, broken)

    async def _audited(self, number: int, scope: Scope) -> Contrast:
        stored = ChangelogFold()
        for record in self._broker.logs[TP(CUSTOMERS, number)]:
            stored.add(record.key, record.value, record.headers)
        log = self._broker.logs[TP(CUSTOMER_EVENTS, number)]
        audited = PartitionAudit(number, stored, committed=len(log), log_end=len(log), scope=scope)
        for record in log:
            await audited.take(record)
        audited.finish()
        return scope.spool.contrast(number, ())

    def _fates(self, directory: Path) -> Iterator[tuple[tuple[str, int], RawFates]]:
        for topic in RAW_TOPICS:
            for number in range(PARTITIONS):
                log = self._broker.logs[TP(topic, number)]
                fates = RawFates(directory, f"{topic}-{number}", 0, len(log))
                for record in log:
                    outgoing, found = outgoing_of(topic, record, None, PARAMETERS, PARTITIONS)
                    is_refused = isinstance(found, Rejected)
                    digest = digest_of(outgoing.value, outgoing.partition)
                    fates.expect(record.offset, REFUSED if is_refused else digest)
                yield (topic, number), fates

    def _find_effects(self, spool: EffectSpool) -> None:
        for number in range(PARTITIONS):
            for topic in (RETENTION_TRIGGERS, NEXT_BEST_ACTIONS, DECISION_LEDGER):
                values = [r.value or b"" for r in self._broker.logs[TP(topic, number)]]
                spool.found(
                    number, [Effect(topic, decode_decision(v).id, digest_of(v)) for v in values]
                )
            for record in self._broker.logs[TP(DEAD_LETTERS, number)]:
                letter = decode_dead_letter(record.value or b"")
                if letter.source is not None and letter.step == "profile":
                    source = letter.source
                    name = f"{source.topic}-{source.partition}-{source.offset}"
                    digest = digest_of(str(letter.reason).encode())
                    spool.found(number, [Effect(DEAD_LETTERS, name, digest)])
        for record in self._broker.logs[TP(LABELLED_EXAMPLES, 0)]:
            value = record.value or b""
            lesson = decode_lesson(value)
            effect = Effect(LABELLED_EXAMPLES, lesson_id(lesson), digest_of(value))
            spool.found(lesson.partition, [effect])


_EVENTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("page", CLICKSTREAM, {}),
    ("page", CLICKSTREAM, {}),
    ("Product Viewed", CLICKSTREAM, {"product_id": "P"}),
    ("Order Completed", TRANSACTIONS, {"revenue": 20.0}),
    ("Survey Responded", SUPPORT, {"kind": "nps", "score": 2, "scale_max": 10}),
    ("Email Opened", FEEDBACK, {}),
)


async def _within(seconds: float, works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Let these go on for so long at most; then they go on without being waited for."""
    if tasks := [asyncio.ensure_future(_until_dead(work)) for work in works]:
        await asyncio.wait(tasks, timeout=seconds)


async def _until_dead(work: Coroutine[Any, Any, None]) -> None:
    # What a worker had begun when it was killed ends with it.
    with suppress(Dead):
        await work


@contextmanager
def _virtual_clocks(loop: VirtualLoop) -> Iterator[None]:
    """The modules that look at a clock look at the loop's."""
    with (
        patch.object(agents.ingest, "monotonic", loop.time),
        patch.object(agents.ingest, "time", lambda: TAKEN_MS / 1_000),
        patch.object(streams.log_records, "time", lambda: TAKEN_MS / 1_000),
        # Seconds cost nothing here, but looks do.
        patch.object(agents.ingest, "LOOK_S", 0.5),
        patch.object(agents.profile, "monotonic", loop.time),
        # So few, that others have their turn in the middle of a batch.
        patch.object(agents.profile, "RECORDS_PER_TURN", 2),
        patch.object(streams.owned_partitions, "monotonic", loop.time),
    ):
        yield


def problems(run: Run, *, is_backlog: bool) -> list[str]:
    """What is wrong with the outcome of a run, in words; nothing of a backlog may come late."""
    checked = run.audit.checked
    late = checked["events:late"]
    told = [f"{found.words}: {found.examples}" for found in run.audit.differences]
    told += [f"effects: {contrast}" for contrast in run.contrasts if any(contrast)]
    told += [f"lost: {place}" for place in run.lost]
    told += run.broken_promises
    if checked["events:applied"] + late != run.published:
        told.append(f"{checked['events:applied']} applied and {late} late, of {run.published}")
    if is_backlog and late:
        told.append(f"{late} came late, and none was sent late")
    return told


def simulate(seed: int, *, is_backlog: bool) -> Run:
    """Run ``seed`` to its end. Raises `AssertionError` for what must never be on the way."""
    loop = VirtualLoop()
    try:
        with _virtual_clocks(loop):
            return loop.run_until_complete(_run(seed, is_backlog=is_backlog))
    finally:
        loop.close()


async def _run(seed: int, *, is_backlog: bool) -> Run:
    try:
        return await Simulation(seed, is_backlog=is_backlog).run()
    finally:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
