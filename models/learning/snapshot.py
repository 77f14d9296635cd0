"""A snapshot: everything customers share, versioned, immutable and named by its hash."""

from hashlib import sha256

import msgspec
from msgspec import Struct

from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.purchases import minor_units
from models.learning.bgnbd import BgNbd
from models.learning.gamma_gamma import GammaGamma

#: Raised when a field changes its meaning; a newer snapshot is refused, an older one is read.
SNAPSHOT_FORMAT = 2

Cuts = tuple[float, float, float, float]


class SnapshotError(ValueError):
    """A snapshot cannot be used; the message says why."""


class LinearModel(Struct, frozen=True, rename="camel"):
    """Weights of standardized features, in the order of `features.NAMES`, and an intercept."""

    intercept: float
    weights: tuple[float, ...]


class ChurnModels(Struct, frozen=True, rename="camel"):
    """What is known of one horizon: two logistic models over the same standardized features.

    ``shift``: what recalibration adds to the log odds of the blend. ``champion``: the name of the
    scorer whose word is acted on; all others learn on, are judged, and are not listened to.
    """

    means: tuple[float, ...]
    deviations: tuple[float, ...]
    logistic: LinearModel
    bayesian: LinearModel
    shift: float
    champion: str
    examples: int


class SpendModel(Struct, frozen=True, rename="camel"):
    """The weights of what a customer spends, as `spend.expected_orders` adds them up: the
    intercept's first. ``serves``: whether it is listened to, and not the formula.
    """

    weights: tuple[float, ...]
    examples: int
    serves: bool


class SpendQuality(Struct, frozen=True, rename="camel"):
    """How one scorer foretold spend: ``ratio`` is all it expected over all that came, ``deviance``
    the Poisson deviance of a forecast, in typical orders; over forecasts that both had made.
    """

    horizon_days: float
    scorer: str
    examples: int
    ratio: float | None
    deviance: float | None


class Quality(Struct, frozen=True, rename="camel"):
    """How one scorer did for one horizon and kind of decision; None where it cannot be told.

    ``curve``: of what was served, (mean score, share that came true) in bins of equal count.
    """

    horizon_days: float
    kind: str
    scorer: str
    examples: int
    log_loss: float | None
    auc: float | None
    calibration_error: float | None
    curve: tuple[tuple[float, float], ...] = ()


class Snapshot(Struct, frozen=True, rename="camel"):
    """What decisions are made with: cut points, priors and models, as of ``created_at_ms`` of
    event time. ``order_minor``: what an order typically brings, which amounts are told in relation
    to, so that scores do not depend on the currency. ``acquisition_cost_minor``: of one customer,
    by channel. ``revenue_share_top_fifth``: the part of a year's net revenue that the best fifth
    of customers brought. ``trainer`` is what the trainer goes on from; nobody else reads it.
    """

    version: int
    created_at_ms: int
    recency_days_cuts: Cuts
    frequency_cuts: Cuts
    monetary_minor_cuts: Cuts
    gap_days: float
    bgnbd: BgNbd | None = None
    churn: dict[str, ChurnModels] = {}
    quality: tuple[Quality, ...] = ()
    trainer: msgspec.Raw = msgspec.Raw(b"null")
    format: int = SNAPSHOT_FORMAT
    order_minor: float = 5_000.0
    gamma_gamma: GammaGamma | None = None
    spend: dict[str, SpendModel] = {}
    spend_quality: tuple[SpendQuality, ...] = ()
    acquisition_cost_minor: dict[str, float] = {}
    revenue_share_top_fifth: float | None = None


def prior_snapshot(parameters: Parameters) -> Snapshot:
    """Version 0: what the operator's parameters say before anything is learnt."""
    rfm = parameters.rfm
    minor = tuple(float(minor_units(amount, parameters.money.currency)) for amount in rfm.monetary)
    assert len(minor) == 4
    typical_order_minor = minor_units(parameters.value.typical_order, parameters.money.currency)
    return Snapshot(
        version=0,
        created_at_ms=0,
        recency_days_cuts=rfm.recency_days,
        frequency_cuts=rfm.frequency,
        monetary_minor_cuts=minor,
        gap_days=parameters.overdue.prior_gap / DAY_MS,
        order_minor=float(max(typical_order_minor, 1)),
    )


_DECODER = msgspec.json.Decoder(Snapshot)


def encode_snapshot(snapshot: Snapshot) -> tuple[bytes, str]:
    """The snapshot's bytes and their SHA-256; the same snapshot always gives the same bytes."""
    content = msgspec.json.encode(snapshot)
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
