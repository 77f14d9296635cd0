"""Decisions whose outcome is not known yet: labels that wait for silence to be long enough."""

from msgspec import Struct


class Pending(Struct, frozen=True, array_like=True, gc=False):
    """One decision point and one horizon.

    ``features`` are packed as they were; ``champion`` and ``baseline`` are what either said then.
    ``rank`` is drawn from a hash: of too many, those with the lowest ranks are kept, which says
    nothing about how they will turn out.
    """

    due_ms: int
    decided_at_ms: int
    horizon_days: float
    kind: str
    rank: int
    features: bytes
    champion: float | None = None
    baseline: float | None = None
