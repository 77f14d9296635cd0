"""`keepstream webhooks`: which vendors' webhooks are accepted, and the events they become."""

from collections.abc import Sequence
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.errors import EXIT_FOUND, CommandError, complain
from agents.cli.options import Assignments, parameters_from, settings_from
from config.parameters import Parameters
from config.settings import Settings
from config.sources import SourcesFile, sources_in
from config.vendors import SHIPPED
from models.collecting.requests import BODY_BYTES_MAX
from models.events.refusals import refusal_in_words
from models.events.rejection import Rejected

if TYPE_CHECKING:
    from models.collecting.vendor_mapping import VendorMapping, Webhook

app = typer.Typer(
    help="Look at vendors' webhooks, and at the events they become.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list", epilog="Example: keepstream webhooks list")
def list_webhooks() -> None:
    """List the known vendors, the types of webhooks that become events, and the addresses at which
    the collector receives those that the file of sources declares.
    """
    from models.collecting.vendor_mapping import VendorMapping  # noqa: PLC0415 - not for --help

    settings = settings_from()
    file = _sources(settings)
    for name in (*SHIPPED, *file.vendors):
        vendor, where = file.vendor(name)
        mapping = VendorMapping(vendor, where)
        typer.echo(f"{name}: {', '.join(mapping.types)}")
    place = f"{settings.collector_host}:{settings.collector_port}"
    for name, rule in file.webhooks.items():
        typer.echo(f"POST http://{place}/webhooks/{name} takes webhooks of {rule.vendor}")


@app.command(
    "check",
    epilog="Example: keepstream webhooks check order.json --source shopify "
    "--header 'X-Shopify-Topic: orders/create'",
)
def check(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The body of a webhook.")],
    source: Annotated[
        str,
        typer.Option("--source", metavar="NAME", help="The source of the webhook, or its vendor."),
    ],
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header",
            metavar="'NAME: VALUE'",
            help="A header that came with it; may be repeated.",
        ),
    ] = None,
    assignments: Assignments = None,
) -> None:
    """Print the events that a webhook would become, one per line, and send nothing.

    The signature is not checked. Exit code 1: the webhook would be a dead letter, or one of its
    events would be refused.
    """
    from models.collecting.vendor_mapping import Webhook  # noqa: PLC0415 - not for --help

    settings = settings_from()
    mapping = _mapping(_sources(settings), source)
    webhook = Webhook(source, _headers(header or []), _body(path))
    try:
        mapped = mapping(webhook)
    except Rejected as rejected:
        _tell_missing(mapping.headers_of(""), webhook)
        complain(f"it would be a dead letter: {refusal_in_words(rejected)}")
        raise typer.Exit(EXIT_FOUND) from None
    _tell_missing(mapping.headers_of(mapped.type), webhook)
    if not (mapped.events or mapped.refusals):
        typer.secho(f"{mapped.type}: it is taken, and nothing is made of it", err=True)
    is_any_refused = _print(mapped.events, parameters_from(settings, assignments))
    for refusal in mapped.refusals:
        complain(f"it would be a dead letter: {refusal_in_words(refusal)}")
    if is_any_refused or mapped.refusals:
        raise typer.Exit(EXIT_FOUND)


def _tell_missing(read: Sequence[str], webhook: "Webhook") -> None:
    """Tell which headers the mapping reads that were not given."""
    if missing := [name for name in read if name not in webhook.headers]:
        given = " ".join(f"--header '{name}: …'" for name in missing)
        typer.secho(f"its mapping reads headers that are not given: {given}", err=True)


def _print(events: list[bytes], parameters: Parameters) -> bool:
    """Print events, and why the refused ones are; return whether any is refused."""
    from streams.line_check import LineCheck  # noqa: PLC0415 - not for --help

    line_check = LineCheck(parameters, int(time() * 1_000))
    is_any_refused = False
    for event in events:
        typer.echo(event.decode())
        try:
            line_check(event)
        except Rejected as rejected:
            complain(f"it is refused: {refusal_in_words(rejected)}")
            is_any_refused = True
    return is_any_refused


def _sources(settings: Settings) -> SourcesFile:
    path = settings.collector_sources
    return sources_in(Path(path)) if path else SourcesFile()


def _mapping(file: SourcesFile, source: str) -> "VendorMapping":
    """The mapping of a source of webhooks, or the shipped mapping of a vendor. Raises
    `SettingsError` if there is neither, and `RuleError`.
    """
    from models.collecting.vendor_mapping import VendorMapping  # noqa: PLC0415 - as above
    from streams.collector.mappings import mapping_of  # noqa: PLC0415

    if source in file.webhooks:
        return mapping_of(file.webhook(source))
    return VendorMapping(*file.vendor(source))


def _headers(given: list[str]) -> dict[str, str]:
    headers = {}
    for one in given:
        name, colon, value = one.partition(":")
        if not colon or not name.strip():
            raise CommandError(f"--header {one!r}: write it as 'NAME: VALUE'")
        headers[name.strip().lower()] = value.strip()
    return headers


def _body(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            body = file.read(BODY_BYTES_MAX + 1)
    except OSError as error:
        raise CommandError(f"{path} can't be read ({error.strerror})") from None
    if len(body) > BODY_BYTES_MAX:
        raise CommandError(
            f"{path} has more than {BODY_BYTES_MAX:,} bytes, and such a webhook is answered 413"
        )
    return body
