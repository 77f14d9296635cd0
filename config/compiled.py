"""Chooses the flavour of the core: interpreted, or compiled by `make compile`.

The modules in `MODULES` are plain Python and have no other source. If ``models/__compiled__`` has a
build of them for this kind of Python, it is imported in their place. Without one, or with
``KEEPSTREAM_COMPILED=off``, they are interpreted. Both give the same bytes.
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

#: The modules that compiling makes faster: see docs/performance.md. Modules with `msgspec`
#: structs stay interpreted, because the compiler can't make those. So do small functions that are
#: called for every event: a call from interpreted into compiled code costs more than they take.
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
#: The compiler in the lock; a build by another compiler differs.
COMPILER = "mypy==2.4.1"
#: No fused multiply-add: it rounds once instead of twice, so results would differ by processor.
FLAGS = ("-ffp-contract=off",)
#: The library with the code of all modules; each module itself is only a few lines.
LIBRARY = "keepstream__mypyc"
VARIABLE = "KEEPSTREAM_COMPILED"
COMPILED, INTERPRETED = "compiled", "interpreted"

ROOT = Path(__file__).parents[1]
#: The compiler relies on the types of these packages' modules.
_PACKAGES = ("config", "models")
_MANIFEST = "build.json"


class StaleBuild(ImportError):
    """A build is of other sources, or for another Python; the message says what to do."""


class Made(msgspec.Struct, frozen=True):
    """The sources and the Python of a build."""

    sources: str
    python: str


def directory(root: Path = ROOT) -> Path:
    """The directory of the build for this kind of Python."""
    return root / "models/__compiled__" / str(sysconfig.get_config_var("SOABI"))


def made_now(root: Path = ROOT) -> Made:
    """The sources and the Python of a build that was made now."""
    digest = sha256()
    for package in _PACKAGES:
        for path in sorted(root.joinpath(package).rglob("*.py")):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root)}:{len(content)}:".encode() + content)
    return Made(digest.hexdigest(), platform.python_version())


def made_then(build: Path) -> Made | None:
    """The sources and the Python of the build; None if there is no complete build."""
    try:
        return msgspec.json.decode((build / _MANIFEST).read_bytes(), type=Made)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def seal(build: Path, made: Made) -> None:
    """Mark the build as complete, with its sources and its Python."""
    (build / _MANIFEST).write_bytes(msgspec.json.encode(made))


def use_build() -> None:
    """Import the build in place of its modules, if there is one and it isn't switched off.

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
    """Finds only the modules of a build."""

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
