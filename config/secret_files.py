"""Reads secrets from their own files."""

import re
from pathlib import Path

from config.bounded_text import TextRefused, read_text

SECRET_BYTES_MAX = 8 * 1024
#: The name of a file, or of several while one secret replaces the other.
Names = str | tuple[str, ...]


class SecretRefused(ValueError):
    """A secret can't be used; the message says why and what to do, and quotes nothing from it."""


def several(names: Names) -> tuple[str, ...]:
    """The names as a tuple."""
    return (names,) if isinstance(names, str) else names


def secret_in_file(name: str, folder: Path) -> str:
    """The secret in the file ``name``, relative to ``folder``. Raises `SecretRefused`."""
    if not name.strip():
        raise SecretRefused("secret_file is empty: name the file that holds the secret")
    path = folder / name
    try:
        return whole(read_text(path, SECRET_BYTES_MAX).strip(), str(path))
    except TextRefused as refused:
        raise SecretRefused(
            f"{path} can't be read ({refused}): write the secret into it, or correct its name"
        ) from None


def whole(secret: str, where: str) -> str:
    """``secret``, which must be one line of ASCII without blanks. Raises `SecretRefused`."""
    if not secret or not re.fullmatch(r"[!-~]+", secret):
        what = "has more than one line, or characters beside ASCII" if secret else "holds nothing"
        raise SecretRefused(f"{where} {what}: it is to have the secret, and nothing else")
    return secret
