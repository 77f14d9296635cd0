"""A command that is stopped, by any signal, cleans up what it had begun."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from config.topics import CLICKSTREAM
from models.events.times import iso
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.process import wait_until
from tests.kafka.deployment import START_MS, Deployment
from tests.kafka.worker import ROOT

STOPPING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def started(directory: Path, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
    """A command that reads standard input, in a folder of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "agents.cli", *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(directory), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=hear_all,  # noqa: PLW1509  it takes no lock
    )


def hear_all() -> None:
    """Under `nohup`, child processes would ignore a hangup."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL)


def page(number: int) -> bytes:
    told = {"type": "page", "userId": f"c-{number}", "messageId": f"m-{number}"}
    return json.dumps({**told, "timestamp": iso(START_MS + number)}).encode() + b"\n"


def stopped(process: "subprocess.Popen[bytes]", number: signal.Signals) -> tuple[int, str, str]:
    """The exit code and the output after it was stopped while its input continues."""
    process.send_signal(number)
    said, complained = process.stdout, process.stderr
    assert said is not None
    assert complained is not None
    with process:
        try:
            code = process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return code, said.read().decode(), complained.read().decode()


@pytest.mark.parametrize("number", STOPPING)
def test_a_replay_that_is_stopped_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = started(tmp_path, "replay", "-", "--out", "what-if")
    assert process.stdin is not None
    process.stdin.write(b"".join(map(page, range(10_000))))
    process.stdin.flush()
    wait_until(lambda: any(tmp_path.iterdir()), "it has begun", 60, [])
    code, _, complained = stopped(process, number)
    assert 128 + number == code
    assert f"stopped by {number.name}\n" == complained
    assert [] == list(tmp_path.iterdir())


@pytest.mark.kafka
def test_whoever_presses_ctrl_c_goes_on_as_they_are_told(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    prefix = f"{uuid.uuid4().hex[:8]}."
    lines = [page(number) for number in range(30_000)]
    (tmp_path / "my history.jsonl").write_bytes(b"".join(lines))
    with Deployment(kafka.bootstrap_servers, "redis://127.0.0.1:1", prefix, tmp_path) as deployment:
        environment = {
            "KEEPSTREAM_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KEEPSTREAM_TOPIC_PREFIX": prefix,
        }
        process = started(tmp_path, "publish", "my history.jsonl", **environment)
        deployment.wait(
            "something is there", lambda: sum(deployment.ends(CLICKSTREAM).values()) > 0
        )
        process.send_signal(signal.SIGINT)
        # Twice, as people do.
        code, said, complained = stopped(process, signal.SIGINT)
        assert 2 == code, complained
        [first] = re.findall(r"^([\d,]+) events published", said)
        [command] = re.findall(r"To go on, run `keepstream (.+)`", complained)
        again = started(tmp_path, *shlex.split(command), **environment)
        told, wrong = again.communicate(timeout=60)
        assert (0, b"") == (again.returncode, wrong)
        [second] = re.findall(r"^([\d,]+) events published", told.decode())
        there = [value + b"\n" for _, _, value in deployment.read(CLICKSTREAM)]
    counts = [int(count.replace(",", "")) for count in (first, second)]
    assert len(lines) == counts[0] + counts[1]
    # It was stopped half way.
    assert all(counts)
    assert sorted(lines) == sorted(set(there))


@pytest.mark.kafka
def test_a_publication_that_is_stopped_accounts_for_every_line(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    prefix = f"{uuid.uuid4().hex[:8]}."
    with Deployment(kafka.bootstrap_servers, "redis://127.0.0.1:1", prefix, tmp_path) as deployment:
        process = started(
            tmp_path,
            "publish",
            "-",
            KEEPSTREAM_BOOTSTRAP_SERVERS=kafka.bootstrap_servers,
            KEEPSTREAM_TOPIC_PREFIX=prefix,
        )
        assert process.stdin is not None
        lines = [page(number) for number in range(300)]
        process.stdin.write(b"".join(lines))
        process.stdin.flush()
        deployment.wait(
            "something is there", lambda: sum(deployment.ends(CLICKSTREAM).values()) > 0
        )
        code, said, complained = stopped(process, signal.SIGTERM)
        there = {value + b"\n" for _, _, value in deployment.read(CLICKSTREAM)}
        kept = [path.read_bytes() for path in tmp_path.glob("*.unpublished.jsonl")]
        assert 2 == code
        assert f"{len(there):,} events published" in said
        assert "stopped (interrupted; standard input was read up to line " in complained
        assert f"{len(there):,} events are in the log" in complained
        assert set(lines) == there | set(b"".join(kept).splitlines(keepends=True))
