"""`keepstream up`: everything that is needed, in one command that stays."""

from pathlib import Path
from typing import Annotated

import typer

from agents.cli.deliver import endpoints_from
from agents.cli.options import BootstrapServers, RedisUrl, parameters_from, settings_from


def up(
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            help="Where its data is kept, instead of the folder up in KEEPSTREAM_DATA_DIR.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=64, help="How many workers to start.")
    ] = 1,
    rehearse: Annotated[
        bool,
        typer.Option(
            "--rehearse",
            help="Decide nothing aloud before `keepstream live`: for an import of history.",
        ),
    ] = False,
    demo: Annotated[
        bool, typer.Option("--demo", help="Add the events of a simulated shop, without end.")
    ] = False,
    archive: Annotated[
        bool,
        typer.Option(
            "--archive",
            help="Keep the log sealed with a key for each customer, and in plain for 30 days alone "
            "(or KEEPSTREAM_LOG_RETENTION), so that an erasure is complete. Stays on from then on.",
        ),
    ] = False,
    bootstrap_servers: BootstrapServers = None,
    redis_url: RedisUrl = None,
) -> None:
    """Start a broker, a store, workers and a collector, and keep them up until Ctrl-C.

    Apache Kafka and Valkey come along, listen on this machine alone, and keep their data for the
    next start. With --bootstrap-servers or --redis-url, or the variables of the same meaning, what
    is there is used. Workers decide aloud from the first event on, unless told to rehearse. Where
    KEEPSTREAM_ENDPOINTS names a file of endpoints, decisions are delivered to them over HTTP.

    Exit code 0: it was stopped. 2: it could not start, or something of it ended again and again.
    """
    settings = settings_from()
    # Refused here and not in the log of each worker.
    parameters_from(settings, None)
    if settings.endpoints:
        endpoints_from(settings, None)
    from agents.standing.up import run_up  # noqa: PLC0415 - Kafka is imported when needed

    run_up(
        (directory or Path(settings.data_dir) / "up").resolve(),
        typer.echo,
        workers=workers,
        rehearse=rehearse,
        demo=demo,
        archive=archive,
        bootstrap_servers=bootstrap_servers,
        redis_url=redis_url,
    )
