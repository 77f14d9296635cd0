"""`keepstream rebuild`: make rows again from the log, after the changelog was damaged."""

from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.errors import CommandError
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
    again: Annotated[
        bool,
        typer.Option(
            "--decide-again",
            help="Delete the rows, and have the workers fold the whole log and decide once more.",
        ),
    ] = False,
    bootstrap_servers: BootstrapServers = None,
    assignments: Assignments = None,
) -> None:
    """Make damaged or lost rows of customers again from customer-events.

    Stop the workers first, and pass the parameters that they use. It folds each partition with
    damaged rows from the beginning, compares all its rows with the changelog, and writes those that
    differ. It neither decides nor delivers anything again, except with --decide-again: then the
    workers do the folding when they start, and write every decision once more, with the id it had.
    """
    if again:
        _decide_again(bootstrap_servers, is_alone=not (whole or looks_only))
        return
    settings = kafka_settings("rebuild", bootstrap_servers=bootstrap_servers)
    parameters = parameters_from(settings, assignments)
    import asyncio  # noqa: PLC0415 - too slow to import for --help

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


def _decide_again(bootstrap_servers: str | None, *, is_alone: bool) -> None:
    if not is_alone:
        raise CommandError("--decide-again is for itself: leave out --all and --dry-run")
    settings = kafka_settings("rebuild --decide-again", bootstrap_servers=bootstrap_servers)
    from streams.starting_over import decide_again  # noqa: PLC0415 - Kafka, when needed

    records = decide_again(settings)
    typer.echo(
        f"the rows are taken away: start the workers, and they fold {records:,} records again and "
        f"write every decision once more, with the id it had"
    )


def _told(found: "Rebuilt", *, looks_only: bool) -> str:
    done = "differ from the log" if looks_only else "made anew"
    return (
        f"partition {found.partition}: {found.customers:,} customers from {found.records:,} "
        f"records, {found.different:,} rows {done} ({found.damaged:,} were damaged)"
        + (f"; {found.gone} were left out" if found.gone else "")
    )
