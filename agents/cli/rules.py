"""`keepstream facts` and `keepstream rules`: list the facts that rules may use, and check rules and
segments.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from agents.cli.options import Assignments, settings_from

app = typer.Typer(
    help="Check the rules of triggers and actions.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def _group() -> None:
    """Check the rules of triggers and actions."""


@app.command("check", epilog="Example: keepstream rules check --triggers my-triggers.yaml")
def check(
    triggers: Annotated[
        Path | None,
        typer.Option("--triggers", metavar="FILE", help="Instead of the file in force."),
    ] = None,
    actions: Annotated[
        Path | None,
        typer.Option("--actions", metavar="FILE", help="Instead of the file in force."),
    ] = None,
    segments: Annotated[
        Path | None,
        typer.Option("--segments", metavar="FILE", help="Instead of the file in force."),
    ] = None,
    assignments: Assignments = None,
) -> None:
    """Compile the rules, describe in words what each does, and warn about what is probably a
    mistake.

    Exit code 2: a rule is invalid or can never fire; the message names the file, the line and the
    fix.
    """
    from agents.words.rules import policy_in_words  # noqa: PLC0415 - not for --help
    from agents.words.segments import segments_in_words  # noqa: PLC0415
    from models.decisions.policy import compile_policy  # noqa: PLC0415
    from models.parameters import load_parameters  # noqa: PLC0415

    file = settings_from().parameters
    # The given files replace the ones in force, which may be invalid.
    named = {"triggers": triggers, "actions": actions, "segments": segments}
    instead = [
        f"rules.{name}={json.dumps(str(path))}" for name, path in named.items() if path is not None
    ]
    parameters = load_parameters(Path(file) if file else None, [*(assignments or ()), *instead])
    policy = compile_policy(parameters)
    for line in (*policy_in_words(policy, parameters), "", *segments_in_words(parameters)):
        typer.echo(line)
    for warning in policy.warnings:
        typer.secho(f"warning: {warning}", fg="yellow", err=True)


def facts() -> None:
    """List the facts that conditions and values in rules may use."""
    from rich.console import Console  # noqa: PLC0415 - only where a table is drawn
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from agents.words.rules import example_of, kind_of  # noqa: PLC0415 - not for --help
    from models.customer.registry import FACTS  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    # A truncated name can't be copied.
    table.add_column("name", min_width=max(map(len, FACTS)))
    table.add_column("kind")
    table.add_column("about")
    table.add_column("in a receipt")
    for name, fact in FACTS.items():
        row = (name, kind_of(fact), fact.about, example_of(fact))
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
