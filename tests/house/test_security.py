"""The page on rights lists every topic, and gives a worker the rights for what it declares."""

import re

from config.rights import ALL, RIGHTS, Rights
from config.topics import READ_BACK_TOPICS, UNDELIVERED, topics
from tests.house.repository import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def _names(topics: tuple[str, ...]) -> str:
    return "all topics" if set(topics) == set(ALL) else ", ".join(f"`{name}`" for name in topics)


def _besides(rights: Rights) -> str:
    parts = [
        f"{operation} on {_names(names)}"
        for operation, names in (
            ("Create", rights.creates),
            ("Delete", rights.deletes),
            ("Describe", rights.describes),
            ("DescribeConfigs", rights.looks_at_configs),
        )
        if names
    ]
    parts += [f"{rights.group} on the group"] if rights.group else []
    parts += [f"{rights.cluster} on the cluster"] if rights.cluster else []
    return "; ".join(parts)


def test_the_page_has_the_rights_that_programs_ask_for() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("| `keepstream ")]
    found = [tuple(cell.strip() for cell in line.split("|")[1:5]) for line in lines]
    assert found == [
        (f"`keepstream {program}`", _names(r.reads), _names(r.writes), _besides(r))
        for program, r in RIGHTS.items()
    ]


def row(program: str) -> tuple[set[str], set[str]]:
    """A program's reads and writes, according to the page."""
    [found] = [line for line in PAGE.splitlines() if line.startswith(f"| `keepstream {program}`")]
    _, _, reads, writes, *_ = found.split("|")
    names = {topic.name for topic in topics(1, 1, has_archive=True)}
    return names & _quoted(reads), names & _quoted(writes)


def _quoted(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


def test_a_worker_may_do_what_it_does_with_every_topic() -> None:
    reads, writes = row("worker")
    # What endpoints refused is the deliverer's.
    assert {topic.name for topic in topics(1, 1, has_archive=True)} == reads | writes | {
        UNDELIVERED
    }
    assert set(READ_BACK_TOPICS) <= reads & writes


def test_nobody_else_writes_what_determines_state() -> None:
    ours = {"customers", "labelled-examples", "model-snapshots", "decision-ledger"}
    archive = {"customer-archive", "customer-keys"}
    others = [line for line in PAGE.splitlines() if line.startswith("| `keepstream ")]
    for line in others:
        written = (ours | archive) & _quoted(line.split("|")[3])
        if line.startswith("| `keepstream rebuild`"):
            assert {"customers"} == written
        elif line.startswith("| `keepstream archive fill`"):
            assert {"customers", *archive} == written
        elif not line.startswith("| `keepstream worker`"):
            assert not written
