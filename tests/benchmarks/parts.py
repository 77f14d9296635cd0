"""The cost of each part that can be switched off: CPU and calls per event, bytes per customer.

    python -m tests.benchmarks.parts [--customers 60] [--days 200] [--rounds 5] [--part NAME]

Replays the log of the demo's simulated shop, with days that pass and all learning: with everything
on, without each of the parts, without all of value and lifecycle, and without any. All replays run
in one process and take turns, a hundred lines each, in a new order each time, so that other load
slows all of them alike. The table shows how much more a part costs than its absence. Calls and
bytes are the same on every machine.
"""

import argparse
import gc
from collections.abc import Callable, Sequence
from random import Random
from statistics import fmean, median
from time import process_time
from typing import Final, NamedTuple

from agents.cli.progress import progress
from agents.trials.demo.shop import ShopConfig, simulate
from config.parameters import Parameters
from models.customer.registry import PARTS
from models.customer.row import encode_row
from models.parameters import load_parameters
from models.replay import Replay
from tests.benchmarks.bench_tables import table
from tests.benchmarks.figures import load_1min
from tests.replay.calls import calls_of

LINES_A_TURN: Final = 100
#: The garbage collector runs between turns only.
TURNS_A_COLLECTION: Final = 20
START_MS: Final = 1_700_000_000_000
#: Parts with a switch that belong neither to value nor to the lifecycle.
_OTHERS: Final = frozenset({"loyalty", "prices", "satisfaction", "timeline"})


class Side(NamedTuple):
    """A replay without these parts."""

    name: str
    off: tuple[str, ...] = ()

    @property
    def parameters(self) -> Parameters:
        return load_parameters(assignments=[f"{name}.enabled=false" for name in self.off])


class Cost(NamedTuple):
    """µs of CPU per event in each round, calls per event, bytes of a mean row."""

    cpu_us: list[float]
    calls: float
    row_bytes: float


def switched() -> list[str]:
    """The parts that an operator can switch off, by their section of the parameters."""
    sections = [part.parameters for part in PARTS if part.has_switch]
    return [section.section for section in sections if section is not None]


def value_and_lifecycle() -> tuple[str, ...]:
    """The sections of its parts."""
    return tuple(name for name in switched() if name not in _OTHERS)


def sides(only: Sequence[str]) -> list[Side]:
    names = switched()
    value = value_and_lifecycle()
    groups = [Side("all of value and lifecycle", value), Side("all of these", tuple(names))]
    each = [Side(name, (name,)) for name in names if not only or name in only]
    return [Side("everything on"), *each, *groups]


def shop_lines(customers: int, days: int) -> list[bytes]:
    shop = ShopConfig(seed=0, customers=customers, start_ms=START_MS, days=days)
    return [record.value for record in simulate(shop)]


def in_turns(
    lines: Sequence[bytes], all_of_them: Sequence[Side], chance: Random, step: Callable[[], None]
) -> tuple[list[float], list[Replay]]:
    """µs of CPU per event of each side, and the replays."""
    replays = [Replay(side.parameters) for side in all_of_them]
    seconds, turns = [0.0] * len(replays), 0
    gc.disable()
    try:
        for begin in range(0, len(lines), LINES_A_TURN):
            turn = list(enumerate(lines[begin : begin + LINES_A_TURN], begin + 1))
            for place in chance.sample(range(len(replays)), len(replays)):
                feed = replays[place].feed
                started = process_time()
                for number, line in turn:
                    feed(line, number)
                seconds[place] += process_time() - started
            turns += 1
            if not turns % TURNS_A_COLLECTION:
                gc.collect()
            step()
    finally:
        gc.enable()
    return [spent / len(lines) * 1e6 for spent in seconds], replays


def measured(
    all_of_them: Sequence[Side], customers: int, days: int, rounds: int
) -> dict[str, Cost]:
    lines, chance = shop_lines(customers, days), Random(0)
    turns = -(-len(lines) // LINES_A_TURN)
    costs: dict[str, list[float]] = {side.name: [] for side in all_of_them}
    replays: list[Replay] = []
    with progress("replaying", rounds * turns + len(all_of_them)) as tell:
        done = 0

        def step(note: str = "in turns") -> None:
            nonlocal done
            done += 1
            tell(done, note)

        for _ in range(rounds):
            spent, replays = in_turns(lines, all_of_them, chance, step)
            for side, cpu_us in zip(all_of_them, spent, strict=True):
                costs[side.name].append(cpu_us)
        found = {}
        for side, replay in zip(all_of_them, replays, strict=True):
            rows = [len(encode_row(row)) for row in replay.rows().values()]
            calls = calls_of(lines, Replay(side.parameters))
            found[side.name] = Cost(costs[side.name], calls, fmean(rows))
            step("counting calls")
    return found


def told(costs: dict[str, Cost]) -> str:
    """The table: the difference that each part makes, and the ratio."""
    whole, *others = costs.items()
    rows = [_row(name, whole[1], cost) for name, cost in others]
    cpu_us = f"{median(whole[1].cpu_us):.1f}"
    rows.append((whole[0], cpu_us, f"{whole[1].calls:.1f}", f"{whole[1].row_bytes:,.0f}"))
    return table(("part", "µs of CPU an event", "calls an event", "bytes a customer"), rows)


def _row(name: str, with_it: Cost, without: Cost) -> tuple[str, ...]:
    pairs = list(zip(with_it.cpu_us, without.cpu_us, strict=True))
    more, times = [one - other for one, other in pairs], [one / other for one, other in pairs]
    calls, row_bytes = with_it.calls - without.calls, with_it.row_bytes - without.row_bytes
    return (
        name,
        f"{median(more):+.1f} ({median(times):.3f} times)",
        f"{calls:+.1f} ({with_it.calls / without.calls:.3f} times)",
        f"{row_bytes:+,.0f} ({with_it.row_bytes / without.row_bytes:.3f} times)",
    )


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--customers", type=int, default=60, help="of the simulated shop")
    options.add_argument("--days", type=int, default=200, help="that the shop's log is long")
    options.add_argument("--rounds", type=int, default=5, help="of which the median is told")
    options.add_argument(
        "--part", action="append", default=[], metavar="NAME", help="of those alone; more than once"
    )
    chosen = options.parse_args()
    if unknown := set(chosen.part) - set(switched()):
        options.error(
            f"no part that can be switched off is called {', '.join(sorted(unknown))}: there are "
            f"{', '.join(switched())}"
        )
    before = load_1min()
    print(told(measured(sides(chosen.part), chosen.customers, chosen.days, chosen.rounds)))
    print(
        f"\nWhat there is more of with a part than without it, an event of a shop of "
        f"{chosen.customers} customers and {chosen.days} days: the median of {chosen.rounds} "
        f"rounds. The machine's load was {before:.1f} before and {load_1min():.1f} after."
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
