"""One run by its seed, for debugging: `python -m tests.simulation.run 1234 backlog`."""

import sys

from tests.simulation.world import Publication, simulate

if __name__ == "__main__":
    print(simulate(int(sys.argv[1]), Publication(sys.argv[2])))  # noqa: T201  it is what it is for
