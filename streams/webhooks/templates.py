"""Templates for bodies: JSON in which ``${path}`` stands for a field of the message.

A template can't compute, choose or repeat. So it can do no harm, and can be checked before anything
is sent: a path that no message has is refused.
"""

import json
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from models.decisions.trigger import ActionWithdrawn, NextBestAction, Trigger
from models.events.erasure_record import ErasureNotice

_PLACE = re.compile(r"\$\{([^}]*)\}")
_TOP = ("id", "type", "timestamp", "data")
#: Only the facts that the endpoint chooses are sent.
_FACTS = "data.facts"


class TemplateError(ValueError):
    """A template that can't be used; the message says what to do."""


class Template:
    """A body with placeholders. A text that is a single placeholder becomes the field itself, with
    its type. Within a longer text, a field that the message lacks is empty.
    """

    def __init__(
        self, text: str, escape: Callable[[str], str] = str, facts: Iterable[str] = ()
    ) -> None:
        """``facts``: the customer's facts that messages contain. Raises ``TemplateError``."""
        try:
            self._tree = msgspec.json.decode(text)
            # Only this reader reports a name that appears twice.
            json.loads(text, object_pairs_hook=_named_once)
        except (msgspec.DecodeError, RecursionError) as error:
            raise TemplateError(f"template: it is to be JSON ({error})") from None
        if not isinstance(self._tree, dict):
            raise TemplateError("template: it is to be a JSON object: begin it with {")
        self._escape = escape
        known = frozenset(known_paths(facts))
        for path in _paths(self._tree):
            if path not in known:
                raise TemplateError(
                    f"template: no message has ${{{path}}}: known are {', '.join(sorted(known))}"
                )

    def render(self, fields: Mapping[str, Any]) -> bytes:
        """The body with these fields filled in."""
        return msgspec.json.encode(self._filled(self._tree, fields))

    def _filled(self, part: Any, fields: Mapping[str, Any]) -> Any:
        if isinstance(part, dict):
            return {name: self._filled(one, fields) for name, one in part.items()}
        if isinstance(part, list):
            return [self._filled(one, fields) for one in part]
        if not isinstance(part, str):
            return part
        if whole := _PLACE.fullmatch(part):
            value = _at(fields, whole[1])
            return self._escape(value) if isinstance(value, str) else value
        return _PLACE.sub(lambda place: self._escape(_as_text(_at(fields, place[1]))), part)


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object. A repeated name is refused, because the second would silently win."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise TemplateError(f"template: {twice!r} is there already: give each name once")
    return found


def _paths(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for name, one in part.items():
            if _PLACE.search(name):
                raise TemplateError(f"template: {name!r}: a name has no ${{…}}, only a text does")
            yield from _paths(one)
    elif isinstance(part, list):
        for one in part:
            yield from _paths(one)
    elif isinstance(part, str):
        if "${" in _PLACE.sub("", part):
            raise TemplateError(f"template: {part!r}: a ${{ has no }} after it")
        yield from _PLACE.findall(part)


def _at(fields: Mapping[str, Any], path: str) -> Any:
    found: Any = fields
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def known_paths(facts: Iterable[str] = ()) -> Iterator[str]:
    """Every path that some message has, given these facts."""
    yield from _TOP
    yield "data.type"
    for kind in (Trigger, NextBestAction, ActionWithdrawn, ErasureNotice):
        yield from (path for path in _fields_of(kind, "data") if path != _FACTS)
    for name in facts:
        yield f"{_FACTS}.{name}"


def _fields_of(kind: Any, path: str) -> Iterator[str]:
    hints = get_type_hints(kind)
    for field in msgspec.structs.fields(kind):
        name = f"{path}.{field.encode_name}"
        yield name
        for inner in _alternatives(hints[field.name]):
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                yield from _fields_of(inner, name)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
