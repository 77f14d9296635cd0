"""The compiled core gives the same results as the interpreted one; an outdated build is not
used.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from config import VERSION, compiled
from tests.compiled_tree import compiled_tree, environment
from tests.house.repository import ROOT

#: Everything that comes of a small shop's log.
SMALL = """
from msgspec.structs import replace
from tests.replay.digest import SHOP, fold
print(*fold(replace(SHOP, customers=25, days=120)).lines(), sep="\\n")
"""
WHERE = "from models.learning import log_odds; print(log_odds.__file__)"


@pytest.fixture(scope="module")
def tree() -> Path:
    return compiled_tree()


@pytest.fixture
def copy(tree: Path, tmp_path: Path) -> Path:
    """The packages with their build, free to be changed."""
    for package in ("config", "models"):
        shutil.copytree(tree / package, tmp_path / package)
    return tmp_path


def run(tree: Path, *arguments: str, flavour: str = "on") -> subprocess.CompletedProcess[str]:
    """Python in the tree."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={**environment(tree), compiled.VARIABLE: flavour},
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(600)
@pytest.mark.nightly
def test_both_flavours_give_the_same_bytes(tree: Path) -> None:
    found, expected = (run(tree, "-c", SMALL, flavour=flavour) for flavour in ("on", "off"))

    assert "everything" in expected.stdout, expected.stderr
    assert expected.stdout == found.stdout, found.stderr


@pytest.mark.timeout(600)
def test_every_module_that_is_named_is_compiled(tree: Path) -> None:
    asked = (
        f"from importlib import import_module\n"
        f"for name in {compiled.MODULES!r}: print(import_module(name).__file__)"
    )
    files = run(tree, "-c", asked).stdout.split()

    assert len(compiled.MODULES) == len(files)
    assert [] == [file for file in files if not file.endswith(".so")]


@pytest.mark.parametrize(
    ("flavour", "told"), [("on", compiled.COMPILED), ("off", compiled.INTERPRETED)]
)
def test_the_release_says_which_flavour_runs(tree: Path, flavour: str, told: str) -> None:
    asked = run(tree, "-m", "agents.cli", "--version", flavour=flavour)

    assert f"keepstream {VERSION} ({told})\n" == asked.stdout
    counted = "from streams.exposition import *; print(exposed(new_registry()).decode())"
    exposed = run(tree, "-c", f"import models; {counted}", flavour=flavour).stdout
    assert f'keepstream_build_info{{core="{told}",version="{VERSION}"}} 1.0' in exposed


def test_a_build_that_is_older_than_its_source_is_refused(copy: Path) -> None:
    assert ".so" in run(copy, "-c", WHERE).stdout
    # Not compiled itself: what the compiler knows of others counts as well.
    source = copy / "config/duration.py"
    source.write_text(source.read_text() + "\n# Changed.\n")
    refused = run(copy, "-c", WHERE)

    assert 0 != refused.returncode
    *_, said = refused.stderr.strip().splitlines()
    assert "was made of other sources than these: run `make compile` again, or remove" in said
    # Either of what it says helps.
    assert "log_odds.py" in run(copy, "-c", WHERE, flavour="off").stdout
    shutil.rmtree(compiled.directory(copy))
    assert "log_odds.py" in run(copy, "-c", WHERE).stdout


def test_a_build_for_another_python_is_refused(copy: Path) -> None:
    now = compiled.made_now(copy)
    compiled.seal(compiled.directory(copy), compiled.Made(now.sources, "3.11.0rc1"))
    refused = run(copy, "-c", WHERE)

    assert 0 != refused.returncode
    assert "was made of another Python: run `make compile` again" in refused.stderr


def test_a_build_that_was_interrupted_is_none(copy: Path) -> None:
    compiled.directory(copy).joinpath("build.json").unlink()

    assert "log_odds.py" in run(copy, "-c", WHERE).stdout


def test_a_build_that_is_up_to_date_is_kept(tree: Path) -> None:
    library = next(compiled.directory(tree).glob(f"{compiled.LIBRARY}*"))
    before = library.stat().st_mtime_ns
    assert "is up to date" in run(tree, "-m", "agents.compiler").stdout

    assert before == library.stat().st_mtime_ns


def test_without_a_compiler_it_says_what_to_do(copy: Path) -> None:
    shutil.copytree(ROOT / "agents", copy / "agents", ignore=shutil.ignore_patterns("__py*"))
    shutil.rmtree(compiled.directory(copy))
    hidden = "import sys; sys.modules['mypyc'] = None; from agents.compiler import main; main()"
    refused = run(copy, "-c", hidden)

    assert 1 == refused.returncode
    assert "There is no compiler: run `make compile`" in refused.stderr
    assert [] == [*copy.joinpath("models/__compiled__").iterdir()]
