"""A worker under test: a process of its own, told everything by its environment."""

import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from streams.embedded.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]


class Worker:
    """One `keepstream worker` process, told everything by its environment."""

    def __init__(self, environment: Mapping[str, str], log: Path, arguments: Iterable[str]) -> None:
        (self.port,) = free_ports(1)
        self._log = log.open("wb")
        self.log = log
        self.is_paused = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agents.cli", "worker", *arguments],
            cwd=ROOT,
            env={**environment, "KEEPSTREAM_WEB_PORT": str(self.port)},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body; 0 while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

    def is_ready(self) -> bool:
        return self.get("/health/ready")[0] == 200

    def metric(self, name: str, **labels: str | tuple[str, ...]) -> float:
        """The sum of a metric's samples with these labels; of several values, any will do."""
        return sum(
            sample.value
            for sample in self.samples(name)
            if all(sample.labels[key] in _several(value) for key, value in labels.items())
        )

    def samples(self, name: str) -> list[Sample]:
        """A metric's samples; none while it doesn't answer."""
        _, body = self.get("/metrics")
        families = text_string_to_metric_families(body.decode())
        return [sample for family in families for sample in family.samples if sample.name == name]

    def lag(self, topic: str) -> dict[int, int]:
        """Records that are not done, by partition of ``topic`` that it is assigned."""
        return {
            int(sample.labels["partition"]): int(sample.value)
            for sample in self.samples("keepstream_consumer_lag_records")
            if sample.labels["topic"] == topic
        }

    def stop(self, number: signal.Signals = signal.SIGTERM, *, timeout_s: float = 40.0) -> int:
        """Signal it, wait for its end, and give its exit code."""
        self.process.send_signal(number)
        return self.wait(timeout_s=timeout_s)

    def wait(self, *, timeout_s: float = 40.0) -> int:
        """Wait for its end, and give its exit code."""
        code = self.process.wait(timeout_s)
        self._log.close()
        return code

    def pause(self) -> None:
        """Stop its time; it is in nobody's count of the living until `resume`."""
        self.process.send_signal(signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.is_paused = False

    @property
    def is_over(self) -> bool:
        """Whether its end was waited for."""
        return self._log.closed

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")


def _several(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,)
