"""The job on which `make bench` compares engines, and how it checks that they all did the same."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.peers import keepstream_job
from tests.benchmarks.peers.job import Trigger
from tests.benchmarks.peers.race import by_id, difference
from tests.benchmarks.peers.shop_log import (
    PARTITIONS,
    Keyed,
    expected_triggers,
    log_of,
    shop_records,
)
from tests.house.repository import ROOT

ADA: Trigger = {"id": "1", "userId": "ada", "score": 0.8}
BOB: Trigger = {"id": "2", "userId": "bob", "score": 0.9}


def test_keepstream_does_the_job_with_a_part_and_a_rule(tmp_path: Path) -> None:
    records = shop_records(20)
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"".join(record.value + b"\n" for record in records))

    module, out = keepstream_job.__name__, tmp_path / "out"
    arguments = ["replay", str(log), "--out", str(out), *keepstream_job.rules(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    told = [line for line in (out / "triggers.jsonl").read_bytes().splitlines() if is_risk(line)]
    expected = expected_triggers(Keyed(r.key or b"", r.value) for r in records)
    assert len(expected) > 20
    assert "" == difference(by_id(expected), [keepstream_job.as_of_the_job(one) for one in told])


def is_risk(line: bytes) -> bool:
    return b'"kind":"job-risk"' in line


def test_a_program_is_ready_and_done_with_a_trigger_of_each_partition() -> None:
    log = log_of(shop_records(5))

    first, last = expected_triggers(log.first), expected_triggers(log.rest)[-PARTITIONS:]

    assert PARTITIONS == len(first)
    assert {f"last-{t['userId'].partition('-')[2]}" for t in last} == {t["userId"] for t in last}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([ADA, BOB], ""),
        ([BOB, ADA], ""),
        ([ADA], "1 triggers are missing"),
        ([ADA, BOB, BOB], "1 triggers were written twice"),
        ([ADA, BOB, {**BOB, "id": "3"}], "1 triggers are not the job's"),
        ([ADA, {**BOB, "score": 0.9000000000000001}], "should be"),
    ],
)
def test_a_difference_is_told(found: list[dict[str, Any]], words: str) -> None:
    told = difference(by_id([ADA, BOB]), found)

    assert words in told
    assert bool(words) == bool(told)
