"""Servers and workers that are started again when they end."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

from agents.standing.services import Say
from agents.worker_process import start_command, start_worker
from config.settings import variable_of
from streams.embedded.ports import HOST, are_free, free_ports
from streams.embedded.process import ServerProcess, killed_on_failure, stop_all
from streams.embedded.server import EmbeddedServer

#: A worker that is told to stop has so long to finish what it has in hand.
STOP_TIMEOUT_S = 30.0
#: What ends so often within so long is not started once more.
ENDS_MAX, ENDS_WITHIN_S = 3, 120.0
#: Exit code of a program that refuses: it would refuse again.
_REFUSED = 2
#: How long what was deleted in a store of our own stays in its file.
FILE_RENEWED_EVERY_S = 86_400.0
_WEB_PORT = 8080
_DELIVERER_PORT = 8180


class NotKeptUp(RuntimeError):
    """Something ends again and again, or refuses to start; the message has the end of its log."""


#: What each command's process is called.
_PROGRAMS = {"collector": "collector", "console": "console", "deliver": "deliverer"}


class KeptUp:
    """One process that is to run, and how it is started again."""

    def __init__(self, name: str, process: ServerProcess, start: Callable[[], None]) -> None:
        self.name = name
        self.process = process
        self._start = start
        self._ended_s: list[float] = []

    def tend(self, say: Say) -> None:
        """Start it again if it has ended. Raises ``NotKeptUp``."""
        if self.process.pid:
            return
        code, now_s = self.process.exit_code, monotonic()
        self._ended_s = [at_s for at_s in self._ended_s if now_s - at_s < ENDS_WITHIN_S] + [now_s]
        if code == _REFUSED or len(self._ended_s) > ENDS_MAX:
            raise NotKeptUp(f"{self.name} ended with code {code}. {self.process.log_tail()}")
        say(f"{self.name} ended with code {code}; starting it again (log: {self.process.log_path})")
        self._start()


class StoreFile:
    """The file in which a store of our own keeps what it is told. What was deleted is in it until
    it is written anew: at once, and every day from then on.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._due_s = 0.0

    def tend(self) -> None:
        """Have the store write its file anew, if that is due; one that is away is asked again."""
        if monotonic() < self._due_s:
            return
        with suppress(RedisError), closing(Redis.from_url(self._url)) as store:
            store.bgrewriteaof()
            self._due_s = monotonic() + FILE_RENEWED_EVERY_S


class StandingWorkers:
    """Some workers, each with a log beside the data; none outlives the `with` block."""

    def __init__(
        self,
        count: int,
        environ: Mapping[str, str],
        processes: Sequence[ServerProcess],
        ports: Sequence[int],
        *,
        is_live: bool,
    ) -> None:
        self.ports = _ports(count, ports)
        self._environ = environ
        self._is_live = is_live
        self._processes = processes
        self.kept = [
            KeptUp(f"worker {number}", process, partial(self._start, process, port))
            for number, (process, port) in enumerate(zip(processes, self.ports, strict=True), 1)
        ]

    @property
    def urls(self) -> list[str]:
        """Where each worker serves its health and metrics."""
        return [f"http://{HOST}:{port}" for port in self.ports]

    def __enter__(self) -> Self:
        with killed_on_failure(self._processes):
            for process, port in zip(self._processes, self.ports, strict=True):
                self._start(process, port)
        return self

    def __exit__(self, *_: object) -> None:
        stop_all(self._processes, STOP_TIMEOUT_S)

    def _start(self, process: ServerProcess, port: int) -> None:
        start_worker(process, self._environ, port, is_live=self._is_live)


class StandingProgram:
    """One `keepstream` command in a process of its own, with its log beside the data; it does not
    outlive the `with` block.
    """

    def __init__(self, command: str, directory: Path, environ: Mapping[str, str]) -> None:
        process = ServerProcess(_PROGRAMS[command], directory)
        self._start = partial(start_command, process, [command], environ)
        self.kept = KeptUp(_PROGRAMS[command], process, self._start)

    def __enter__(self) -> Self:
        with killed_on_failure([self.kept.process]):
            self._start()
        return self

    def __exit__(self, *_: object) -> None:
        stop_all([self.kept.process], STOP_TIMEOUT_S)


class StandingDeliverer(StandingProgram):
    """The deliverer to the endpoints that are declared."""

    def __init__(self, directory: Path, environ: Mapping[str, str], before: Sequence[int]) -> None:
        self.ports = _ports(1, before, _DELIVERER_PORT)
        #: Where it serves its health and metrics.
        self.url = f"http://{HOST}:{self.ports[0]}"
        told = {variable_of("web_port"): str(self.ports[0])}
        super().__init__("deliver", directory, {**environ, **told})


def _ports(count: int, before: Sequence[int], first: int = _WEB_PORT) -> list[int]:
    """The ports that they had before, if nobody else has them by now."""
    return ports_near([*before, *range(first, first + count)], count)


def ports_near(wanted: Sequence[int], count: int) -> list[int]:
    """So many ports that nobody has: those that are wanted, as far as they go."""
    mine = list(dict.fromkeys(port for port in wanted if are_free([port])))[:count]
    return mine + free_ports(count - len(mine))


def kept_servers(servers: Mapping[str, EmbeddedServer]) -> list[KeptUp]:
    """The broker and the store that were started here."""
    return [
        KeptUp(name, process, server.start)
        for name, server in servers.items()
        for process in server.processes
    ]
