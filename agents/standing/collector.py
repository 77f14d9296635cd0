"""The collector of a standing deployment, and its write key."""

from collections.abc import Mapping
from pathlib import Path

from agents.collector.write_keys import new_write_key
from agents.standing.directory import Addresses
from agents.standing.upkeep import StandingProgram, ports_near
from config.settings import Settings, variable_of
from config.sources import hash_of, sources_in

#: The source whose write key `keepstream up` makes.
SOURCE = "up"


class StandingCollector(StandingProgram):
    """The collector. ``write_key``: a key that it accepts, the same as at the last start; empty if
    the operator has declared sources. ``webhook_urls``: where vendors post their webhooks.
    ``taken``: ports that other programs are about to use.
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
        told = {
            variable_of("collector_port"): str(self.ports[0]),
            variable_of("web_port"): str(self.ports[1]),
        }
        if not (settings.collector_sources or settings.collector_keys):
            self.write_key = (last.write_key if last is not None else "") or new_write_key()
            told[variable_of("collector_keys")] = f"{SOURCE}={hash_of(self.write_key)}"
        super().__init__("collector", directory, {**environ, **told})
