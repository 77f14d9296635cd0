"""The directory of a standing deployment, and what it tells a second `keepstream up`."""

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
    """The addresses of a deployment, and the process that keeps it up. ``write_key`` and
    ``console_token``: its own secrets for the collector and the console, empty if there are none;
    only the file's owner can read it. ``archive``: whether it was on, with the log kept for
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
    """Create the directory, readable by its owner only, and lock it until the end of the block.

    Raises ``AlreadyUp``. The lock ends with the process, however that ends.
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
    """The addresses of the running or the last deployment; None before the first."""
    try:
        content = (directory / _ADDRESSES).read_bytes()
        return msgspec.json.decode(content, type=Addresses)
    except (OSError, msgspec.MsgspecError):
        return None


def write_addresses(directory: Path, addresses: Addresses) -> None:
    """Save them for the next start, which uses the same ports if it can."""
    path = directory / _ADDRESSES
    path.touch(0o600)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(addresses)) + b"\n")
