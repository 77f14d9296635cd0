"""Aliases of event names: the shipped ones in ``names.toml``, and how names are compared."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Final


def folded(name: str) -> str:
    """``name`` in the form for comparisons: without case, blanks, ``_`` and ``-``."""
    return "".join(name.split()).replace("_", "").replace("-", "").casefold()


def _shipped() -> dict[str, str]:
    content = resources.files("config").joinpath("names.toml").read_text("utf-8")
    aliases: dict[str, str] = tomllib.loads(content)["aliases"]
    return aliases


#: The known name for each shipped alias, as written in the file.
ALIASES: Final[Mapping[str, str]] = _shipped()
