"""`keepstream erase`: erase a person, and say what is gone, what expires when, and what stays."""

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from time import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.errors import EXIT_FOUND, ListingGroup, complain
from agents.cli.identities import publish_event
from agents.cli.options import (
    BootstrapServers,
    RedisUrl,
    as_in_events,
    kafka_settings,
    parameters_from,
)
from config.settings import Settings
from models.events.erasure_record import DELETE_ONLY, ERASE_REQUESTED, SUPPRESS, UNSUPPRESS
from models.events.times import iso

if TYPE_CHECKING:
    from models.graves import Grave
    from streams.expiry import Expiry
    from streams.person_lookup import KeptOfId


class Mode(StrEnum):
    """What happens to later events of the person."""

    DELETE_ONLY = DELETE_ONLY
    SUPPRESS_WITH_DELETE = SUPPRESS
    UNSUPPRESS = UNSUPPRESS


class _RequestUnlessNamed(ListingGroup):
    """`keepstream erase ID` is `keepstream erase request ID`."""

    default_command = "request"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "--help"}:
            args = [self.default_command, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RequestUnlessNamed,
    help="Erase a person (`keepstream erase ID`), and show the progress.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_Id = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="A userId or an anonymousId; all ids of the person are erased.",
        callback=as_in_events,
    ),
]


@app.command("request", epilog='Example: keepstream erase c-00042 --because "asked by letter"')
def request(
    customer: _Id,
    mode: Annotated[
        Mode, typer.Option("--mode", help="What happens to later events of the person.")
    ] = Mode.DELETE_ONLY,
    because: Annotated[
        str | None, typer.Option("--because", help="The reason, in a few words; kept in the log.")
    ] = None,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Erase a person with all their ids, and say when each copy is gone.

    Publishes a User Erase Requested; `keepstream erase status ID` shows when it is done. Exit code
    1: nothing is held about this id, and nothing was published. 2: Kafka can't be reached.
    """
    settings = kafka_settings("erase", bootstrap_servers=bootstrap_servers)
    import asyncio  # noqa: PLC0415 - too slow to import for --help

    from streams.person_lookup import person_of  # noqa: PLC0415 - Kafka, when it is needed

    person = asyncio.run(person_of(settings, customer, parameters_from(settings, None)))
    kept = person[customer]
    if kept.row is None and mode is Mode.DELETE_ONLY:
        _tell_nobody(customer, kept)
    said = {} if mode is Mode.DELETE_ONLY else {"mode": str(mode)}
    publish_event(settings, ERASE_REQUESTED, customer, said, because)
    now_ms = int(time() * 1_000)
    if mode is Mode.UNSUPPRESS:
        typer.echo(f"told the workers that events of {customer} count again from {iso(now_ms)} on")
        return
    held = sorted(id_ for id_, one in person.items() if one.row is not None)
    typer.echo(f"told the workers to erase, as of {iso(now_ms)}: {', '.join(held) or customer}")
    if mode is Mode.SUPPRESS_WITH_DELETE:
        typer.echo("whatever comes of them later counts as erased, until UNSUPPRESS")
    _report(settings, now_ms)
    typer.echo(f"whether it is done: keepstream erase status {customer}")


@app.command("status", epilog="Example: keepstream erase status c-00042")
def status(
    customer: _Id, bootstrap_servers: BootstrapServers = None, redis_url: RedisUrl = None
) -> None:
    """Say whether an id is erased, what is gone now, what expires when, and what stays.

    Exit code 1: it is not erased, or not yet. 2: Kafka can't be reached.
    """
    settings = kafka_settings(
        "erase status", bootstrap_servers=bootstrap_servers, redis_url=redis_url
    )
    import asyncio  # noqa: PLC0415 - too slow to import for --help

    from streams.person_lookup import kept_of  # noqa: PLC0415 - Kafka, when it is needed

    kept = asyncio.run(kept_of(settings, [customer]))[customer]
    grave = kept.grave
    if grave is None or not grave.at_ms:
        if kept.row is None:
            complain(f"no customer {customer!r}, and none was erased: ids are case-sensitive")
        else:
            complain(f"{customer} is not erased: never asked for, or the workers are behind")
        raise typer.Exit(EXIT_FOUND)
    _tell_grave(customer, kept, grave)
    _tell_profile(settings, customer, is_new=kept.row is not None)
    _report(settings, kept.written_ms)


def _tell_nobody(customer: str, kept: "KeptOfId") -> None:
    if kept.grave is not None and kept.grave.at_ms:
        complain(
            f"{customer} is erased as of {iso(kept.grave.at_ms)}, and nothing came since: nothing "
            f"was published. `keepstream erase status {customer}` says more"
        )
    else:
        complain(
            f"nothing is held of {customer!r}, so nothing was published: ids are case-sensitive. "
            f"Have the workers caught up?"
        )
    raise typer.Exit(EXIT_FOUND)


def _tell_grave(customer: str, kept: "KeptOfId", grave: "Grave") -> None:
    typer.echo(f"{customer} is erased: what is dated up to {iso(grave.at_ms)} is gone for good")
    if grave.is_suppressed:
        typer.echo("whatever comes later counts as erased, until UNSUPPRESS")
    elif kept.row is not None and kept.row.latest_ms:
        typer.echo("somebody came under this id since: a new person, without any past")
    typer.echo("gone: the row, carts, deadlines, labels that wait, decisions to come")


def _tell_profile(settings: Settings, customer: str, *, is_new: bool) -> None:
    from streams.store_client import StoreUnreachable, store_client  # noqa: PLC0415 - as above
    from streams.store_keys import customer_key  # noqa: PLC0415 - imported when needed

    try:
        with store_client(settings) as store:
            has = bool(store.exists(customer_key(settings, customer)))
    except StoreUnreachable as error:
        typer.echo(f"not known: the profile in Redis ({error.kind})")
        return
    if not has:
        typer.echo("gone: the profile in Redis")
    elif not is_new:
        typer.echo("not yet gone: the profile in Redis, until a worker can reach it")


def _report(settings: Settings, written_ms: int) -> None:
    """Print what expires and what stays of the records written up to ``written_ms``."""
    from streams.expiry import expiries  # noqa: PLC0415 - Kafka, when it is needed

    found = expiries(settings, written_ms)
    if kept := [one.topic for one in found if one.by_ms is None and not one.is_compacted]:
        typer.echo(
            f"NOT a complete erasure: {', '.join(kept)} is kept for ever, in plain. The archive "
            f"(KEEPSTREAM_ARCHIVE, KEEPSTREAM_LOG_RETENTION) lets it expire: see docs/privacy.md"
        )
    if settings.has_archive:
        typer.echo("gone: what customer-archive has of them; no key opens it any more")
    for line in _by_date(found):
        typer.echo(line)
    typer.echo("gone soon: decisions in the Redis streams, once the workers have delivered so far")
    typer.echo("stays: a grave, which is a fingerprint and a time, and names nobody")
    typer.echo("stays: weights and sums of all customers, which name nobody")
    typer.echo("yours to delete: exports, backups, and what readers of decisions keep")


def _by_date(found: "list[Expiry]") -> Iterator[str]:
    """The topics that expire, ordered by the latest day on which they do."""
    topics: dict[str, list[str]] = {}
    for one in sorted(found, key=lambda one: one.by_ms or 0):
        if one.by_ms is not None:
            by = datetime.fromtimestamp(one.by_ms / 1_000, UTC).date().isoformat()
            topics.setdefault(by, []).append(one.topic)
        elif one.is_compacted:
            yield f"expires: {one.topic}, when the broker next compacts it"
    for by, names in topics.items():
        yield f"expires by {by}: {', '.join(names)}"
