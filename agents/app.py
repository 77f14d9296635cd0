"""The worker: builds the Faust app, gives its agents what they need, and runs it."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from time import monotonic
from time import time as unix_s
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaError
from faust.types import TP

from agents.customer_lists import CustomerLists
from agents.deliver import DeliverAgent
from agents.dry_runs import DryRuns
from agents.idle_clocks import IdleClocks
from agents.ingest import IngestAgent
from agents.process_log import run_logged
from agents.process_traces import tracing
from agents.profile import ProfileAgent
from agents.ration import WebTime
from agents.store_upkeep import StoreUpkeep
from agents.trainer import TrainerAgent, ready_to_learn
from agents.web.lists import answer
from agents.web.segments import SegmentAnswers
from agents.web.server import LiveCustomers, Readiness, advertised_url, routes, serving
from config import topics
from config.parameters import Parameters
from config.settings import Settings
from models.customer.profile import encode_profile, profile
from models.customer.row import NewerRow, OlderRow
from models.customer.scene import Scene
from models.customer.segments import member_of
from models.events.wire import LogFormatError
from models.learning.snapshot import SnapshotError, prior_snapshot
from models.links import is_elsewhere, is_told, person_of
from models.plan import plan_for
from models.population import MEASURES, samples_of
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
from streams.kafka_clients import broker_credentials, partition_for, running
from streams.metrics import Metrics
from streams.outbox import Outbox, new_outbox_producer
from streams.owned_partitions import OwnedPartitions
from streams.pacing import PartitionStanding
from streams.profile_views import NOBODY, ProfileViews
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

#: The topics that make a worker unready when it makes no progress on them.
FOLDED_TOPICS = (*topics.RAW_TOPICS, topics.CUSTOMER_EVENTS, topics.LABELLED_EXAMPLES)
#: How long a broker's answer is waited for.
REQUEST_TIMEOUT_S = 30.0
#: A worker hears only at its next heartbeat that another one is gone and its partitions wait.
HEARTBEATS_A_SESSION = 12
#: Seconds between looks at the ids of topics.
TOPIC_LOOK_S = 5.0
#: ... and between looks at whether there are positions yet.
JOINING_LOOK_S = 0.25
#: Nothing comes any more if no event came for so long.
QUIET_S = 1.0
#: While more records wait, whoever asks the web port gets little of the loop's time.
BEHIND_RECORDS = 500
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
    """Everything one worker process holds. Made inside its event loop by `_resources`."""

    def __init__(
        self, settings: Settings, parameters: Parameters, traces: "Traces | None" = None
    ) -> None:
        self.settings = settings
        self.traces = traces
        self.parameters = parameters
        self.metrics = Metrics()
        self.pulse = Pulse(settings.session_timeout_ms)
        self.progress = Progress()
        self.broker = BrokerWatch(settings)
        self.snapshots = SnapshotStore(
            settings, prior_snapshot(parameters), Quarantine(self.metrics)
        )
        self.plan = plan = plan_for(parameters)
        for warning in plan.policy.warnings:
            log.info("rules: %s", warning)
        self.partitions = OwnedPartitions(self.snapshots, settings, self.plan, self.metrics)
        self.app = build_app(settings)
        register(self.app, self)
        self.agents: dict[str, Callable[[RecordBatch], Awaitable[None]]] = {}
        self.streams: TriggerStreams | None = None

    @asynccontextmanager
    async def resources(self) -> AsyncIterator[None]:
        """Connect to Kafka and Redis, start the background tasks; undo it all at the end."""
        settings, parameters, metrics = self.settings, self.parameters, self.metrics
        async with AsyncExitStack() as stack:
            producer, ingest_producer = [
                await stack.enter_async_context(running(new_outbox_producer(settings), settings))
                for _ in range(2)
            ]
            redis = connect(settings)
            stack.push_async_callback(redis.aclose)

            def outbox() -> Outbox:
                return Outbox(producer, settings)

            names = [segment.name for segment in parameters.segments.segments]
            sets = SegmentSets(settings, names if self.plan.watch.segments else [], self.member_of)
            views = ProfileViews(redis, settings, metrics, self.customer, sets=sets)
            profile_agent = ProfileAgent(
                self.partitions,
                outbox(),
                views,
                self.pulse,
                settings,
                parameters,
                metrics,
                self.traces,
            )
            trainer = TrainerAgent(self.snapshots, outbox(), settings, parameters, metrics)
            self.streams = streams = TriggerStreams(redis, settings, metrics)
            standings = partial(self.standings, trainer)
            # By a producer of its own: one sends its next request to a broker when the one before
            # is acknowledged, and neither hop is to wait for the other's.
            ingest = IngestAgent(
                Outbox(ingest_producer, settings),
                settings,
                parameters,
                metrics,
                self.is_leaving,
                standings,
                self.traces,
                profile_agent.own,
            )
            for topic in topics.RAW_TOPICS:
                self.agents[topic] = partial(ingest.take, topic)
            self.agents[topics.CUSTOMER_EVENTS] = profile_agent.take
            self.agents[topics.LABELLED_EXAMPLES] = lambda batch: trainer.take(
                batch, self.app.batch_consumer
            )
            for topic in topics.DELIVERED_TOPICS:
                self.agents[topic] = DeliverAgent(
                    topic,
                    streams,
                    metrics,
                    self.is_leaving,
                    settings.deliver_max_age_ms,
                    Fingerprints(settings.erasure_salt),
                    self.traces,
                ).take

            readiness = Readiness(self.problems, self.delays)
            time = WebTime(self._is_behind, unhurried_s=lambda: views.spent_s)
            site = routes(metrics, readiness, self._live_customers(time), self.refresh, time)
            port = await stack.enter_async_context(serving(site, settings, time))
            # Before the group is joined, which tells it to the others.
            self.app.owners.url = advertised_url(settings, port)
            log.info(
                "metrics and health on http://%s:%d, for others at %s",
                settings.web_host, port, self.app.owners.url,
            )  # fmt: skip
            idle_clocks = IdleClocks(
                self.app,
                self.partitions,
                trainer,
                settings,
                parameters,
                lambda: bool(self._unread()),
            )
            upkeep = StoreUpkeep(views, streams, self.partitions)
            for task in (
                self.pulse.beat(),
                self.broker.watch(),
                self.snapshots.stay_connected(),
                ingest.pass_on(self.app.batch_consumer),
                idle_clocks.drive(outbox(), self.refresh),
                upkeep.run(
                    self.is_changing_hands,
                    partial(self._owns_first, topics.RETENTION_TRIGGERS),
                    self._is_idle,
                ),
                self._watch_topics(),
            ):
                stack.push_async_callback(_cancelled, self._watched(task))
            yield

    def customer(self, customer: str) -> bytes | None:
        """The profile of a customer this worker owns, as JSON; `NOBODY` for an id that has no
        profile of its own, or that was erased.
        """
        number = partition_for(customer.encode(), self.settings.partitions)
        owned = self.partitions.get(number)
        row = owned.rows.peek(customer) if owned is not None else None
        if owned is None:
            return None
        if row is None or not is_told(row):
            return NOBODY
        return encode_profile(profile(customer, row, owned.fold.as_of_ms, owned.fold.context))

    def member_of(self, customer: str) -> list[str]:
        """The segments of a customer this worker owns; none of an id that has no profile."""
        owned = self.partitions.get(partition_for(customer.encode(), self.settings.partitions))
        row = owned.rows.peek(customer) if owned is not None else None
        if owned is None or row is None or not is_told(row):
            return []
        return member_of(Scene(row, customer, owned.fold.as_of_ms, owned.fold.context))

    def person_of(self, customer: str) -> str | None:
        """Whose id this is, of an id of another's in a partition that this worker owns."""
        owned = self.partitions.get(partition_for(customer.encode(), self.settings.partitions))
        row = owned.rows.peek(customer) if owned is not None else None
        return person_of(row) if row is not None and is_elsewhere(row) else None

    def _live_customers(self, time: WebTime) -> LiveCustomers:
        owners = self.app.owners

        def number_of(customer: str) -> int:
            return partition_for(customer.encode(), self.settings.partitions)

        lists = CustomerLists(
            self.partitions,
            owners,
            self.settings.partitions,
            lambda: "the worker is joining the group" if self._is_joining() else None,
            time.lists,
            self.settings.web_headers,
        )
        return LiveCustomers(
            lambda customer: self.customer(customer) or None,
            self.is_recovering,
            lambda customer: owners.url_of(number_of(customer)),
            lambda customer: self.partitions.get(number_of(customer)) is not None,
            lambda query: answer(query, lists, self.parameters),
            self.person_of,
            DryRuns(self.partitions, self.settings, self.parameters, self.plan).answer,
            SegmentAnswers(lists, self.plan),
        )

    def is_recovering(self, customer: str) -> bool:
        """Whether this worker may own the customer, and can't say anything of them yet."""
        number = partition_for(customer.encode(), self.settings.partitions)
        return self._is_joining() or number in self._unread()

    def _is_joining(self) -> bool:
        return self.app.rebalancing or self.app.consumer_generation_id < 1

    def _unread(self) -> list[int]:
        """The partitions of customers that were assigned, and whose rows are not here yet."""
        events = self.settings.topic(topics.CUSTOMER_EVENTS)
        ended = self.app.batch_consumer.ledger.ended
        numbers = sorted(tp.partition for tp in ended if tp.topic == events)
        return [number for number in numbers if self.partitions.get(number) is None]

    def standings(self, trainer: TrainerAgent) -> dict[int, PartitionStanding]:
        """How far each partition is that this worker owns and that rehearses."""
        events = self.settings.topic(topics.CUSTOMER_EVENTS)
        ended = self.app.batch_consumer.ledger.ended
        return self.partitions.standings(
            [tp.partition for tp in ended if tp.topic == events],
            trainer if self._owns_first(topics.LABELLED_EXAMPLES) else None,
            self.parameters.learning.snapshot_every,
        )

    def problems(self) -> list[str]:
        """The reasons why this worker is not ready; empty if it is ready."""
        if self._is_joining():
            return [*self.broker.problems(), "joining the group"]
        return [
            *self.broker.problems(),
            *(f"the rows of partition {number} are being read" for number in self._unread()),
            *self.progress.stuck(self._topics(FOLDED_TOPICS)),
        ]

    def delays(self) -> list[str]:
        """What waits for Redis. Folding goes on without it, on every worker."""
        foreign = sorted(self.streams.foreign_keys) if self.streams is not None else []
        return [
            *self.progress.stuck(self._topics(topics.DELIVERED_TOPICS)),
            *(f"decisions wait for the key {key}, which holds something else" for key in foreign),
        ]

    def _owns_first(self, topic: str) -> bool:
        """Whether this worker has the topic's partition 0, as one worker does."""
        return TP(self.settings.topic(topic), 0) in self.app.batch_consumer.ledger.ended

    def is_leaving(self) -> bool:
        """Whether partitions are about to be taken away, or the worker is about to end."""
        return self.app.rebalancing or self.app.should_stop

    def is_changing_hands(self) -> bool:
        """Whether the worker is leaving, or rows of its partitions are still to be read."""
        return self.is_leaving() or bool(self._unread())

    def _is_idle(self) -> bool:
        """Whether nothing comes to be folded: not only just now, between two batches."""
        last_s = max((owned.last_event_s for owned in self.partitions), default=0.0)
        return monotonic() - last_s > QUIET_S and not any(self.app.batch_consumer.lag().values())

    def _is_behind(self) -> bool:
        """Whether there is more to fold than comes and goes."""
        return sum(self.app.batch_consumer.lag().values()) > BEHIND_RECORDS

    def refresh(self) -> None:
        """Update the gauges."""
        consumer = self.app.batch_consumer
        self.progress.update(consumer.ledger.ended, consumer.lag())
        self.metrics.forget_positions()
        self.metrics.broker_silence.set(self.broker.silence_s())
        unheard_s = self.broker.silence_s() if self.broker.is_silent() else 0.0
        for tp, backlog in self.progress.positions(unheard_s).items():
            topic = tp.topic.removeprefix(self.settings.topic_prefix)
            self.metrics.set_position(topic, tp.partition, backlog)
        for owned in self.partitions:
            state, snapshot = owned.fold.state, owned.fold.snapshot
            self.metrics.set_partition(
                owned.fold.number,
                customers=len(owned.rows),
                damaged=len(owned.rows.damaged),
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
        self.metrics.ready.set(not self.problems())

    def _topics(self, names: Iterable[str]) -> set[str]:
        return {self.settings.topic(name) for name in names}

    async def on_assigned(self, assigned: set[Any]) -> None:
        """Drop the partitions that went to other workers. From now on the process must not stand
        still for longer than its session. If this worker is now the trainer, import what learning
        needs before lessons wait for it.
        """
        self.pulse.joined()
        events = self.settings.topic(topics.CUSTOMER_EVENTS)
        self.partitions.retain(tp.partition for tp in assigned if tp.topic == events)
        if any(tp.topic == self.settings.topic(topics.LABELLED_EXAMPLES) for tp in assigned):
            await ready_to_learn()

    async def _watch_topics(self) -> None:
        """End the worker when a topic that it reads or writes becomes another one."""
        names, watch = [topic.name for topic in declared(self.settings)], TopicWatch()
        while True:
            consumer = self.app.batch_consumer
            if not consumer.ledger.delivered:
                # Looked at as soon as there is something to look at.
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
    # If it failed, that was logged and ended the worker.
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
            # Faust refuses a session that is longer than what it waits for an answer.
            request_timeout_s=max(REQUEST_TIMEOUT_S, timeout_s),
            group_instance_id=settings.group_instance_id or None,
        ),
        owned_topic=settings.topic(topics.CUSTOMER_EVENTS),
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
            with worker.pulse.explaining():
                await worker.agents[topic](batch)

    # Faust's log lines name an agent by its function.
    take_batches.__qualname__ = name
    return take_batches


def run(settings: Settings, parameters: Parameters, *, is_live: bool = False) -> int:
    """Run a worker until a signal or a failure; returns the exit code.

    ``is_live``: partitions that are still empty decide aloud from their first event on.

    Raises `ArchiveError`, `BrokerUnreachable` or `TopicsError` before anything is read when it
    cannot start.
    """
    return run_logged(
        "worker", settings, lambda: _run(settings, parameters, is_live=is_live), *EXPLAINED
    )


def _run(settings: Settings, parameters: Parameters, *, is_live: bool) -> int:
    require_topics(settings)
    if is_live and (empty := empty_partitions(settings)):
        # Before anything is read: a partition's first record says whether it rehearses.
        asyncio.run(write_live(settings, empty, int(unix_s() * 1_000)))
    # Rows make no reference cycles and imported modules stay, so full collections only cost time.
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
    with tracing(settings, "worker") as traces:
        worker = Worker(settings, parameters, traces)
        return run_worker(worker.app, around=worker.resources())
