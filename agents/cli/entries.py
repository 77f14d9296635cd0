"""Adds the entry for a newly made secret to the operator's file."""

from collections.abc import Callable, Container
from pathlib import Path

from agents.cli.errors import CommandError
from config.rules import RuleError
from config.settings import SettingsError


def add_entry(
    path: Path, name: str, table: str, names_in: Callable[[Path], Container[str]], whose: str
) -> None:
    """Append ``table``, the entry for ``name``. ``names_in`` reads the names in a file; ``whose``
    says where the secrets of one name are, for the error message.

    Raises `CommandError`, and adds nothing, if the file can't be used or already has the name.
    """
    if path.exists():
        try:
            known = names_in(path)
        except (SettingsError, RuleError) as error:
            raise CommandError(f"{error}; nothing was added") from None
        if name in known:
            raise CommandError(
                f"{path} has {name} already, and nothing was added: run this without --add, and "
                f"put the new hash beside the old one in {whose}"
            )
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{table}" if file.tell() else table)
