"""From a file of history to live triggers, as a user types docs/going-live.md."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import time

import pytest

from config.duration import MINUTE_MS
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.ports import free_ports
from streams.embedded.process import wait_until
from streams.embedded.valkey import EmbeddedValkey
from tests.house.documents import blocks
from tests.kafka.deployment import ASK_S, LIVENESS_S
from tests.kafka.test_going_live import event, history
from tests.kafka.worker import ROOT

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]


def the_way() -> list[str]:
    """The lines of the page's block of commands."""
    [block] = [b for b in blocks((ROOT / "docs/going-live.md").read_text()) if b.language == "sh"]
    return block.text.splitlines()


class Shell:
    """Runs lines in a folder, and at the end stops the background processes."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._behind: list[subprocess.Popen[bytes]] = []

    def run(self, line: str) -> str:
        """The output of a line; `keepstream doctor` may have findings, all others must succeed."""
        if line.endswith("&"):
            self._leave(line.removesuffix("&"))
            return ""
        done = subprocess.run(
            line.split(),
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or line == "keepstream doctor", done.stdout + done.stderr
        return done.stdout + done.stderr

    def until(self, line: str, words: str, *, is_said: bool) -> None:
        """Repeat a line until its output has these words, or no longer has them."""
        what = f"{line} {'says' if is_said else 'no longer says'} {words!r}"
        wait_until(
            lambda: (words in self.run(line)) == is_said, what, LIVENESS_S, (), every_s=ASK_S
        )

    def _leave(self, line: str) -> None:
        with (self._folder / "worker.log").open("wb") as log:
            self._behind.append(
                subprocess.Popen(
                    line.split(), cwd=self._folder, env=self._environment, stdout=log, stderr=log
                )
            )

    def stop(self) -> list[int]:
        for process in self._behind:
            process.send_signal(signal.SIGTERM)
        return [process.wait() for process in self._behind]


@pytest.fixture
def shell(kafka: EmbeddedKafka, valkey: EmbeddedValkey, tmp_path: Path) -> Iterator[Shell]:
    (port,) = free_ports(1)
    found = Shell(
        tmp_path,
        {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "KEEPSTREAM_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KEEPSTREAM_REDIS_URL": valkey.url,
            "KEEPSTREAM_TOPIC_PREFIX": "way.",
            "KEEPSTREAM_WEB_PORT": str(port),
        },
    )
    yield found
    found.stop()


def test_each_line_does_what_is_said_of_it(shell: Shell, tmp_path: Path) -> None:
    now_ms = int(time() * 1_000)
    lines = history(tmp_path / "history.jsonl", now_ms)
    (tmp_path / "today.jsonl").write_text(
        event("Ticket Opened", now_ms - MINUTE_MS, "today-1", ticket_id="T", priority="high")
        + event("Survey Responded", now_ms, "today-2", kind="nps", score=2)
    )
    way = the_way()
    assert 10 == len(way)
    doctors = iter((True, False))

    for line in way:
        if line == "keepstream doctor":
            shell.until(line, "rehearsing", is_said=next(doctors))
        elif line == "keepstream publish history.jsonl":
            assert f"{lines:,}" in shell.run(line)
        elif line == "keepstream publish today.jsonl":
            shell.run(line)
            shell.until("keepstream customers show live-1", "low-satisfaction", is_said=True)
        else:
            shell.run(line)

    summary = json.loads((tmp_path / "again" / "summary.json").read_text())
    events = summary["events"]
    assert lines + 2 == events["applied"] + events["duplicate"]
    assert 1 == summary["triggers"]["low-satisfaction"]
    assert summary["rehearsed"]
    assert [0] == shell.stop()
