"""The collector of a standing deployment, and the write key for it."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Self

from agents.collector.write_keys import new_write_key
from agents.collector_process import start_collector
from agents.standing.directory import Addresses
from agents.standing.upkeep import STOP_TIMEOUT_S, KeptUp, ports_near
from config.settings import Settings, variable_of
from config.sources import hash_of, sources_in
from streams.embedded.process import ServerProcess, killed_on_failure, stop_all

#: The source whose write key `keepstream up` makes.
SOURCE = "up"


class StandingCollector:
    """A collector with its log beside the data; it does not outlive the `with` block.

    ``write_key``: one that it takes, the same as at the last start; empty where the operator has
    sources of their own. ``webhook_urls``: where vendors post theirs. ``taken``: ports that others
    are about to listen on.
    """

    def __init__(
        self,
        directory: Path,
        environ: Mapping[str, str],
        settings: Settings,
        last: Addresses | None,
        taken: list[int],
    ) -> None:
        before = last.collector_ports if last is not None else []
        wanted = [*before, settings.collector_port, settings.collector_port + 1]
        self.ports = ports_near([port for port in wanted if port not in taken], 2)
        self.url = f"http://{settings.collector_host}:{self.ports[0]}"
        self.health_url = f"http://{settings.web_host}:{self.ports[1]}"
        self.write_key = ""
        file = settings.collector_sources
        names = sources_in(Path(file)).webhooks if file else ()
        self.webhook_urls = [f"{self.url}/webhooks/{name}" for name in names]
        self._environ = dict(environ)
        if not (settings.collector_sources or settings.collector_keys):
            self.write_key = (last.write_key if last is not None else "") or new_write_key()
            self._environ[variable_of("collector_keys")] = f"{SOURCE}={hash_of(self.write_key)}"
        process = ServerProcess("collector", directory)
        self.kept = KeptUp("collector", process, partial(self._start, process))

    def __enter__(self) -> Self:
        with killed_on_failure([self.kept.process]):
            self._start(self.kept.process)
        return self

    def __exit__(self, *_: object) -> None:
        stop_all([self.kept.process], STOP_TIMEOUT_S)

    def _start(self, process: ServerProcess) -> None:
        start_collector(process, self._environ, *self.ports)
