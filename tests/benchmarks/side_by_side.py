"""CPU of `keepstream replay`, side by side: of two trees, with parameters and without, or of the
core interpreted there and compiled here.

    python -m tests.benchmarks.side_by_side --source DIR
    python -m tests.benchmarks.side_by_side --compiled
    python -m tests.benchmarks.side_by_side --set timeline.enabled=false

Folds a simulated shop's log twice, in two processes that take turns, some hundred lines each: what
else the machine does slows down both. Tells µs of CPU an event on either side, and how many times
as much it is here as there: the median of the rounds, and their range. Two equal sides come within
a twentieth of each other in one round. ``--source``: the other tree; ``--set``: the other side's
parameters, may be repeated. One log has days that pass, the other has the same events fifty a
second of event time.
"""

import argparse
import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from time import process_time

ROOT = Path(__file__).parents[2]
START_MS, STEP_MS = 1_700_000_000_000, 20
LINES_A_TURN = 200
_TURN = "--take-turns"
Side = subprocess.Popen[str]


def write_log(path: Path, customers: int, *, dense: bool) -> None:
    """The shop's events in the order in which they were published."""
    import orjson  # noqa: PLC0415 - the other tree's process imports no more than it times

    from agents.trials.demo.shop import ShopConfig, simulate  # noqa: PLC0415
    from models.events.times import iso  # noqa: PLC0415

    shop = ShopConfig(seed=1, customers=customers, start_ms=START_MS, days=200, malformed=0)
    with path.open("wb") as file:
        for number, record in enumerate(simulate(shop)):
            value = record.value
            if dense:
                at = iso(START_MS + number * STEP_MS)
                value = orjson.dumps({**orjson.loads(value), "timestamp": at})
            file.write(value + b"\n")


def take_turns(path: Path, assignments: Sequence[str]) -> None:
    """Fold the lines of ``path``, as many as a turn has at each line of standard input; say how
    many there are, and then the seconds of CPU of each turn. Nothing is said at the end.
    """
    from models.parameters import load_parameters  # noqa: PLC0415
    from models.replay import Replay  # noqa: PLC0415

    lines = path.read_bytes().splitlines()
    replay = Replay(load_parameters(assignments=assignments))
    gc.freeze()
    print(len(lines), flush=True)
    for begin in range(0, len(lines), LINES_A_TURN):
        sys.stdin.readline()
        started = process_time()
        for number, line in enumerate(lines[begin : begin + LINES_A_TURN], begin + 1):
            replay.feed(line, number)
        print(process_time() - started, flush=True)


@contextmanager
def side(tree: Path, log: Path, assignments: Sequence[str], flavour: str) -> Iterator[Side]:
    command = [sys.executable, __file__, _TURN, str(log)]
    for assignment in assignments:
        command += ["--set", assignment]
    environ = {
        **os.environ,
        "PYTHONPATH": str(tree),
        "OPENBLAS_NUM_THREADS": "1",
        "KEEPSTREAM_COMPILED": flavour,
    }
    with subprocess.Popen(
        command, cwd=tree, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process


def told_by(one: Side) -> str:
    assert one.stdout is not None
    said = one.stdout.readline()
    if not said:
        raise SystemExit(f"one side ended early, with exit code {one.wait()}")
    return said


def compared(sides: Sequence[Side]) -> tuple[int, list[float]]:
    """How many lines there were, and the seconds of CPU of either side."""
    count, _ = (int(told_by(one)) for one in sides)
    seconds = [0.0, 0.0]
    for turn in range(-(-count // LINES_A_TURN)):
        for number in (0, 1) if turn % 2 else (1, 0):
            begins = sides[number].stdin
            assert begins is not None
            begins.write("\n")
            begins.flush()
            seconds[number] += float(told_by(sides[number]))
    return count, seconds


def compiled_tree() -> Path:
    """A copy of this tree whose core is compiled."""
    sys.path.insert(0, str(ROOT))
    from tests import compiled_tree as made  # noqa: PLC0415 - not in a process that is timed

    return made.compiled_tree()


def one_round(chosen: argparse.Namespace, log: Path) -> tuple[float, float]:
    """µs of CPU an event, there and here."""
    with ExitStack() as stack:
        there = stack.enter_context(side(chosen.source.resolve(), log, chosen.set, "off"))
        tree = compiled_tree() if chosen.compiled else ROOT
        here = stack.enter_context(side(tree, log, (), "on" if chosen.compiled else "off"))
        events, seconds = compared([there, here])
    before, now = (one / events * 1e6 for one in seconds)
    return before, now


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--customers", type=int, default=200)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--source", type=Path, default=ROOT)
    options.add_argument("--set", action="append", default=[])
    options.add_argument("--compiled", action="store_true")
    options.add_argument(_TURN, type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.take_turns is not None:
        take_turns(chosen.take_turns, chosen.set)
        return 0
    for name, dense in (("days pass", False), ("fifty a second", True)):
        with tempfile.TemporaryDirectory() as directory:
            log = Path(directory) / "log.jsonl"
            write_log(log, chosen.customers, dense=dense)
            rounds = [one_round(chosen, log) for _ in range(chosen.rounds)]
        there, here = (median(found) for found in zip(*rounds, strict=True))
        times = sorted(now / before for before, now in rounds)
        print(
            f"{name}: {there:.1f} µs an event there, {here:.1f} here: {median(times):.3f} times "
            f"({times[0]:.3f} to {times[-1]:.3f} in {len(times)} rounds)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
