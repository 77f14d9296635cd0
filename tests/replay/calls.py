"""Counts the function calls of a replay: a measure of its work that no machine changes."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, FrameType

import models
from models.replay import Replay

_ROOM = str(Path(models.__file__).parent)


def calls_of(lines: Sequence[bytes], replay: Replay) -> float:
    """Calls per event, to functions of `models` and from them."""
    calls = 0
    is_ours: dict[CodeType, bool] = {}

    def count(frame: FrameType, what: str, _: object) -> None:
        nonlocal calls
        if what in ("call", "c_call"):
            code = frame.f_code
            if code not in is_ours:
                is_ours[code] = code.co_filename.startswith(_ROOM)
            calls += is_ours[code]

    sys.setprofile(count)
    try:
        for number, content in enumerate(lines, 1):
            replay.feed(content, number)
    finally:
        sys.setprofile(None)
    return calls / len(lines)
