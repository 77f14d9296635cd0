"""Names of horizons, under which models are stored, and the models' horizons in order.

Cached, because every score of every customer needs them, and there are few names.
"""

from functools import lru_cache

_KNOWN_MAX = 256


@lru_cache(_KNOWN_MAX)
def name_of(horizon_days: float) -> str:
    """The name of a horizon: ``28``, ``0.5``."""
    return f"{horizon_days:g}"


@lru_cache(_KNOWN_MAX)
def ascending(names: tuple[str, ...]) -> tuple[float, ...]:
    """The horizons of these names in days, shortest first."""
    return tuple(sorted(map(float, names)))
