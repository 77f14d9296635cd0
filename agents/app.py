"""The worker: builds the Faust app, gives its agents what they need, and runs it."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from time import monotonic, time
from typing import Any

from faust.types import TP

from agents.deliver import DeliverAgent
from agents.ingest import IngestAgent
from agents.profile import ProfileAgent
from agents.trainer import TrainerAgent, ready_to_learn
from agents.web.server import Readiness, routes, serving
from config import topics
from config.parameters import Parameters
from config.settings import Settings
from models.customer.profile import encode_profile, profile
from models.customer.row import NewerRow, OlderRow
from models.events.wire import LogFormatError
from models.learning.snapshot import SnapshotError, prior_snapshot
from models.plan import plan_for
from models.population import MEASURES, samples_of
from streams.batch_consumer import Batching
from streams.faust_app import (
    KeepstreamApp,
    Membership,
    WithoutTraceback,
    new_faust_app,
    quiet_libraries,
    run_worker,
)
from streams.going_live import empty_partitions, write_live
from streams.kafka_clients import broker_credentials, partition_for, running
from streams.metrics import Metrics
from streams.outbox import Outbox, new_outbox_producer
from streams.owned_partitions import OwnedPartitions
from streams.pacing import PartitionStanding
from streams.progress import Progress
from streams.pulse import Pulse
from streams.quarantine import Quarantine
from streams.record_batches import PositionError, RecordBatch
from streams.recovery import RecoveryError
from streams.redis_views import ProfileViews, TriggerStreams, connect
from streams.snapshot_store import SnapshotStore
from streams.topics import require_topics

log = logging.getLogger(__name__)

#: The topics that make a worker unready when it makes no progress on them.
FOLDED_TOPICS = (*topics.RAW_TOPICS, topics.CUSTOMER_EVENTS, topics.LABELLED_EXAMPLES)
#: The topics that are delivered to Redis.
DELIVERED_TOPICS = (topics.RETENTION_TRIGGERS, topics.NEXT_BEST_ACTIONS)
#: The wall clock drives a partition after this many seconds without an event ...
IDLE_S = 5.0
#: ... if the partition's clock is at most this far behind: a backfill keeps its own time.
WALL_CLOCK_REACH_MS = 600_000
#: Errors about unusable data in Kafka, whose text says what to do.
EXPLAINED = (NewerRow, OlderRow, SnapshotError, LogFormatError, RecoveryError, PositionError)


class Worker:
    """Everything one worker process holds. Made inside its event loop by `_resources`."""

    def __init__(self, settings: Settings, parameters: Parameters) -> None:
        self.settings = settings
        self.parameters = parameters
        self.metrics = Metrics()
        self.pulse = Pulse(settings.session_timeout_ms)
        self.progress = Progress()
        self.snapshots = SnapshotStore(
            settings, prior_snapshot(parameters), Quarantine(self.metrics)
        )
        plan = plan_for(parameters)
        for warning in plan.policy.warnings:
            log.info("rules: %s", warning)
        self.partitions = OwnedPartitions(self.snapshots, settings, plan, self.metrics)
        self.app = build_app(settings)
        register(self.app, self)
        self.agents: dict[str, Callable[[RecordBatch], Awaitable[None]]] = {}
        self.views: ProfileViews | None = None

    @asynccontextmanager
    async def resources(self) -> AsyncIterator[None]:
        """Connect to Kafka and Redis, start the background tasks; undo it all at the end."""
        settings, parameters, metrics = self.settings, self.parameters, self.metrics
        async with AsyncExitStack() as stack:
            producer = await stack.enter_async_context(
                running(new_outbox_producer(settings), settings)
            )
            redis = connect(settings)
            stack.push_async_callback(redis.aclose)

            def outbox() -> Outbox:
                return Outbox(producer, settings)

            self.views = ProfileViews(redis, settings, metrics, self.customer)
            profile_agent = ProfileAgent(
                self.partitions, outbox(), self.views, self.pulse, settings, parameters, metrics
            )
            trainer = TrainerAgent(self.snapshots, outbox(), settings, parameters, metrics)
            streams = TriggerStreams(redis, settings, metrics)
            standings = partial(self.standings, trainer)
            ingest = IngestAgent(
                outbox(), settings, parameters, metrics, self.is_leaving, standings
            )
            for topic in topics.RAW_TOPICS:
                self.agents[topic] = partial(ingest.take, topic)
            self.agents[topics.CUSTOMER_EVENTS] = profile_agent.take
            self.agents[topics.LABELLED_EXAMPLES] = lambda batch: trainer.take(
                batch, self.app.batch_consumer
            )
            for topic in DELIVERED_TOPICS:
                self.agents[topic] = DeliverAgent(
                    topic, streams, metrics, self.is_leaving, settings.deliver_max_age_ms
                ).take

            readiness = Readiness(self.problems, self.delays)
            site = routes(metrics, readiness, self.customer, self.refresh)
            port = await stack.enter_async_context(serving(site, settings))
            log.info("metrics and health on http://%s:%d", settings.web_host, port)
            clock_outbox = outbox()
            for task in (
                self.pulse.beat(),
                ingest.pass_on(self.app.batch_consumer),
                self._drive_clocks(clock_outbox),
                self._write_views(),
            ):
                stack.push_async_callback(_cancelled, self._watched(task))
            yield

    def customer(self, customer: str) -> bytes | None:
        """The profile of a customer this worker owns, as JSON."""
        number = partition_for(customer.encode(), self.settings.partitions)
        owned = self.partitions.get(number)
        row = owned.rows.get(customer) if owned is not None else None
        if owned is None or row is None:
            return None
        return encode_profile(profile(customer, row, owned.fold.as_of_ms, owned.fold.context))

    def standings(self, trainer: TrainerAgent) -> dict[int, PartitionStanding]:
        """How far each partition is that this worker owns and that rehearses: what is decided
        aloud does not wait.
        """
        ended = self.app.batch_consumer.ledger.ended
        is_trainer = TP(self.settings.topic(topics.LABELLED_EXAMPLES), 0) in ended
        every_ms = self.parameters.learning.snapshot_every
        found: dict[int, PartitionStanding] = {}
        for tp in ended:
            if tp.topic != self.settings.topic(topics.CUSTOMER_EVENTS):
                continue
            number, owned = tp.partition, self.partitions.get(tp.partition)
            if owned is None:
                # Not open yet: it has everything before it.
                found[number] = PartitionStanding(0, 0)
            elif owned.fold.state.live_at_ms is None:
                found[number] = (
                    owned.standing(trainer.heard_ms(number), trainer.version)
                    if is_trainer
                    else owned.standing_apart(every_ms)
                )
        return found

    def problems(self) -> list[str]:
        """The reasons why this worker is not ready; empty if it is ready."""
        if self.app.rebalancing or self.app.consumer_generation_id < 1:
            return ["joining the group"]
        return self.progress.stuck(self._topics(FOLDED_TOPICS))

    def delays(self) -> list[str]:
        """The partitions that wait for Redis. Folding goes on without it, on every worker."""
        return self.progress.stuck(self._topics(DELIVERED_TOPICS))

    def is_leaving(self) -> bool:
        """Whether partitions are about to be taken away, or the worker is about to end."""
        return self.app.rebalancing or self.app.should_stop

    def refresh(self) -> None:
        """Update the gauges."""
        consumer = self.app.batch_consumer
        self.progress.update(consumer.ledger.ended, consumer.lag())
        self.metrics.forget_positions()
        for tp, (lag, stuck_s) in self.progress.positions().items():
            topic = tp.topic.removeprefix(self.settings.topic_prefix)
            self.metrics.set_position(topic, tp.partition, lag=lag, stuck_s=stuck_s)
        for owned in self.partitions:
            state, snapshot = owned.fold.state, owned.fold.snapshot
            self.metrics.set_partition(
                owned.fold.number,
                customers=len(owned.rows),
                packed_bytes=owned.rows.packed_bytes,
                clock_ms=state.clock_ms,
                model_version=snapshot.version,
                snapshot_age_ms=max(state.clock_ms - snapshot.created_at_ms, 0)
                if snapshot.version
                else 0,
            )
        newest = max(
            (owned.fold.snapshot for owned in self.partitions),
            key=lambda snapshot: snapshot.version,
            default=None,
        )
        if newest is not None:
            self.metrics.set_samples(MEASURES, samples_of(newest))

    def _topics(self, names: Iterable[str]) -> set[str]:
        return {self.settings.topic(name) for name in names}

    async def on_assigned(self, assigned: set[Any]) -> None:
        """Drop the partitions that went to other workers. If this worker is now the trainer, import
        what learning needs before lessons wait for it.
        """
        events = self.settings.topic(topics.CUSTOMER_EVENTS)
        self.partitions.retain(tp.partition for tp in assigned if tp.topic == events)
        if any(tp.topic == self.settings.topic(topics.LABELLED_EXAMPLES) for tp in assigned):
            await ready_to_learn()

    async def _drive_clocks(self, outbox: Outbox) -> None:
        """Let the wall clock drive partitions that have no events; keep the gauges fresh."""
        while True:
            await asyncio.sleep(1.0)
            await self._open_idle()
            self.refresh()
            now_ms = int(time() * 1_000)
            for owned in self.partitions:
                idle_s = monotonic() - owned.last_event_s
                clock_ms = owned.fold.state.clock_ms
                if owned.fold.state.live_at_ms is None:
                    # History may still come, whatever the time is here.
                    continue
                if idle_s >= IDLE_S and 0 < now_ms - clock_ms < WALL_CLOCK_REACH_MS:
                    due_ms = now_ms - self.parameters.time.disorder
                    ProfileAgent.write_clock(owned, due_ms, outbox)
            await outbox.flush()

    async def _open_idle(self) -> None:
        """Open partitions that have nothing to read, because timers are due in them, too."""
        consumer = self.app.batch_consumer
        events = self.settings.topic(topics.CUSTOMER_EVENTS)
        # A batch in flight opens its partitions itself, and may be ahead of the changelog.
        if not consumer.ledger.is_idle(events):
            return
        for tp, offset in consumer.ledger.ended.items():
            if tp.topic != events or self.partitions.get(tp.partition) is not None:
                continue
            if tp not in consumer.to_come() and consumer.ledger.is_idle(events):
                await self.partitions.open(tp.partition, offset)
                if not consumer.ledger.has_position(tp):
                    # Reassigned while it was being recovered.
                    self.partitions.forget([tp.partition])

    async def _write_views(self) -> None:
        """Keep Redis up to date, with a fifth of the worker's time at most: folding comes first."""
        assert self.views is not None
        looked_s = 0.0
        while True:
            started_s = monotonic()
            if started_s - looked_s > IDLE_S:
                looked_s = started_s
                was_emptied = await self.views.was_emptied()
                for owned in self.partitions:
                    if was_emptied or not owned.is_shown:
                        self.views.offer(owned.rows.customers())
                        owned.is_shown = True
            wrote = not self.views.waiting or await self.views.write_some()
            took_s = monotonic() - started_s
            # The pause is bounded, because a long write may be a stall and not the cost of writing.
            await asyncio.sleep(min(max(4 * took_s, 0.05), 1.0) if wrote else 1.0)

    def _watched(self, work: Any) -> asyncio.Task[None]:
        """A background task whose failure ends the worker."""
        task: asyncio.Task[None] = asyncio.create_task(work)

        def ended(done: asyncio.Task[None]) -> None:
            if not done.cancelled() and (error := done.exception()) is not None:
                log.critical(
                    "background task failed: %s: %s", type(error).__name__, error, exc_info=error
                )
                self._crash = asyncio.ensure_future(self.app.crash(error))

        task.add_done_callback(ended)
        return task


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    # If it failed, that was logged and ended the worker.
    await asyncio.wait({task})


def build_app(settings: Settings) -> KeepstreamApp:
    """A Faust app with the settings' brokers, group and pace, and no agents yet."""
    timeout_s = settings.session_timeout_ms / 1_000
    return new_faust_app(
        settings.group_id,
        bootstrap_servers=settings.bootstrap_servers,
        credentials=broker_credentials(settings),
        batching=Batching(max_batch_records=settings.max_batch_records, pace_ms=settings.pace_ms),
        membership=Membership(session_timeout_s=timeout_s, heartbeat_interval_s=timeout_s / 5),
    )


def register(app: KeepstreamApp, worker: Worker) -> None:
    """Register one agent a topic, by name; nothing is discovered."""
    names = {
        **{topic: f"ingest-{topic}" for topic in topics.RAW_TOPICS},
        topics.CUSTOMER_EVENTS: "profile",
        topics.LABELLED_EXAMPLES: "trainer",
        topics.RETENTION_TRIGGERS: "deliver-triggers",
        topics.NEXT_BEST_ACTIONS: "deliver-actions",
    }
    for topic, name in names.items():
        app.agent(app.batch_topic(worker.settings.topic(topic)), name=name)(
            _agent(worker, topic, name)
        )

    async def on_assigned(_: Any, /, *arguments: Any, **__: Any) -> None:
        await worker.on_assigned(arguments[0])

    # No function fits the type that mode gives to receivers.
    signal: Any = app.on_partitions_assigned
    # Faust keeps only weak references to receivers unless told otherwise.
    signal.connect(on_assigned, weak=False)


def _agent(worker: Worker, topic: str, name: str) -> Callable[[Any], Awaitable[None]]:
    async def take_batches(stream: Any) -> None:
        async for batch in stream:
            await worker.agents[topic](batch)

    # Faust's log lines name an agent by its function.
    take_batches.__qualname__ = name
    return take_batches


def run(settings: Settings, parameters: Parameters, *, is_live: bool = False) -> int:
    """Run a worker until SIGTERM, SIGINT or a failure; returns the exit code.

    ``is_live``: partitions that are still empty decide aloud from their first event on.

    Raises `BrokerUnreachable` or `TopicsError` before anything is read when it cannot start.
    """
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    quiet_libraries()
    for handler in logging.getLogger().handlers:
        handler.addFilter(WithoutTraceback(*EXPLAINED))
    require_topics(settings)
    if is_live and (empty := empty_partitions(settings)):
        # Before anything is read: a partition's first record says whether it rehearses.
        asyncio.run(write_live(settings, empty, int(time() * 1_000)))
    # Rows make no reference cycles and imported modules stay, so full collections only cost time.
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
    worker = Worker(settings, parameters)
    return run_worker(worker.app, around=worker.resources())
