"""Parameters as TOML that `models.parameters.load_parameters` can read."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from config.duration import DAY_MS, SECOND_MS, DurationMs
from config.parameters import Parameters

#: Fields that are no sections: the rules of the operator, and the container of the parts' sections.
_NO_SECTIONS = ("triggers", "actions", "parts")
_UNITS = (
    ("d", DAY_MS),
    ("h", 3_600 * SECOND_MS),
    ("min", 60 * SECOND_MS),
    ("s", SECOND_MS),
    ("ms", 1),
)


def parameters_as_toml(parameters: Parameters) -> str:
    """Every parameter with its value, by section."""
    shared = {n: value for n, value in _named(parameters).items() if n not in _NO_SECTIONS}
    values = {**shared, **{kind.section: part for kind, part in parameters.parts.items()}}
    return "\n".join(_section((), values)).lstrip("\n") + "\n"


def _section(path: tuple[str, ...], values: dict[str, Any]) -> Iterator[str]:
    plain = {name: value for name, value in values.items() if not _is_section(value)}
    if path and plain:
        yield f"\n[{'.'.join(path)}]"
    for name, value in plain.items():
        yield f"{_key(name)} = {_literal(value)}"
    for name, value in values.items():
        if _is_section(value):
            yield from _section((*path, _key(name)), _named(value))


def _is_section(value: object) -> bool:
    return isinstance(value, msgspec.Struct | dict)


def _named(section: Any) -> dict[str, Any]:
    if isinstance(section, dict):
        return section
    fields = msgspec.structs.fields(section)
    return {field.encode_name: getattr(section, field.name) for field in fields}


def _key(name: str) -> str:
    # Event names contain spaces; TOML and JSON quote text in the same way.
    return name if name.replace("_", "").replace("-", "").isalnum() else json.dumps(name)


def _literal(value: object) -> str:
    if isinstance(value, DurationMs):
        return json.dumps(_duration(value))
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_literal, value))}]"
    return json.dumps(value)


def _duration(ms: int) -> str:
    unit, size = next((unit, size) for unit, size in _UNITS if ms % size == 0)
    return f"{ms // size}{unit}"
