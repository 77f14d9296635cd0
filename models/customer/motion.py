"""How a fact changes by time alone, so that it is known when a condition turns true or false
without an event.
"""

from collections.abc import Callable
from math import inf
from typing import Any, Final, NamedTuple

from models.customer.edges import Edge, never
from models.customer.scene import Scene


class Motion(NamedTuple):
    """From a moment on, a number changes by ``per_ms`` each ms, and a text does not change. At
    ``until_ms`` the fact may become anything else; inf for never.
    """

    per_ms: float = 0.0
    until_ms: float = inf


#: The readings of other parts that a fact depends on.
Besides = tuple[Callable[[Scene], Any], ...]


class Moves(NamedTuple):
    """``at``: the fact's motion from the scene's moment on. ``is_clock``: a number that may change
    all the time. ``is_learnt``: another model changes it. ``edge``: for a fact that changes only at
    certain times, the next of them; 0 for none.

    ``found``: for a fact that is computed at looks and that no event changes, the readings of other
    parts that it depends on besides; None for all other facts.
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


#: Only the customer's events change it.
STILL: Final = Moves(_rests, edge=never)
#: Time does not change it either, but another model may.
LEARNT: Final = Moves(_rests, is_learnt=True, edge=never)
#: Only a look at the customer changes it.
FOUND: Final = Moves(_rests, edge=never, found=())


def since(anchor_ms: Callable[[Scene], int], unit_ms: int, found: Besides | None = None) -> Moves:
    """A clock: the time since an anchor in units, 0 before it. Without an anchor (0) it stands
    still. ``found``: for an anchor that is computed at looks, as in `Moves`.
    """
    going_on = Motion(1 / unit_ms)

    def at(scene: Scene) -> Motion:
        began_ms = anchor_ms(scene)
        if not began_ms:
            return _AT_REST
        return Motion(until_ms=began_ms) if began_ms > scene.at_ms else going_on

    return Moves(at, is_clock=True, found=found)


def ending(clock: Moves, edge: Edge) -> Moves:
    """A clock that may also become anything else at an ``edge``."""

    def at(scene: Scene) -> Motion:
        per_ms, until_ms = clock.at(scene)
        return Motion(per_ms, min(until_ms, edge(scene) or inf))

    return clock._replace(at=at)


def steps(edge: Edge, found: Besides | None = None) -> Moves:
    """A fact that changes only at certain times, of which ``edge`` is the next; 0 for none.
    ``found``: as in `Moves`.
    """

    def at(scene: Scene) -> Motion:
        next_ms = edge(scene)
        return Motion(until_ms=next_ms) if next_ms else _AT_REST

    return Moves(at, edge=edge, found=found)
