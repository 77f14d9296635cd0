"""`keepstream publish`: check a file of events, send the valid ones, and report the others."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.errors import EXIT_FOUND, CommandError, complain
from agents.cli.options import (
    Assignments,
    BootstrapServers,
    kafka_settings,
    parameters_from,
    settings_from,
)
from agents.cli.progress import progress, size_of
from models.events.refusals import told

if TYPE_CHECKING:
    from config.settings import Settings
    from streams.line_check import LineCheck
    from streams.line_publisher import OnProgress, PublishReport

_STDIN = "-"


def publish(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="One JSON event per line, gzip or not; - is standard input.",
            show_default=False,
        ),
    ],
    bootstrap_servers: BootstrapServers = None,
    check: Annotated[
        bool, typer.Option("--check", help="Say what would be refused, and send nothing.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first bad line, and send nothing.")
    ] = False,
    send_bad: Annotated[
        bool,
        typer.Option("--send-bad", help="Send bad lines too; they become dead letters."),
    ] = False,
    assignments: Assignments = None,
) -> None:
    """Check files of events, and publish them in order of time, keyed and acknowledged.

    Each line is checked as a worker with these parameters would check it. Refused lines go, each
    with its reason, to FILE.refused.jsonl: correct them there and publish that file. Standard input
    is published in the order in which it arrives; its refused lines are added to
    stdin.refused.jsonl. Only the workers know who was erased: events of an erased customer pass the
    check, and their fate is `erased`.

    Exit code 0: every line is in the log. 1: there were bad lines, listed with their reasons; the
    others are in the log. 2: a file or the broker can't be used; if it stopped half way, the lines
    that are not in the log are in FILE.unpublished.jsonl.
    """
    from streams.line_check import LineCheck  # noqa: PLC0415 - what Kafka needs, when needed
    from streams.line_publisher import PublishStopped, check_files  # noqa: PLC0415

    if _STDIN in files and len(files) > 1:
        raise CommandError("- is standard input, and can't be published together with files")
    asked = settings_from if check else partial(kafka_settings, "publish")
    settings = asked(bootstrap_servers=bootstrap_servers)
    parameters = parameters_from(settings, assignments)
    lateness_ms = parameters.time.lateness
    line_check = LineCheck(parameters, int(time.time() * 1_000))
    sizes = [size_of(file) for file in files]
    total = sum(size or 0 for size in sizes) if all(sizes) else None
    with _interrupted_once(), progress("check" if check else "publish", total) as tell:
        if check:
            report = check_files(files, line_check, tell, lateness_ms)
        else:
            try:
                report = _published(
                    settings,
                    files,
                    line_check,
                    tell,
                    strict=strict,
                    send_bad=send_bad,
                    lateness_ms=lateness_ms,
                )
            except PublishStopped as stopped:
                _tell_outcome(stopped.report, is_check=False)
                raise
    _tell_outcome(report, is_check=check)
    if report.bad_lines_total:
        raise typer.Exit(EXIT_FOUND)


@contextmanager
def _interrupted_once() -> Iterator[None]:
    """Let Ctrl-C interrupt once. A second Ctrl-C must not cut short the accounting for each line,
    which takes some seconds at most.
    """
    before = signal.getsignal(signal.SIGINT)

    def interrupt(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        complain("stopping: what is on its way is waited for, and the rest is kept")
        raise KeyboardInterrupt

    # If SIGINT was ignored before, as in a background job, it stays ignored.
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _published(
    settings: "Settings",
    files: list[str],
    check: "LineCheck",
    tell: "OnProgress",
    *,
    strict: bool,
    send_bad: bool,
    lateness_ms: int,
) -> "PublishReport":
    from models.catalogue import topic_of  # noqa: PLC0415
    from streams.line_publisher import (  # noqa: PLC0415 - Kafka is imported when needed
        StrictError,
        publish_files,
        publish_stream,
    )
    from streams.publisher import EventPublisher  # noqa: PLC0415

    with EventPublisher(settings, topic_of) as publisher:
        try:
            if files == [_STDIN]:
                return publish_stream(
                    publisher,
                    check,
                    strict=strict,
                    send_bad=send_bad,
                    on_progress=tell,
                    lateness_ms=lateness_ms,
                )
            return publish_files(
                publisher, files, check, strict=strict, send_bad=send_bad, on_progress=tell
            )
        except StrictError as error:
            complain(str(error))
            raise typer.Exit(EXIT_FOUND) from None


def _tell_outcome(report: "PublishReport", *, is_check: bool) -> None:
    for path in report.empty_files:
        complain(f"{path} is empty")
    if is_check:
        typer.echo(f"{report.sound:,} of {report.lines:,} lines are sound; nothing was sent")
    else:
        counts = sorted(report.by_topic.items())
        by_topic = ", ".join(f"{count:,} {topic}" for topic, count in counts)
        typer.echo(f"{report.published:,} events published" + (f": {by_topic}" if counts else ""))
    _tell_order(report, is_check=is_check)
    _tell_late(report, is_check=is_check)
    if report.bad_lines_total:
        _tell_refused(report, is_check=is_check)
    for words in told(report.refusals, report.lines):
        complain(words)


def _tell_order(report: "PublishReport", *, is_check: bool) -> None:
    if report.earlier and not is_check:
        events = "event stands" if report.earlier == 1 else "events stand"
        what = "was sent so: sort a history" if report.is_stream else "is put in order"
        typer.echo(f"{report.earlier:,} {events} after a later one, which {what}")


def _tell_late(report: "PublishReport", *, is_check: bool) -> None:
    """Warn about late lines: the log refuses them once a partition is live. `publish FILE` sorts by
    time, so it sends none.
    """
    if not report.late:
        return
    events = "event stands" if report.late == 1 else "events stand"
    where = f" (first: line {report.first_late:,})"
    cure = "publish the file, which puts it in order; " if is_check else ""
    complain(
        f"{report.late:,} {events} after one that is later by more than time.lateness{where}: in "
        f"this order they are too late once partitions are live, and in a replay. To mend it, "
        f"{cure}sort the events by time, or raise time.lateness"
    )


def _tell_refused(report: "PublishReport", *, is_check: bool) -> None:
    from streams.refused_lines import refused_path  # noqa: PLC0415 - as above

    lines = "line is" if report.bad_lines_total == 1 else "lines are"
    sent = f", {report.sent_bad:,} sent to become dead letters" if report.sent_bad else ""
    complain(f"{report.bad_lines_total:,} {lines} refused{sent}:")
    several = len({bad.file for bad in report.bad_lines}) > 1
    for bad in report.bad_lines:
        where = f"{bad.file}, " if several else ""
        complain(f"  {where}line {bad.number:,}: {bad.reason}")
    if more := report.bad_lines_total - len(report.bad_lines):
        complain(f"  and {more:,} more")
    for path in report.refused_files:
        complain(f"they are in {path}: mend them there, and publish that file")
    if is_check:
        files = sorted({bad.file for bad in report.bad_lines})
        beside = refused_path(files[0]) if len(files) == 1 else "FILE.refused.jsonl"
        complain(f"correct them; if you publish as it is, the others go out, and these to {beside}")
