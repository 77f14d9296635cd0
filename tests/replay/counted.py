"""`keepstream`, with the function calls of a replay counted: ``python -m tests.replay.counted FILE
replay ...`` writes to FILE the number of calls for each sampled line, one number per line.

A count is the same on every machine, however slow or busy it is.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from agents.cli import app
from models.replay import Replay

#: Sample one line in so many: counting takes time, and no weekly pattern has this period.
EVERY = 97


def counting(
    feed: Callable[[Replay, bytes, int], object], counts: list[int]
) -> Callable[[Replay, bytes, int], object]:
    """``feed``, which also appends to ``counts`` the number of calls for each sampled line."""

    def counted(replay: Replay, raw: bytes, number: int) -> object:
        if number % EVERY:
            return feed(replay, raw, number)
        calls = 0

        def count(_frame: FrameType, what: str, _argument: object) -> None:
            nonlocal calls
            calls += what in ("call", "c_call")

        sys.setprofile(count)
        try:
            return feed(replay, raw, number)
        finally:
            sys.setprofile(None)
            counts.append(calls)

    return counted


def main(path: Path, arguments: list[str]) -> None:
    counts: list[int] = []
    Replay.feed = counting(Replay.feed, counts)  # type: ignore[assignment, method-assign]
    try:
        app(arguments)
    finally:
        path.write_text("".join(f"{calls}\n" for calls in counts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
