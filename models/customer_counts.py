"""Counts of customers by values of their facts, as part of a list of customers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, Final

from msgspec import Struct

from config.parameters import Parameters
from models.customer.part import Fact
from models.decisions.expression import hint

#: The most ways to count in one list, facts in one way, and values of each fact.
WAYS_MAX, FACTS_MAX, VALUES_MAX = 24, 2, 64
Value = float | str | None
Way = tuple[str, ...]
_TOGETHER: Final = "*"


class CountError(ValueError):
    """The question for counts cannot be answered; the message says why."""


class Counted(Struct, frozen=True):
    """How many customers have these ``values`` of the facts ``by``, null for unknown. ``total``:
    the sum of the number by which the list is ordered, 0 without one.
    """

    by: Way
    values: tuple[Value, ...]
    customers: int
    total: float


def ways_in(text: str, facts: Mapping[str, Fact], parameters: Parameters) -> tuple[Way, ...]:
    """The ways to count in ``fact,fact*fact``: by one fact, or by two together. Raises
    `CountError`.
    """
    ways = [tuple(part.strip() for part in way.split(_TOGETHER)) for way in text.split(",")]
    if len(ways) > WAYS_MAX:
        raise CountError(f"{WAYS_MAX} ways to count at most, not {len(ways)}")
    for way in ways:
        if len(way) > FACTS_MAX or len(set(way)) < len(way):
            raise CountError(f"by one fact, or by two others together, not by {'*'.join(way)!r}")
        for name in way:
            if name not in facts:
                raise CountError(f"there is no fact {name!r}{hint(name, facts)}")
            if values_of(facts[name], parameters) is None:
                raise CountError(
                    f"{name} may be anything: count by what has few values, as segment"
                )
    return tuple(dict.fromkeys(ways))


def values_of(fact: Fact, parameters: Parameters) -> Sequence[float | str] | None:
    """All values of a fact with few of them, in order; None for a fact that may have many."""
    if fact.values is not None:
        texts = tuple(map(str, fact.values(parameters)))
        return texts if len(texts) <= VALUES_MAX else None
    if fact.answers is not None:
        return (0.0, 1.0)
    if fact.whole and isfinite(fact.least) and fact.most - fact.least < VALUES_MAX:
        return tuple(map(float, range(int(fact.least), int(fact.most) + 1)))
    return None


class Counts:
    """Counts customers in several ways."""

    def __init__(self, ways: Sequence[Way]) -> None:
        self._ways = ways
        self._found: dict[Way, dict[tuple[Value, ...], tuple[int, float]]] = {
            way: {} for way in ways
        }

    def add(self, read: Callable[[str], float | str], number: float | None) -> None:
        """Count one customer; ``read`` gives a fact by its name."""
        more = number or 0.0
        for way, found in self._found.items():
            values = tuple(known_value(read(name)) for name in way)
            customers, total = found.get(values, (0, 0.0))
            found[values] = (customers + 1, total + more)

    def counted(self) -> tuple[Counted, ...]:
        """Every combination of values that at least one customer has, in the order of values."""
        return tuple(
            Counted(way, values, *found)
            for way, of_way in self._found.items()
            for values, found in sorted(of_way.items(), key=lambda item: _order(item[0]))
        )

    def take(self, counted: Iterable[Counted]) -> None:
        """Add the counts of another partition."""
        for one in counted:
            of_way = self._found.setdefault(one.by, {})
            customers, total = of_way.get(one.values, (0, 0.0))
            of_way[one.values] = (customers + one.customers, total + one.total)


def known_value(value: float | str) -> Value:
    """A fact as JSON has it: null if unknown."""
    if isinstance(value, str):
        return value or None
    return value if isfinite(value) else None


def _order(values: tuple[Value, ...]) -> tuple[Any, ...]:
    """A sort key; unknown values come last."""
    return tuple((value is None, "" if value is None else value) for value in values)
