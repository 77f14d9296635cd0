"""Images and containers without a daemon: buildah builds, crun runs.

This needs root, but no registry of images: the base image is made from Debian's own packages, with
the same release of Python. Containers share the machine's network, where the tests' broker is, and
have no cgroups, so memory limits are not tested.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from streams.embedded.process import ServerProcess
from tests.house.repository import ROOT
from tests.house.test_image import context, instructions

#: Debian has each in a package of the same name.
PROGRAMS = ("buildah", "crun", "debootstrap")
#: This machine's settings for reaching package registries, where it has any.
OF_THIS_MACHINE = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf")
#: The Debian packages for the base image's Python, with its headers.
PACKAGES = "python3,python3-dev,python3-venv,ca-certificates"
#: Python where the official image has it, with nothing before it on the path.
BASE_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
#: crun refuses machines that mount both versions of cgroups, so it gets neither. The umask makes
#: folders that it creates for mounts readable for all, as an engine does.
_WITHOUT_CGROUPS = 'umask 022; mount -t tmpfs none /sys/fs/cgroup; exec "$@"'
#: A variable that `.env` may set, with its default, which is used here.
_UNLESS = re.compile(r"\$\{\w+:-([^}]*)\}")


def require_programs() -> None:
    """Fail where containers can't be run, and say what is then not covered."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    says = "the image and the services of docker-compose.yml are NOT tried as containers here"
    assert [] == missing, f"{says}: apt-get install {' '.join(missing)}"
    assert 0 == os.geteuid(), f"{says}: run this as root"


class Images:
    """The images of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._flags = ["--root", str(folder / "store"), "--runroot", str(folder / "run")]

    def __call__(self, *arguments: str) -> str:
        """The output of a buildah command."""
        return _said("buildah", *self._flags, *arguments, BUILDAH_ISOLATION="chroot")

    def make_base(self, name: str) -> None:
        """Make the base image ``name``, such as python:3.11-slim-bookworm."""
        suite, root = name.rpartition("-")[2], self.folder / "debian"
        _said("debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(root))
        (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        container = self("from", "scratch")
        self("copy", "-q", container, str(root), "/")
        self("config", "--env", f"PATH={BASE_PATH}", container)
        self("commit", "-q", container, f"localhost/{name}")
        self("rm", container)
        shutil.rmtree(root)

    def build(self, tag: str) -> None:
        """Build the Dockerfile, with only the files that .dockerignore allows."""
        [base] = {text.partition(" ")[0] for name, text in instructions() if name == "FROM"}
        self.make_base(base)
        sent = self.folder / "context"
        for path in [*context(), ROOT / "Dockerfile"]:
            place = sent / path.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        there = [path for path in OF_THIS_MACHINE if Path(path).exists()]
        mounts = [part for path in there for part in ("--volume", f"{path}:{path}:ro")]
        self("build", "--pull-never", "--layers=false", *mounts, "--tag", tag, str(sent))

    def mounted(self, tag: str) -> tuple[Path, dict[str, Any]]:
        """The files of a new container from an image, and the image's configuration for running
        it.
        """
        container = self("from", "--pull-never", f"localhost/{tag}")
        described = json.loads(self("inspect", container))
        return Path(self("mount", container)), described["OCIv1"]["config"]

    def remove(self) -> None:
        """Unmount and remove everything."""
        self("umount", "--all")
        self("rm", "--all")
        self("rmi", "--all", "--force")


class Container:
    """One service of docker-compose.yml, confined as specified there."""

    def __init__(
        self,
        name: str,
        service: Mapping[str, Any],
        image: tuple[Path, Mapping[str, Any]],
        folder: Path,
        environment: Mapping[str, str],
        volumes: Sequence[str] = (),
    ) -> None:
        self.service = service
        self.process = ServerProcess(name, folder)
        self._id = f"{folder.name}-{name}"
        self._bundle = folder / name
        self._bundle.mkdir()
        self._crun = [
            "unshare", "--mount", "sh", "-ec", _WITHOUT_CGROUPS, "sh",
            "crun", "--cgroup-manager=disabled", "--root", str(folder / "crun"),
        ]  # fmt: skip
        described = _described(service, image, environment, volumes)
        user = described["process"]["user"]
        self._as_its_user = ["--user", f"{user['uid']}:{user['gid']}"]
        (self._bundle / "config.json").write_text(json.dumps(described))

    def start(self) -> None:
        run = ["run", "--bundle", str(self._bundle), self._id]
        self.process.start([*self._crun, *run])

    def run(self, *command: str) -> str:
        """The output of a command in the running container, as its user; its exit code must be
        0.
        """
        return _said(*self._crun, "exec", *self._as_its_user, self._id, *command)

    def is_healthy(self, port: int) -> bool:
        """The result of its health check, asked at the port that it has here."""
        self.process.require_alive()
        [kind, *command] = self.service["healthcheck"]["test"]
        assert "CMD" == kind
        told = [re.sub(r":80[89]0/", f":{port}/", part) for part in command]
        with suppress(AssertionError):
            self.run(*told)
            return True
        return False

    def stop(self) -> int | None:
        """Ask it to end, as an engine does; its exit code."""
        _said(*self._crun, "kill", self._id, "TERM")
        return self.process.wait(float(self.service["stop_grace_period"].removesuffix("s")))

    def remove(self) -> None:
        """Kill it, if it is still there."""
        self.process.kill()
        subprocess.run([*self._crun, "delete", "--force", self._id], check=False)


def _described(
    service: Mapping[str, Any],
    image: tuple[Path, Mapping[str, Any]],
    environment: Mapping[str, str],
    volumes: Sequence[str],
) -> dict[str, Any]:
    """The OCI runtime configuration of a service."""
    root, config = image
    user, _, group = config["User"].partition(":")
    own = {name: _UNLESS.sub(r"\1", value) for name, value in service["environment"].items()}
    told = {**own, **environment}
    assert ["ALL"] == service["cap_drop"]
    return {
        "ociVersion": "1.0.0",
        "root": {"path": str(root), "readonly": service["read_only"]},
        "process": {
            "terminal": False,
            "user": {"uid": int(user), "gid": int(group)},
            "args": service["command"],
            "env": [*config["Env"], *(f"{name}={value}" for name, value in told.items())],
            "cwd": config["WorkingDir"],
            "capabilities": {},
            "noNewPrivileges": "no-new-privileges:true" in service["security_opt"],
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=0755"]},
            *map(_in_memory, service["tmpfs"]),
            *map(_bound, [*service["volumes"], *volumes]),
        ],
        # No network namespace: the broker is at 127.0.0.1.
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]},
    }


def _in_memory(written: str) -> dict[str, Any]:
    """A mount as Compose writes it under ``tmpfs``."""
    place, _, options = written.partition(":")
    told = options.split(",") if options else ["mode=1777"]
    return {
        "destination": place,
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "nodev", "noexec", *told],
    }


def _bound(written: str) -> dict[str, Any]:
    """A mount as Compose writes it under ``volumes``."""
    source, place, mode = written.split(":")
    options = ["rbind", mode]
    return {
        "destination": place,
        "type": "bind",
        "source": str((ROOT / source).resolve()),
        "options": options,
    }


def _said(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, f"{command}\n{done.stdout[-3_000:]}{done.stderr[-3_000:]}"
    return done.stdout.strip()
