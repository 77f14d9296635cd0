"""The worker: builds the Faust app, gives its agents what they need, and runs it."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from time import time as unix_s
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from agents.customer_lists import CustomerLists
from agents.deliver import DeliverAgent
from agents.dry_runs import DryRuns
from agents.gauges import Gauges
from agents.idle_clocks import IdleClocks
from agents.ingest import IngestAgent
from agents.own_customers import OwnCustomers
from agents.process_log import run_logged
from agents.process_traces import tracing
from agents.profile import ProfileAgent
from agents.ration import WebTime
from agents.store_upkeep import StoreUpkeep
from agents.trainer import TrainerAgent, ready_to_learn
from agents.web.lists import answer
from agents.web.segments import SegmentAnswers
from agents.web.server import LiveCustomers, Readiness, advertised_url, routes, serving
from agents.worker_condition import WorkerCondition
from config import topics
from config.parameters import Parameters
from config.settings import Settings
from models.customer.row_formats import NewerRow, OlderRow
from models.events.log_format import LogFormatError
from models.learning.snapshot import SnapshotError, prior_snapshot
from models.plan import plan_for
from streams.archive.opening import ArchiveError
from streams.batch_consumer import Batching
from streams.broker_watch import BrokerWatch
from streams.faust_app import (
    KeepstreamApp,
    Membership,
    new_faust_app,
    run_worker,
)
from streams.going_live import empty_partitions, write_live
from streams.graves import Fingerprints
from streams.kafka_clients import broker_credentials, running
from streams.metrics import Metrics
from streams.outbox import Outbox, new_outbox_producer
from streams.owned_partitions import OwnedPartitions
from streams.profile_views import ProfileViews
from streams.progress import Progress
from streams.pulse import Pulse, StoodStill
from streams.quarantine import Quarantine
from streams.record_batches import PositionError, RecordBatch
from streams.recovery import RecoveryError
from streams.row_file import RowFileError
from streams.segment_sets import SegmentSets
from streams.snapshot_store import SnapshotStore
from streams.store_writes import connect
from streams.topic_identity import TopicReplaced, TopicWatch
from streams.topics import declared, require_topics
from streams.trigger_streams import TriggerStreams

if TYPE_CHECKING:
    from streams.tracing import Traces

log = logging.getLogger(__name__)

#: How long to wait for a broker's response.
REQUEST_TIMEOUT_S = 30.0
#: Heartbeats per session timeout. A worker learns only at its next heartbeat that another worker
#: left and that its partitions are free.
HEARTBEATS_A_SESSION = 12
#: Seconds between checks of the topics' ids.
TOPIC_LOOK_S = 5.0
#: Seconds between checks while the worker has not read anything yet.
JOINING_LOOK_S = 0.25
#: Errors whose text says what to do: a traceback would only hide it.
EXPLAINED = (
    NewerRow,
    OlderRow,
    SnapshotError,
    LogFormatError,
    RecoveryError,
    RowFileError,
    PositionError,
    ArchiveError,
    StoodStill,
    TopicReplaced,
)


class Worker:
    """Everything one worker process holds; `resources` connects it while it runs."""

    def __init__(
        self, settings: Settings, parameters: Parameters, traces: "Traces | None" = None
    ) -> None:
        self.settings = settings
        self.traces = traces
        self.parameters = parameters
        self.metrics = Metrics()
        self.pulse = Pulse(settings.session_timeout_ms)
        self.broker = BrokerWatch(settings)
        self.snapshots = SnapshotStore(
            settings, prior_snapshot(parameters), Quarantine(self.metrics)
        )
        self.plan = plan_for(parameters)
        for warning in self.plan.policy.warnings:
            log.info("rules: %s", warning)
        self.partitions = OwnedPartitions(self.snapshots, settings, self.plan, self.metrics)
        self.customers = OwnCustomers(self.partitions, settings.partitions)
        self.app = build_app(settings)
        register(self.app, self)
        progress = Progress()
        self.condition = WorkerCondition(
            self.app, self.partitions, self.broker, progress, settings, parameters
        )
        self.gauges = Gauges(
            self.app,
            self.partitions,
            self.broker,
            progress,
            self.condition,
            self.metrics,
            settings,
        )
        self.agents: dict[str, Callable[[RecordBatch], Awaitable[None]]] = {}

    @asynccontextmanager
    async def resources(self) -> AsyncIterator[None]:
        """Connect to Kafka and Redis and start the background tasks; undo both on exit."""
        settings = self.settings
        async with AsyncExitStack() as stack:
            # Ingest has its own producer. A producer sends its next request to a broker only when
            # the previous one is acknowledged, and neither hop should wait for the other's
            # requests.
            producer, ingest_producer = [
                await stack.enter_async_context(running(new_outbox_producer(settings), settings))
                for _ in range(2)
            ]
            redis = connect(settings)
            stack.push_async_callback(redis.aclose)
            views = self._views(redis)
            streams = TriggerStreams(redis, settings, self.metrics)
            trainer = TrainerAgent(
                self.snapshots,
                Outbox(producer, settings),
                settings,
                self.parameters,
                self.metrics,
            )
            profile = self._profile_agent(producer, views)
            ingest = IngestAgent(
                Outbox(ingest_producer, settings),
                settings,
                self.parameters,
                self.metrics,
                self.condition.is_leaving,
                partial(self.condition.standings, trainer),
                self.traces,
                profile.own,
            )
            self._set_agents(ingest, profile, trainer, streams)
            time = WebTime(self.condition.is_behind, unhurried_s=lambda: views.spent_s)

            def refresh() -> None:
                trainer.tell()
                self.gauges.refresh()

            await self._serve(stack, time, streams, refresh)
            idle_clocks = IdleClocks(
                self.app,
                self.partitions,
                trainer,
                settings,
                self.parameters,
                lambda: bool(self.condition.unread()),
            )
            for task in (
                self.pulse.beat(),
                self.broker.watch(),
                self.snapshots.stay_connected(),
                ingest.pass_on(self.app.batch_consumer),
                idle_clocks.drive(Outbox(producer, settings), self.gauges.watch),
                StoreUpkeep(views, streams, self.partitions).run(
                    self.condition.is_changing_hands,
                    partial(self.condition.owns_first, topics.RETENTION_TRIGGERS),
                    self.condition.is_idle,
                ),
                self._watch_topics(),
            ):
                stack.push_async_callback(_cancelled, self._watched(task))
            yield

    def _views(self, redis: Any) -> ProfileViews:
        names = [segment.name for segment in self.parameters.segments.segments]
        watched = names if self.plan.watch.segments else []
        sets = SegmentSets(self.settings, watched, self.customers.segments)
        return ProfileViews(redis, self.settings, self.metrics, self.customers.profile, sets=sets)

    def _profile_agent(self, producer: AIOKafkaProducer, views: ProfileViews) -> ProfileAgent:
        return ProfileAgent(
            self.partitions,
            Outbox(producer, self.settings),
            views,
            self.pulse,
            self.settings,
            self.parameters,
            self.metrics,
            self.traces,
        )

    def _set_agents(
        self,
        ingest: IngestAgent,
        profile: ProfileAgent,
        trainer: TrainerAgent,
        streams: TriggerStreams,
    ) -> None:
        """Set which agent takes the batches of each topic."""
        for topic in topics.RAW_TOPICS:
            self.agents[topic] = partial(ingest.take, topic)
        self.agents[topics.CUSTOMER_EVENTS] = profile.take
        self.agents[topics.LABELLED_EXAMPLES] = lambda batch: trainer.take(
            batch, self.app.batch_consumer
        )
        for topic in topics.DELIVERED_TOPICS:
            self.agents[topic] = DeliverAgent(
                topic,
                streams,
                self.metrics,
                self.condition.is_leaving,
                self.settings.deliver_max_age_ms,
                Fingerprints(self.settings.erasure_salt),
                self.traces,
            ).take

    async def _serve(
        self,
        stack: AsyncExitStack,
        time: WebTime,
        streams: TriggerStreams,
        refresh: Callable[[], None],
    ) -> None:
        """Serve the web port. Call this before the worker joins the group: joining tells the other
        workers this port's address. ``refresh`` updates the gauges.
        """
        readiness = Readiness(self.condition.problems, partial(self.condition.delays, streams))
        site = routes(self.metrics, readiness, self._live_customers(time), refresh, time)
        port = await stack.enter_async_context(serving(site, self.settings, time))
        self.app.owners.url = advertised_url(self.settings, port)
        log.info(
            "metrics and health on http://%s:%d, for others at %s",
            self.settings.web_host, port, self.app.owners.url,
        )  # fmt: skip

    def _live_customers(self, time: WebTime) -> LiveCustomers:
        owners, customers = self.app.owners, self.customers
        lists = CustomerLists(
            self.partitions,
            owners,
            self.settings.partitions,
            lambda: "the worker is joining the group" if self.condition.is_joining() else None,
            time.lists,
            self.settings.web_headers,
        )
        return LiveCustomers(
            lambda customer: customers.profile(customer) or None,
            self.condition.is_recovering,
            lambda customer: owners.url_of(customers.number(customer)),
            customers.is_here,
            lambda query: answer(query, lists, self.parameters),
            customers.person,
            DryRuns(self.partitions, self.settings, self.parameters, self.plan).answer,
            SegmentAnswers(lists, self.plan),
        )

    async def on_assigned(self, assigned: set[Any]) -> None:
        """Drop the partitions that moved to other workers. From now on the process must not stall
        for longer than its session timeout. If this worker is now the trainer, import what learning
        needs before the first lessons arrive.
        """
        self.pulse.joined()
        events = self.settings.topic(topics.CUSTOMER_EVENTS)
        self.partitions.retain(tp.partition for tp in assigned if tp.topic == events)
        if any(tp.topic == self.settings.topic(topics.LABELLED_EXAMPLES) for tp in assigned):
            await ready_to_learn()

    async def _watch_topics(self) -> None:
        """End the worker when a topic that it reads or writes was deleted and created anew."""
        names, watch = [topic.name for topic in declared(self.settings)], TopicWatch()
        while True:
            consumer = self.app.batch_consumer
            if not consumer.ledger.delivered:
                # Poll fast at first, so that the ids are checked as soon as records have arrived.
                await asyncio.sleep(JOINING_LOOK_S)
                continue
            try:
                watch.look(await consumer.topic_ids(names), consumer.ledger.topic_ids)
            except KafkaError as error:
                log.info("the broker did not tell the topics' ids (%r); asking again", error)
            await asyncio.sleep(TOPIC_LOOK_S)

    def _watched(self, work: Any) -> asyncio.Task[None]:
        """A background task whose failure ends the worker."""
        task: asyncio.Task[None] = asyncio.create_task(self._explained(work))

        def ended(done: asyncio.Task[None]) -> None:
            if not done.cancelled() and (error := done.exception()) is not None:
                log.critical(
                    "background task failed: %s: %s", type(error).__name__, error, exc_info=error
                )
                self._crash = asyncio.ensure_future(self.app.crash(error))

        task.add_done_callback(ended)
        return task

    async def _explained(self, work: Awaitable[None]) -> None:
        with self.pulse.explaining():
            await work


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    # A failure was already logged and has ended the worker.
    await asyncio.wait({task})


def build_app(settings: Settings) -> KeepstreamApp:
    """A Faust app with the settings' brokers, group and pace, and no agents yet."""
    timeout_s = settings.session_timeout_ms / 1_000
    return new_faust_app(
        settings.group_id,
        bootstrap_servers=settings.bootstrap_servers,
        credentials=broker_credentials(settings),
        batching=Batching(
            max_batch_records=settings.max_batch_records,
            pace_ms=settings.pace_ms,
            paced_topics=frozenset(map(settings.topic, topics.RAW_TOPICS)),
            bound_topics=frozenset({settings.topic(topics.CUSTOMER_EVENTS)}),
        ),
        membership=Membership(
            session_timeout_s=timeout_s,
            heartbeat_interval_s=timeout_s / HEARTBEATS_A_SESSION,
            # Faust refuses a session timeout that is longer than the request timeout.
            request_timeout_s=max(REQUEST_TIMEOUT_S, timeout_s),
            group_instance_id=settings.group_instance_id or None,
        ),
        owned_topic=settings.topic(topics.CUSTOMER_EVENTS),
    )


def register(app: KeepstreamApp, worker: Worker) -> None:
    """Register one agent for each topic, by name; there is no autodiscovery."""
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

    # The type that Faust's library gives to signal receivers fits no function.
    signal: Any = app.on_partitions_assigned
    # Faust keeps only weak references to receivers unless told otherwise.
    signal.connect(on_assigned, weak=False)


def _agent(worker: Worker, topic: str, name: str) -> Callable[[Any], Awaitable[None]]:
    async def take_batches(stream: Any) -> None:
        async for batch in stream:
            with worker.pulse.explaining():
                await worker.agents[topic](batch)

    # Faust's log lines name an agent by its function.
    take_batches.__qualname__ = name
    return take_batches


def run(settings: Settings, parameters: Parameters, *, is_live: bool = False) -> int:
    """Run a worker until a signal or a failure; return the exit code.

    ``is_live``: partitions that are still empty write decisions from their first event on.

    Raises `ArchiveError`, `BrokerUnreachable` or `TopicsError` when the worker cannot start;
    nothing has been read by then.
    """
    return run_logged(
        "worker", settings, lambda: _run(settings, parameters, is_live=is_live), *EXPLAINED
    )


def _run(settings: Settings, parameters: Parameters, *, is_live: bool) -> int:
    require_topics(settings)
    if is_live and (empty := empty_partitions(settings)):
        # Before anything is read: a partition's first record decides whether it rehearses.
        asyncio.run(write_live(settings, empty, int(unix_s() * 1_000)))
    # Rows make no reference cycles and imported modules stay, so full collections only cost time.
    # Collecting the youngest generation less often than this makes each collection longer.
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
    with tracing(settings, "worker") as traces:
        worker = Worker(settings, parameters, traces)
        return run_worker(worker.app, around=worker.resources())
