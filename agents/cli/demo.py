"""`keepstream demo`: a simulated shop on a real Kafka."""

from pathlib import Path
from typing import Annotated

import typer

from agents.cli.options import BootstrapServers, RedisUrl


def demo(
    summary: Annotated[
        Path | None,
        typer.Option("--summary", metavar="FILE", help="Also write the figures, as JSON."),
    ] = None,
    forever: Annotated[
        bool, typer.Option("--forever", help="Run until Ctrl-C, with a cap on its data.")
    ] = False,
    bootstrap_servers: BootstrapServers = None,
    redis_url: RedisUrl = None,
    seed: Annotated[
        int, typer.Option("--seed", help="The same seed gives the same shop, moved by whole weeks.")
    ] = 1,
    customers: Annotated[
        int, typer.Option("--customers", min=1, max=100_000, help="How many customers it has.")
    ] = 1_000,
) -> None:
    """Simulate a shop, and show its events become customers and triggers.

    Starts its own Apache Kafka, Valkey and two workers, unless you say where yours are, and leaves
    nothing behind.
    """
    from agents.trials.demo.show import run_demo  # noqa: PLC0415 - Faust takes a second to import

    raise typer.Exit(
        run_demo(
            summary=summary,
            forever=forever,
            bootstrap_servers=bootstrap_servers,
            redis_url=redis_url,
            seed=seed,
            customers=customers,
        )
    )
