"""The image is built from the Dockerfile, and a worker runs in it, by buildah.

That needs no daemon, no registry of images and no cgroups. The base image is made of Debian's own
packages, with the same release of Python. What is not shown: what the official one has besides, and
that a container sees no other process and no other network.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from time import monotonic, sleep
from urllib.request import urlopen

import pytest

from config import VERSION
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.ports import free_ports
from streams.embedded.valkey import EmbeddedValkey
from tests.house.repository import ROOT
from tests.house.test_image import context, instructions

#: As this machine reaches registries of packages, if in a way of its own.
OF_THIS_MACHINE = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf")
#: What Debian must have for the base image's Python.
PACKAGES = "python3,python3-venv,ca-certificates"
READY_S = 120.0
#: No signal reaches a container from here, but a file does.
_UNTIL_ENOUGH = """keepstream worker --live & worker=$!
until [ -e /tmp/enough ] || ! kill -0 $worker; do sleep 1; done
kill $worker; wait $worker"""


class Images:
    """Images and containers below a folder."""

    def __init__(self, folder: Path) -> None:
        self._flags = ["--root", str(folder / "store"), "--runroot", str(folder / "run")]
        self._environment = {**os.environ, "STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}

    def command(self, *arguments: str) -> list[str]:
        return ["buildah", *self._flags, *arguments]

    def __call__(self, *arguments: str) -> str:
        """What a command prints."""
        done = subprocess.run(
            self.command(*arguments),
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, done.stdout[-2_000:] + done.stderr[-2_000:]
        return done.stdout.strip()

    def run(self, container: str, environment: Mapping[str, str], *command: str) -> str:
        """What a command prints in a container, as its image's user."""
        return self(*_within(container, environment, *command))

    def start(
        self, container: str, environment: Mapping[str, str], *command: str
    ) -> "subprocess.Popen[str]":
        """Start a command in a container."""
        return subprocess.Popen(
            self.command(*_within(container, environment, *command)),
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def _within(container: str, environment: Mapping[str, str], *command: str) -> list[str]:
    told = [part for name, value in environment.items() for part in ("--env", f"{name}={value}")]
    return ["run", *told, container, "--", *command]


def base_of(images: Images, folder: Path, name: str) -> None:
    """Make the base image ``name``, such as python:3.11-slim-bookworm."""
    suite, root = name.rpartition("-")[2], folder / "root"
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(root)]
    subprocess.run(command, check=True, capture_output=True)
    python = root / "usr/bin/python"
    python.symlink_to("python3")
    container = images("from", "scratch")
    images("copy", "-q", container, str(root), "/")
    images("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", container)
    images("commit", "-q", container, f"docker.io/library/{name}")
    images("rm", container)
    said = images(
        "run", images("from", "--pull-never", f"docker.io/library/{name}"), "--", "python", "-V"
    )
    assert name.partition(":")[2].partition("-")[0] in said


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.kafka
@pytest.mark.timeout(1_800)
def test_the_image_is_built_and_a_worker_runs_in_it(
    kafka: EmbeddedKafka, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    for program in ("buildah", "debootstrap"):
        assert shutil.which(program), f"install {program}"
    images = Images(tmp_path)
    [base] = {text.partition(" ")[0] for name, text in instructions() if name == "FROM"}
    base_of(images, tmp_path, base)
    for path in context():
        place = tmp_path / "context" / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    mounts = [
        part
        for path in OF_THIS_MACHINE
        if Path(path).exists()
        for part in ("--volume", f"{path}:{path}:ro")
    ]
    images(
        "build",
        "--pull-never",
        "--layers=false",
        *mounts,
        "--tag",
        "keepstream",
        str(tmp_path / "context"),
    )

    container = images("from", "--pull-never", "localhost/keepstream")
    (port,) = free_ports(1)
    environment = {
        "KEEPSTREAM_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KEEPSTREAM_REDIS_URL": valkey.url,
        "KEEPSTREAM_TOPIC_PREFIX": f"{tmp_path.name}.",
        "KEEPSTREAM_WEB_PORT": str(port),
    }

    def run(*command: str) -> str:
        return images.run(container, environment, *command)

    assert "10001" == run("id", "-u")
    assert f"keepstream {VERSION} (compiled)" == run("keepstream", "--version")
    assert "no compiler" == run("sh", "-c", "command -v gcc || echo no compiler")
    assert "not ours" == run("sh", "-c", "touch /opt/keepstream/x 2>/dev/null || echo not ours")
    run("keepstream", "topics", "create")
    worker = images.start(container, environment, "sh", "-c", _UNTIL_ENOUGH)
    try:
        deadline_s = monotonic() + READY_S
        while not _is_ready(port):
            assert worker.poll() is None
            assert monotonic() < deadline_s, "it is not ready"
            sleep(0.5)
    finally:
        run("touch", "/tmp/enough")
        said, _ = worker.communicate(timeout=READY_S)
    assert 0 == worker.returncode, said
    assert "(compiled) starts as process" in said


def _is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
