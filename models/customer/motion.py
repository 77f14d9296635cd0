"""How a fact changes by time alone: what has to be known to say when a condition turns true or
false without an event.
"""

from collections.abc import Callable
from math import inf
from typing import Final, NamedTuple

from models.customer.edges import Edge
from models.customer.scene import Scene


class Motion(NamedTuple):
    """From a moment on a number changes by ``per_ms`` each ms, and a text not at all, until at
    ``until_ms`` the fact may be anything else; inf for never.
    """

    per_ms: float = 0.0
    until_ms: float = inf


class Moves(NamedTuple):
    """``at``: the fact's motion from the scene's moment on. ``is_clock``: a number that may change
    all the time; ``is_learnt``: by what is known of all customers, which another model changes.
    """

    at: Callable[[Scene], Motion]
    is_clock: bool = False
    is_learnt: bool = False


_AT_REST: Final = Motion()
#: Only what happens to the customer changes it.
STILL: Final = Moves(lambda _scene: _AT_REST)
#: Neither does time, but another model may.
LEARNT: Final = Moves(lambda _scene: _AT_REST, is_learnt=True)


def since(anchor_ms: Callable[[Scene], int], unit_ms: int) -> Moves:
    """A clock: the time since an anchor in units, 0 before it. Without an anchor (0) it stands
    still.
    """

    def at(scene: Scene) -> Motion:
        began_ms = anchor_ms(scene)
        if not began_ms:
            return _AT_REST
        return Motion(until_ms=began_ms) if began_ms > scene.at_ms else Motion(1 / unit_ms)

    return Moves(at, is_clock=True)


def steps(edge: Edge) -> Moves:
    """Changes at certain times alone, of which ``edge`` is the next; 0 for none."""

    def at(scene: Scene) -> Motion:
        next_ms = edge(scene)
        return Motion(until_ms=next_ms) if next_ms else _AT_REST

    return Moves(at)
