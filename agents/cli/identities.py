"""`keepstream customers ids`, `merge` and `split`: show, add and remove links between ids."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from agents.cli.errors import EXIT_FOUND, complain
from agents.cli.options import (
    BootstrapServers,
    Customer,
    as_in_events,
    kafka_settings,
    parameters_from,
)
from config.settings import Settings
from models.events.times import iso

if TYPE_CHECKING:
    from models.customer.identities import Identities
    from models.customer.row import Row

_Because = Annotated[
    str | None, typer.Option("--because", help="The reason, in a few words; kept in the log.")
]


def ids(
    customer: Customer,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Show the ids of a customer, since when and why; for an id that belongs to somebody, show
    whose it is.

    Exit code 1: there is no such customer. 2: Kafka can't be reached.
    """
    settings = kafka_settings("customers ids", bootstrap_servers=bootstrap_servers)
    rows = _rows(settings, [customer])
    row = _known(rows, customer)
    state = _identities(row)
    linked = [
        {"id": id_, "since": iso(sub.since_ms), "by": state.claimed[id_].by}
        for id_, sub in sorted(row.ids.items())
        if id_ in state.claimed and id_ != customer
    ]
    told: dict[str, Any] = {"customer": customer, "ids": linked}
    if state.person:
        told |= {"idOf": state.person, "idSince": iso(state.since_ms)}
    if state.shared_ms:
        told |= {"sharedSince": iso(state.shared_ms)}
    # An id with events of its own is no longer waiting for its first.
    is_waiting = not (state.person or row.latest_ms)
    if named_by := sorted(state.claims) if is_waiting else []:
        told |= {"namedBy": named_by}
    if as_json:
        typer.echo(json.dumps(told))
        return
    if state.person:
        typer.echo(f"{customer} is an id of {state.person} since {told['idSince']}")
    if state.shared_ms:
        typer.echo(f"other users log in with it since {told['sharedSince']}: nobody's from then on")
    for one in linked:
        typer.echo(f"{one['id']}  since {one['since']}  by {one['by']}")
    if named_by:
        typer.echo(f"{', '.join(named_by)} logged in with {customer}, which did nothing by itself")
    if not linked and not state.person and not named_by:
        typer.echo(f"{customer} is known by this id alone")


def merge(
    customer: Annotated[
        str,
        typer.Argument(metavar="USER", help="The userId that stays.", callback=as_in_events),
    ],
    other: Annotated[
        str,
        typer.Argument(
            metavar="OTHER",
            help="The other userId of the same person, which becomes an id of USER.",
            callback=as_in_events,
        ),
    ],
    because: _Because = None,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Declare that two users are one person: from then on OTHER is an id of USER.

    Publishes a Customer Merged; `keepstream customers split OTHER` undoes it. Exit code 1: they
    cannot be merged; the message says why. 2: Kafka can't be reached.
    """
    settings = kafka_settings("customers merge", bootstrap_servers=bootstrap_servers)
    if customer == other:
        _refuse("nobody is merged with themselves: name two users")
    if not parameters_from(settings, None).identity.enabled:
        _refuse("ids are not united here: set identity.enabled to true in the parameters")
    rows = _rows(settings, [customer, other])
    into, gone = (_identities(_known(rows, one)) for one in (customer, other))
    if gone.person == customer:
        _refuse(f"{other} is an id of {customer} already")
    for id_, state in ((customer, into), (other, gone)):
        if state.person:
            _refuse(
                f"{id_} is an id of {state.person}: name that user, or split {id_} from them first"
            )
    if gone.merges:
        _refuse(f"other users were merged into {other}: merge {customer} into {other} instead")
    publish_event(settings, "Customer Merged", customer, {"from_user_id": other}, because)
    typer.echo(f"told the workers that {other} is {customer}")


def split(
    id_: Customer, because: _Because = None, bootstrap_servers: BootstrapServers = None
) -> None:
    """Unlink an id from its person, as if it had never been linked.

    Publishes a Customer Split. Exit code 1: the id is not linked. 2: Kafka can't be reached.
    """
    settings = kafka_settings("customers split", bootstrap_servers=bootstrap_servers)
    row = _known(_rows(settings, [id_]), id_)
    from models.linked_id import owner_of  # noqa: PLC0415 - not for --help

    person = owner_of(row)
    if not person:
        _refuse(f"{id_} is linked to nobody: `keepstream customers ids {id_}` shows what is known")
    publish_event(settings, "Customer Split", person, {"id": id_}, because)
    typer.echo(f"told the workers that {id_} is not {person}")


def _refuse(message: str) -> None:
    complain(message)
    raise typer.Exit(EXIT_FOUND)


def _rows(settings: Settings, customers: list[str]) -> "dict[str, Row]":
    from streams.row_lookup import stored_rows  # noqa: PLC0415 - Kafka, when it is needed

    return stored_rows(settings, customers)


def _known(rows: "dict[str, Row]", customer: str) -> "Row":
    row = rows.get(customer)
    if row is None:
        complain(f"no customer {customer!r}: ids are case-sensitive. Have the workers caught up?")
        raise typer.Exit(EXIT_FOUND)
    return row


def _identities(row: "Row") -> "Identities":
    from models.customer.identities import IDENTITIES  # noqa: PLC0415 - not for --help

    return row.read(IDENTITIES)


def publish_event(
    settings: Settings, name: str, customer: str, said: dict[str, str], because: str | None
) -> None:
    """Publish the event ``name`` about a customer, dated now."""
    from config.topics import CLICKSTREAM  # noqa: PLC0415 - as above
    from streams.publisher import EventPublisher  # noqa: PLC0415 - as above

    event = {
        "type": "track",
        "event": name,
        "messageId": str(uuid4()),
        "userId": customer,
        "timestamp": datetime.now(UTC).isoformat(),
        "properties": said if because is None else {**said, "because": because},
    }
    with EventPublisher(settings, lambda *_: CLICKSTREAM) as publisher:
        publisher.publish(event, CLICKSTREAM)
