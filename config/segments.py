"""Reads ``segments.yaml``: named conditions; a customer is a member while one holds."""

import ast
from functools import cache
from pathlib import Path
from typing import Final

from msgspec import Struct

from config.duration import DurationMs
from config.rules import FileEntry, RuleError, TriggerRule, read_tree, typed

#: The members of each segment are counted, and that many sums over all customers are possible.
SEGMENTS_MAX: Final = 64
#: The moments at which a customer enters or leaves a segment.
SEGMENT_ENTERED, SEGMENT_LEFT = "segment-entered", "segment-left"
#: By moment, the fact that names the segment.
NAME_AT: Final = {SEGMENT_ENTERED: "segment_entered", SEGMENT_LEFT: "segment_left"}


class SegmentRule(FileEntry, frozen=True):
    """``hold``: how long the condition must have changed before the membership changes.
    ``announce``: entering and leaving fire the segment's own triggers. ``backfill``: so do
    customers who are already members when the segment is new or has changed.
    """

    name: str
    version: int
    when: str
    about: str = ""
    hold: DurationMs = DurationMs(0)
    announce: bool = False
    backfill: bool = False


class Segments(Struct, frozen=True, forbid_unknown_fields=True):
    segments: tuple[SegmentRule, ...]
    file: str = ""


def load_segments(file: Path | None = None) -> Segments:
    """The segments of ``file``, or the shipped ones. Raises `RuleError`."""
    return _segments_in(file) if file else _shipped_segments()


@cache
def _shipped_segments() -> Segments:
    return _segments_in(None)


def _segments_in(file: Path | None) -> Segments:
    tree = read_tree(file, "segments.yaml")
    found: Segments = typed(tree, Segments, {"segments": SegmentRule})
    if len(found.segments) > SEGMENTS_MAX:
        beyond = found.segments[SEGMENTS_MAX]
        raise RuleError(f"{beyond.where}: {SEGMENTS_MAX} segments at most: take some away")
    return found


def trigger_name(segment: str, moment: str) -> str:
    """The trigger of an announced segment at one of its moments."""
    return f"segment-{segment}-{moment.removeprefix('segment-')}"


def announcing(segments: Segments) -> tuple[TriggerRule, ...]:
    """The triggers that announced segments add."""
    return tuple(
        TriggerRule(
            name=trigger_name(segment.name, moment),
            version=segment.version,
            moment=moment,
            when=f'{fact} == "{segment.name}"',
            cooldown=DurationMs(0),
            because=(fact, *_named(segment.when)),
            line=segment.line,
            file=segment.file,
        )
        for segment in segments.segments
        if segment.announce
        for moment, fact in NAME_AT.items()
    )


def _named(condition: str) -> tuple[str, ...]:
    """The facts that a condition names, in order; empty for one that can't be parsed, which is
    refused when it is compiled.
    """
    try:
        nodes = list(ast.walk(ast.parse(condition.strip(), mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    names = [node for node in nodes if isinstance(node, ast.Name)]
    return tuple(dict.fromkeys(n.id for n in sorted(names, key=lambda n: (n.lineno, n.col_offset))))
