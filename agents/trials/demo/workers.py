"""The worker processes of a demonstration."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from agents.worker_process import start_worker
from config.settings import variable_of
from streams.embedded.ports import HOST, free_ports
from streams.embedded.process import ServerProcess, killed_on_failure, stop_all

STOP_TIMEOUT_S = 10.0


class Workers:
    """Several workers, each with a log in ``directory``; none outlives the `with` block.

    ``environ``: the environment of each of them, without its port.
    """

    def __init__(self, count: int, environ: Mapping[str, str], directory: Path) -> None:
        self._ports = free_ports(count)
        self.environ = environ
        self.directory = directory
        self.processes = [
            ServerProcess(f"worker-{number}", directory) for number in range(1, count + 1)
        ]

    @property
    def urls(self) -> Sequence[str]:
        """The addresses of the workers' health and metrics."""
        return [f"http://{HOST}:{port}" for port in self._ports]

    def require_alive(self) -> None:
        """Raise `ServerFailedError`, with the end of its log, if a worker has ended."""
        for process in self.processes:
            process.require_alive()

    def last_words(self) -> str:
        """The ends of all logs."""
        return "\n".join(process.log_tail() for process in self.processes)

    def __enter__(self) -> Self:
        # The shown events are long past, but must be delivered all the same.
        environ = {**self.environ, variable_of("deliver_max_age"): "0"}
        with killed_on_failure(self.processes):
            for process, port in zip(self.processes, self._ports, strict=True):
                start_worker(process, environ, port, is_live=True)
        return self

    def __exit__(self, *_: object) -> None:
        stop_all(self.processes, STOP_TIMEOUT_S)
