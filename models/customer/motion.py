"""How a fact changes by time alone: what has to be known to say when a condition turns true or
false without an event.
"""

from collections.abc import Callable
from math import inf
from typing import Any, Final, NamedTuple

from models.customer.edges import Edge, never
from models.customer.scene import Scene


class Motion(NamedTuple):
    """From a moment on a number changes by ``per_ms`` each ms, and a text not at all, until at
    ``until_ms`` the fact may be anything else; inf for never.
    """

    per_ms: float = 0.0
    until_ms: float = inf


#: Readings of other parts.
Besides = tuple[Callable[[Scene], Any], ...]


class Moves(NamedTuple):
    """``at``: the fact's motion from the scene's moment on. ``is_clock``: a number that may change
    all the time; ``is_learnt``: by what is known of all customers, which another model changes.
    ``edge``: of what changes at certain times alone, the next of them; 0 for none. ``found``: of
    what is found when timers look at the customer, and which no event changes: the readings of
    other parts that it goes by besides; None for all else.
    """

    at: Callable[[Scene], Motion]
    is_clock: bool = False
    is_learnt: bool = False
    edge: Edge | None = None
    found: Besides | None = None

    @property
    def is_still(self) -> bool:
        """Whether time alone never changes it."""
        return self.edge is never


_AT_REST: Final = Motion()


def _rests(_scene: Scene) -> Motion:
    return _AT_REST


#: Only what happens to the customer changes it.
STILL: Final = Moves(_rests, edge=never)
#: Neither does time, but another model may.
LEARNT: Final = Moves(_rests, is_learnt=True, edge=never)
#: Only a look at the customer does.
FOUND: Final = Moves(_rests, edge=never, found=())


def since(anchor_ms: Callable[[Scene], int], unit_ms: int, found: Besides | None = None) -> Moves:
    """A clock: the time since an anchor in units, 0 before it. Without an anchor (0) it stands
    still. ``found``: of an anchor that is found at looks, as in `Moves`.
    """
    going_on = Motion(1 / unit_ms)

    def at(scene: Scene) -> Motion:
        began_ms = anchor_ms(scene)
        if not began_ms:
            return _AT_REST
        return Motion(until_ms=began_ms) if began_ms > scene.at_ms else going_on

    return Moves(at, is_clock=True, found=found)


def ending(clock: Moves, edge: Edge) -> Moves:
    """A clock that may be anything else at an ``edge``, too."""

    def at(scene: Scene) -> Motion:
        per_ms, until_ms = clock.at(scene)
        return Motion(per_ms, min(until_ms, edge(scene) or inf))

    return clock._replace(at=at)


def steps(edge: Edge, found: Besides | None = None) -> Moves:
    """Changes at certain times alone, of which ``edge`` is the next; 0 for none. ``found``: as in
    `Moves`.
    """

    def at(scene: Scene) -> Motion:
        next_ms = edge(scene)
        return Motion(until_ms=next_ms) if next_ms else _AT_REST

    return Moves(at, edge=edge, found=found)
