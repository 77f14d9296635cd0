"""The marketer's files, ``triggers.yaml`` and ``actions.yaml``: read, typed, with line numbers.

Conditions stay texts here; ``models.decisions.policy`` knows the facts they may name.
"""

import difflib
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import yaml

from config.duration import DurationMs, convert


class RuleError(ValueError):
    """A rule cannot be used; the message names the file, the line and the fix."""


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry of a list, with the line it begins on."""

    line: int = 0


class Rise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fire when ``fact`` climbs to ``to``; again only after it fell to ``rearm``."""

    fact: str
    to: float
    rearm: float


class TriggerRule(_Entry, frozen=True):
    name: str
    version: int
    moment: str
    when: str
    cooldown: DurationMs
    because: tuple[str, ...]
    rises: Rise | None = None


class ActionRule(_Entry, frozen=True, rename={"contexts": "for"}):
    name: str
    channel: str
    contexts: dict[str, float]
    when: str
    propensity: float
    value: str
    cost: float
    cooldown: DurationMs
    owner: str
    due: DurationMs
    lever: float = 1.0
    service: bool = False


class Cap(_Entry, frozen=True):
    at_most: int
    per: DurationMs


class Triggers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    triggers: tuple[TriggerRule, ...]
    file: str = ""


class Actions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    holdout: float
    caps: tuple[Cap, ...]
    actions: tuple[ActionRule, ...]
    file: str = ""


def load_triggers(file: Path | None = None) -> Triggers:
    """The rules of ``file``, or the shipped ones. Raises `RuleError`."""
    name, tree = _tree(file, "triggers.yaml")
    triggers: Triggers = _typed(tree, Triggers, name, "triggers", TriggerRule)
    return triggers


def load_actions(file: Path | None = None) -> Actions:
    """The catalogue of ``file``, or the shipped one. Raises `RuleError`."""
    name, tree = _tree(file, "actions.yaml")
    actions: Actions = _typed(tree, Actions, name, "actions", ActionRule)
    if not 0 <= actions.holdout < 1:
        raise RuleError(f"{name}: holdout is a share of customers, from 0 to less than 1")
    return actions


class _Loader(yaml.SafeLoader):
    """Gives every mapping that is an entry of a list the line it begins on."""


def _entries(loader: _Loader, node: yaml.SequenceNode) -> list[Any]:
    values = []
    for child in node.value:
        value = loader.construct_object(child, deep=True)
        if isinstance(value, dict):
            value["line"] = child.start_mark.line + 1
        values.append(value)
    return values


_Loader.add_constructor("tag:yaml.org,2002:seq", _entries)


def _tree(file: Path | None, shipped: str) -> tuple[str, dict[str, Any]]:
    name = str(file or f"config/{shipped}")
    try:
        source = file or resources.files("config").joinpath(shipped)
        tree = yaml.load(source.read_text("utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise RuleError(f"{name}: cannot be read ({error.strerror})") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise RuleError(f"{name}:{line}: not valid YAML: {error.problem}") from None
    if not isinstance(tree, dict):
        raise RuleError(f"{name}: expected `{shipped.removesuffix('.yaml')}:` at the top")
    return name, tree


def _typed(tree: dict[str, Any], kind: Any, name: str, entries: str, entry_kind: Any) -> Any:
    for entry in tree.get(entries) or ():
        _check_entry(entry, entry_kind, name)
    try:
        return msgspec.convert({**tree, "file": name}, kind, dec_hook=convert, strict=True)
    except msgspec.ValidationError as error:
        raise RuleError(f"{name}: {error}") from None


def _check_entry(entry: Any, kind: Any, name: str) -> None:
    """Convert one entry by itself first, so that its error can name its line."""
    if not isinstance(entry, dict):
        raise RuleError(f"{name}: an entry is a group of `name: value` lines, got {entry!r}")
    where = f"{name}:{entry.get('line', 0)}: {entry.get('name', 'an entry')}"
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    for key in entry:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(sorted(known))}"
            raise RuleError(f"{where}: there is no {key!r}; {hint}")
    try:
        msgspec.convert(entry, kind, dec_hook=convert, strict=True)
    except msgspec.ValidationError as error:
        raise RuleError(f"{where}: {error}") from None
