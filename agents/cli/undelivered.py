"""`keepstream undelivered`: what endpoints refused, and how to deliver it after all."""

from typing import Annotated

import msgspec
import typer

from agents.cli.deliver import EndpointsFile, endpoints_from
from agents.cli.errors import EXIT_FOUND
from agents.cli.options import BootstrapServers, kafka_settings

app = typer.Typer(
    help="Look at what endpoints refused, and deliver it again.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

EndpointName = Annotated[
    str | None, typer.Option("--endpoint", metavar="NAME", help="Only for this endpoint.")
]
Reason = Annotated[
    str | None,
    typer.Option("--reason", help="Only what was given up for this reason, such as 422."),
]


@app.command("list", epilog="Example: keepstream undelivered list --endpoint crm")
def list_undelivered(
    endpoint: EndpointName = None,
    reason: Reason = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """List messages that were given up and are not settled: the id, the reason, and the place of
    the decision.

    `keepstream explain ID` says what the decision was.
    """
    import asyncio  # noqa: PLC0415 - too slow to import for --help

    from streams.webhooks.undelivered import unsettled  # noqa: PLC0415 - Kafka

    settings = kafka_settings("undelivered list", bootstrap_servers=bootstrap_servers)
    found = [
        one for one in asyncio.run(unsettled(settings, endpoint)) if reason in (None, one.reason)
    ]
    if not found and not as_json:
        typer.echo("nothing is undelivered")
    for one in found:
        if as_json:
            typer.echo(msgspec.json.encode(one).decode())
            continue
        tries = "once" if one.tries == 1 else f"{one.tries} times"
        typer.echo(
            f"{one.timestamp}  {one.endpoint}  {one.reason}  {one.type}  {one.id}  tried {tries}  "
            f"[{one.topic}-{one.partition} at {one.offset}]"
        )


@app.command("retry", epilog="Example: keepstream undelivered retry --endpoint crm --dry-run")
def retry(
    endpoint: EndpointName = None,
    reason: Reason = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")
    ] = False,
    file: EndpointsFile = None,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Deliver again what was given up, once the cause is fixed.

    Messages keep their ids, so a receiver that already has one drops it. A message that is too
    late, was withdrawn, or is about an erased customer is settled without being sent.

    Exit code 1: some could not be delivered, and can be retried again.
    """
    import asyncio  # noqa: PLC0415 - too slow to import for --help

    from streams.webhooks.retrying import STAYS, retry_undelivered  # noqa: PLC0415 - Kafka
    from streams.webhooks.undelivered import unsettled  # noqa: PLC0415

    settings = kafka_settings("undelivered retry", bootstrap_servers=bootstrap_servers)
    endpoints = endpoints_from(settings, file)
    found = [
        one for one in asyncio.run(unsettled(settings, endpoint)) if reason in (None, one.reason)
    ]
    if not found:
        typer.echo("nothing is undelivered")
        return
    counts = asyncio.run(retry_undelivered(settings, endpoints, found, dry_run=dry_run))
    typer.echo(f"{counts.total():,} were undelivered" + (", and stay so" if dry_run else ""))
    for (name, fate), count in sorted(counts.items()):
        typer.echo(f"  {count:,} of {name}: {'would be ' if dry_run else ''}{fate}")
    if any(fate in STAYS for _, fate in counts):
        raise typer.Exit(EXIT_FOUND)
