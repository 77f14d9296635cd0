"""One run by its number, to look into: `python -m tests.simulation.run 1234 backlog`."""

import sys

from tests.simulation.world import problems, simulate

if __name__ == "__main__":
    number, kind = int(sys.argv[1]), sys.argv[2]
    run = simulate(number, is_backlog=kind == "backlog")
    print(run)  # noqa: T201  it is what it is for
    print(problems(run, is_backlog=kind == "backlog"))  # noqa: T201
