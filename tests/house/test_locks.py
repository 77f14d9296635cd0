"""The lock files are complete, agree with each other and with pyproject.toml, and name no host."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from config.compiled import COMPILER
from tests.house.repository import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = ROOT / "requirements/runtime.txt"
DEV = ROOT / "requirements/dev.txt"
COMPILE = ROOT / "requirements/compile.txt"
REAL = ROOT / "requirements/real.txt"
BENCH = ROOT / "requirements/bench.txt"
PEERS = ROOT / "requirements/peers.txt"
DOCS = ROOT / "requirements/docs.txt"
TRACES = ROOT / "requirements/traces.txt"
EXTRAS = PYPROJECT["project"]["optional-dependencies"]

every_lock = pytest.mark.parametrize(
    "lock", [RUNTIME, DEV, COMPILE, REAL, BENCH, TRACES, PEERS, DOCS], ids=lambda lock: lock.stem
)


def entries(lock: Path) -> list[str]:
    """One text per requirement, including its hashes."""
    lines = [line for line in lock.read_text().splitlines() if not line.lstrip().startswith("#")]
    return re.split(r"\n(?=\S)", "\n".join(lines).strip())


def pins(lock: Path) -> dict[str, str]:
    requirements = [Requirement(entry.partition("\\")[0]) for entry in entries(lock)]
    return {r.name: str(r.specifier).removeprefix("==") for r in requirements}


def asked(requirements: list[str], lock: Path) -> list[str]:
    """The `requirements` that `lock` does not meet."""
    locked = pins(lock)
    wanted = [Requirement(text) for text in requirements]
    versions = [(r, locked.get(r.name.lower().replace("_", "-"))) for r in wanted]
    return [str(r) for r, v in versions if v is None or Version(v) not in r.specifier]


@every_lock
def test_every_requirement_is_pinned_and_hashed(lock: Path) -> None:
    pinned = re.compile(r"[a-z0-9][a-z0-9-]*==\S+ (; .+ )?\\\n    --hash=sha256:[0-9a-f]{64}")

    assert [] == [entry for entry in entries(lock) if not pinned.match(entry)]


@every_lock
def test_no_lock_names_a_place(lock: Path) -> None:
    assert [] == re.findall(r"https?:|file:|--(?:extra-)?index-url|--find-links", lock.read_text())


def test_what_is_tested_is_what_is_run() -> None:
    assert pins(RUNTIME).items() <= pins(REAL).items() <= pins(BENCH).items()
    assert pins(BENCH).items() <= pins(DEV).items()
    assert pins(RUNTIME).items() <= pins(TRACES).items() <= pins(DEV).items()
    assert pins(RUNTIME).items() <= pins(COMPILE).items() <= pins(DEV).items()


def test_locks_fulfil_the_project() -> None:
    runtime = PYPROJECT["project"]["dependencies"] + PYPROJECT["build-system"]["requires"]

    assert [] == asked(runtime, RUNTIME)
    assert [] == asked(runtime + EXTRAS["compile"], COMPILE)
    assert [] == asked(runtime + EXTRAS["real"], REAL)
    assert [] == asked(runtime + EXTRAS["bench"], BENCH)
    assert [] == asked(runtime + [text for extra in EXTRAS.values() for text in extra], DEV)


def test_a_build_is_by_the_compiler_of_the_lock() -> None:
    assert COMPILER == f"mypy=={pins(COMPILE)['mypy']}"


def test_peers_are_those_that_are_asked_for_and_none_is_ours() -> None:
    lines = PEERS.with_suffix(".in").read_text().splitlines()
    wanted = [line for line in lines if not line.startswith("#")]

    assert [] == asked(wanted, PEERS)
    assert {"quixstreams", "bytewax", "confluent-kafka"}.isdisjoint(pins(DEV))
    # Faust is compared with as it is in Keepstream.
    assert pins(RUNTIME)["faust-streaming"] == pins(PEERS)["faust-streaming"]


def test_the_evaluation_reads_the_same_data_as_the_demonstration() -> None:
    assert set(EXTRAS["real"]) <= set(EXTRAS["bench"])


def test_an_unfulfilled_requirement_is_noticed() -> None:
    assert ["rich<1"] == asked(["rich<1"], RUNTIME)
    assert ["no-such-package"] == asked(["no-such-package"], RUNTIME)
