"""What value and lifecycle cost, in instructions of the interpreter: the same on every machine.

    python -m tests.benchmarks.instructions [--customers 12] [--days 200] [--dense] [--most 40]

``--dense``: 200 days' events within an hour, in which hardly anything falls due.

Replays a shop's log with everything on, and without all of value and lifecycle, and counts every
instruction by the function that it belongs to. Their ratio is the ratio of the CPU that
`tests.benchmarks.parts` measures to a hundredth, so that a saving of a thousandth shows on a busy
machine. What C functions do is not in it: encoding a snapshot, sorting, arithmetic on arrays.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from config.parameters import Parameters
from models.replay import Replay
from tests.benchmarks.bench_tables import table
from tests.benchmarks.parts import shop_lines, sides
from tests.benchmarks.peers.shop_log import shop_records

_ROOT = Path(__file__).parents[2]


def instructions_of(lines: Sequence[bytes], parameters: Parameters) -> Counter[CodeType]:
    """The instructions of a replay, by the code that they belong to."""
    replay, counts = Replay(parameters), Counter[CodeType]()

    def count(frame: FrameType, what: str, _: Any) -> Any:
        if what == "opcode":
            counts[frame.f_code] += 1
        return count

    def enter(frame: FrameType, _what: str, _: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return count

    sys.settrace(enter)
    try:
        for number, content in enumerate(lines, 1):
            replay.feed(content, number)
    finally:
        sys.settrace(None)
    return counts


def by_function(counts: Counter[CodeType]) -> Counter[str]:
    """The same by file and name of the function; those of libraries by their file's name alone."""
    found: Counter[str] = Counter()
    for code, count in counts.items():
        path = Path(code.co_filename)
        where = path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else path.name
        found[f"{where}: {code.co_name}"] += count
    return found


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--customers", type=int, default=12, help="of the simulated shop")
    options.add_argument("--days", type=int, default=200, help="that the shop's log is long")
    options.add_argument("--dense", action="store_true", help="all events within an hour")
    options.add_argument("--most", type=int, default=40, help="functions to list")
    chosen = options.parse_args()
    if chosen.dense:
        lines = [record.value for record in shop_records(chosen.customers, dense=True)]
    else:
        lines = shop_lines(chosen.customers, chosen.days)
    whole, *_, without, _ = sides([])
    on, off = (by_function(instructions_of(lines, side.parameters)) for side in (whole, without))
    more = Counter({name: on[name] - off[name] for name in {*on, *off}})
    rows = [
        (name, f"{count / len(lines):+.1f}", f"{on[name] / len(lines):.1f}")
        for name, count in more.most_common(chosen.most)
    ]
    print(table(("function", "more an event", "an event, everything on"), rows))
    print(
        f"\n{on.total() / len(lines):,.0f} instructions an event with everything on, "
        f"{off.total() / len(lines):,.0f} without all of value and lifecycle: "
        f"{on.total() / off.total():.4f} times."
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
