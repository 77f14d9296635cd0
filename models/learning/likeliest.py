"""The search for the parameters under which what was observed is likeliest."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_Vector = NDArray[np.float64]
#: The cost of a point, and its gradient there, given some arguments more.
Cost = Callable[..., tuple[float, _Vector]]
_SEARCHES_MAX: Final = 8
#: Newton's method begins where no parameter that may move has a steeper slope than this.
_NEARLY_FLAT: Final = 1e-5
#: Slopes are not known more exactly than this, so it ends there.
_FLAT: Final = 1e-12
_STEPS_MAX: Final = 4
#: A logarithm is moved by this much to see how the gradient changes.
_APART: Final = 1e-4


def lowest(
    cost: Cost, begin: _Vector, bounds: tuple[tuple[float, float], ...], args: tuple[Any, ...]
) -> _Vector | None:
    """The point within ``bounds`` where the smooth ``cost`` is lowest, searched for from ``begin``;
    None if the search leads to no number.

    L-BFGS-B ends where one step gains next to nothing. Where that is depends on the last digits of
    the processor's arithmetic, and it may be on a slope. So the search is begun again until the
    point is nearly flat, and Newton's method finds the point itself: it is then the same on every
    processor, but for the last digits.
    """
    # Imported here, because only the trainer fits, and scipy takes as long to import as everything
    # else a command needs.
    from scipy.optimize import minimize  # noqa: PLC0415

    least, most = np.array(bounds).T
    point = np.clip(begin, least, most)
    for _ in range(_SEARCHES_MAX):
        found = minimize(
            cost,
            point,
            args=args,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8},
        )
        if not np.isfinite(found.fun):
            return None
        point = found.x
        if _steepest(point, found.jac, least, most) <= _NEARLY_FLAT:
            break
    return _settled(lambda at: cost(at, *args)[1], point, least, most)


def _settled(
    slope_at: Callable[[_Vector], _Vector], point: _Vector, least: _Vector, most: _Vector
) -> _Vector:
    """The flat point next to ``point``, by Newton's method, as far as it comes closer."""
    slope = slope_at(point)
    for _ in range(_STEPS_MAX):
        if _steepest(point, slope, least, most) <= _FLAT:
            break
        may_move = np.flatnonzero(np.clip(point - slope, least, most) != point)
        if not may_move.size:
            break
        bend = np.empty((may_move.size, may_move.size))
        for row, place in zip(bend, may_move, strict=True):
            apart = np.zeros_like(point)
            apart[place] = _APART
            row[:] = (slope_at(point + apart) - slope_at(point - apart))[may_move] / (2 * _APART)
        try:
            move = np.linalg.solve(bend, slope[may_move])
        except np.linalg.LinAlgError:
            break
        moved = point.copy()
        moved[may_move] -= move
        moved = np.clip(moved, least, most)
        slope_there = slope_at(moved)
        if not _steepest(moved, slope_there, least, most) < _steepest(point, slope, least, most):
            break
        point, slope = moved, slope_there
    return point


def _steepest(point: _Vector, slope: _Vector, least: _Vector, most: _Vector) -> float:
    """The steepest slope of a parameter that may move that way."""
    return float(np.abs(np.clip(point - slope, least, most) - point).max())
