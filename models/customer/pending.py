"""Decisions whose outcome is not known yet: labels that wait for silence to be long enough."""

from msgspec import Struct


class Forecast(Struct, frozen=True, array_like=True, gc=False):
    """What was expected to be spent within the horizon, by formula and by challenger, in minor
    units; ``features`` are what the challenger saw, ``order_minor`` a typical order then.
    """

    formula_minor: float
    challenger_minor: float | None
    order_minor: float
    features: tuple[float, ...]


class Pending(Struct, frozen=True, array_like=True, gc=False):
    """One decision point and one horizon.

    ``features`` are packed as they were; ``said`` is what each scorer said then, packed.
    ``weight`` is how many decision points of this customer it stands for: of many, some are kept.
    ``forecast`` is None where there was no model of value yet.
    """

    due_ms: int
    decided_at_ms: int
    horizon_days: float
    kind: str
    weight: int
    features: bytes
    said: bytes = b""
    forecast: Forecast | None = None
