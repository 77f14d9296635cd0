"""`keepstream replay`: compute from a log alone what would have happened."""

import gc
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.errors import EXIT_REFUSED, complain
from agents.cli.options import Assignments, parameters_from, settings_from
from agents.cli.progress import progress, size_of
from models.events.refusals import Refusals, refusal_in_words, told

if TYPE_CHECKING:
    from models.replay_summary import Summary

_TELL_EVERY_LINES = 1_000
#: How many causes to print when little was refused; the file has them all.
_CAUSES_TOLD = 3
_FROM_THE_FUTURE = (
    "most of the log is later than now, so it is taken for a simulation: no date in it is refused "
    "for being later than now"
)


def replay(
    log: Annotated[
        str,
        typer.Argument(
            metavar="LOG", help="JSON lines, gzip or not; - is standard input.", show_default=False
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Where to write the results.", file_okay=False),
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

    LOG holds one event per line, score lines, and control lines that move the clock. If it has a
    line {"type":"live","timestamp":…}, everything before that line is only rehearsed. DIR gets
    triggers.jsonl, customers.jsonl (their final state), dead-letters.jsonl, summary.json, and
    scores.jsonl if there are score lines. The same log gives the same bytes, with one exception:
    events dated later than today are refused today and accepted later.

    Exit code 0: done. 2: it can't run. 3: done, but of 50 lines or more, more than a fifth of the
    events were refused for one reason, which is printed with its fix.
    """
    # The whole engine, which --help need not wait for.
    from agents.replay_files import (  # noqa: PLC0415
        DEAD_LETTERS,
        OutcomeFiles,
        readable_twice,
        snapshots_in,
    )
    from models.replay import Replay, no_models  # noqa: PLC0415
    from streams.future_lines import beginning_of, latest_of  # noqa: PLC0415
    from streams.graves import CustomerGraves  # noqa: PLC0415
    from streams.json_lines import JsonLines  # noqa: PLC0415

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
    _tell_refusals(engine.refusals, summary.events["read"], filled, out / DEAD_LETTERS)


def _tell_refusals(refusals: Refusals, events: int, lines: int, dead_letters: Path) -> None:
    """Print what was refused, and why. Raises ``typer.Exit`` if one reason accounts for much of
    it.
    """
    causes, loud = refusals.causes(), refusals.loud(events, lines)
    if causes and not loud:
        for cause in causes[:_CAUSES_TOLD]:
            typer.echo(f"refused: {cause.count:,} for {refusal_in_words(cause)}", err=True)
        typer.echo(f"all that was refused, each with its reason: {dead_letters}", err=True)
    for words in told(refusals, events, lines):
        complain(words)
    if loud:
        raise typer.Exit(EXIT_REFUSED)


def _has_live_line(path: str) -> bool:
    """Whether the log has a live line, which makes everything before it a rehearsal."""
    from models.replay import is_live_line  # noqa: PLC0415 - as above
    from streams.json_lines import JsonLines  # noqa: PLC0415

    with JsonLines(path) as lines:
        return any(map(is_live_line, lines))


def _in_words(lines: int, summary: "Summary", out: Path) -> str:
    def counted(counts: dict[str, int]) -> str:
        return ", ".join(f"{count:,} {name}" for name, count in counts.items())

    fates = {
        "dead letters" if name == "deadLettered" else name: n for name, n in summary.events.items()
    }
    read = fates.pop("read")
    nothing = f"; nothing done {summary.nothing:,} times" if summary.nothing else ""
    held = f"\nrehearsed, not told: {counted(summary.rehearsed)}" if summary.rehearsed else ""
    never = "" if summary.live else "\nthe log never goes live, so all of it was only rehearsed"
    return (
        f"{lines:,} lines: {read:,} events ({counted(fates)}), "
        f"{summary.scores:,} scores, {summary.customers:,} customers\n"
        f"triggers: {counted(summary.triggers) or 'none'}{nothing}{held}{never}\n"
        f"written to {out}"
    )
