"""The collector as a process, from start to stop."""

import asyncio
import gc
import logging
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from agents.collector.site import collecting_site, operators_site
from agents.collector.taking import Collector
from agents.process_log import run_logged
from agents.process_traces import tracing
from agents.ration import WebTime
from agents.watched_files import WatchedFiles
from agents.web.connections import connections_max
from agents.web.server import ListenAddress, listening, serving
from config.parameters import Parameters
from config.rules import RuleError
from config.settings import Settings, SettingsError, variable_of
from config.sources import Senders, load_senders
from config.topics import DEAD_LETTERS, RAW_TOPICS
from streams.collector.mappings import mapping_of
from streams.collector.metrics import CollectorMetrics
from streams.collector.shared_outbox import WAIT_S, shared_outbox
from streams.stop_signals import on_stop_signal
from streams.timed_loop import run_timed
from streams.topics import partitions_there

if TYPE_CHECKING:
    from streams.tracing import Traces

log = logging.getLogger(__name__)

CONNECTIONS_MAX = 1_000
#: How long to keep reading a connection after the answer, so that a client that is still sending
#: can read the answer.
LINGER_S = 1.0


def run_collector(settings: Settings, parameters: Parameters) -> None:
    """Receive events until a signal, then answer the requests in progress.

    Raises `SettingsError`, `RuleError`, `BrokerUnreachable`, `TopicsError` or `AddressRefused` when
    it cannot start.
    """
    run_logged("collector", settings, lambda: _run(settings, parameters))


def _run(settings: Settings, parameters: Parameters) -> int:
    senders = load_senders(settings)
    for source in senders.webhooks.values():
        # Before anything is started: an invalid mapping is refused with its fix.
        mapping_of(source)
    partitions = partitions_there(settings, (*RAW_TOPICS, DEAD_LETTERS))
    # Requests leave no reference cycles behind, so full collections only cost time.
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
    with tracing(settings, "collector") as traces:
        run_timed(_collect(settings, parameters, senders, partitions, traces))
    return 0


async def _collect(
    settings: Settings,
    parameters: Parameters,
    senders: Senders,
    partitions: dict[str, int],
    traces: "Traces | None",
) -> None:
    stopping = asyncio.Event()
    on_stop_signal(stopping.set)
    async with AsyncExitStack() as stack:
        outbox = await stack.enter_async_context(shared_outbox(settings))
        metrics = CollectorMetrics(senders.limits)
        collector = Collector(senders, parameters, partitions, outbox, metrics, traces)
        time = WebTime()
        own_site = operators_site(collector, metrics, outbox, time)
        own_port = await stack.enter_async_context(serving(own_site, settings, time))
        port = await stack.enter_async_context(
            listening(
                collecting_site(collector),
                _place(settings),
                # `bodies` inflates them, within limits and whatever their label says.
                auto_decompress=False,
                lingering_time=LINGER_S,
            )
        )
        log.info(
            "taking events of %s on http://%s:%d; metrics and health on http://%s:%d",
            ", ".join(sorted(senders.limits)), settings.collector_host, port,
            settings.web_host, own_port,
        )  # fmt: skip
        address = f"http://{settings.collector_host}:{port}"
        _tell_webhooks(senders, address)
        if senders.files:
            sources = SourcesInUse(settings, senders, collector, address)
            watched = WatchedFiles(
                sources.files, sources.read, (SettingsError, RuleError), metrics.files
            )
            watching = asyncio.create_task(watched.watch())
            stack.callback(watching.cancel)
        await stopping.wait()
        log.info("stopping: what was taken is written first")
        collector.is_closing = True
        await collector.settle(WAIT_S)


class SourcesInUse:
    """The file of sources, and the sources from it that the collector uses."""

    def __init__(
        self, settings: Settings, senders: Senders, collector: Collector, address: str
    ) -> None:
        self._settings = settings
        self._senders = senders
        self._collector = collector
        self._address = address

    def files(self) -> Sequence[Path]:
        """The files that the sources were read from."""
        return self._senders.files

    def read(self) -> None:
        """Read the files again and give their sources to the collector. Raises `SettingsError` or
        `RuleError`, and then the collector keeps its sources.
        """
        senders = load_senders(self._settings)
        self._collector.know(senders)
        before, after = self._senders.limits.keys(), senders.limits.keys()
        self._senders = senders
        log.info(
            "the file of sources was read again: %d sources%s%s",
            len(after), _named("new", after - before), _named("gone", before - after),
        )  # fmt: skip
        new = {name: senders.webhooks[name] for name in senders.webhooks.keys() - before}
        _tell_webhooks(Senders({}, new), self._address)


def _named(what: str, names: Collection[str]) -> str:
    return f", {what}: {', '.join(sorted(names))}" if names else ""


def _tell_webhooks(senders: Senders, address: str) -> None:
    for name, one in senders.webhooks.items():
        log.info("taking webhooks of %s on %s/webhooks/%s", one.rule.vendor, address, name)


def _place(settings: Settings) -> ListenAddress:
    return ListenAddress(
        "the collector",
        settings.collector_host,
        settings.collector_port,
        variable_of("collector_host"),
        variable_of("collector_port"),
        connections_max(CONNECTIONS_MAX),
    )
