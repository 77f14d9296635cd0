"""docs/first-steps.md, each line as a user types it, in three terminals."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.standing.directory import read_addresses
from streams.embedded.ports import free_ports
from streams.embedded.process import ServerProcess, wait_until
from tests.house.documents import blocks
from tests.kafka.deployment import LIVENESS_S
from tests.kafka.worker import ROOT

pytestmark = [pytest.mark.kafka, pytest.mark.nightly, pytest.mark.timeout(600)]

PAGE = (ROOT / "docs/first-steps.md").read_text()
STANDS = "Decisions, as they are made:"


class Terminals:
    """Runs lines in a folder as a shell would; foreground commands run as processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variables = {k: v for k, v in os.environ.items() if not k.startswith("KEEPSTREAM_")}
        self.variables["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.variables["PYTHONPATH"] = str(ROOT)
        self.processes: list[ServerProcess] = []

    def run(self, script: str) -> str:
        """The output of a line. Its folder and variables apply to the following lines."""
        done = subprocess.run(
            ["bash", "-ec", f"{script}\nenv -0 > .variables"],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, done.stdout + done.stderr
        left = (self.folder / ".variables").read_text().split("\0")
        self.variables = dict(line.split("=", 1) for line in left if line)
        return done.stdout + done.stderr

    def leave(self, name: str, line: str, folder: Path) -> ServerProcess:
        """Start a command that stays in the foreground, in a terminal of its own."""
        process = ServerProcess(name, self.folder)
        process.start(["bash", "-c", f"exec {line}"], self.variables, cwd=folder)
        self.processes.append(process)
        return process


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    found = Terminals(tmp_path)
    yield found
    for process in reversed(found.processes):
        process.send_signal(signal.SIGINT)
        process.wait(LIVENESS_S)


def of(language: str, port: int) -> list[str]:
    """The page's blocks in a language, with the test's own port for the receiver."""
    found = [block.text for block in blocks(PAGE) if block.language == language]
    return [text.replace(":9000", f":{port}") for text in found]


def receiver(port: int) -> str:
    """The receiver program of docs/webhooks.md."""
    found = blocks((ROOT / "docs/webhooks.md").read_text())
    text = next(block.text for block in found if block.language == "python")
    return text.replace("9000", str(port))


def test_each_line_does_what_is_said_of_it(terminals: Terminals) -> None:
    (port,) = free_ports(1)
    set_up, rule, endpoint, receive, start, curl, look, outcome = of("sh", port)
    [order] = of("python", port)
    assert "make setup" in set_up

    said = terminals.run(rule)
    assert "large-order" in said
    # What is to be installed is, as it is locked.
    declared, _, installed = endpoint.partition("pip install ")
    assert ["standardwebhooks", "segment-analytics-python"] == installed.split()
    would_get = terminals.run(declared)
    assert ('"kind":"large-order"' in would_get, "thank-you" in said) == (True, True)

    shop = terminals.folder / "my-shop"
    (shop / "receiver.py").write_text(receiver(port))
    assert "cd my-shop; python receiver.py\n" == receive
    receiving = terminals.leave("receiver", "python receiver.py", shop)

    assert "keepstream up\n" == start
    up = terminals.leave("up", "keepstream up", terminals.folder)
    wait_until(lambda: STANDS in up.log_since_start(), "it stands", LIVENESS_S, [up])
    at = read_addresses(terminals.folder / ".keepstream/up")
    assert at is not None
    terminals.variables |= {
        "KEY": at.write_key,
        "KEEPSTREAM_BOOTSTRAP_SERVERS": at.bootstrap_servers,
        "KEEPSTREAM_REDIS_URL": at.redis_url,
    }

    def here(text: str) -> str:
        return text.replace("http://127.0.0.1:8088", at.collector_url)

    assert '"accepted": 1' in terminals.run(here(curl))
    (terminals.folder / "order.py").write_text(here(order))
    send, show, explain = look.splitlines()
    terminals.run(send)

    def taken(kind: str) -> list[str]:
        """The ids of decisions of this kind that were received."""
        told = [line.split() for line in receiving.log_since_start().splitlines()]
        return [words[0] for words in told if words[1:] == [kind, "ada"]]

    def both() -> bool:
        return all(len(taken(kind)) >= 2 for kind in ("large-order", "next-best-action"))

    wait_until(both, "both orders are answered", LIVENESS_S, [receiving, up])
    assert "370.00" in terminals.run(show)
    explained = terminals.run(explain)
    assert ("large-order fired" in explained, "thank-you is chosen" in explained) == (True, True)
    assert 2 == up.log_since_start().count("ada  large order: worth ")

    terminals.variables["ID"] = taken("next-best-action")[0]
    assert '"accepted": 1' in terminals.run(here(outcome.splitlines()[0]))
    again = outcome.splitlines()[1]
    wait_until(lambda: "clicked" in terminals.run(again), "the outcome is known", LIVENESS_S, [up])
