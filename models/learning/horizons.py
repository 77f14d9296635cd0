"""Horizons by the names under which models are kept, and the models' horizons in order.

Asked at every score of every customer, of few names: so each is worked out once.
"""

from functools import lru_cache

_KNOWN_MAX = 256


@lru_cache(_KNOWN_MAX)
def name_of(horizon_days: float) -> str:
    """The name of a horizon: ``28``, ``0.5``."""
    return f"{horizon_days:g}"


@lru_cache(_KNOWN_MAX)
def ascending(names: tuple[str, ...]) -> tuple[float, ...]:
    """The horizons of these names in days, the shortest first."""
    return tuple(sorted(map(float, names)))
