"""The worker processes of a demonstration: `keepstream worker`, as anybody would start it."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from config.settings import variable_of
from streams.embedded.ports import HOST, free_ports
from streams.embedded.process import ServerProcess, killed_on_failure, stop_all

STOP_TIMEOUT_S = 10.0
ROOT = Path(__file__).resolve().parents[3]


class Workers:
    """Some workers, each with a log in ``directory``; none outlives the `with` block.

    ``environ``: what each of them is told, but for its port.
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
        """Where each worker serves its health and metrics."""
        return [f"http://{HOST}:{port}" for port in self._ports]

    def require_alive(self) -> None:
        """Raise `ServerFailedError`, with the end of its log, when a worker has ended."""
        for process in self.processes:
            process.require_alive()

    def last_words(self) -> str:
        """The ends of all logs."""
        return "\n".join(process.log_tail() for process in self.processes)

    def __enter__(self) -> Self:
        with killed_on_failure(self.processes):
            for process, port in zip(self.processes, self._ports, strict=True):
                process.start(
                    [sys.executable, "-m", "agents.cli", "worker", "--live"], self._said_to(port)
                )
        return self

    def __exit__(self, *_: object) -> None:
        stop_all(self.processes, STOP_TIMEOUT_S)

    def _said_to(self, port: int) -> dict[str, str]:
        # The code of this demonstration, wherever it is started and whatever is installed.
        path = os.pathsep.join(filter(None, (str(ROOT), self.environ.get("PYTHONPATH"))))
        return {
            **self.environ,
            variable_of("web_port"): str(port),
            # What is shown happened long ago, and is to be delivered all the same.
            variable_of("deliver_max_age"): "0",
            "PYTHONPATH": path,
        }
