"""A shop's own configuration files, made from the shipped ones."""

import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from shlex import quote

from config.settings import describe, variable_of
from models.customer.registry import PARTS

PARAMETERS, TRIGGERS, ACTIONS, SEGMENTS, ENDPOINTS, SETTINGS = (
    "parameters.toml",
    "triggers.yaml",
    "actions.yaml",
    "segments.yaml",
    "endpoints.yaml",
    "settings.env",
)
_TABLE = re.compile(r"^\[[^\]]+\]")
_KEY = re.compile(r"^[a-z_]+:")
_RULES_TABLE = "[rules]"


def own_files(directory: Path) -> dict[str, str]:
    """The text of each file, by name, for files that will be in ``directory``.

    Loaded unchanged, they have the same effect as the shipped files. Parameters and endpoints are
    commented out; rules are complete, since a file of rules replaces all shipped rules.
    """
    return {
        PARAMETERS: "\n".join(_parameters(directory)) + "\n",
        TRIGGERS: _rules("triggers"),
        ACTIONS: _rules("actions"),
        SEGMENTS: _shipped("segments.yaml"),
        ENDPOINTS: _shipped("endpoints.yaml"),
        SETTINGS: "\n".join(_settings(directory)) + "\n",
    }


def _parameters(directory: Path) -> Iterator[str]:
    yield "# What Keepstream knows about your shop. A line without # overrides the shipped value."
    yield "# `keepstream parameters` prints all that is in force."
    shipped = _shipped("parameters.toml").split("\n")
    # Skip the file's introduction, which explains how to make this file.
    first = next(index for index, line in enumerate(shipped) if _TABLE.match(line))
    in_rules = False
    for line in ["", *shipped[first:]]:
        if _TABLE.match(line):
            in_rules = line.startswith(_RULES_TABLE)
            yield line
            if in_rules:
                yield f'triggers = "{directory / TRIGGERS}"'
                yield f'actions = "{directory / ACTIONS}"'
                yield f'segments = "{directory / SEGMENTS}"'
        elif not in_rules:
            yield f"# {line}" if line.strip() and not line.startswith("#") else line


def _rules(key: str) -> str:
    """The shipped file of these rules, followed by the rules of the parts."""
    text = _shipped(f"{key}.yaml").rstrip() + "\n"
    for part in PARTS:
        if part.has_own_file and (block := _block(_shipped(f"parts/{part.name}.yaml"), key)):
            text += f"\n  # Of {part.name}; `keepstream parameters` has what it goes by\n"
            text += block
    return text


def _block(text: str, key: str) -> str:
    """The lines under ``key`` in a YAML file, unchanged."""
    lines, found = text.split("\n"), list[str]()
    if f"{key}:" not in lines:
        return ""
    for line in lines[lines.index(f"{key}:") + 1 :]:
        if _KEY.match(line):
            break
        found.append(line)
    # Comments before the next key belong to that key.
    while found and (not found[-1].strip() or found[-1].startswith("#")):
        found.pop()
    return "\n".join(found) + "\n"


def _settings(directory: Path) -> Iterator[str]:
    yield "# Where Keepstream runs. For all commands of a terminal:"
    yield f"#   set -a; . {quote(str(directory / SETTINGS))}; set +a"
    for variable in describe():
        yield ""
        yield f"# {variable.description}"
        if variable.name == variable_of("parameters"):
            yield f"{variable.name}={quote(str(directory / PARAMETERS))}"
        elif variable.name == variable_of("endpoints"):
            yield f"# {variable.name}={quote(str(directory / ENDPOINTS))}"
        else:
            yield f"# {variable.name}={variable.default}"


def _shipped(name: str) -> str:
    return resources.files("config").joinpath(name).read_text(encoding="utf-8")
