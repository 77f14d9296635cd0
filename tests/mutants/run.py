"""Removes each protection, in a copy of the tree, and checks that its test then fails.

`make mutants` runs them all; with arguments it runs those whose protection contains one of them.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.house.repository import ROOT
from tests.mutants.mutant import Mutant
from tests.mutants.mutants import MUTANTS

#: What the tests of mutants need, besides the installed packages.
NEEDED = ("config", "models", "streams", "agents", "tests", "pyproject.toml")
#: pytest's exit code when tests ran and some failed.
SOME_FAILED = 1
TIMEOUT_S = 900
#: Plugins that take as long to import as a short test.
_WITHOUT = tuple(
    f"-pno:{name}" for name in ("cacheprovider", "schemathesis", "xdist", "anyio", "valkey")
)
#: Each is a process that mostly waits.
SIDE_BY_SIDE = 2


class MutantError(Exception):
    """A mutant proves nothing: its text is gone, or its test did not run."""


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the tree, for one mutant after the other."""
    with TemporaryDirectory(prefix="mutant-") as directory:
        for name in NEEDED:
            _copy(ROOT / name, Path(directory, name))
        yield Path(directory)


def survives(mutant: Mutant, copy: Path) -> bool:
    """Whether its test still passes. Afterwards ``copy`` has the protection again. Raises
    `MutantError` if the result is not clear.
    """
    put_in(mutant, copy)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", *_WITHOUT, mutant.test],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    finally:
        _copy(ROOT / mutant.file, copy / mutant.file)
    if done.returncode not in (0, SOME_FAILED) or "no tests ran" in done.stdout:
        raise MutantError(f"{mutant.test} did not run:\n{done.stdout[-2_000:]}{done.stderr}")
    return done.returncode == 0


def put_in(mutant: Mutant, root: Path) -> None:
    """Remove the protection from the tree at ``root``."""
    file = root / mutant.file
    source = file.read_text()
    if source.count(mutant.text) != 1:
        raise MutantError(
            f"{mutant.file} has {source.count(mutant.text)} times what holds that "
            f"{mutant.protection}: say in tests/mutants/mutants.py where it is now"
        )
    file.write_text(source.replace(mutant.text, mutant.instead))
    # All other files stay compiled as they are in the copy.
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
        compiled.unlink()


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__compiled__"))
    else:
        shutil.copy(source, target)


def _survives(mutant: Mutant) -> bool:
    with copied() as copy:
        return survives(mutant, copy)


def main(names: Sequence[str]) -> int:
    """Run the mutants; returns how many survive."""
    chosen = [m for m in MUTANTS if not names or any(name in m.protection for name in names)]
    alive = 0
    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        for mutant, is_alive in zip(chosen, threads.map(_survives, chosen), strict=True):
            alive += is_alive
            fate = "SURVIVES" if is_alive else "fails as it must"
            print(f"{mutant.protection}: without it, {mutant.test} {fate}", flush=True)  # noqa: T201
    print(f"{len(chosen)} mutants, {alive} survive")  # noqa: T201
    return alive


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
