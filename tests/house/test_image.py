"""The Dockerfile's steps, in a folder of their own, without a container engine.

Not covered is what needs an engine: the base image, its users, and the kernel's confinement.
"""

import fnmatch
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from config import VERSION
from tests.house.repository import ROOT, files

#: What the build puts where, and nobody else has on the machine.
PLACES = ("/opt/keepstream", "/opt/compiler", "/src", "/var/lib/keepstream")
#: Needs root, and changes the machine it is on.
USERS = ("groupadd", "useradd")
#: The same; the machine has what it installs.
SYSTEM = "apt-get install"


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile with its text, line breaks undone."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    split = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in split]


def context() -> list[Path]:
    """The files that .dockerignore lets into the build."""
    rules = [
        line.strip()
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    return [path for path in files() if _is_let_in(path.relative_to(ROOT), rules)]


def _is_let_in(path: Path, rules: list[str]) -> bool:
    is_in = True
    for rule in rules:
        pattern = rule.removeprefix("!")
        names = [str(path), *map(str, path.parents)]
        if any(fnmatch.fnmatch(name, pattern.removeprefix("**/")) for name in names):
            is_in = rule.startswith("!")
    return is_in


class Build:
    """Follows the instructions below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {"HOME": str(root), "PATH": f"{root / 'bin'}:/usr/bin:/bin"}
        self.users: list[str] = []
        # As pip is set up on this machine, with what it has fetched before.
        cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
        self.environment |= {k: v for k, v in os.environ.items() if k.startswith("PIP_")}
        self.environment["PIP_CACHE_DIR"] = str(Path(cache, "pip"))
        (root / "bin").mkdir(parents=True)
        base = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
        (root / "bin/python").symlink_to(base)

    def here(self, text: str) -> str:
        """The same places, below the folder."""
        for place in PLACES:
            text = text.replace(place, f"{self.root}{place}")
        return text

    def follow(self, name: str, text: str) -> None:
        if name == "RUN" and any(word in text for word in USERS):
            self.users.append(text)
        elif name == "RUN" and SYSTEM in text:
            assert shutil.which("gcc")
        elif name == "RUN":
            subprocess.run(
                ["/bin/sh", "-ec", self.here(text)], env=self.environment, cwd=self.root, check=True
            )
        elif name == "ENV":
            for part in shlex.split(self.here(text)):
                variable, _, value = part.partition("=")
                if variable == "PIP_NO_CACHE_DIR":
                    continue
                self.environment[variable] = value.replace("$PATH", self.environment["PATH"])
        elif name == "ARG":
            variable, _, value = text.partition("=")
            self.environment[variable] = value
        elif name == "COPY" and "--from=" not in text:
            source, target = text.split()
            self._copy(source, Path(self.here(target)))
        elif name == "WORKDIR":
            Path(self.here(text)).mkdir(parents=True, exist_ok=True)

    def _copy(self, source: str, target: Path) -> None:
        for path in context():
            inside = PurePosixPath(path.relative_to(ROOT))
            if source == ".":
                place = target / inside
            elif source == str(inside):
                place = target
            elif inside.is_relative_to(source):
                place = target / inside.relative_to(source)
            else:
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)

    def run(self, *command: str) -> str:
        """The output of a command, run in the image's own folder."""
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=self.root / "var/lib/keepstream",
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, done.stdout + done.stderr
        return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.nightly
def test_what_the_image_holds_runs_by_itself(tmp_path: Path) -> None:
    build = Build(tmp_path)
    for name, text in instructions():
        build.follow(name, text)
    # The tree it was built from is not needed.
    shutil.rmtree(tmp_path / "src")

    assert [True] == ["10001" in users for users in build.users]
    [command] = [text for name, text in instructions() if name == "CMD"]
    assert "real-time stream engine" in build.run(*_words(command))
    assert "KEEPSTREAM_BOOTSTRAP_SERVERS" in build.run("keepstream", "settings")
    said = "import config, agents.app, agents.webhooks.deliverer; print(config.VERSION)"
    assert VERSION == build.run("python", "-c", said).strip()
    # The core is compiled, and the compiler is not there.
    shutil.rmtree(tmp_path / "opt/compiler")
    assert f"keepstream {VERSION} (compiled)" == build.run("keepstream", "--version").strip()
    # Rules, parameters and other data of the packages came along.
    assert "churn-risk" in build.run("keepstream", "rules", "check")
    # What only tests and checks need did not.
    listed = build.run("python", "-m", "pip", "list", "--format=freeze")
    assert [] == [name for name in ("pytest", "ruff", "mypy") if f"{name}==" in listed]


def test_nothing_but_what_is_needed_is_let_into_the_build() -> None:
    names = {path.relative_to(ROOT).parts[0] for path in context()}

    assert {"agents", "config", "models", "streams"} <= names
    assert set() == names & {"tests", "docs", ".git", ".venv", "out"}


def _words(command: str) -> list[str]:
    return [word.strip('" ') for word in command.strip("[]").split(",")]
