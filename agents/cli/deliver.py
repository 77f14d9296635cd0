"""`keepstream deliver`: decisions to endpoints over HTTP."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agents.cli.errors import CommandError
from agents.cli.options import (
    BootstrapServers,
    WebPort,
    kafka_settings,
    parameters_from,
    settings_from,
)
from config.settings import Settings

if TYPE_CHECKING:
    from config.endpoints import Endpoint

EndpointsFile = Annotated[
    Path | None,
    typer.Option(
        "--endpoints",
        metavar="FILE",
        help="The file that declares endpoints, instead of KEEPSTREAM_ENDPOINTS.",
        show_default=False,
    ),
]


def deliver(
    file: EndpointsFile = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Show what each endpoint would be sent, and send nothing."),
    ] = False,
    bootstrap_servers: BootstrapServers = None,
    web_port: WebPort = None,
) -> None:
    """Deliver decisions to endpoints over HTTP until stopped; start more of them to share the work.

    Each endpoint has its own position in the topics of decisions, so a slow or unreachable endpoint
    does not delay the others. docs/webhooks.md describes the file and what receivers get.
    """
    if check:
        settings = settings_from()
        _tell(endpoints_from(settings, file))
        return
    settings = kafka_settings("deliver", bootstrap_servers=bootstrap_servers, web_port=web_port)
    path = endpoints_file(settings, file)
    from agents.webhooks.deliverer import run  # noqa: PLC0415 - Kafka takes long to import

    raise typer.Exit(run(settings, path, lambda: endpoints_from(settings, path)))


def endpoints_file(settings: Settings, file: Path | None) -> Path:
    """The path of the endpoints file. Raises `CommandError` if none is named."""
    path = file or (Path(settings.endpoints) if settings.endpoints else None)
    if path is None:
        raise CommandError(
            "no endpoints are declared: name their file by --endpoints or KEEPSTREAM_ENDPOINTS; "
            "`keepstream init DIR` writes one to begin with"
        )
    return path


def endpoints_from(settings: Settings, file: Path | None) -> "Sequence[Endpoint]":
    """The declared endpoints, checked against the rules. Raises `RuleError`."""
    from agents.webhooks.checks import require_usable  # noqa: PLC0415 - not for --help
    from config.endpoints import load_endpoints  # noqa: PLC0415

    endpoints = load_endpoints(endpoints_file(settings, file), os.environ)
    require_usable(endpoints, parameters_from(settings, None))
    return endpoints


def _tell(endpoints: "Sequence[Endpoint]") -> None:
    from agents.webhooks.checks import told  # noqa: PLC0415 - not for --help
    from agents.webhooks.examples import EXAMPLES  # noqa: PLC0415

    for line in told(endpoints, EXAMPLES):
        typer.echo(line)
