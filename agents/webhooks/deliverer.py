"""The deliverer: each endpoint has its own connections, its own consumer group, its own pace."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from time import time as unix_s
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from agents.process_log import run_logged
from agents.process_traces import tracing
from agents.ration import WebTime
from agents.watched_files import WatchedFiles
from agents.web.server import Readiness, process_site, serving
from config.endpoints import Endpoint, files_of
from config.parameters import ParameterError
from config.rules import RuleError
from config.settings import Settings, SettingsError
from streams.broker_watch import BrokerWatch
from streams.graves import Fingerprints
from streams.kafka_clients import BrokerUnreachable, new_producer, running
from streams.stop_signals import on_stop_signal
from streams.timed_loop import run_timed
from streams.topics import require_topics
from streams.webhooks.delivery import EndpointDelivery, Surroundings
from streams.webhooks.destinations import Composer
from streams.webhooks.feed import EndpointFeed, TopicsChanged
from streams.webhooks.metrics import WebhookMetrics
from streams.webhooks.sender import Sender
from streams.webhooks.undelivered import UndeliveredMessages

if TYPE_CHECKING:
    from streams.tracing import Traces

log = logging.getLogger(__name__)

#: Seconds before restarting an endpoint's reader after a broker error.
RESTART_S = 2.0


Load = Callable[[], Sequence[Endpoint]]


def run(settings: Settings, file: Path, load: Load) -> int:
    """Deliver until a signal; return the process's exit code. ``load`` reads ``file``, now and
    whenever it changes.

    Raises `RuleError`, `BrokerUnreachable` or `TopicsError` when it cannot start; nothing has been
    read by then.
    """
    endpoints = load()
    return run_logged("deliver", settings, lambda: _run(settings, endpoints, file, load))


def _run(settings: Settings, endpoints: Sequence[Endpoint], file: Path, load: Load) -> int:
    require_topics(settings)
    with tracing(settings, "deliver") as traces:
        run_timed(Deliverer(settings, endpoints, file, load, traces).run())
    return 0


class Deliverer:
    """All endpoints of one process."""

    def __init__(
        self,
        settings: Settings,
        endpoints: Sequence[Endpoint],
        file: Path,
        load: Load,
        traces: "Traces | None" = None,
    ) -> None:
        self._settings = settings
        self._traces = traces
        self._file = file
        self._load = load
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        self._metrics = WebhookMetrics(self._endpoints)
        self._delivering: dict[str, asyncio.Task[None]] = {}
        self._feeds: dict[str, EndpointFeed] = {}
        self._deliveries: dict[str, EndpointDelivery] = {}
        self._broker = BrokerWatch(settings)
        self._leaving = asyncio.Event()

    async def run(self) -> None:
        """Deliver until a signal."""
        on_stop_signal(self._leave)
        async with AsyncExitStack() as stack:
            producer = await stack.enter_async_context(
                running(new_producer(self._settings), self._settings)
            )
            watching = asyncio.create_task(self._broker.watch())
            stack.callback(watching.cancel)
            readiness = Readiness(self._problems, self._delays)
            time = WebTime()
            site = process_site(self._drawn, readiness, time)
            port = await stack.enter_async_context(serving(site, self._settings, time))
            log.info(
                "delivering to %s; health and metrics at %s:%s",
                ", ".join(self._endpoints),
                self._settings.web_host, port,
            )  # fmt: skip
            async with asyncio.TaskGroup() as group:
                reading = asyncio.create_task(self._watched(group, producer).watch())
                stack.callback(reading.cancel)
                self._begin(self._endpoints, group, producer)
                await self._leaving.wait()
        log.info("stopped: whatever was taken is committed")

    def _watched(self, group: asyncio.TaskGroup, producer: AIOKafkaProducer) -> WatchedFiles:
        return WatchedFiles(
            lambda: files_of(self._file, self._endpoints.values()),
            lambda: self._read_again(group, producer),
            (RuleError, ParameterError, SettingsError),
            self._metrics.files,
        )

    def _begin(
        self, names: Iterable[str], group: asyncio.TaskGroup, producer: AIOKafkaProducer
    ) -> None:
        for name in names:
            delivering = self._delivering.get(name)
            # A task that has not ended yet continues with the new endpoint.
            if delivering is None or delivering.done():
                delivering = group.create_task(self._keep_delivering(name, producer))
                self._delivering[name] = delivering

    def _read_again(self, group: asyncio.TaskGroup, producer: AIOKafkaProducer) -> None:
        """Apply the present file: a changed endpoint restarts at its position, and the others are
        not affected. Raises `RuleError`.
        """
        before, now = self._endpoints, {one.name: one for one in self._load()}
        if self._leaving.is_set():
            return
        self._endpoints = now
        new = sorted(now.keys() - before.keys())
        gone = sorted(before.keys() - now.keys())
        changed = sorted(
            name for name in now.keys() & before.keys() if not now[name].is_as(before[name])
        )
        for name in (*gone, *changed):
            if feed := self._feeds.get(name):
                feed.leave()
        for name in new:
            self._metrics.know(name)
        self._begin(new, group, producer)
        told = (("new", new), ("changed", changed), ("gone", gone))
        words = [f"{what}: {', '.join(names)}" for what, names in told if names]
        log.info("the file of endpoints was read again: %s", "; ".join(words) or "all as before")

    def _drawn(self) -> bytes:
        self._metrics.broker_silence.set(self._broker.silence_s())
        return self._metrics.exposition()

    def _leave(self) -> None:
        log.info("stopping: finishing what is in hand")
        self._leaving.set()
        for feed in self._feeds.values():
            feed.leave()

    async def _keep_delivering(self, name: str, producer: AIOKafkaProducer) -> None:
        """Deliver to one endpoint for as long as it is in the file. Restart when it changed, and
        after a broker error, which may concern this endpoint only.
        """
        undelivered = UndeliveredMessages(producer, self._settings)
        around = Surroundings(
            set_aside=partial(undelivered.keep, name),
            metrics=self._metrics,
            fingerprints=Fingerprints(self._settings.erasure_salt),
            max_age_ms=self._settings.deliver_max_age_ms,
            clock_ms=lambda: int(unix_s() * 1_000),
            chance=random.random,
            traces=self._traces,
        )
        while name in self._endpoints and not self._leaving.is_set():
            endpoint = self._endpoints[name]
            async with Sender(endpoint) as sender:
                delivery = EndpointDelivery(endpoint.rule, Composer(endpoint), sender, around)
                feed = EndpointFeed(self._settings, endpoint.rule, delivery, self._metrics)
                self._feeds[name] = feed
                self._deliveries[name] = delivery
                try:
                    await feed.run()
                except (
                    KafkaError,
                    BrokerUnreachable,
                    TopicsChanged,
                    asyncio.CancelledError,
                ) as error:
                    # A closing connection cancels whatever waits for its answer. Mistaken for our
                    # own cancellation, that would end the process silently.
                    if (task := asyncio.current_task()) is not None and task.cancelling():
                        raise
                    log.warning("%s: %s; beginning again", name, _in_short(error))
                    await self._rest()
        if name not in self._endpoints:
            del self._feeds[name], self._deliveries[name]
            self._metrics.forget(name)

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(RESTART_S):
                await self._leaving.wait()
        except TimeoutError:
            pass

    def _problems(self) -> list[str]:
        joining = [
            f"{name} has yet to join its group"
            for name in self._endpoints
            if name not in self._feeds or not self._feeds[name].has_joined
        ]
        return [*self._broker.problems(), *joining]

    def _delays(self) -> list[str]:
        told = []
        for name, delivery in self._deliveries.items():
            if delivery.is_disabled:
                told.append(f"{name} answered 410 and gets nothing until the next start")
            elif delivery.is_open:
                told.append(f"{name} fails, and is only probed; {delivery.pending:,} wait")
        return told


def _in_short(error: BaseException) -> str:
    is_ours = isinstance(error, BrokerUnreachable | TopicsChanged)
    return str(error) if is_ours else type(error).__name__
