"""`keepstream lift`: the effect of actions, measured against the control group."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from agents.cli.errors import EXIT_FOUND, CommandError
from agents.cli.options import (
    Assignments,
    BootstrapServers,
    kafka_settings,
    parameters_from,
    settings_from,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from config.parameters import Parameters
    from config.settings import Settings
    from models.measures import Sample


def lift(
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            metavar="SUMMARY",
            help="Read the summary.json of a replay instead of the latest models on Kafka.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    bootstrap_servers: BootstrapServers = None,
    assignments: Assignments = None,
) -> None:
    """Compare the treated with the control group, for each action and for each of its reasons.

    Intervals in brackets are 95 % confidence intervals for a single look at the data. Exit code 1:
    no action has been followed for long enough. 2: Kafka can't be reached, or FILE can't be read.
    """
    from agents.words.lift import lift_in_words  # noqa: PLC0415 - not for --help

    parameters = parameters_from(settings_from(), assignments)
    if file is not None:
        samples = _of_file(file)
    else:
        settings = kafka_settings("lift", bootstrap_servers=bootstrap_servers)
        samples = _of_models(settings, parameters)
    lines = list(lift_in_words(samples, parameters))
    for line in lines:
        typer.echo(line)
    if not lines:
        typer.echo("no action has been followed for long enough")
        raise typer.Exit(EXIT_FOUND)


def _of_file(file: Path) -> "Iterable[Sample]":
    from agents.words.lift import samples_in  # noqa: PLC0415 - not for --help
    from models.events.foreign import UNREADABLE  # noqa: PLC0415
    from models.replay_summary import Summary  # noqa: PLC0415

    try:
        measures = msgspec.json.decode(file.read_bytes(), type=Summary).measures
    except UNREADABLE:
        raise CommandError(f"{file} is no summary.json of `keepstream replay`") from None
    return samples_in(measures)


def _of_models(settings: "Settings", parameters: "Parameters") -> "Iterable[Sample]":
    from models.learning.tallies import Tallies  # noqa: PLC0415 - Kafka, when it is needed
    from models.population import samples_of_parts  # noqa: PLC0415
    from streams.state_examination import newest_snapshot  # noqa: PLC0415

    snapshot = newest_snapshot(settings)
    return () if snapshot is None else samples_of_parts(snapshot.of(Tallies), parameters)
