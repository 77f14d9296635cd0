"""Apache Kafka's jars: fetched once, compared with the lock on every start.

``jars.sha256`` names each jar by its path in a Maven repository, in the format of ``sha256sum``.
``python -m streams.embedded.jars lock`` rewrites it after ``ENDPOINT`` was changed.
"""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path, PurePosixPath

import jgo
from jgo.config import GlobalSettings
from jgo.maven import MavenContext

ENDPOINT = "org.apache.kafka:kafka_2.13:4.4.0+org.slf4j:slf4j-simple:1.7.36"
LOCK_PATH = Path(__file__).with_name("jars.sha256")
# More than this gains little on one line and would be rude to a public repository.
FETCHES_MAX = 6
TRIES_MAX = 3

Lock = dict[PurePosixPath, str]
Progress = Callable[[str], None]


class JarMismatchError(RuntimeError):
    """A jar in the cache, or from the repository, differs from the lock."""


class JarFetchError(RuntimeError):
    """A jar could not be fetched."""


def tell_nobody(_text: str) -> None:
    """Ignore a progress message."""


def default_cache_dir() -> Path:
    """Return where jars are kept unless told otherwise: the user's cache directory."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keepstream"


def read_lock(lock_path: Path = LOCK_PATH) -> Lock:
    """Return the SHA-256 of every jar by its repository path."""
    lock: Lock = {}
    for number, line in enumerate(lock_path.read_text().splitlines(), start=1):
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name:
            raise JarMismatchError(
                f"{lock_path}:{number}: expected '<sha256>  <path>', found {line!r}"
            )
        lock[PurePosixPath(name)] = digest
    return lock


def kafka_jars(
    cache_dir: Path | None = None,
    *,
    on_progress: Progress = tell_nobody,
    lock_path: Path = LOCK_PATH,
) -> list[Path]:
    """Return Kafka's class path, every jar of it with the SHA-256 the lock names.

    Jars that aren't in ``cache_dir`` yet are fetched, which takes some seconds; ``on_progress`` is
    told of each one. A directory appears in the cache complete or not at all, so an interrupted or
    simultaneous fetch does no harm.
    """
    lock = read_lock(lock_path)
    version = hashlib.sha256(lock_path.read_bytes()).hexdigest()[:12]
    jars_dir = (cache_dir or default_cache_dir()) / f"kafka-{version}"
    if not jars_dir.is_dir():
        fetch(lock, jars_dir, on_progress)
    verify(lock, jars_dir)
    return [jars_dir / path.name for path in lock]


def verify(lock: Lock, jars_dir: Path) -> None:
    """Raise ``JarMismatchError`` unless ``jars_dir`` holds exactly the lock's jars."""
    fix = f"Delete {jars_dir} and start again."
    found = {path.name for path in jars_dir.glob("*.jar")}
    expected = {path.name: digest for path, digest in lock.items()}
    for name in sorted(expected.keys() - found):
        raise JarMismatchError(f"{name} is missing from {jars_dir}. {fix}")
    for name in sorted(found - expected.keys()):
        raise JarMismatchError(f"{name} in {jars_dir} is not in {LOCK_PATH.name}. {fix}")
    for name, digest in expected.items():
        if sha256(jars_dir / name) != digest:
            raise JarMismatchError(
                f"{name} in {jars_dir} is not the jar that {LOCK_PATH.name} names. {fix}"
            )


def fetch(lock: Lock, jars_dir: Path, on_progress: Progress) -> None:
    """Bring the lock's jars to ``jars_dir``, from the local Maven repository where it has them."""
    jars_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=jars_dir.parent) as scratch:
        staging_dir = Path(scratch, "jars")
        staging_dir.mkdir()
        with ThreadPoolExecutor(FETCHES_MAX) as pool:
            fetches = {
                pool.submit(fetch_one, path, digest, Path(scratch, "maven"), staging_dir): path
                for path, digest in lock.items()
            }
            try:
                report_each(fetches, on_progress)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        try:
            staging_dir.rename(jars_dir)
        except OSError:
            # Another process was faster. Its directory is compared with the lock like any other.
            if not jars_dir.is_dir():
                raise


def report_each(fetches: dict[Future[None], PurePosixPath], on_progress: Progress) -> None:
    """Tell ``on_progress`` of each jar as it comes; raise the first failure."""
    for count, done in enumerate(as_completed(fetches), start=1):
        done.result()
        on_progress(f"Fetching Apache Kafka: {count} of {len(fetches)} jars ({fetches[done].name})")


def fetch_one(path: PurePosixPath, digest: str, maven_dir: Path, target_dir: Path) -> None:
    """Copy one jar to ``target_dir``; raise unless it has this SHA-256."""
    local = GlobalSettings.load().repo_cache / path
    if local.is_file() and sha256(local) == digest:
        shutil.copyfile(local, target_dir / path.name)
        return
    for tries_left in reversed(range(TRIES_MAX)):
        try:
            fetched = download(path, maven_dir / str(tries_left))
        except JarFetchError:
            if not tries_left:
                raise
            continue
        # The client doesn't report a connection that was cut short; the digest shows it.
        if sha256(fetched) == digest:
            shutil.move(fetched, target_dir / path.name)
            return
    raise JarMismatchError(
        f"{path.name} was fetched, and is not the jar that {LOCK_PATH.name} names. "
        "Try again; if it stays so, do not use what this Maven repository serves."
    )


def download(path: PurePosixPath, maven_dir: Path) -> Path:
    """Return a fresh copy of one jar, fetched into ``maven_dir`` from where jgo is set up to look.

    That is Maven Central, unless the user's jgo settings name repositories.
    """
    *group, artifact_id, version, _ = path.parts
    repositories = GlobalSettings.load().repositories or None
    maven = MavenContext(repo_cache=maven_dir, local_repos=[], remote_repos=repositories)
    component = maven.project(".".join(group), artifact_id).at_version(version)
    try:
        return component.artifact().resolve()
    except (OSError, RuntimeError) as error:
        raise JarFetchError(
            f"{path.name} could not be fetched ({type(error).__name__}). "
            "Check the network and its proxy settings and start again, "
            "or use a Kafka that is already there: KEEPSTREAM_BOOTSTRAP_SERVERS=host:port"
        ) from error


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rewrite_lock(lock_path: Path = LOCK_PATH) -> Lock:
    """Resolve ``ENDPOINT`` with everything it needs, fetch it afresh, and write its lock."""
    lock: Lock = {}
    with tempfile.TemporaryDirectory(prefix="keepstream-lock-") as scratch:
        for artifact in jgo.resolve(ENDPOINT):
            path = PurePosixPath(artifact.component.path_prefix.as_posix(), artifact.filename)
            lock[path] = sha256(download(path, Path(scratch)))
            sys.stdout.write(f"{lock[path]}  {path}\n")
    lock_path.write_text("".join(sorted_lines(lock)))
    return lock


def sorted_lines(lock: Lock) -> Iterable[str]:
    """Yield the lock's lines by path, so that an upgrade's diff shows what changed."""
    for path in sorted(lock):
        yield f"{lock[path]}  {path}\n"


if __name__ == "__main__":
    if sys.argv[1:] != ["lock"]:
        sys.exit("usage: python -m streams.embedded.jars lock")
    sys.stdout.write(f"{len(rewrite_lock())} jars are in {LOCK_PATH}\n")
