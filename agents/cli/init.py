"""`keepstream init`: configuration files of your own, to edit."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from agents.cli.errors import CommandError


def init(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to write them; it may exist already.")
    ],
) -> None:
    """Write your own parameters, triggers, actions, endpoints and settings, with a comment on each
    line.

    As written, they change nothing. Existing files are never overwritten.
    """
    from agents.own_files import SETTINGS, own_files  # noqa: PLC0415 - not for --help

    directory = directory.resolve()
    files = own_files(directory)
    if existing := [name for name in files if (directory / name).exists()]:
        raise CommandError(
            f"{directory} has {', '.join(existing)} already, and nothing was written: name "
            f"another directory, or move them away"
        )
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
        typer.echo(f"written  {directory / name}")
    typer.echo("To use them in a terminal, before `keepstream up` or any other command:")
    typer.echo(f"  set -a; . {quote(str(directory / SETTINGS))}; set +a")
