"""Reads a file that an operator names, as a text of bounded size, or as TOML."""

import stat
import tomllib
from pathlib import Path
from typing import Any

TEXT_BYTES_MAX = 1024 * 1024


class TextRefused(ValueError):
    """A file can't be read as a text; the message says why, and quotes nothing from it."""


def read_text(path: Path, bytes_max: int = TEXT_BYTES_MAX) -> str:
    """The text of a regular file. A device or a pipe might never end, and is refused."""
    if "\0" in str(path):
        raise TextRefused("no file has such a name")
    try:
        # Check before opening it: opening alone may wait for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise TextRefused("it is no regular file")
        with path.open("rb") as file:
            content = file.read(bytes_max + 1)
    except OSError as error:
        raise TextRefused(error.strerror or type(error).__name__) from None
    if len(content) > bytes_max:
        raise TextRefused(f"it has more than {bytes_max:,} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise TextRefused("it is no text in UTF-8") from None


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file. Raises `TextRefused` if it can't be read, and
    `tomllib.TOMLDecodeError` if it is no TOML.
    """
    return toml_in(read_text(path))


def toml_in(text: str) -> dict[str, Any]:
    """The content of a TOML text. Raises `tomllib.TOMLDecodeError` for every kind of fault."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise tomllib.TOMLDecodeError("nested too deeply") from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:
        raise tomllib.TOMLDecodeError("a number is too long") from None
