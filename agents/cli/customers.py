"""`keepstream customers`: what is known about customers now, and their ids."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from agents.cli import identities
from agents.cli.customer_list import list_customers
from agents.cli.errors import EXIT_FOUND, CommandError, complain
from agents.cli.export import written_file
from agents.cli.options import (
    BootstrapServers,
    Customer,
    RedisUrl,
    kafka_settings,
    parameters_from,
    settings_from,
)
from agents.cli.progress import progress
from config.settings import Settings
from models.events.foreign import UNREADABLE

if TYPE_CHECKING:
    from models.customer.profile import Profile

app = typer.Typer(help="Look at customers.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Look at customers."""


@app.command("show", epilog="Example: keepstream customers show c-00042")
def show(
    customer: Customer,
    as_json: Annotated[bool, typer.Option("--json", help="Print the profile as JSON.")] = False,
    redis_url: RedisUrl = None,
) -> None:
    """Show the latest profile of a customer, as the workers keep it in Redis.

    Exit code 1: there is no such customer. 2: Redis can't be reached.
    """
    settings = settings_from(redis_url=redis_url)
    content = _read(settings, customer)
    if content is None:
        complain(
            f"no customer {customer!r}: ids are case-sensitive. "
            f"`keepstream customers ids {quote(customer)}` says whether it is somebody else's. "
            f"Is a worker running, and has it caught up?"
        )
        raise typer.Exit(EXIT_FOUND)
    if as_json:
        typer.echo(content)
        return
    _print(_decoded(content, customer), settings)
    typer.echo(f"why this or nothing: keepstream explain --customer {quote(customer)}")


@app.command("export", epilog="Example: keepstream customers export c-00042 --out c-00042.jsonl")
def export(
    customer: Customer,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Where to write it; compressed if it ends in .gz; - is standard output.",
            dir_okay=False,
            allow_dash=True,
        ),
    ] = Path("-"),
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Write everything held about one person, with all their ids, as JSON lines: rows, pending
    labels, and every record of the log, decisions, dead letters and raw topics that names them.

    Exit code 1: nothing is held about this id. 2: Kafka can't be reached.
    """
    settings = kafka_settings("customers export", bootstrap_servers=bootstrap_servers)
    import asyncio  # noqa: PLC0415 - too slow to import for --help

    from streams.person_export import export_person  # noqa: PLC0415 - Kafka, when it is needed
    from streams.person_lookup import person_of  # noqa: PLC0415 - as above

    with progress("export", None) as tell:

        def on_progress(done: int, total: int) -> None:
            tell(done, f"{done:,} of {total:,} records", total)

        person = asyncio.run(person_of(settings, customer, parameters_from(settings, None)))
        with written_file(out) as write:
            lines = asyncio.run(export_person(settings, person, write, on_progress))
    typer.echo(f"{lines:,} lines about {', '.join(sorted(person))}", err=True)
    if not lines:
        complain(
            f"nothing is held of {customer!r}: ids are case-sensitive. Have the workers caught up?"
        )
        raise typer.Exit(EXIT_FOUND)


app.command("ids", epilog="Example: keepstream customers ids c-00042")(identities.ids)
app.command(
    "merge", epilog='Example: keepstream customers merge c-00042 c-00511 --because "called us"'
)(identities.merge)
app.command("split", epilog="Example: keepstream customers split anon-17")(identities.split)
app.command(
    "list",
    epilog="Example: keepstream customers list --where 'churn_probability >= .7 and "
    "net_365d > 500' --top 50 --by value_at_stake",
)(list_customers)


def _print(view: "Profile", settings: Settings) -> None:
    from rich.console import Console  # noqa: PLC0415 - only where something is drawn

    from agents.words.profile import profile_in_words  # noqa: PLC0415

    currency = parameters_from(settings, None).money.currency
    Console(highlight=False).print(profile_in_words(view, currency))


def _read(settings: Settings, customer: str) -> bytes | None:
    from streams.store_client import store_client  # noqa: PLC0415 - as above
    from streams.store_keys import customer_key  # noqa: PLC0415 - imported when needed

    with store_client(settings) as client:
        content: Any = client.get(customer_key(settings, customer))
    return None if content is None else bytes(content)


def _decoded(content: bytes, customer: str) -> "Profile":
    from models.customer.profile import Profile  # noqa: PLC0415 - not for --help

    try:
        return msgspec.json.decode(content, type=Profile)
    except UNREADABLE as error:
        raise CommandError(
            f"the profile of {customer!r} was written by another release ({error}): "
            f"use --json, or the release of the workers"
        ) from None
