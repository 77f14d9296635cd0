"""Options that several commands share, and the settings and parameters that they give."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from agents.cli.errors import CommandError
from config.parameters import Parameters
from config.settings import Settings, load_settings, redact_url

BootstrapServers = Annotated[
    str | None,
    typer.Option(
        "--bootstrap-servers",
        metavar="HOST:PORT[,…]",
        help="Kafka bootstrap servers, instead of KEEPSTREAM_BOOTSTRAP_SERVERS.",
    ),
]


def as_in_events(customer: str | None) -> str | None:
    """A customer's id as events have it: surrounding blanks, which copying often adds, are removed,
    so that a known customer is not reported as unknown. Raises ``CommandError`` if it is no id.
    """
    if customer is None:
        return None
    from models.events.ids import is_id  # noqa: PLC0415 - not for --help

    customer = customer.strip()
    if not is_id(customer):
        raise CommandError("not a customer's id: give a userId or an anonymousId as events have it")
    return customer


#: The argument that names a customer.
Customer = Annotated[
    str,
    typer.Argument(metavar="ID", help="A userId or an anonymousId.", callback=as_in_events),
]


def _without_password(url: str | None) -> str | None:
    """Refuse a password in an option: everybody on the machine can read the command line."""
    if url is not None and redact_url(url) != url:
        raise CommandError(
            "--redis-url holds a password, and whoever lists processes sees it: write the URL "
            "into a file, and set KEEPSTREAM_REDIS_URL_FILE to it"
        )
    return url


RedisUrl = Annotated[
    str | None,
    typer.Option(
        "--redis-url",
        metavar="URL",
        help="The Redis or Valkey that serves profiles, instead of KEEPSTREAM_REDIS_URL.",
        callback=_without_password,
    ),
]
WebPort = Annotated[
    int | None,
    typer.Option(
        "--web-port",
        help="Port for health and metrics, instead of KEEPSTREAM_WEB_PORT; 0 takes a free one.",
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Change a parameter, for example time.disorder=2min; may be repeated. "
        "`keepstream parameters` lists them.",
    ),
]


def settings_from(**overrides: Any) -> Settings:
    """The settings from the environment; options on the command line override them."""
    return load_settings(os.environ, **overrides)


def kafka_settings(program: str, **overrides: Any) -> Settings:
    """`settings_from`, for a program whose rights on the broker are checked.

    Raises `RightsError`, which names the missing rights, or `BrokerUnreachable`.
    """
    settings = settings_from(**overrides)
    from streams.rights import require_rights  # noqa: PLC0415 - Kafka is imported when needed

    require_rights(settings, program)
    return settings


def parameters_from(settings: Settings, assignments: list[str] | None) -> Parameters:
    """Shipped parameters, then the operator's file, then --set; later ones win.

    Raises `RuleError` for invalid rules, before anything is read or written.
    """
    from models.decisions.policy import compile_policy  # noqa: PLC0415 - not for --help
    from models.parameters import load_parameters  # noqa: PLC0415

    file = Path(settings.parameters) if settings.parameters else None
    parameters = load_parameters(file, assignments or ())
    compile_policy(parameters)
    return parameters
