"""`keepstream archive`: a second copy of the log, encrypted with a key for each customer."""

from typing import TYPE_CHECKING

import typer

from agents.cli.errors import EXIT_FOUND, CommandError, complain
from agents.cli.options import BootstrapServers, kafka_settings
from agents.cli.progress import progress
from config.settings import Settings
from config.topics import CUSTOMER_EVENTS

if TYPE_CHECKING:
    from streams.archive.filling import Filled

app = typer.Typer(
    help="Encrypt the log with a key for each customer, so that the plain log may expire.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("fill", epilog="Example: KEEPSTREAM_ARCHIVE=on keepstream archive fill")
def fill(bootstrap_servers: BootstrapServers = None) -> None:
    """Copy to the archive the records of customer-events that it lacks.

    Stop the workers first; start them afterwards with KEEPSTREAM_ARCHIVE=on. This is needed once,
    when you switch the archive on for a deployment that has customers, and again whenever the
    archive was off for a while. You may stop it at any time; it continues where it stopped.
    """
    settings = _archive_settings("archive fill", bootstrap_servers)
    for partition in _filled(settings, writes=True):
        typer.echo(
            f"partition {partition.partition}: {partition.sealed:,} records sealed, up to offset "
            f"{partition.applied:,}"
        )
    typer.echo(_may_expire(settings))


@app.command("check", epilog="Example: KEEPSTREAM_ARCHIVE=on keepstream archive check")
def check(bootstrap_servers: BootstrapServers = None) -> None:
    """Open every record of the archive, and list what is missing.

    Exit code 0: it has every record that was applied. 1: it does not, and the message says what to
    do.
    """
    settings = _archive_settings("archive check", bootstrap_servers)
    is_complete = True
    for partition in _filled(settings, writes=False):
        is_complete &= not (partition.sealed or partition.found.foreign or partition.outlived)
        _tell(partition)
    if not is_complete:
        raise typer.Exit(EXIT_FOUND)
    typer.echo(_may_expire(settings))


def _archive_settings(program: str, bootstrap_servers: str | None) -> Settings:
    settings = kafka_settings(program, bootstrap_servers=bootstrap_servers)
    if not settings.has_archive:
        raise CommandError("the archive is off: set KEEPSTREAM_ARCHIVE=on, also for the workers")
    return settings


def _filled(settings: Settings, *, writes: bool) -> "list[Filled]":

    import asyncio  # noqa: PLC0415 - too slow to import for --help

    from streams.archive.filling import Filling  # noqa: PLC0415 - Kafka, when needed

    with progress("archive", None) as tell:

        def on_progress(done: int, total: int) -> None:
            tell(done, f"{done:,} of {total:,} records", total)

        return asyncio.run(Filling(settings, writes=writes).run(on_progress))


def _tell(partition: "Filled") -> None:
    found, name = partition.found, f"partition {partition.partition}"
    gone = f", {found} left out" if found.gone else ""
    typer.echo(f"{name}: {found.records:,} records{gone}")
    if found.foreign:
        complain(
            f"{name}: {found.foreign:,} records are not ours, or damaged, and are left out: see "
            f"who else writes to customer-archive and customer-keys"
        )
    if partition.outlived:
        complain(
            f"{name}: {partition.outlived:,} keys of customers who were erased are there again, by "
            f"a worker that was cut off: stop the workers and run `keepstream archive fill`, which "
            f"deletes them"
        )
    if partition.sealed:
        complain(
            f"{name}: lacks the latest {partition.sealed:,} of {partition.applied + 1:,} records: "
            f"if no worker runs with KEEPSTREAM_ARCHIVE=on, stop all and run `keepstream archive "
            f"fill`"
        )


def _may_expire(settings: Settings) -> str:
    name, retention_ms = settings.topic(CUSTOMER_EVENTS), settings.log_retention_ms
    if retention_ms > 0:
        return (
            f"{name} is all in the archive, so it may expire as KEEPSTREAM_LOG_RETENTION says. If "
            f"it does not yet: kafka-configs --alter --topic {name} --add-config "
            f"retention.ms={retention_ms}"
        )
    return (
        f"{name} is all in the archive, so it may expire: set KEEPSTREAM_LOG_RETENTION, then "
        f"kafka-configs --alter --topic {name} --add-config retention.ms=..."
    )
