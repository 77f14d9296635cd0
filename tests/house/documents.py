"""The documents of the repository, parsed."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.house.repository import ROOT

README = ROOT / "README.md"
ARCHITECTURE = ROOT / "ARCHITECTURE.md"
#: The pages for users: the README, and the pages that go into detail.
GUIDE = [
    README,
    *(
        ROOT / "docs" / name
        for name in (
            "decisions.md",
            "going-live.md",
            "limits.md",
            "loyalty-and-surveys.md",
            "operating.md",
            "promises.md",
            "publishing.md",
            "scores.md",
        )
    ),
]
LEARNING = ROOT / "docs/learning.md"
ADRS = sorted((ROOT / "docs/adr").glob("*.md"))
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its language, and its lines."""

    language: str
    text: str


def blocks(text: str) -> list[Block]:
    return [Block(*found) for found in _BLOCK.findall(text)]


def prose(text: str) -> str:
    """``text`` without its fenced blocks."""
    return _BLOCK.sub("", text)


def headings(text: str, level: str = "#+") -> list[str]:
    return re.findall(rf"^{level} (.+)$", prose(text), re.MULTILINE)


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", prose(text))


def broken_links(document: Path, root: Path = ROOT) -> list[str]:
    """Links that lead nowhere within ``root``; links to other hosts are not checked."""
    broken = []
    for link in links(document.read_text()):
        if re.match(r"https?://", link):
            continue
        name, _, fragment = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        is_there = target.is_relative_to(root) and target.exists()
        if not is_there or not _has_part(target, fragment):
            broken.append(link)
    return broken


def code(text: str) -> Iterator[str]:
    """Everything shown as code: the lines of shell blocks, and texts between backticks."""
    for block in blocks(text):
        if block.language == "sh":
            yield from block.text.splitlines()
    yield from re.findall(r"`([^`]+)`", prose(text))


def commands(text: str, program: str) -> list[list[str]]:
    """The command lines of ``program``, without the variables set before it."""
    found = []
    for line in code(text):
        words = shlex.split(line, comments=True) if program in line.split() else []
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        if words[:1] == [program]:
            found.append(words)
    return found


def _has_part(document: Path, fragment: str) -> bool:
    return not fragment or fragment in map(_anchor, headings(document.read_text()))


def _anchor(heading: str) -> str:
    # As code hosting sites build anchors.
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
