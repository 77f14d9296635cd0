"""The deliverer: each endpoint has its own connections, its own consumer group, its own pace."""

import asyncio
import logging
import random
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from time import time as unix_s
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from agents.process_log import run_logged
from agents.process_traces import tracing
from agents.ration import WebTime
from agents.web.server import Readiness, process_site, serving
from config.endpoints import Endpoint
from config.settings import Settings
from streams.broker_watch import BrokerWatch
from streams.graves import Fingerprints
from streams.kafka_clients import BrokerUnreachable, new_producer, running
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

#: After the broker failed an endpoint's reader.
RESTART_S = 2.0


def run(settings: Settings, endpoints: Sequence[Endpoint]) -> int:
    """Deliver until SIGTERM or SIGINT; the process's exit code.

    Raises `BrokerUnreachable` or `TopicsError` before anything is read when it cannot start.
    """
    return run_logged("deliver", settings, lambda: _run(settings, endpoints))


def _run(settings: Settings, endpoints: Sequence[Endpoint]) -> int:
    require_topics(settings)
    with tracing(settings, "deliver") as traces:
        run_timed(Deliverer(settings, endpoints, traces).run())
    return 0


class Deliverer:
    """All endpoints of one process."""

    def __init__(
        self, settings: Settings, endpoints: Sequence[Endpoint], traces: "Traces | None" = None
    ) -> None:
        self._settings = settings
        self._traces = traces
        self._endpoints = endpoints
        self._metrics = WebhookMetrics(endpoint.name for endpoint in endpoints)
        self._feeds: dict[str, EndpointFeed] = {}
        self._deliveries: dict[str, EndpointDelivery] = {}
        self._broker = BrokerWatch(settings)
        self._leaving = asyncio.Event()

    async def run(self) -> None:
        """Deliver until a signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._leave)
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
                ", ".join(endpoint.name for endpoint in self._endpoints),
                self._settings.web_host, port,
            )  # fmt: skip
            async with asyncio.TaskGroup() as group:
                for endpoint in self._endpoints:
                    group.create_task(self._keep_delivering(endpoint, producer))
        log.info("stopped: whatever was taken is committed")

    def _drawn(self) -> bytes:
        self._metrics.broker_silence.set(self._broker.silence_s())
        return self._metrics.exposition()

    def _leave(self) -> None:
        log.info("stopping: finishing what is in hand")
        self._leaving.set()
        for feed in self._feeds.values():
            feed.leave()

    async def _keep_delivering(self, endpoint: Endpoint, producer: AIOKafkaProducer) -> None:
        """Deliver to one endpoint; begin again when the broker failed it, which others may not
        notice.
        """
        undelivered = UndeliveredMessages(producer, self._settings)
        around = Surroundings(
            set_aside=partial(undelivered.keep, endpoint.name),
            metrics=self._metrics,
            fingerprints=Fingerprints(self._settings.erasure_salt),
            max_age_ms=self._settings.deliver_max_age_ms,
            clock_ms=lambda: int(unix_s() * 1_000),
            chance=random.random,
            traces=self._traces,
        )
        while not self._leaving.is_set():
            async with Sender(endpoint) as sender:
                delivery = EndpointDelivery(endpoint.rule, Composer(endpoint), sender, around)
                feed = EndpointFeed(self._settings, endpoint.rule, delivery, self._metrics)
                self._feeds[endpoint.name] = feed
                self._deliveries[endpoint.name] = delivery
                try:
                    await feed.run()
                except (
                    KafkaError,
                    BrokerUnreachable,
                    TopicsChanged,
                    asyncio.CancelledError,
                ) as error:
                    # A connection that closes cancels what waits for its answer. Taken for our own
                    # end, it would end the process in silence.
                    if (task := asyncio.current_task()) is not None and task.cancelling():
                        raise
                    log.warning("%s: %s; beginning again", endpoint.name, _in_short(error))
                    await self._rest()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(RESTART_S):
                await self._leaving.wait()
        except TimeoutError:
            pass

    def _problems(self) -> list[str]:
        joining = [
            f"{endpoint.name} has yet to join its group"
            for endpoint in self._endpoints
            if endpoint.name not in self._feeds or not self._feeds[endpoint.name].has_joined
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
