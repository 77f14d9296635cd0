"""`keepstream up`: everything that is needed, in one command that keeps running."""

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
            help="Where to keep its data, instead of the folder up in KEEPSTREAM_DATA_DIR.",
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
            help="Write no decisions before `keepstream live`: for an import of history.",
        ),
    ] = False,
    demo: Annotated[
        bool, typer.Option("--demo", help="Add an endless stream of events from a simulated shop.")
    ] = False,
    archive: Annotated[
        bool,
        typer.Option(
            "--archive",
            help="Encrypt the log with a key for each customer, and keep the plain log for only 30 "
            "days (or KEEPSTREAM_LOG_RETENTION), so that erasure is complete. Stays on afterwards.",
        ),
    ] = False,
    bootstrap_servers: BootstrapServers = None,
    redis_url: RedisUrl = None,
) -> None:
    """Start a broker, a store, workers and a collector, and keep them up until Ctrl-C.

    Apache Kafka and Valkey are included, listen on this machine only, and keep their data for the
    next start. With --bootstrap-servers or --redis-url, or the corresponding variables, yours are
    used instead. Workers write decisions from the first event on, unless told to rehearse. If
    KEEPSTREAM_ENDPOINTS names a file of endpoints, decisions are delivered to them over HTTP.

    Exit code 0: it was stopped. 2: it could not start, or one of its processes ended again and
    again.
    """
    settings = settings_from()
    # Refused here rather than in the log of each worker.
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
