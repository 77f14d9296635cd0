"""Kafka's jars: fetched once, and used only if they are the ones that the lock names."""

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from streams.embedded.jars import JarFetchError, JarMismatchError, kafka_jars, read_lock
from streams.embedded.ports import HOST

JAR = "org/example/broker/1.0/broker-1.0.jar"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (so it is overridden)
        """Log nothing."""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Maven repository on a loopback port, the only source of jars."""
    root = tmp_path / "repository"
    (root / JAR).parent.mkdir(parents=True)
    (root / JAR).write_bytes(b"the real one")
    handler = partial(QuietHandler, directory=str(root))
    with ThreadingHTTPServer((HOST, 0), handler) as server:
        settings = tmp_path / "jgo.conf"
        settings.write_text(f"[repositories]\nhere = http://{HOST}:{server.server_port}\n")
        monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
        monkeypatch.setenv("M2_REPO", str(tmp_path / "nothing-local"))
        monkeypatch.setenv("NO_PROXY", HOST)
        serving = Thread(target=partial(server.serve_forever, poll_interval=0.01))
        serving.start()
        yield root
        server.shutdown()
        serving.join()


@pytest.fixture
def lock_path(tmp_path: Path) -> Path:
    path = tmp_path / "jars.sha256"
    path.write_text(f"{hashlib.sha256(b'the real one').hexdigest()}  {JAR}\n")
    return path


def test_jars_are_fetched_once_and_word_of_it_is_given(
    repository: Path, lock_path: Path, tmp_path: Path
) -> None:
    heard: list[str] = []

    [jar] = kafka_jars(tmp_path / "cache", lock_path=lock_path, on_progress=heard.append)
    (repository / JAR).unlink()

    assert [jar] == kafka_jars(tmp_path / "cache", lock_path=lock_path, on_progress=heard.append)
    assert b"the real one" == jar.read_bytes()
    assert ["Fetching Apache Kafka: 1 of 1 jars (broker-1.0.jar)"] == heard


def test_a_jar_that_the_local_maven_repository_has_is_not_fetched(
    repository: Path, lock_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = repository.rename(tmp_path / "local")
    monkeypatch.setenv("M2_REPO", str(local))

    [jar] = kafka_jars(tmp_path / "cache", lock_path=lock_path)

    assert b"the real one" == jar.read_bytes()


def test_a_jar_that_is_served_differently_is_refused(
    repository: Path, lock_path: Path, tmp_path: Path
) -> None:
    (repository / JAR).write_bytes(b"another")

    with pytest.raises(JarMismatchError, match=r"broker-1\.0\.jar was fetched, and is not the jar"):
        kafka_jars(tmp_path / "cache", lock_path=lock_path)

    assert [] == list((tmp_path / "cache").iterdir())


def test_a_jar_that_is_not_to_be_had_says_what_to_do(
    repository: Path, lock_path: Path, tmp_path: Path
) -> None:
    (repository / JAR).unlink()

    with pytest.raises(JarFetchError, match=r"broker-1\.0\.jar could not be fetched.*KEEPSTREAM_"):
        kafka_jars(tmp_path / "cache", lock_path=lock_path)

    assert [] == list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda jar: jar.write_bytes(b"another"), r"broker-1\.0\.jar .* is not the jar .* Delete "),
        (lambda jar: jar.unlink(), r"broker-1\.0\.jar is missing .* Delete "),
        (lambda jar: jar.with_name("more.jar").touch(), r"more\.jar .* is not in .* Delete "),
    ],
    ids=["differs", "missing", "extra"],
)
def test_a_cache_that_is_not_what_the_lock_names_is_refused(
    harm: Callable[[Path], object],
    message: str,
    repository: Path,
    lock_path: Path,
    tmp_path: Path,
) -> None:
    [jar] = kafka_jars(tmp_path / "cache", lock_path=lock_path)

    harm(jar)

    with pytest.raises(JarMismatchError, match=message):
        kafka_jars(tmp_path / "cache", lock_path=lock_path)


def test_the_committed_lock_names_every_jar_once_and_in_order() -> None:
    paths = list(read_lock())

    assert sorted(paths) == paths
    assert len(paths) == len({path.name for path in paths})
    assert any(path.name.startswith("kafka_2.13-") for path in paths)
