"""Reads the marketer's files, ``triggers.yaml`` and ``actions.yaml``, and the parts' files in
``parts/``: typed, with line numbers.

Conditions remain texts here; ``models.decisions.policy`` knows the facts they may name.
"""

import difflib
import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml

from config.bounded_text import TextRefused, read_text
from config.duration import DurationMs, MinuteOfDay, convert
from config.refusal_words import in_words

#: The names that triggers, actions and segments may have: they become part of Redis keys, metrics
#: and headers.
NAME_PATTERN = "[a-z0-9][a-z0-9-]{0,63}"
#: The beginning of shipped files' names in messages.
SHIPPED = "config/"


class RuleError(ValueError):
    """A rule cannot be used; the message names the file, the line and the fix."""


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry of a list, with its file and its first line."""

    line: int = 0
    file: str = ""

    @property
    def where(self) -> str:
        """The entry's file and line, for error messages."""
        return f"{self.file}:{self.line}"


class Rise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fire when ``fact`` climbs to ``to``; again only after it fell to ``rearm``."""

    fact: str
    to: float
    rearm: float


class TriggerRule(FileEntry, frozen=True):
    name: str
    version: int
    moment: str
    when: str
    cooldown: DurationMs
    because: tuple[str, ...]
    rises: Rise | None = None
    #: The events at which it is evaluated, a name or a list; only for the moment ``event``.
    on: str | tuple[str, ...] = ()

    @property
    def events(self) -> tuple[str, ...]:
        """``on`` as a list, as its author wrote the names."""
        return (self.on,) if isinstance(self.on, str) else self.on


class ActionRule(FileEntry, frozen=True, rename={"contexts": "for"}):
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
    #: The mailing list it is sent to; customers may have unsubscribed from that list.
    list: str | None = None
    #: Whether it is chosen by who the customer is; if not, customers who refuse that may get it.
    personal: bool = True
    #: What it offers, such as a discount. An action with an offer is no service.
    offer: str | None = None
    #: The reasons to leave that it answers; empty for any.
    plays: str | tuple[str, ...] = ()
    #: Channels by which it goes out instead to customers who prefer one of them.
    prefer: str | tuple[str, ...] = ()
    #: Whether it waits for the hour of the customer's day at which they come most.
    best_hour: bool = False
    #: Whether it is withdrawn if the customer buys while it waits.
    until_bought: bool = False

    @property
    def channels(self) -> tuple[str, ...]:
        """Every channel by which it may go out, its own first."""
        return (self.channel, *self.preferable)

    @property
    def preferable(self) -> tuple[str, ...]:
        """``prefer`` as a list."""
        return (self.prefer,) if isinstance(self.prefer, str) else self.prefer

    @property
    def reasons(self) -> tuple[str, ...]:
        """``plays`` as a list; empty if it answers any reason."""
        named = (self.plays,) if isinstance(self.plays, str) else self.plays
        return () if "any" in named else named


class Cap(FileEntry, frozen=True):
    """The most contacts that a customer may get: in all, by a ``channel``, or of an ``action``."""

    at_most: int
    per: DurationMs
    channel: str | None = None
    action: str | None = None

    def covers(self, channel: str, action: str) -> bool:
        """Whether a contact of this kind counts towards the cap."""
        return self.channel in (None, channel) and self.action in (None, action)


class QuietHours(FileEntry, frozen=True, rename={"begin": "from", "end": "to"}):
    """Nobody is contacted by these channels from ``begin`` to ``end`` of their day. An entry
    without channels is for all others.
    """

    begin: MinuteOfDay
    end: MinuteOfDay
    channels: tuple[str, ...] = ()


class Triggers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``of_parts``: the names of triggers that parts ship, whichever file has them now."""

    triggers: tuple[TriggerRule, ...]
    file: str = ""
    of_parts: frozenset[str] = frozenset()


class PartFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part's shipped file: the values of its section, by the section's name, and its rules."""

    parameters: dict[str, Any]
    triggers: tuple[TriggerRule, ...] = ()
    file: str = ""


class Actions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    holdout: float
    caps: tuple[Cap, ...]
    actions: tuple[ActionRule, ...]
    quiet_hours: tuple[QuietHours, ...] = ()
    file: str = ""

    def quiet_for(self, channel: str) -> QuietHours | None:
        """The quiet hours of a channel, if it has any."""
        others = None
        for hours in self.quiet_hours:
            if channel in hours.channels:
                return hours
            if not hours.channels:
                others = hours
        return others


def load_triggers(file: Path | None = None) -> Triggers:
    """The rules of ``file``, or the shipped ones. Raises `RuleError`."""
    return _triggers_in(file) if file else _shipped_triggers()


@cache
def _shipped_triggers() -> Triggers:
    return _triggers_in(None)


def _triggers_in(file: Path | None) -> Triggers:
    triggers: Triggers = typed(
        read_tree(file, "triggers.yaml"), Triggers, {"triggers": TriggerRule}
    )
    return triggers


@cache
def load_part_file(name: str) -> PartFile:
    """The content of ``config/parts/NAME.yaml``, read once; its section has the part's name, and
    is not to be changed. Raises `RuleError`.
    """
    tree = read_tree(None, f"parts/{name}.yaml")
    found: PartFile = typed(tree, PartFile, {"triggers": TriggerRule})
    return msgspec.structs.replace(found, parameters={name: found.parameters})


def load_actions(file: Path | None = None) -> Actions:
    """The catalogue of ``file``, or the shipped one. Raises `RuleError`."""
    return _actions_in(file) if file else _shipped_actions()


@cache
def _shipped_actions() -> Actions:
    return _actions_in(None)


def _actions_in(file: Path | None) -> Actions:
    tree = read_tree(file, "actions.yaml")
    actions: Actions = typed(
        tree, Actions, {"caps": Cap, "quiet_hours": QuietHours, "actions": ActionRule}
    )
    if not 0 <= actions.holdout < 1:
        where = f"{tree.file}:{tree.lines['holdout']}"
        raise RuleError(f"{where}: holdout is a share of customers, from 0 to less than 1")
    return actions


#: The most values in a file; a value that an alias repeats counts each time.
VALUES_MAX = 100_000
#: What the reader quotes.
_QUOTED = re.compile("""'[^']*'|"[^"]*"|![^ ]+""")
#: Quotations that hold nothing of the file: up to three characters, and kinds of tokens.
_HARMLESS = re.compile("""(['"])(.{0,3}|<[a-z ]+>)\\1""")
#: A value with only its beginning in quotes, which YAML does not allow.
_HALF_QUOTED = re.compile("""[ -]*[a-z_]+: *("[^"]*"|'[^']*') *[^ #]""")
_ONLY_COMMENTS = ", and every line is a comment: remove the # signs of what is meant to count"
_QUOTES = """: put all of it in quotes of the other kind, as in '"vip" in segments'"""
_TEXT, _TRUTH = "tag:yaml.org,2002:str", "tag:yaml.org,2002:bool"


class _Repeated(yaml.constructor.ConstructorError):
    """The same name twice in one mapping."""


class _Values(yaml.constructor.SafeConstructor):
    """Adds the line number to every mapping that is an entry of a list."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Raises `yaml.MarkedYAMLError` for a value that doesn't fit its form or tag."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError):
            problem = "a number or a time that there is not: put it in quotes"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


def _entries(loader: _Values, node: yaml.SequenceNode) -> list[Any]:
    values = []
    for child in node.value:
        value = loader.construct_object(child, deep=True)
        if isinstance(value, dict):
            value["line"] = child.start_mark.line + 1
        values.append(value)
    return values


def _fields(loader: _Values, node: yaml.MappingNode) -> dict[Any, Any]:
    """A mapping; a repeated key is an error, because the second would silently win.

    The key `on` is read as a name, although YAML 1.1 takes it for true.
    """
    seen = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        key.tag = _TEXT if key.tag == _TRUTH else key.tag
        if key.value in seen:
            raise _Repeated(None, None, f"{key.value!r} is there already", key.start_mark)
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


_Values.yaml_constructors = {
    **yaml.constructor.SafeConstructor.yaml_constructors,
    "tag:yaml.org,2002:seq": _entries,
    "tag:yaml.org,2002:map": _fields,
}

#: libyaml takes a tenth of the time, and says less well what is wrong with a file and where.
_PARSER_OF_SHIPPED = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class FileTree(NamedTuple):
    """A file's values, its name for messages, and the line of each top-level name."""

    file: str
    values: dict[Any, Any]
    lines: dict[Any, int]


def read_tree(file: Path | None, shipped: str) -> FileTree:
    """The values of ``file``, or of the file ``shipped`` under this name. Raises `RuleError`."""
    name, text = str(file or f"{SHIPPED}{shipped}"), ""
    try:
        shipped_file = resources.files("config").joinpath(shipped)
        text = read_text(file) if file else shipped_file.read_text("utf-8")
        node = yaml.compose(text, yaml.SafeLoader if file else _PARSER_OF_SHIPPED)
        if node is not None and _size_of(node, {}) > VALUES_MAX:
            raise RuleError(f"{name}: more than {VALUES_MAX:,} values: this is no file of rules")
        values = _Values().construct_document(node) if node is not None else None
    except TextRefused as refused:
        raise RuleError(f"{name}: cannot be read ({refused})") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line if error.problem_mark else -1
        fix = _QUOTES if _begins_with_a_quote(text, line) else ""
        raise RuleError(f"{name}:{line + 1}: {_problem(error)}{fix}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise RuleError(f"{name}: not valid YAML: it holds what is no text in UTF-8") from None
    except RecursionError:
        raise RuleError(f"{name}: not valid YAML: nested too deeply") from None
    if not isinstance(node, yaml.MappingNode) or not isinstance(values, dict):
        expected = shipped.rpartition("/")[2].removesuffix(".yaml")
        fix = _ONLY_COMMENTS if node is None and text.strip() else ""
        raise RuleError(f"{name}: expected `{expected}:` at the top{fix}")
    lines = {key.value: key.start_mark.line + 1 for key, _ in node.value}
    return FileTree(name, values, lines)


def _begins_with_a_quote(text: str, line: int) -> bool:
    """Whether the value on this line begins with a quoted text and continues after it."""
    lines = text.splitlines()
    return 0 <= line < len(lines) and _HALF_QUOTED.match(lines[line]) is not None


def _size_of(node: yaml.Node, known: dict[int, int]) -> int:
    """The number of values in a node; a value that an alias repeats counts each time. A few lines
    of aliases can stand for more than fits into memory.
    """
    if id(node) in known:
        return known[id(node)]
    if isinstance(node, yaml.SequenceNode):
        children = list(node.value)
    elif isinstance(node, yaml.MappingNode):
        children = [one for pair in node.value for one in pair]
    else:
        children = []
    # A first value, so that a node within itself ends here; the loader reports its line.
    known[id(node)] = 1
    size = 1 + sum(_size_of(child, known) for child in children)
    known[id(node)] = size
    return size


def _problem(error: yaml.MarkedYAMLError) -> str:
    if isinstance(error, _Repeated):
        return f"not valid YAML: {error.problem}"
    context = f" {error.context}" if error.context else ""
    if context and error.context_mark is not None:
        context += f" that begins on line {error.context_mark.line + 1}"
    return f"not valid YAML: {_QUOTED.sub(_hidden, f'{error.problem}{context}')}"


def _hidden(quotation: re.Match[str]) -> str:
    """The quotation, or … for one that may come from a file named by mistake, such as one with
    passwords.
    """
    return quotation[0] if _HARMLESS.fullmatch(quotation[0]) else "…"


def typed(tree: FileTree, kind: Any, entry_kinds: dict[str, Any]) -> Any:
    """The tree as a ``kind``, whose lists have entries of ``entry_kinds``. Raises `RuleError` with
    the line of the wrong entry.
    """
    _check_names(tree.values, kind, tree.file, tree.lines)
    optional = {f.name for f in msgspec.structs.fields(kind) if not f.required}
    for name, entry_kind in entry_kinds.items():
        where = f"{tree.file}:{tree.lines.get(name, 1)}"
        entries = tree.values.get(name)
        if entries is None and name in optional:
            continue
        if not isinstance(entries, list):
            raise RuleError(f"{where}: {name} is a list, each entry begins with `- name:`")
        for entry in entries:
            _check_entry(entry, entry_kind, tree.file, where)
    try:
        return msgspec.convert({**tree.values, "file": tree.file}, kind, dec_hook=convert)
    except msgspec.ValidationError as error:
        name = str(error).partition("$.")[2].rstrip("`")
        raise RuleError(f"{tree.file}:{tree.lines.get(name, 1)}: {in_words(error)}") from None


def _check_entry(entry: Any, kind: Any, file: str, where: str) -> None:
    """Convert one entry by itself first, so that its error can name its line."""
    if not isinstance(entry, dict):
        raise RuleError(f"{where}: an entry is a group of `name: value` lines")
    line: int = entry["line"]
    _check_names(entry, kind, file, dict.fromkeys(entry, line), entry.get("name", "an entry"))
    entry["file"] = file
    try:
        msgspec.convert(entry, kind, dec_hook=convert)
    except msgspec.ValidationError as error:
        whose = entry.get("name", "an entry")
        raise RuleError(f"{file}:{line}: {whose}: {in_words(error)}") from None


#: Fields that an operator must not write.
_NOT_IN_FILES = {"file", "line", "of_parts"}


def _check_names(
    values: dict[Any, Any], kind: Any, file: str, lines: dict[Any, int], whose: object = ""
) -> None:
    known = {field.encode_name for field in msgspec.structs.fields(kind)} - _NOT_IN_FILES
    for key in values:
        if key in known or key == "line":
            continue
        close = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
        names = ", ".join(sorted(known))
        fix = f"did you mean {close[0]}?" if close else f"known: {names}"
        of = f"{whose}: " if whose else ""
        raise RuleError(f"{file}:{lines.get(key, 1)}: {of}there is no {key!r}; {fix}")
