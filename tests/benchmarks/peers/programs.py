"""The programs that are compared, and how each is started."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.peers.places import COMMIT_S, Places

ROOT = Path(__file__).resolve().parents[3]
#: Has the peers' packages and not ours; `make bench` makes it.
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
_HERE = "tests.benchmarks.peers"


class PeerProgram(NamedTuple):
    """``package``: its name in the lock file; ``state``: where its state is durable."""

    name: str
    package: str
    state: str
    arguments: Callable[[Places], list[str]]
    #: Run first, with the same Python.
    preparation: Callable[[Places], list[str]] | None = None


def _bytewax(places: Places) -> list[str]:
    recovery = ["-r", str(places.directory), "-s", str(int(COMMIT_S)), "-b", "0"]
    return ["-m", "bytewax.run", f"{_HERE}.bytewax_flow", *recovery]


PEERS = (
    PeerProgram(
        "bare loop",
        "confluent-kafka",
        "nowhere",
        lambda _: ["-m", f"{_HERE}.bare_loop"],
    ),
    PeerProgram(
        "bare loop with a changelog",
        "confluent-kafka",
        "changelog, once a batch",
        lambda _: ["-m", f"{_HERE}.bare_loop", "changelog"],
    ),
    PeerProgram(
        "Quix Streams",
        "quixstreams",
        "RocksDB and changelog, once a second",
        lambda _: ["-m", f"{_HERE}.quix_app"],
    ),
    PeerProgram(
        "Bytewax",
        "bytewax",
        "SQLite on its own disk, once a second",
        _bytewax,
        preparation=lambda places: ["-m", "bytewax.recovery", str(places.directory), "1"],
    ),
    PeerProgram(
        "Faust",
        "faust-streaming",
        "changelog, at each event",
        lambda _: ["-m", f"{_HERE}.faust_app"],
    ),
)


def environment_of(environ: Mapping[str, str], places: Places) -> dict[str, str]:
    """What a program is given. It finds the job in this tree, and no installed package of ours."""
    return {**environ, **places.environment, "PYTHONPATH": str(ROOT)}


def runs_here(program: PeerProgram) -> bool:
    """Bytewax has no wheel for Python 3.13 and later."""
    return program.package != "bytewax" or sys.version_info < (3, 13)


#: Keepstream's own programs: the full engine, which does far more than the job; the job's part
#: alone; and the same on events that are already in its log, so that it has as many hops as the
#: peers.
KEEPSTREAM, KEEPSTREAM_JOB = "Keepstream, everything on", "Keepstream, the job alone"
KEEPSTREAM_ONE_HOP = f"{KEEPSTREAM_JOB}, one hop"
OURS = (KEEPSTREAM, KEEPSTREAM_JOB, KEEPSTREAM_ONE_HOP)
