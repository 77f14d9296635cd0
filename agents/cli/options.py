"""Options that several commands share, and the settings and parameters they result in."""

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
        help="Kafka brokers to start from, instead of KEEPSTREAM_BOOTSTRAP_SERVERS.",
    ),
]


def as_in_events(customer: str | None) -> str | None:
    """A customer's id as events have it, without the blanks that come along when it is copied: who
    asks for one that there is must not be told that nothing is held of it. Raises ``CommandError``
    for what is no id.
    """
    if customer is None:
        return None
    from models.events.ids import is_id  # noqa: PLC0415 - not for --help

    customer = customer.strip()
    if not is_id(customer):
        raise CommandError("not a customer's id: give a userId or an anonymousId as events have it")
    return customer


#: What is said of a customer as an argument.
Customer = Annotated[
    str,
    typer.Argument(metavar="ID", help="A userId or an anonymousId.", callback=as_in_events),
]


def _without_password(url: str | None) -> str | None:
    """Refuse a password among the options: everybody on the machine sees a command line."""
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
        help="Redis or Valkey that serves profiles, instead of KEEPSTREAM_REDIS_URL.",
        callback=_without_password,
    ),
]
WebPort = Annotated[
    int | None,
    typer.Option(
        "--web-port",
        help="Port of health and metrics, instead of KEEPSTREAM_WEB_PORT; 0 takes a free one.",
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
    """The environment's settings; options given on the command line win."""
    return load_settings(os.environ, **overrides)


def kafka_settings(program: str, **overrides: Any) -> Settings:
    """`settings_from`, for a program whose rights the broker is asked for.

    Raises `RightsError`, which names what is missing, and `BrokerUnreachable`.
    """
    settings = settings_from(**overrides)
    from streams.rights import require_rights  # noqa: PLC0415 - Kafka is imported when needed

    require_rights(settings, program)
    return settings


def parameters_from(settings: Settings, assignments: list[str] | None) -> Parameters:
    """Shipped parameters, then the operator's file, then --set.

    Raises `RuleError` for rules that can't be used, before anything is read or written.
    """
    from models.decisions.policy import compile_policy  # noqa: PLC0415 - not for --help
    from models.parameters import load_parameters  # noqa: PLC0415

    file = Path(settings.parameters) if settings.parameters else None
    parameters = load_parameters(file, assignments or ())
    compile_policy(parameters)
    return parameters
