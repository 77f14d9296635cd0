"""The flavour of the core that runs: as it is written, or compiled by `make compile`.

The modules of `MODULES` are plain Python, and their only source. A build of them is in
``models/__compiled__``, one for each kind of Python, and is imported in their place; without one,
or with ``KEEPSTREAM_COMPILED=off``, they are interpreted. Both give the same bytes.
"""

import os
import platform
import sys
import sysconfig
from collections.abc import Sequence
from hashlib import sha256
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

import msgspec

#: What pays when it is compiled: see docs/performance.md. Modules that `msgspec` makes structs in
#: stay interpreted: the compiler can't make those. So do small functions that are called for every
#: event: a call from interpreted code into compiled one costs more than they take.
MODULES: tuple[str, ...] = (
    "models.customer.features",
    "models.customer.rhythm",
    "models.learning.churn_learner",
    "models.learning.contest",
    "models.learning.histogram",
    "models.learning.lapse",
    "models.learning.log_odds",
    "models.learning.online",
    "models.learning.purchases_ahead",
    "models.learning.score_table",
    "models.learning.scorers",
    "models.learning.scoring",
    "models.learning.shift",
    "models.learning.silent",
    "models.learning.spend",
    "models.learning.standardized_logistic",
)
#: The compiler, as the lock has it: a build by another one is not the same.
COMPILER = "mypy==2.4.1"
#: A processor that can must not add and multiply in one step, or it would round once, not twice.
FLAGS = ("-ffp-contract=off",)
#: The library with the code of all modules, beside which each module is a few lines.
LIBRARY = "keepstream__mypyc"
VARIABLE = "KEEPSTREAM_COMPILED"
COMPILED, INTERPRETED = "compiled", "interpreted"

ROOT = Path(__file__).parents[1]
#: Types of these packages' modules are what the compiler relies on.
_PACKAGES = ("config", "models")
_MANIFEST = "build.json"


class StaleBuild(ImportError):
    """A build was made of other sources, or for another Python; the message says what to do."""


class Made(msgspec.Struct, frozen=True):
    """What a build was made of and for."""

    sources: str
    python: str


def directory(root: Path = ROOT) -> Path:
    """Where the build for this kind of Python is."""
    return root / "models/__compiled__" / str(sysconfig.get_config_var("SOABI"))


def made_now(root: Path = ROOT) -> Made:
    """What a build would be made of and for at this moment."""
    digest = sha256()
    for package in _PACKAGES:
        for path in sorted(root.joinpath(package).rglob("*.py")):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root)}:{len(content)}:".encode() + content)
    return Made(digest.hexdigest(), platform.python_version())


def made_then(build: Path) -> Made | None:
    """What the build was made of and for; None if there is no whole build."""
    try:
        return msgspec.json.decode((build / _MANIFEST).read_bytes(), type=Made)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def seal(build: Path, made: Made) -> None:
    """Say that the build is whole, and what it was made of and for."""
    (build / _MANIFEST).write_bytes(msgspec.json.encode(made))


def use_build() -> None:
    """Have the build imported in the place of its modules, if there is one and it is wanted.

    Raises ``StaleBuild`` for one that is older than its sources.
    """
    build = directory()
    if os.environ.get(VARIABLE) == "off":
        return
    then = made_then(build)
    if then is None:
        return
    now = made_now()
    if then != now:
        what = "other sources than these" if then.sources != now.sources else "another Python"
        raise StaleBuild(
            f"the compiled core in {build} was made of {what}: run `make compile` again, or remove "
            f"that directory, or set {VARIABLE}=off"
        )
    sys.meta_path.insert(0, _Build(build))


def flavour() -> str:
    """Which flavour of the core this process runs."""
    is_compiled = any(isinstance(finder, _Build) for finder in sys.meta_path)
    return COMPILED if is_compiled else INTERPRETED


class _Build(MetaPathFinder):
    """Finds the modules of a build, and nothing else."""

    def __init__(self, build: Path) -> None:
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        self._places = {
            name: build.joinpath(*name.split(".")).with_suffix(suffix)
            for name in (*MODULES, LIBRARY)
        }

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """Where the module is; None for one that is not compiled."""
        place = self._places.get(fullname)
        return None if place is None else spec_from_file_location(fullname, place)
