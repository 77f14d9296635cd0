"""Fields by path with their JSON types, of a schema or of written lines, and their comparison."""

import json
import re
from collections.abc import Iterable, Iterator
from math import isclose
from typing import Any

#: Types by path, as `fields` writes them.
Fields = dict[str, str]
#: Values of properties for which not every text or number is allowed.
SPECIAL = {"currency": "EUR", "scale_min": 1.0, "purpose": "marketing"}


def fields(schema: dict[str, Any]) -> Fields:
    """The JSON types of each field of a JSON Schema, by its path.

    A path has ``[]`` for the members of a list and ``*`` for those of an object with free names.
    Types are joined by ``|``; a text with a closed set of values is these values in quotes;
    ``always`` comes first if the field is required.
    """
    found: dict[str, str] = {}
    _walk(schema, schema.get("$defs", {}), "", found)
    return found


def _walk(part: dict[str, Any], parts: dict[str, Any], path: str, found: Fields) -> None:
    if "$ref" in part:
        part = parts[part["$ref"].removeprefix("#/$defs/")]
    for name, inner in part.get("properties", {}).items():
        required = "always " if name in part.get("required", ()) else ""
        _add(inner, parts, f"{path}.{name}".lstrip("."), required, found)
    for inside, suffix in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(part.get(inside), dict):
            _add(part[inside], parts, path + suffix, "", found)
    for inner in part.get("prefixItems", ()):
        _add(inner, parts, f"{path}[]", "", found)
    # A condition on several properties together is no field of its own.
    for inner in part.get("anyOf", ()) if "properties" not in part else ():
        _walk(inner, parts, path, found)


def _add(
    part: dict[str, Any], parts: dict[str, Any], path: str, required: str, found: Fields
) -> None:
    found[path] = required + "|".join(sorted(_types(part, parts)))
    _walk(part, parts, path, found)


def _types(part: dict[str, Any], parts: dict[str, Any]) -> set[str]:
    if "$ref" in part:
        return _types(parts[part["$ref"].removeprefix("#/$defs/")], parts)
    if "const" in part or "enum" in part:
        return {json.dumps(value) for value in part.get("enum", [part.get("const")])}
    if "type" in part:
        return {part["type"]} if isinstance(part["type"], str) else set(part["type"])
    return set().union(*(_types(inner, parts) for inner in part.get("anyOf", ()))) or {"anything"}


def shape(lines: Iterable[dict[str, Any]], free: frozenset[str]) -> Fields:
    """`fields` of written lines, for a file without a schema; ``free``: the objects with free
    names.
    """
    known = {f"{name}.*": "" for name in free}
    types: dict[str, set[str]] = {}
    for line in lines:
        for path, value in members(line, known):
            types.setdefault(path, set()).add(json_type(value))
    return {
        path: ("" if path.endswith(("[]", "*")) else "always ") + "|".join(sorted(found))
        for path, found in types.items()
    }


def members(value: Any, known: Fields, path: str = "") -> Iterator[tuple[str, Any]]:
    """Everything inside ``value`` with its path, written as in ``known``."""
    if isinstance(value, dict):
        is_free = f"{path}.*" in known
        for name, inner in value.items():
            place = f"{path}.*" if is_free else f"{path}.{name}".lstrip(".")
            yield place, inner
            yield from members(inner, known, place)
    elif isinstance(value, list):
        for inner in value:
            yield f"{path}[]", inner
            yield from members(inner, known, f"{path}[]")


def json_type(value: Any) -> str:
    """The JSON type of a value as Python reads it: an integer is written without a point."""
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return "null" if value is None else names.get(type(value), "object")


def typed(fields: Fields, path: str) -> tuple[bool, set[str]]:
    """Whether a field is required, and its types; no types if there is no such field."""
    text = fields.get(path, "")
    types = text.removeprefix("always ")
    # A value in quotes may contain any character.
    return types != text, set(re.findall(r'"[^"]*"|[^|]+', types))


def kinds(types: set[str]) -> set[str]:
    """The types, with all texts as one."""
    return {"string" if kind.startswith('"') else kind for kind in types}


def parent(path: str) -> str:
    """The path of the object that holds a field; empty for the line itself."""
    return path.removesuffix("[]") if path.endswith("[]") else path.rpartition(".")[0]


def narrowed(old: Fields, new: Fields) -> list[str]:
    """Why a line that used to be accepted may now be refused, or only partly understood."""
    faults = []
    for path in old:
        (was_needed, was), (is_needed, now) = typed(old, path), typed(new, path)
        refused = {
            kind
            for kind in was - now
            if not (kind.startswith('"') and "string" in now)
            and not (kind == "integer" and "number" in now)
        }
        if not now:
            faults.append(f"{path} is gone")
        elif refused and "anything" not in now:
            faults.append(f"{path} was {'|'.join(sorted(was))}, is {'|'.join(sorted(now))}")
        elif is_needed and not was_needed:
            faults.append(f"{path} can't be left out any more")
    return faults + [
        f"{path} is new and can't be left out"
        for path in sorted(new.keys() - old.keys())
        if typed(new, path)[0] and parent(path) in {"", *old}
    ]


def changed(old: Fields, new: Fields) -> list[str]:
    """Why a reader of the former output may not understand the present one."""
    faults = []
    for path in old:
        (was_sure, was), (is_sure, now) = typed(old, path), typed(new, path)
        lost = {kind for kind in was - now if kind.startswith('"') and "string" not in now}
        if not now:
            faults.append(f"{path} is gone")
        elif kinds(was) != kinds(now) or lost:
            faults.append(f"{path} was {'|'.join(sorted(was))}, is {'|'.join(sorted(now))}")
        elif was_sure and not is_sure:
            faults.append(f"{path} may be left out now")
    return faults


def unlike(fields: Fields, line: dict[str, Any]) -> set[str]:
    """The fields of a written line that differ from the record; fields that are not recorded are
    new, and allowed.
    """
    found = [("", line), *members(line, fields)]
    faults = set()
    for path, value in found[1:]:
        types = kinds(typed(fields, path)[1])
        may_be = {json_type(value)} | ({"number"} if json_type(value) == "integer" else set())
        if types and not may_be & types:
            faults.add(f"{path} is {value!r}")
    for path, value in found:
        if isinstance(value, dict):
            faults |= {
                f"{name} is missing"
                for name in fields
                if parent(name) == path
                and typed(fields, name)[0]
                and name.rpartition(".")[2] not in value
            }
    return faults


def filled(fields: Fields, path: str) -> Any:
    """A value for a field, with all its recorded members."""
    kind = min(typed(fields, path)[1] - {"null"})
    if kind == "object":
        inside = [name for name in fields if parent(name) == path]
        return {name.removeprefix(f"{path}."): filled(fields, name) for name in inside}
    if kind == "array":
        return [filled(fields, f"{path}[]")]
    if (name := path.rpartition(".")[2]) in SPECIAL:
        return SPECIAL[name]
    plain = {"boolean": True, "integer": 5, "number": 5.0, "string": "x", "anything": "x"}
    return plain[kind] if kind in plain else json.loads(kind)


def field(line: Any, path: str) -> Any:
    """The value at a path such as ``rfm.windows[0].days``."""
    for part in re.findall(r"[^.\[\]]+", path):
        line = line[int(part)] if isinstance(line, list) else line[part]
    return line


def known(right: Any, value: Any) -> Any:
    """``value`` without its new members."""
    if isinstance(right, dict) and isinstance(value, dict):
        return {name: known(right[name], value[name]) for name in right if name in value}
    if isinstance(right, list) and isinstance(value, list) and len(right) == len(value):
        return [known(*pair) for pair in zip(right, value, strict=True)]
    if isinstance(right, float) and isinstance(value, float):
        # The last digits depend on the machine.
        return right if isclose(value, right, rel_tol=1e-9) else value
    return value
