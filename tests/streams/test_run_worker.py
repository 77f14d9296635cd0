"""A worker ends when it is asked to, whatever hangs."""

import asyncio
import logging
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

import streams.faust_app
from tests.house.repository import ROOT

#: Bounds what hangs; nothing is measured.
PATIENCE_S = 60


class App:
    """The methods of an app that `run_worker` uses; ``stop`` does what ``way`` says."""

    crash_reason = None
    in_worker = False

    def __init__(self, way: str) -> None:
        self._way = way

    async def start(self) -> None:
        if self._way == "fails at once":
            self._way = "swallows cancellations"
            raise RuntimeError("no broker")

    async def wait_until_stopped(self) -> None:
        print("runs", flush=True)  # noqa: T201 - the test waits for it
        await asyncio.Event().wait()

    async def stop(self) -> None:
        if self._way == "raises":
            raise ValueError("it does not want to")
        if self._way == "blocks the loop":
            threading.Event().wait()
        while self._way == "swallows cancellations":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue


def main(way: str) -> int:
    logging.basicConfig()
    streams.faust_app.CLOSE_GRACE_S = 0.2
    app: Any = App(way)
    return streams.faust_app.run_worker(app, stop_grace_s=0.2)


@pytest.mark.parametrize(
    ("way", "code", "told"),
    [
        ("ends", 0, ""),
        ("raises", 1, "failed while stopping"),
        ("swallows cancellations", 1, "something does not end; ending without it"),
        ("blocks the loop", 1, "something does not end; ending without it"),
    ],
)
def test_a_worker_that_is_told_to_stop_ends(way: str, code: int, told: str) -> None:
    process = started(way)
    assert process.stdout is not None
    assert b"runs\n" == process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert (code, True) == ended(process, told)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_worker_in_the_background_of_a_script_ends_by_any_signal(number: signal.Signals) -> None:
    process = started("ends", ignored="INT")
    assert process.stdout is not None
    assert b"runs\n" == process.stdout.readline()
    process.send_signal(number)
    assert (0, True) == ended(process, "")


def test_a_hangup_does_not_end_what_nohup_started() -> None:
    process = started("ends", ignored="HUP")
    assert process.stdout is not None
    assert b"runs\n" == process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGTERM)
    assert (0, True) == ended(process, "")


def test_no_program_has_signals_of_its_own() -> None:
    """Programs that stay up are all stopped in one way."""
    found = {
        str(path.relative_to(ROOT))
        for package in ("agents", "streams")
        for path in (ROOT / package).rglob("*.py")
        if "add_signal_handler(" in path.read_text()
    }
    assert {"streams/stop_signals.py"} == found


def test_a_worker_that_fails_ends_even_if_it_cannot_stop() -> None:
    assert (1, True) == ended(started("fails at once"), "worker failed: RuntimeError: no broker")


def started(way: str, *, ignored: str = "USR1") -> "subprocess.Popen[bytes]":
    """A process that ignores a signal from its start."""
    command = [sys.executable, "-m", __name__, way]
    return subprocess.Popen(
        ["sh", "-c", 'trap "" "$0"; exec "$@"', ignored, *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ended(process: "subprocess.Popen[bytes]", told: str) -> tuple[int | None, bool]:
    """The exit code, None if it did not end, and whether its output is right."""
    try:
        _, said = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        _, said = process.communicate()
        return None, told in said.decode()
    return process.returncode, told in said.decode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
