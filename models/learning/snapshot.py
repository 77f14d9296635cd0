"""A snapshot: everything customers share, versioned, immutable and named by its hash."""

from hashlib import sha256

import msgspec
from msgspec import Struct

from config.parameters import DAY_MS, Parameters
from models.customer.purchases import minor_units

#: Raised when a field changes its meaning; a newer snapshot is refused, an older one is read.
SNAPSHOT_FORMAT = 1

Cuts = tuple[float, float, float, float]


class SnapshotError(ValueError):
    """A snapshot cannot be used; the message says why."""


class Snapshot(Struct, frozen=True, rename="camel"):
    """Cut points and priors as of ``created_at_ms`` of event time.

    ``positions`` holds, per partition of ``customer-events``, the (offset, index) of the last
    observation in it; ``consumed`` the next position of the topic of observations.
    """

    version: int
    created_at_ms: int
    recency_days_cuts: Cuts
    frequency_cuts: Cuts
    monetary_minor_cuts: Cuts
    gap_days: float
    observations: int = 0
    positions: dict[str, tuple[int, int]] = {}
    consumed: int = 0
    histograms: dict[str, dict[str, int]] = {}
    format: int = SNAPSHOT_FORMAT


def prior_snapshot(parameters: Parameters) -> Snapshot:
    """Version 0: what the operator's parameters say before anything is learnt."""
    rfm = parameters.rfm
    minor = tuple(float(minor_units(amount, parameters.money.currency)) for amount in rfm.monetary)
    assert len(minor) == 4
    return Snapshot(
        version=0,
        created_at_ms=0,
        recency_days_cuts=rfm.recency_days,
        frequency_cuts=rfm.frequency,
        monetary_minor_cuts=minor,
        gap_days=parameters.overdue.prior_gap / DAY_MS,
    )


_DECODER = msgspec.json.Decoder(Snapshot)


def encode_snapshot(snapshot: Snapshot) -> tuple[bytes, str]:
    """The snapshot's bytes and their SHA-256; the same snapshot always gives the same bytes."""
    content = msgspec.json.encode(snapshot, order="deterministic")
    return content, sha256(content).hexdigest()


def decode_snapshot(content: bytes, expected_sha256: str | None = None) -> Snapshot:
    """Read a snapshot. Raises ``SnapshotError`` for a damaged, altered or newer one."""
    if expected_sha256 is not None and sha256(content).hexdigest() != expected_sha256:
        raise SnapshotError("a snapshot differs from the one the log announced")
    try:
        snapshot = _DECODER.decode(content)
    except msgspec.DecodeError as error:
        raise SnapshotError(f"not a snapshot: {error}") from None
    if snapshot.format > SNAPSHOT_FORMAT:
        raise SnapshotError(
            f"snapshot {snapshot.version} was written by a newer release; upgrade this one"
        )
    return snapshot
