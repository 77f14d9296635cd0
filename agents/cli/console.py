"""`keepstream console`: pages that show decisions and their reasons, and tokens to log in with."""

from pathlib import Path
from typing import Annotated

import typer

from agents.cli.entries import add_entry
from agents.cli.options import (
    Assignments,
    BootstrapServers,
    RedisUrl,
    kafka_settings,
    parameters_from,
)
from config.people import Role, people_in, require_person_name
from config.sources import hash_of

app = typer.Typer(
    help="Show decisions, customers, rules and the pipeline in a browser.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback(epilog="Example: keepstream console --port 8090")
def console(
    context: typer.Context,
    bootstrap_servers: BootstrapServers = None,
    redis_url: RedisUrl = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", help="Port, instead of KEEPSTREAM_CONSOLE_PORT; 0 takes a free one."
        ),
    ] = None,
    role: Annotated[
        Role | None,
        typer.Option(
            "--role",
            help="The role of the printed link, instead of KEEPSTREAM_CONSOLE_ROLE: an operator "
            "may put dead letters back.",
        ),
    ] = None,
    assignments: Assignments = None,
) -> None:
    """Serve pages with all decisions and their reasons, until stopped.

    Prints its address, with a link that logs in unless KEEPSTREAM_CONSOLE_PEOPLE or
    KEEPSTREAM_CONSOLE_TOKENS lists who may. It reads Kafka, Redis and the workers (at
    KEEPSTREAM_WEB_ADVERTISED_URL, or at KEEPSTREAM_WEB_HOST and KEEPSTREAM_WEB_PORT), and needs the
    same parameters as the workers.
    """
    if context.invoked_subcommand is not None:
        return
    settings = kafka_settings(
        "console",
        bootstrap_servers=bootstrap_servers,
        redis_url=redis_url,
        console_port=port,
        console_role=role,
    )
    parameters = parameters_from(settings, assignments)
    from agents.console.running import run_console  # noqa: PLC0415 - when needed

    run_console(settings, parameters, assignments or (), typer.echo)


@app.command("token", epilog="Example: keepstream console token anna --add people.toml")
def token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The person who will use the token.")],
    role: Annotated[
        Role, typer.Option("--role", help="A viewer reads; an operator puts dead letters back.")
    ] = Role.VIEWER,
    add: Annotated[
        Path | None,
        typer.Option(
            "--add",
            metavar="FILE",
            help="Add the person to this file of people.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make a token for a person, and show it once: only its hash is stored.

    The console reads the file that KEEPSTREAM_CONSOLE_PEOPLE names when it starts.
    """
    require_person_name(name)
    from agents.console.sessions import new_secret  # noqa: PLC0415 - when needed

    secret = new_secret()
    table = f'[people."{name}"]\nrole = "{role}"\ntokens = ["{hash_of(secret)}"]\n'
    if add is None:
        typer.echo(f"{table}# The token, which is shown this once:\n# {secret}")
        return
    add_entry(add, name, table, people_in, "their tokens")
    typer.echo(secret)
