"""Exponential decay by event time."""

from math import exp2


def decayed(amount: float, lag_ms: int, half_life_ms: int) -> float:
    """What is left of ``amount`` after ``lag_ms``: half of it every ``half_life_ms``.

    If ``lag_ms`` is 0 or less, ``amount`` is returned unchanged.
    """
    return amount * exp2(-lag_ms / half_life_ms) if lag_ms > 0 else amount


def added(
    level: float, level_at_ms: int, amount: float, amount_at_ms: int, half_life_ms: int
) -> float:
    """``level`` with ``amount`` added, as of the later of their two times.

    Arrival order doesn't matter: a late amount counts for what is left of it by the time the
    level has reached, and the level never moves back in time.
    """
    lag_ms = amount_at_ms - level_at_ms
    if lag_ms >= 0:
        return decayed(level, lag_ms, half_life_ms) + amount
    return level + decayed(amount, -lag_ms, half_life_ms)
