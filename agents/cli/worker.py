"""`keepstream worker`: the engine on Kafka."""

from typing import Annotated

import typer

from agents.cli.options import (
    Assignments,
    BootstrapServers,
    RedisUrl,
    WebPort,
    kafka_settings,
    parameters_from,
)


def worker(
    bootstrap_servers: BootstrapServers = None,
    redis_url: RedisUrl = None,
    web_port: WebPort = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="For a new shop without history: write decisions from the first event on.",
        ),
    ] = False,
    assignments: Assignments = None,
) -> None:
    """Run a worker until stopped; start more of them to share the partitions.

    Before `keepstream live` it rehearses: it reads history and learns from it, but writes no
    decisions.

    All workers of a deployment need the same parameters.
    """
    settings = kafka_settings(
        "worker", bootstrap_servers=bootstrap_servers, redis_url=redis_url, web_port=web_port
    )
    parameters = parameters_from(settings, assignments)
    from agents.app import run  # noqa: PLC0415 - Faust takes a second to import

    raise typer.Exit(run(settings, parameters, is_live=live))
