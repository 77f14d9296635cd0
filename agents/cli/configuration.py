"""`keepstream settings` and `keepstream parameters`: the values in force and how to change them."""

from shutil import get_terminal_size
from textwrap import fill

import typer

from agents.cli.options import Assignments, parameters_from, settings_from
from agents.words.parameters import parameters_as_toml
from config.settings import describe, variable_of

_IN = "    "


def settings() -> None:
    """List the settings: environment variables that say where Keepstream runs.

    Values that differ from the defaults are green.
    """
    in_force = {variable_of(name): str(value) for name, value in settings_from().__rich_repr__()}
    width = get_terminal_size().columns
    for variable in describe():
        value = in_force[variable.name]
        shown = typer.style(value, fg=None if value == variable.default else "green")
        typer.echo(f"{variable.name}  {shown}".rstrip())
        typer.echo(
            fill(
                variable.description,
                width,
                initial_indent=_IN,
                subsequent_indent=_IN,
                break_long_words=False,
                break_on_hyphens=False,
            )
        )


def parameters(assignments: Assignments = None) -> None:
    """Print the parameters in force, as a file for KEEPSTREAM_PARAMETERS."""
    typer.echo(parameters_as_toml(parameters_from(settings_from(), assignments)), nl=False)
