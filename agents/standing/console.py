"""The console of a standing deployment, and the token to log in to it."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Self

from agents.console.sessions import login_url, new_secret
from agents.standing.directory import Addresses
from agents.standing.upkeep import STOP_TIMEOUT_S, KeptUp, ports_near
from agents.worker_process import start_command
from config.settings import Settings, variable_of
from config.sources import hash_of
from streams.embedded.process import ServerProcess, killed_on_failure, stop_all

#: Whose token `keepstream up` makes.
PERSON = "up"


class StandingConsole:
    """A console with its log beside the data; it does not outlive the `with` block.

    ``token``: one that logs in, the same as at the last start; empty where the operator has named
    people of their own. ``worker_url``: the worker that is asked about customers. ``taken``: ports
    that others are about to listen on.
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
        self._environ = {
            **environ,
            variable_of("console_port"): str(self.ports[0]),
            variable_of("web_advertised_url"): worker_url,
        }
        if not (settings.console_people or settings.console_tokens):
            self.token = (last.console_token if last is not None else "") or new_secret()
            entry = f"{PERSON}:{settings.console_role}={hash_of(self.token)}"
            self._environ[variable_of("console_tokens")] = entry
        process = ServerProcess("console", directory)
        self.kept = KeptUp("console", process, partial(self._start, process))

    @property
    def login_url(self) -> str:
        """Where to begin: with a token of its own, a link that logs in."""
        return login_url(self.url, self.token) if self.token else self.url

    def __enter__(self) -> Self:
        with killed_on_failure([self.kept.process]):
            self._start(self.kept.process)
        return self

    def __exit__(self, *_: object) -> None:
        stop_all([self.kept.process], STOP_TIMEOUT_S)

    def _start(self, process: ServerProcess) -> None:
        start_command(process, ["console"], self._environ)
