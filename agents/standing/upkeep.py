"""Restarts servers and workers when they end."""

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

#: Seconds that a stopping worker has to finish its work in progress.
STOP_TIMEOUT_S = 30.0
#: A process that ends more than ``ENDS_MAX`` times within ``ENDS_WITHIN_S`` is not restarted.
ENDS_MAX, ENDS_WITHIN_S = 3, 120.0
#: Exit code of a program that refuses its input: a restart would not help.
_REFUSED = 2
#: How often our store's file is rewritten. Deleted data stays in it until then.
FILE_RENEWED_EVERY_S = 86_400.0
_WEB_PORT = 8080
_DELIVERER_PORT = 8180


class NotKeptUp(RuntimeError):
    """A process ends again and again, or refuses to start; the message has the end of its log."""


#: The name of each command's process.
_PROGRAMS = {"collector": "collector", "console": "console", "deliver": "deliverer"}


class KeptUp:
    """A process that must keep running, and how to restart it."""

    def __init__(self, name: str, process: ServerProcess, start: Callable[[], None]) -> None:
        self.name = name
        self.process = process
        self._start = start
        self._ended_s: list[float] = []

    def tend(self, say: Say) -> None:
        """Restart the process if it has ended. Raises ``NotKeptUp``."""
        if self.process.pid:
            return
        code, now_s = self.process.exit_code, monotonic()
        self._ended_s = [at_s for at_s in self._ended_s if now_s - at_s < ENDS_WITHIN_S] + [now_s]
        if code == _REFUSED or len(self._ended_s) > ENDS_MAX:
            raise NotKeptUp(f"{self.name} ended with code {code}. {self.process.log_tail()}")
        say(f"{self.name} ended with code {code}; starting it again (log: {self.process.log_path})")
        self._start()


class StoreFile:
    """The append-only file of our own store. Deleted data stays in it until it is rewritten: at the
    start, and then once a day.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._due_s = 0.0

    def tend(self) -> None:
        """Have the store rewrite its file if that is due; try again later if the store is away."""
        if monotonic() < self._due_s:
            return
        with suppress(RedisError), closing(Redis.from_url(self._url)) as store:
            store.bgrewriteaof()
            self._due_s = monotonic() + FILE_RENEWED_EVERY_S


class StandingWorkers:
    """Several workers, each with a log beside the data; none outlives the `with` block."""

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
        """The addresses of the workers' health and metrics."""
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
    """One `keepstream` command in its own process, with its log beside the data; it does not
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
    """The deliverer for the declared endpoints."""

    def __init__(self, directory: Path, environ: Mapping[str, str], before: Sequence[int]) -> None:
        self.ports = _ports(1, before, _DELIVERER_PORT)
        #: The address of its health and metrics.
        self.url = f"http://{HOST}:{self.ports[0]}"
        told = {variable_of("web_port"): str(self.ports[0])}
        super().__init__("deliver", directory, {**environ, **told})


def _ports(count: int, before: Sequence[int], first: int = _WEB_PORT) -> list[int]:
    """The previous ports, if they are still free."""
    return ports_near([*before, *range(first, first + count)], count)


def ports_near(wanted: Sequence[int], count: int) -> list[int]:
    """``count`` free ports: the wanted ones as far as they are free."""
    mine = list(dict.fromkeys(port for port in wanted if are_free([port])))[:count]
    return mine + free_ports(count - len(mine))


def kept_servers(servers: Mapping[str, EmbeddedServer]) -> list[KeptUp]:
    """The broker and the store, if they were started here."""
    return [
        KeptUp(name, process, server.start)
        for name, server in servers.items()
        for process in server.processes
    ]
