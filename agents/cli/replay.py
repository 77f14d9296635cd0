"""`keepstream replay`: what would have happened, from a log alone."""

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import IO, TYPE_CHECKING, Annotated, Self

import msgspec
import typer

from agents.cli.errors import EXIT_REFUSED, complain
from agents.cli.options import Assignments, parameters_from, settings_from
from agents.cli.progress import progress, size_of
from models.customer.profile import Profile, encode_profile
from models.decisions.trigger import ActionWithdrawn, NextBestAction, Trigger, encode_decision
from models.events.dead_letter import DeadLetter, encode_dead_letter
from models.events.refusals import Refusals, told
from models.learning.snapshot import Snapshot, SnapshotError, decode_snapshot
from models.partition import SnapshotSource
from streams.future_lines import beginning_of, latest_of
from streams.graves import CustomerGraves
from streams.json_lines import JsonLines

if TYPE_CHECKING:
    from models.replay import Output
    from models.replay_summary import Summary

_TELL_EVERY_LINES = 1_000
_WRITE_BUFFER_BYTES = 256 * 1024
#: Snapshots kept in memory. Partitions adopt the same versions at about the same time; older ones
#: are read again.
_SNAPSHOTS_KEPT_MAX = 64

_FROM_THE_FUTURE = (
    "most of the log is later than now, so it is taken for a simulation: no date in it is refused "
    "for being later than now"
)

TRIGGERS = "triggers.jsonl"
SCORES = "scores.jsonl"
DEAD_LETTERS = "dead-letters.jsonl"
CUSTOMERS = "customers.jsonl"
SUMMARY = "summary.json"


def replay(
    log: Annotated[
        str,
        typer.Argument(
            metavar="LOG", help="JSON lines, gzip or not; - is standard input.", show_default=False
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Where to write the outcome.", file_okay=False),
    ],
    assignments: Assignments = None,
    models: Annotated[
        Path | None,
        typer.Option(
            "--models",
            metavar="DIR",
            help="Model snapshots that the log names, as `keepstream export --models` writes them.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Run the engine over a log, with no broker, and write what would have happened.

    LOG holds one event a line, score lines, and control lines that move the clock. If it has a
    line {"type":"live","timestamp":…}, what is before it is only rehearsed. DIR gets
    triggers.jsonl, customers.jsonl (their final state), dead-letters.jsonl, summary.json, and
    scores.jsonl if there are score lines. The same log gives the same bytes; only what it holds of
    the future is refused today and not later.

    Exit code 0: done. 2: it can't run. 3: done, and more than a fifth of the events were refused
    for one reason, which is said with its fix.
    """
    # River takes a second or two to import, which other commands need not wait for.
    from models.replay import Replay, no_models  # noqa: PLC0415

    settings = settings_from()
    parameters = parameters_from(settings, assignments)
    # Rows make no reference cycles, so repeated full collections would only cost time.
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
    source = snapshots_in(models) if models else no_models
    with (
        readable_twice(log) as path,
        JsonLines(path) as lines,
        OutcomeFiles(out) as files,
        progress("replay", size_of(log)) as tell,
    ):
        number = filled = 0
        beginning, whole = beginning_of(lines)
        latest_ms = latest_of(beginning, parameters)
        engine = Replay(
            parameters,
            source,
            is_rehearsed=_has_live_line(path),
            latest_ms=latest_ms,
            graves=partial(CustomerGraves, settings.erasure_salt),
        )
        for number, raw in enumerate(whole, start=1):
            if number % _TELL_EVERY_LINES == 0:
                tell(lines.bytes_read, f"{number:,} lines")
            if raw and not raw.isspace():
                filled += 1
                files.write(engine.feed(raw, number))
        summary = engine.summary()
        files.finish(engine.profiles(), summary)
    typer.echo(_in_words(number, summary, out))
    if not filled:
        typer.echo(f"{log} is empty")
    if latest_ms is None:
        complain(_FROM_THE_FUTURE)
    _tell_refusals(engine.refusals, summary.events["read"], filled)


def _tell_refusals(refusals: Refusals, events: int, lines: int) -> None:
    """Say what most people must hear; raises ``typer.Exit`` if much was refused for one reason."""
    for words in told(refusals, events, lines):
        complain(words)
    if refusals.loud(events, lines):
        raise typer.Exit(EXIT_REFUSED)


@contextmanager
def readable_twice(log: str) -> Iterator[str]:
    """The path of ``log``, or of a copy of what can be read only once, like a pipe."""
    if log != "-" and not Path(log).is_fifo():
        yield log
        return
    with NamedTemporaryFile(prefix="replay-", suffix=".jsonl") as copy:
        with JsonLines(log) as lines:
            copy.writelines(raw + b"\n" for raw in lines)
        copy.flush()
        yield copy.name


def _has_live_line(path: str) -> bool:
    """Whether the log goes live somewhere, so that what is before is a rehearsal."""
    from models.replay import is_live_line  # noqa: PLC0415 - as above

    with JsonLines(path) as lines:
        return any(map(is_live_line, lines))


def snapshots_in(directory: Path) -> SnapshotSource:
    """Read versions from ``directory``; raises `SnapshotError` for a missing or a different one."""

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
    """The files of one replay, which appear together when all of them are complete.

    They are written to a temporary directory and moved at the end, so that a replay that fails or
    is stopped leaves the files of an earlier one.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._unfinished = TemporaryDirectory(prefix=".replay-", dir=directory)
        self._files: dict[str, IO[bytes]] = {}
        for name in (TRIGGERS, DEAD_LETTERS):
            self._open(name)

    def write(self, outputs: "Iterable[Output]") -> None:
        """Append each output of a line to its file."""
        for output in outputs:
            match output:
                case Trigger() | NextBestAction() | ActionWithdrawn():
                    self._append(TRIGGERS, encode_decision(output))
                case DeadLetter():
                    self._append(DEAD_LETTERS, encode_dead_letter(output))
                case _:
                    self._append(SCORES, msgspec.json.encode(output))

    def finish(self, profiles: Iterable[Profile], summary: "Summary") -> None:
        """Write profiles and summary, and move every file into place."""
        self._open(CUSTOMERS)
        for view in profiles:
            self._append(CUSTOMERS, encode_profile(view))
        self._append(SUMMARY, msgspec.json.encode(summary))
        self._close()
        for name in self._files:
            Path(self._unfinished.name, name).replace(self._directory / name)
        if SCORES not in self._files:
            # Remove an earlier replay's scores: they don't belong to this one's triggers.
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


def _in_words(lines: int, summary: "Summary", out: Path) -> str:
    def counted(counts: dict[str, int]) -> str:
        return ", ".join(f"{count:,} {name}" for name, count in counts.items())

    fates = {
        "dead letters" if name == "deadLettered" else name: n for name, n in summary.events.items()
    }
    read = fates.pop("read")
    nothing = f"; nothing done {summary.nothing:,} times" if summary.nothing else ""
    held = f"\nrehearsed, not told: {counted(summary.rehearsed)}" if summary.rehearsed else ""
    never = "" if summary.live else "\nthe log never goes live, so nothing was decided aloud"
    return (
        f"{lines:,} lines: {read:,} events ({counted(fates)}), "
        f"{summary.scores:,} scores, {summary.customers:,} customers\n"
        f"triggers: {counted(summary.triggers) or 'none'}{nothing}{held}{never}\n"
        f"written to {out}"
    )
