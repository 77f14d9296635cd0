"""The page on rights knows every topic, and gives a worker what it declares."""

import re

from config.topics import READ_BACK_TOPICS, topics
from tests.house.repository import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def row(program: str) -> tuple[set[str], set[str]]:
    """What a program reads and writes, as the page has it."""
    [found] = [line for line in PAGE.splitlines() if line.startswith(f"| `keepstream {program}`")]
    _, _, reads, writes, *_ = found.split("|")
    names = {topic.name for topic in topics(1, 1)}
    return names & _quoted(reads), names & _quoted(writes)


def _quoted(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


def test_a_worker_may_do_what_it_does_with_every_topic() -> None:
    reads, writes = row("worker")
    assert {topic.name for topic in topics(1, 1)} == reads | writes
    assert set(READ_BACK_TOPICS) <= reads & writes


def test_nobody_else_writes_what_determines_state() -> None:
    ours = {"customers", "labelled-examples", "model-snapshots", "decision-ledger"}
    others = [line for line in PAGE.splitlines() if line.startswith("| `keepstream ")]
    for line in others:
        written = ours & _quoted(line.split("|")[3])
        if line.startswith("| `keepstream rebuild`"):
            assert {"customers"} == written
        elif not line.startswith("| `keepstream worker`"):
            assert not written
