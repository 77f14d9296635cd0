"""Rows that notice which part reads what. The reader is found on the call stack: an offered reading
that is being called belongs to the part that offers it.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from models.customer.part import Part, Reading
from models.customer.registry import PARTS
from models.customer.row import Due, Kept, Row
from models.customer.scene import Scene
from tests.contract.exceptions import TIMERS_OF_OTHERS

S = TypeVar("S")
T = TypeVar("T")

_OFFERED = {reading.__code__: (part, reading) for part in PARTS for reading in part.offers}


class WatchedRow(Row):
    """A row while ``reader`` uses it; ``problems``: the accesses that it was not allowed."""

    __slots__ = ("problems", "reader")

    def __init__(self, row: Row) -> None:
        super().__init__()
        for name in Row.__slots__:
            setattr(self, name, getattr(row, name))
        self.reader: Part[Any] | None = None
        self.problems: set[str] = set()

    def read(self, part: Kept[S]) -> S:
        if self.reader is not None:
            self._look(part, self.reader)
        return super().read(part)

    def edit(self, part: Kept[S]) -> S:
        self._require_own(part.code == _code(self.reader), f"edits the state of {part.name}")
        return super().edit(part)

    def due(self, code: str) -> Due:
        self._require_timer(code)
        return super().due(code)

    def set_due(self, code: str, due_ms: int, *, may_repeat: bool = False) -> None:
        self._require_timer(code)
        super().set_due(code, due_ms, may_repeat=may_repeat)

    def _require_timer(self, code: str) -> None:
        own = {timer.code for timer in self.reader.timers} if self.reader is not None else set()
        if self.reader is not None:
            own |= {other for name, other in TIMERS_OF_OTHERS if name == self.reader.name}
        self._require_own(code in own, f"has to do with the timer {code}")

    def _require_own(self, is_own: bool, otherwise: str) -> None:
        if self.reader is not None and not is_own:
            self.problems.add(f"{self.reader.name} {otherwise}")

    def _look(self, state_of: Kept[Any], root: Part[Any]) -> None:
        """Each caller, from the state outwards, must declare the readings of other parts that it
        uses.
        """
        owner, asked_for = state_of.name, None
        for reader, reading in [*_readings(), (root, None)]:
            if reader.name != owner:
                if asked_for is None:
                    self.problems.add(f"{reader.name} reads the state of {owner}")
                elif asked_for not in reader.reads:
                    name = asked_for.__name__
                    self.problems.add(f"{reader.name} reads {name} of {owner}, undeclared")
            owner, asked_for = reader.name, reading


def _code(part: Part[Any] | None) -> str:
    return "" if part is None else part.code


def _readings() -> Iterator[tuple[Part[Any], Reading[Any]]]:
    """The offered readings on the call stack, the innermost first."""
    frame = sys._getframe(2)
    while frame is not None:
        found = _OFFERED.get(frame.f_code)
        if found is not None:
            yield found
        frame = frame.f_back


class FreshScene(Scene):
    """Computes every reading anew, so that no part benefits from a reading that another one
    used.
    """

    __slots__ = ()

    def of(self, reading: Callable[[Scene], T]) -> T:
        return reading(self)
