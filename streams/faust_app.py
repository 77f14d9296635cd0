"""The Faust app that delivers record batches, and how a worker process runs it."""

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import faust
from faust.agents import Agent
from faust.app import BootStrategy
from faust.streams import Stream
from faust.types.agents import ActorRefT
from faust.types.transports import TransportT
from mode.supervisors import CrashingSupervisor

from streams.batch_consumer import BatchConsumer, Batching, BatchTransport
from streams.partition_owners import PartitionOwners
from streams.stop_signals import on_stop_signal
from streams.timed_loop import run_timed

log = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_FAILED = 1
#: How long an app may take to stop, and then its connections to close. The sum is less than the
#: 30 s that service managers allow a process, and holds while the broker is away, too.
STOP_GRACE_S = 20.0
CLOSE_GRACE_S = 4.0


class ManualAckStream(Stream[Any]):
    """A stream whose events are acked by the agent alone.

    Faust's default acks an event when the next one is requested, even after an error, and its
    compiled iterator does so without asking the consumer.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "enable_acks": False})


class EndlessAgent(Agent):
    """An agent that ends the process when it raises or returns."""

    async def _execute_actor(self, coro: Awaitable[Any], aref: ActorRefT) -> None:
        await super()._execute_actor(coro, aref)
        if not (self.should_stop or self.app.should_stop or aref.crashed):
            await aref.crash(
                RuntimeError(f"Agent {self.name} returned, so nobody would read its topic.")
            )


class ConsumingBoot(BootStrategy):
    """Start no Faust producer: Keepstream's own idempotent producers write the effects."""

    enable_kafka_producer = False


class KeepstreamApp(faust.App):
    """A Faust app whose every topic delivers record batches. Made by `new_faust_app`.

    ``owners``: answers who owns the partitions of one topic.
    """

    BootStrategy = ConsumingBoot

    def __init__(
        self, group_id: str, *, batching: Batching, owners: PartitionOwners, **options: Any
    ) -> None:
        self.batching = batching
        self.owners = owners
        super().__init__(group_id, **options)

    def _new_transport(self) -> TransportT:
        return BatchTransport(self.conf.broker_consumer, self)

    @property
    def batch_consumer(self) -> BatchConsumer:
        """The consumer, for its ledger, its lag and its commits."""
        return cast(BatchConsumer, self.consumer)

    def batch_topic(self, name: str) -> faust.TopicT:
        """The topic an agent reads `RecordBatch` from. It must exist already."""
        return self.topic(name, key_serializer="raw", value_serializer="raw")

    def _create_directories(self) -> None:
        """Make none: they are for tables, which Keepstream doesn't use, and a killed worker would
        leave them behind.
        """

    def on_rebalance_end(self) -> None:
        """Start fetching again."""
        super().on_rebalance_end()
        self.batch_consumer.allow_fetching()


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """How soon the group notices that a worker is gone, and how long a rebalance waits for it.

    With ``group_instance_id`` membership is static: a restart within the session timeout causes no
    rebalance, and a worker that stays away is replaced only after that timeout.
    """

    session_timeout_s: float = 10.0
    heartbeat_interval_s: float = 2.0
    rebalance_timeout_s: float = 30.0
    request_timeout_s: float = 30.0
    group_instance_id: str | None = None


def new_faust_app(
    group_id: str,
    *,
    bootstrap_servers: str,
    credentials: Any = None,
    batching: Batching | None = None,
    membership: Membership | None = None,
    owned_topic: str = "",
    commit_interval_s: float = 0.5,
    max_fetch_bytes: int = 1024 * 1024,
) -> KeepstreamApp:
    """Make an app that reads with ``group_id`` from ``bootstrap_servers`` ("host:port,host:port").

    ``credentials`` are Faust's broker credentials, for SASL or TLS. All workers learn who owns the
    partitions of ``owned_topic``. ``max_fetch_bytes`` is for one partition. The app has no tables,
    no web server and no topics of its own. Its settings are the ones given here: Faust's
    environment variables are ignored.
    """
    batching = batching or Batching()
    membership = membership or Membership()
    if batching.drain_timeout_s >= membership.rebalance_timeout_s:
        raise ValueError(
            f"drain_timeout_s ({batching.drain_timeout_s:g}) must be below rebalance_timeout_s "
            f"({membership.rebalance_timeout_s:g}), or the broker takes a draining worker for dead."
        )
    return KeepstreamApp(
        group_id,
        batching=batching,
        owners=PartitionOwners(owned_topic),
        env={},
        broker=";".join(f"kafka://{server.strip()}" for server in bootstrap_servers.split(",")),
        broker_credentials=credentials,
        broker_commit_interval=commit_interval_s,
        broker_session_timeout=membership.session_timeout_s,
        broker_heartbeat_interval=membership.heartbeat_interval_s,
        broker_rebalance_timeout=membership.rebalance_timeout_s,
        broker_request_timeout=membership.request_timeout_s,
        broker_max_poll_interval=membership.rebalance_timeout_s * 10,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=max_fetch_bytes,
        consumer_group_instance_id=membership.group_instance_id,
        # Any other guarantee would be a second way to lose or repeat records.
        processing_guarantee="at_least_once",
        stream_wait_empty=True,
        stream_publish_on_commit=False,
        # One batch a topic at a time: never full, so Faust's back-pressure stays out of the way.
        stream_buffer_maxsize=16,
        stream_recovery_delay=0.0,
        store="memory://",
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        autodiscover=False,
        web_enabled=False,
        agent_supervisor=CrashingSupervisor,
        Agent=EndlessAgent,
        Stream=ManualAckStream,
    )


def run_worker(
    app: KeepstreamApp,
    *,
    around: AbstractAsyncContextManager[None] | None = None,
    stop_grace_s: float = STOP_GRACE_S,
) -> int:
    """Run ``app`` until a signal or a failure, and return the process's exit code.

    ``around`` is entered before anything is read and left after the last batch has ended; its
    errors on entry are raised here.

    On a signal, agents finish their batches, which are committed. The code is 0 if that took no
    longer than ``stop_grace_s``. An error in an agent, in the consumer or in a service ends the
    worker with 1, and batches in flight are not committed. `CLOSE_GRACE_S` after the grace period
    the process ends, even if something hangs.
    """
    limit = threading.Timer(stop_grace_s + CLOSE_GRACE_S, _end_at_once)
    limit.daemon = True
    try:
        return run_timed(_serve_within(app, around or nullcontext(), stop_grace_s, limit))
    finally:
        limit.cancel()


def _end_at_once() -> None:
    """End as a kill would, which loses nothing. Runs in a thread, as the loop may be stuck."""
    log.critical("something does not end; ending without it")
    logging.shutdown()
    os._exit(EXIT_FAILED)


async def _serve_within(
    app: KeepstreamApp,
    around: AbstractAsyncContextManager[None],
    stop_grace_s: float,
    limit: threading.Timer,
) -> int:
    async with around:
        return await _serve(app, stop_grace_s, limit)


async def _serve(app: KeepstreamApp, stop_grace_s: float, limit: threading.Timer) -> int:
    signalled = asyncio.Event()
    on_stop_signal(signalled.set)
    app.in_worker = True
    running = asyncio.create_task(_run(app))
    signalled_wait = asyncio.create_task(signalled.wait())
    await asyncio.wait({running, signalled_wait}, return_when=asyncio.FIRST_COMPLETED)
    signalled_wait.cancel()
    limit.start()

    failure = _failure(app, running)
    if failure is None:
        log.info("stopping: finishing what is in hand")
    stopped_in_time = await _stop(app, stop_grace_s)
    running.cancel()
    # Only now: Faust may stop a crashing app before it records what crashed it.
    failure = failure or _failure(app, running)
    if failure is not None:
        log.critical("worker failed: %s: %s", type(failure).__name__, failure, exc_info=failure)
    return EXIT_OK if failure is None and stopped_in_time else EXIT_FAILED


async def _run(app: KeepstreamApp) -> None:
    await app.start()
    await app.wait_until_stopped()


def _failure(app: KeepstreamApp, running: asyncio.Task[None]) -> BaseException | None:
    if running.done() and not running.cancelled() and running.exception() is not None:
        return running.exception()
    return app.crash_reason


async def _stop(app: KeepstreamApp, grace_s: float) -> bool:
    """Stop the app; False if it fails or takes too long.

    It is not cancelled then: while mode waits for the parts of a service, it takes a cancellation
    for the end of one part, and waits for the next without limit.
    """
    stopping = asyncio.create_task(app.stop())
    await asyncio.wait({stopping}, timeout=grace_s)
    if not stopping.done():
        log.critical("did not stop within %s s; ending anyway", grace_s)
        return False
    if (error := stopping.exception()) is not None:
        log.critical("failed while stopping", exc_info=error)
        return False
    return True
