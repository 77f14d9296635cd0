"""`keepstream rebuild`: rows made anew from the log, after the changelog was damaged."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.options import Assignments, BootstrapServers, kafka_settings, parameters_from
from agents.cli.progress import progress

if TYPE_CHECKING:
    from streams.rebuilding import Rebuilt


def rebuild(
    whole: Annotated[
        bool,
        typer.Option("--all", help="Every partition, not only those with damaged rows."),
    ] = False,
    looks_only: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what differs, and write nothing."),
    ] = False,
    bootstrap_servers: BootstrapServers = None,
    assignments: Assignments = None,
) -> None:
    """Make damaged or lost rows of customers anew from customer-events.

    Stop the workers first, and give the parameters that they run with. Folds each partition with
    damaged rows from its beginning, compares all its rows with the changelog's, and writes those
    that differ. Nothing is decided or delivered again.
    """
    settings = kafka_settings("rebuild", bootstrap_servers=bootstrap_servers)
    parameters = parameters_from(settings, assignments)
    from streams.rebuilding import Rebuilding  # noqa: PLC0415 - Kafka, when needed

    rebuilding = Rebuilding(settings, parameters, writes=not looks_only)
    with progress("rebuild", None) as tell:

        def on_progress(done: int, total: int) -> None:
            tell(done, f"{done:,} of {total:,} records", total)

        found = asyncio.run(rebuilding.run(whole=whole, on_progress=on_progress))
    for partition in found:
        typer.echo(_told(partition, looks_only=looks_only))
    if not found:
        typer.echo("no damaged rows; --all compares every row with the log")


def _told(found: "Rebuilt", *, looks_only: bool) -> str:
    done = "differ from the log" if looks_only else "made anew"
    return (
        f"partition {found.partition}: {found.customers:,} customers from {found.records:,} "
        f"records, {found.different:,} rows {done} ({found.damaged:,} were damaged)"
        + (f"; {found.gone} were left out" if found.gone else "")
    )
