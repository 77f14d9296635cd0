"""`keepstream settings` and `keepstream parameters`: values in force, and how to change them."""

import typer

from agents.cli.options import Assignments, parameters_from, settings_from
from agents.words.parameters import parameters_as_toml
from config.settings import describe, variable_of


def settings() -> None:
    """List the settings: environment variables that say where Keepstream runs."""
    from rich.console import Console  # noqa: PLC0415 - only this command draws a table
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    in_force = {variable_of(name): str(value) for name, value in settings_from().__rich_repr__()}
    table = Table(box=None, pad_edge=False)
    # A name that is cut short can't be copied.
    table.add_column("variable", min_width=max(map(len, in_force)))
    table.add_column("value", overflow="fold")
    table.add_column("meaning")
    for variable in describe():
        value = in_force[variable.name]
        is_default = value == variable.default
        table.add_row(
            Text(variable.name),
            Text(value, style="" if is_default else "bold green"),
            Text(variable.description),
        )
    Console().print(table)


def parameters(assignments: Assignments = None) -> None:
    """Print the parameters in force, as a file for KEEPSTREAM_PARAMETERS."""
    typer.echo(parameters_as_toml(parameters_from(settings_from(), assignments)), nl=False)
