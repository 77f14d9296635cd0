"""`keepstream collector`: receive events over HTTP, and make write keys."""

from pathlib import Path
from typing import Annotated

import typer

from agents.cli.entries import add_entry
from agents.cli.options import (
    Assignments,
    BootstrapServers,
    WebPort,
    kafka_settings,
    parameters_from,
)
from agents.collector.write_keys import new_write_key
from config.sources import hash_of, require_source_name, sources_in

app = typer.Typer(
    help="Receive events over HTTP, in Segment's format, and publish them.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback(epilog="Example: keepstream collector --port 8088")
def collector(
    context: typer.Context,
    bootstrap_servers: BootstrapServers = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", help="Port, instead of KEEPSTREAM_COLLECTOR_PORT; 0 takes a free one."
        ),
    ] = None,
    web_port: WebPort = None,
    assignments: Assignments = None,
) -> None:
    """Receive events over HTTP until stopped, and publish them to the raw topics.

    It speaks Segment's HTTP API: give the libraries of Segment, RudderStack, PostHog or Jitsu its
    address as their host. It needs the same parameters as the workers.
    """
    if context.invoked_subcommand is not None:
        return
    settings = kafka_settings(
        "collector", bootstrap_servers=bootstrap_servers, collector_port=port, web_port=web_port
    )
    parameters = parameters_from(settings, assignments)
    from agents.collector.running import run_collector  # noqa: PLC0415 - when needed

    run_collector(settings, parameters)


@app.command("key", epilog="Example: keepstream collector key shop-web --add sources.toml")
def key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The source that will use the key.")],
    add: Annotated[
        Path | None,
        typer.Option(
            "--add",
            metavar="FILE",
            help="Add the source to this file of sources.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make a write key for a source, and show it once: only its hash is stored.

    The collector reads the file that KEEPSTREAM_COLLECTOR_SOURCES names, and reads it again when it
    changes.
    """
    require_source_name(name)
    write_key = new_write_key()
    table = f'[sources."{name}"]\nkeys = ["{hash_of(write_key)}"]\n'
    if add is None:
        typer.echo(f"{table}# The write key, which is shown this once:\n# {write_key}")
        return
    add_entry(add, name, table, _names_in, "its keys")
    typer.echo(write_key)


def _names_in(path: Path) -> set[str]:
    found = sources_in(path)
    return {*found.sources, *found.webhooks}
