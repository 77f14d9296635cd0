"""Where a standing deployment keeps its data, and what it tells whoever starts a second one."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

_ADDRESSES = "addresses.json"
_LOCK = "lock"


class AlreadyUp(RuntimeError):
    """Another process holds the directory; the message says where its deployment is."""


class Addresses(msgspec.Struct, frozen=True):
    """Where a deployment can be reached, and the process that keeps it up. ``write_key`` and
    ``console_token``: those of its own that the collector and the console take, empty if there are
    none; the file is its owner's alone. ``archive``: whether it was on, and the log kept for
    ``log_retention``.
    """

    pid: int
    bootstrap_servers: str
    redis_url: str
    worker_urls: list[str]
    kafka_ports: list[int] = []
    redis_ports: list[int] = []
    worker_ports: list[int] = []
    collector_url: str = ""
    collector_ports: list[int] = []
    write_key: str = ""
    deliverer_ports: list[int] = []
    archive: bool = False
    log_retention: str = ""
    console_url: str = ""
    console_ports: list[int] = []
    console_token: str = ""


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Make the directory, for its owner alone, and hold it until the end of the block.

    Raises ``AlreadyUp``. Whatever ends the process lets go of it.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyUp(_already_up(directory)) from None
        yield


def _already_up(directory: Path) -> str:
    known = read_addresses(directory)
    where = (
        f" as process {known.pid}, with Kafka at {known.bootstrap_servers}, Redis at "
        f"{known.redis_url} and workers at {', '.join(known.worker_urls)}"
        if known is not None
        else ", and has yet to start all of it"
    )
    return (
        f"keepstream up runs already in {directory}{where}: use that, end it with Ctrl-C where it "
        f"was started, or give --dir for a second one"
    )


def read_addresses(directory: Path) -> Addresses | None:
    """Where the deployment is, or was when it ran last; None before it ever did."""
    try:
        content = (directory / _ADDRESSES).read_bytes()
        return msgspec.json.decode(content, type=Addresses)
    except (OSError, msgspec.MsgspecError):
        return None


def write_addresses(directory: Path, addresses: Addresses) -> None:
    """Keep them for the next start, which takes the same ports if it can."""
    path = directory / _ADDRESSES
    path.touch(0o600)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(addresses)) + b"\n")
