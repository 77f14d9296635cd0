"""A worker under test: a process of its own, configured by its environment."""

import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from streams.embedded.ports import free_ports
from streams.embedded.process import ServerProcess

ROOT = Path(__file__).resolve().parents[2]
STOP_TIMEOUT_S = 40.0
STOOD_STILL = "stood still for more than its session timeout"


class Program(NamedTuple):
    """The source to run, the Python with its dependencies, and the module to start."""

    source: Path
    python: Path
    module: str = "agents.cli"

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The environment, extended so that the program finds its own modules."""
        return {**environment, "PYTHONPATH": str(self.source)}


#: The program under test: this tree.
PRESENT = Program(ROOT, Path(sys.executable))


class Worker:
    """One `keepstream worker` process, configured by its environment."""

    def __init__(
        self,
        process: ServerProcess,
        environment: Mapping[str, str],
        arguments: Iterable[str],
        program: Program = PRESENT,
        command: str = "worker",
    ) -> None:
        (self.port,) = free_ports(1)
        self.is_paused = False
        #: Whether its end was waited for.
        self.is_over = False
        self.process = process
        self._program = program
        self._command = [program.python, "-m", program.module, command, *arguments]
        self._environment = {
            **program.environment(environment),
            "KEEPSTREAM_WEB_PORT": str(self.port),
        }
        self.start()

    def start(self) -> None:
        """Start it, for the first time or again."""
        self.process.start(self._command, self._environment, cwd=self._program.source)

    @property
    def has_stood_still(self) -> bool:
        """Whether it ended by itself and unexpectedly, because the machine stalled it."""
        return not (self.is_over or self.process.pid) and STOOD_STILL in self.log_text()

    def get(self, path: str, *, timeout_s: float = 5.0) -> tuple[int, bytes]:
        """Status and body; 0 while nothing listens."""
        try:
            url = f"http://127.0.0.1:{self.port}{path}"
            with urllib.request.urlopen(url, timeout=timeout_s) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

    def is_ready(self) -> bool:
        return self.get("/health/ready")[0] == 200

    def metric(self, name: str, **labels: str | tuple[str, ...]) -> float:
        """The sum of a metric's samples with these labels; a label may match any of several
        values.
        """
        return sum(
            sample.value
            for sample in self.samples(name)
            if all(sample.labels[key] in _several(value) for key, value in labels.items())
        )

    def samples(self, name: str) -> list[Sample]:
        """A metric's samples; none while it does not answer."""
        _, body = self.get("/metrics")
        families = text_string_to_metric_families(body.decode())
        return [sample for family in families for sample in family.samples if sample.name == name]

    def lag(self, topic: str) -> dict[int, int]:
        """The lag, by partition of ``topic`` that it is assigned."""
        return self.by_partition("keepstream_consumer_lag_records", topic)

    def by_partition(self, name: str, topic: str) -> dict[int, int]:
        """A metric's samples for a topic, by its partition."""
        return {
            int(sample.labels["partition"]): int(sample.value)
            for sample in self.samples(name)
            if sample.labels["topic"] == topic
        }

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int | None:
        """Send it a signal, wait for its end, and return its exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int | None:
        """Wait for its end, and return its exit code."""
        code = self.process.wait(STOP_TIMEOUT_S)
        self.is_over = True
        return code

    def pause(self) -> None:
        """Suspend it; it does not count as running until `resume`."""
        self.process.send_signal(signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.is_paused = False

    def log_text(self) -> str:
        return self.process.log_since_start()


def _several(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,)
