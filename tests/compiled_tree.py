"""A copy of this tree whose core is compiled, so that building does not affect the tree itself."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.house.repository import PACKAGES, ROOT

PLACE = ROOT / "build/compiled"


def compiled_tree() -> Path:
    """The copy, with the tree's present content. It is compiled again when the core has changed."""
    PLACE.mkdir(parents=True, exist_ok=True)
    with PLACE.joinpath("lock").open("w") as lock:
        # Tests may run in parallel.
        fcntl.flock(lock, fcntl.LOCK_EX)
        for package in PACKAGES:
            _mirror(ROOT / package, PLACE / package)
        shutil.copy(ROOT / "pyproject.toml", PLACE)
        command = [sys.executable, "-m", "agents.compiler"]
        done = subprocess.run(
            command, cwd=PLACE, env=environment(PLACE), check=False, capture_output=True, text=True
        )
        assert 0 == done.returncode, done.stdout + done.stderr
    return PLACE


def environment(tree: Path) -> dict[str, str]:
    """The environment of a process that runs the packages of ``tree`` and the tests of this one,
    from any working directory: ``python -m`` would look there first.
    """
    return {**os.environ, "PYTHONPATH": f"{tree}:{ROOT}", "PYTHONSAFEPATH": "1"}


def _mirror(source: Path, target: Path) -> None:
    """Copy modules and data to ``target``; keep its build, if there is one."""
    ignored = shutil.ignore_patterns("__pycache__", "__compiled__")
    build, aside = target / "__compiled__", target.with_name("build.aside")
    if build.exists():
        build.rename(aside)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=ignored)
    if aside.exists():
        aside.rename(build)
