"""`keepstream publish`: send a file of events to the raw topics, and report every bad line."""

from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.errors import EXIT_FOUND, complain
from agents.cli.options import BootstrapServers, settings_from
from agents.cli.progress import progress, size_of

if TYPE_CHECKING:
    from streams.line_publisher import PublishReport


def publish(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="One JSON event a line, gzip or not; - is standard input.",
            show_default=False,
        ),
    ],
    bootstrap_servers: BootstrapServers = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad line.")] = False,
    send_bad: Annotated[
        bool,
        typer.Option("--send-bad", help="Send bad lines too; they become dead letters."),
    ] = False,
) -> None:
    """Publish a file of events, keyed by customer and acknowledged.

    Exit code 0: every line is in the log. 1: there were bad lines, listed with their reasons; the
    others are in the log. 2: the file or the broker can't be used.
    """
    from models.catalogue import topic_of  # noqa: PLC0415 - Kafka is imported when needed
    from streams.line_publisher import StrictError, publish_file  # noqa: PLC0415
    from streams.publisher import EventPublisher  # noqa: PLC0415

    settings = settings_from(bootstrap_servers=bootstrap_servers)
    with (
        progress("publish", size_of(file)) as tell,
        EventPublisher(settings, topic_of) as publisher,
    ):

        def on_progress(acknowledged: int, bad: int, bytes_read: int) -> None:
            tell(bytes_read, f"{acknowledged:,} acknowledged" + (f", {bad:,} bad" if bad else ""))

        try:
            report = publish_file(
                publisher, file, strict=strict, send_bad=send_bad, on_progress=on_progress
            )
        except StrictError as error:
            complain(str(error))
            raise typer.Exit(EXIT_FOUND) from None
    _tell_outcome(report)
    if report.bad_lines_total:
        raise typer.Exit(EXIT_FOUND)


def _tell_outcome(report: "PublishReport") -> None:
    by_topic = ", ".join(f"{count:,} {topic}" for topic, count in sorted(report.by_topic.items()))
    typer.echo(f"{report.published:,} events published" + (f": {by_topic}" if by_topic else ""))
    if not report.bad_lines_total:
        return
    lines = "line is" if report.bad_lines_total == 1 else "lines are"
    sent = f", {report.sent_bad:,} sent to become dead letters" if report.sent_bad else ""
    complain(f"{report.bad_lines_total:,} {lines} bad{sent}:")
    for bad in report.bad_lines:
        complain(f"  line {bad.number:,}: {bad.reason}")
    if more := report.bad_lines_total - len(report.bad_lines):
        complain(f"  and {more:,} more")
    if not report.sent_bad:
        complain(
            "Mend them and publish the file again: events with a messageId count once. "
            "Or publish only the mended lines."
        )
