"""The files of a replay: a log that is read twice, the models it names, and the results."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import IO, Self

import msgspec

from models.customer.profile import Profile, encode_profile
from models.decisions.trigger import ActionWithdrawn, NextBestAction, Trigger, encode_decision
from models.events.dead_letter import DeadLetter, encode_dead_letter
from models.learning.snapshot import Snapshot, SnapshotError, decode_snapshot
from models.partition import SnapshotSource
from models.replay import Output
from models.replay_summary import Summary
from streams.json_lines import JsonLines

_WRITE_BUFFER_BYTES = 256 * 1024
#: Snapshots kept in memory. Partitions adopt the same versions at about the same time; older ones
#: are read again.
_SNAPSHOTS_KEPT_MAX = 64

TRIGGERS = "triggers.jsonl"
SCORES = "scores.jsonl"
DEAD_LETTERS = "dead-letters.jsonl"
CUSTOMERS = "customers.jsonl"
SUMMARY = "summary.json"


@contextmanager
def readable_twice(log: str) -> Iterator[str]:
    """The path of ``log``; if it can be read only once, like a pipe, the path of a copy."""
    if log != "-" and not Path(log).is_fifo():
        yield log
        return
    with NamedTemporaryFile(prefix="replay-", suffix=".jsonl") as copy:
        with JsonLines(log) as lines:
            copy.writelines(raw + b"\n" for raw in lines)
        copy.flush()
        yield copy.name


def snapshots_in(directory: Path) -> SnapshotSource:
    """Read versions from ``directory``; raise `SnapshotError` for a missing version, or for a file
    with another content.
    """

    @lru_cache(maxsize=_SNAPSHOTS_KEPT_MAX)
    def read(version: int, sha256: str) -> Snapshot:
        path = directory / f"{version}.json"
        fix = "take log and models from the same `keepstream export --models`"
        try:
            snapshot = decode_snapshot(path.read_bytes(), sha256 or None)
        except OSError as error:
            raise SnapshotError(
                f"the log adopts model {version}, but can't read {path} ({error.strerror}): {fix}"
            ) from None
        except SnapshotError as error:
            raise SnapshotError(f"{path}: {error}: {fix}") from None
        if snapshot.version != version:
            raise SnapshotError(f"{path} holds model {snapshot.version}: {fix}")
        return snapshot

    return read


class OutcomeFiles:
    """The files of one replay, which appear together once all of them are complete.

    They are written to a temporary directory and moved at the end, so a replay that fails or is
    stopped leaves the files of an earlier replay in place.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._unfinished = TemporaryDirectory(prefix=".replay-", dir=directory)
        self._files: dict[str, IO[bytes]] = {}
        for name in (TRIGGERS, DEAD_LETTERS):
            self._open(name)

    def write(self, outputs: Iterable[Output]) -> None:
        """Append each output of a line to its file."""
        for output in outputs:
            match output:
                case Trigger() | NextBestAction() | ActionWithdrawn():
                    self._append(TRIGGERS, encode_decision(output))
                case DeadLetter():
                    self._append(DEAD_LETTERS, encode_dead_letter(output))
                case _:
                    self._append(SCORES, msgspec.json.encode(output))

    def finish(self, profiles: Iterable[Profile], summary: Summary) -> None:
        """Write profiles and summary, and move every file into place."""
        self._open(CUSTOMERS)
        for view in profiles:
            self._append(CUSTOMERS, encode_profile(view))
        self._append(SUMMARY, msgspec.json.encode(summary))
        self._close()
        for name in self._files:
            Path(self._unfinished.name, name).replace(self._directory / name)
        if SCORES not in self._files:
            # Remove an earlier replay's scores, which don't belong to these triggers.
            (self._directory / SCORES).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self._unfinished.cleanup()

    def _append(self, name: str, content: bytes) -> None:
        file = self._files.get(name) or self._open(name)
        file.write(content + b"\n")

    def _open(self, name: str) -> IO[bytes]:
        path = Path(self._unfinished.name, name)
        # Closed by _close(): they are written for as long as this object is in use.
        self._files[name] = path.open("wb", _WRITE_BUFFER_BYTES)
        return self._files[name]

    def _close(self) -> None:
        for file in self._files.values():
            file.close()
