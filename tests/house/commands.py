"""What a command line written in a file means to the real `keepstream`."""

from functools import cache
from typing import Any

import typer.main

from agents.cli import app


def unknown_words(command: list[str]) -> list[str]:
    """The subcommands and options in `command` that `keepstream` does not have.

    `command` begins with the word keepstream. Arguments and the values of options are not checked.
    """
    assert command[0] == "keepstream"
    node = _tree()
    unknown = []
    for word in command[1:]:
        if word.startswith("-"):
            option = word.partition("=")[0]
            known = {"--help"}.union(*(p.opts + p.secondary_opts for p in node.params))
            unknown += [option] if option not in known else []
        elif subcommands := getattr(node, "commands", None):
            name = word if word in subcommands else getattr(node, "default_command", word)
            if name not in subcommands:
                return [*unknown, word]
            node = subcommands[name]
    return unknown


@cache
def _tree() -> Any:
    return typer.main.get_command(app)
