"""Decisions whose outcome is not known yet: labels that wait for silence to be long enough."""

from msgspec import Struct


class Pending(Struct, frozen=True, array_like=True, gc=False):
    """One decision point and one horizon.

    ``features`` are packed as they were; ``said`` is what each scorer said then, packed.
    ``weight`` is how many decision points of this customer it stands for: of many, some are kept.
    """

    due_ms: int
    decided_at_ms: int
    horizon_days: float
    kind: str
    weight: int
    features: bytes
    said: bytes = b""
