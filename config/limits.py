"""Limits of parameters, stated at their fields.

``Annotated[float, POSITIVE]`` is checked when parameters are loaded; in a list or a table, each
value is checked.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from config.duration import DurationMs


class Limit(NamedTuple):
    """A condition on a value, and the error text for values that don't meet it."""

    holds: Callable[[Any], bool]
    words: str


POSITIVE = Limit(lambda value: value > 0, "must be more than 0, got {}")
NOT_NEGATIVE = Limit(lambda value: value >= 0, "must not be negative, got {}")
PROBABILITY = Limit(lambda value: 0 < value < 1, "is a probability: between 0 and 1")
SHARE = Limit(lambda value: 0 <= value <= 1, "is a share: from 0 to 1")
#: These two hold for a whole list, not for each of its values.
ASCENDING = Limit(lambda values: list(values) == sorted(values), "must ascend, as in 1, 2, 4, 8")
NOT_EMPTY = Limit(lambda values: len(values) > 0, "must be more than 0 values")

_OF_ALL = (ASCENDING, NOT_EMPTY)

PositiveMs = Annotated[DurationMs, POSITIVE]
PositiveInt = Annotated[int, POSITIVE]
Positive = Annotated[float, POSITIVE]
NotNegative = Annotated[float, NOT_NEGATIVE]
Share = Annotated[float, SHARE]
Probability = Annotated[float, PROBABILITY]


def at_least(least: float) -> Limit:
    """The value is ``least`` or more."""
    return Limit(lambda value: value >= least, f"must be at least {least:g}")


def at_most(most: float) -> Limit:
    """The value is ``most`` or less."""
    return Limit(lambda value: value <= most, f"is {most:g} at most")


def problems_in(section: msgspec.Struct, path: str) -> Iterator[str]:
    """The errors in the values of ``section``, each with its dotted name. If there are infinite
    numbers or NaN, only those are reported: comparisons with them are meaningless.
    """
    values = msgspec.structs.asdict(section)
    unusable = [
        problem for name, v in values.items() for problem in _not_finite(v, f"{path}.{name}")
    ]
    if unusable:
        yield from unusable
        return
    hints = get_type_hints(type(section), include_extras=True)
    for name, value in values.items():
        full = f"{path}.{name}"
        if isinstance(value, msgspec.Struct):
            yield from problems_in(value, full)
        else:
            yield from _problems(value, hints[name], full)


def _problems(value: Any, hint: Any, path: str) -> Iterator[str]:
    limits: tuple[Limit, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *annotations = get_args(hint)
        limits = tuple(limit for limit in annotations if isinstance(limit, Limit))
    for limit in limits:
        for one_path, one in _judged(value, limit, path):
            if not limit.holds(one):
                yield f"{one_path} {limit.words.format(one)}"
    inner = [argument for argument in get_args(hint) if argument is not Ellipsis]
    if isinstance(value, Mapping) and inner:
        for key, one in value.items():
            yield from _problems(one, inner[-1], f"{path}.{key}")
    elif isinstance(value, tuple) and inner:
        for place, one in enumerate(value):
            yield from _problems(one, inner[min(place, len(inner) - 1)], path)


def _judged(value: Any, limit: Limit, path: str) -> Iterator[tuple[str, Any]]:
    """What the limit applies to: the whole value, or each value in it."""
    if limit in _OF_ALL or not isinstance(value, tuple | Mapping):
        yield path, value
    elif isinstance(value, Mapping):
        yield from ((f"{path}.{key}", one) for key, one in value.items())
    else:
        yield from ((path, one) for one in value)


def _not_finite(value: object, path: str) -> Iterator[str]:
    match value:
        case msgspec.Struct():
            for name, inner in msgspec.structs.asdict(value).items():
                yield from _not_finite(inner, f"{path}.{name}")
        case dict():
            for name, inner in value.items():
                yield from _not_finite(inner, f"{path}.{name}")
        case tuple():
            for inner in value:
                yield from _not_finite(inner, path)
        case float() if not math.isfinite(value):
            yield f"{path} must be a finite number, got {value}"
