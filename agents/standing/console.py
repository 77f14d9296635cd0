"""The console of a standing deployment, and the token to log in to it."""

from collections.abc import Mapping
from pathlib import Path

from agents.console.sessions import login_url, new_secret
from agents.standing.directory import Addresses
from agents.standing.upkeep import StandingProgram, ports_near
from config.settings import Settings, variable_of
from config.sources import hash_of

#: The name of the person whose token `keepstream up` makes.
PERSON = "up"


class StandingConsole(StandingProgram):
    """The console. ``token``: a token that logs in, the same as at the last start; empty if the
    operator has declared people. ``worker_url``: the worker to ask about customers. ``taken``:
    ports that other programs are about to use.
    """

    def __init__(
        self,
        directory: Path,
        environ: Mapping[str, str],
        settings: Settings,
        last: Addresses | None,
        worker_url: str,
        taken: list[int],
    ) -> None:
        before = last.console_ports if last is not None else []
        wanted = [port for port in (*before, settings.console_port) if port not in taken]
        self.ports = ports_near(wanted, 1)
        self.url = f"http://{settings.console_host}:{self.ports[0]}"
        self.token = ""
        told = {
            variable_of("console_port"): str(self.ports[0]),
            variable_of("web_advertised_url"): worker_url,
        }
        if not (settings.console_people or settings.console_tokens):
            self.token = (last.console_token if last is not None else "") or new_secret()
            entry = f"{PERSON}:{settings.console_role}={hash_of(self.token)}"
            told[variable_of("console_tokens")] = entry
        super().__init__("console", directory, {**environ, **told})

    @property
    def login_url(self) -> str:
        """The console's address; with its own token, a link that logs in."""
        return login_url(self.url, self.token) if self.token else self.url
