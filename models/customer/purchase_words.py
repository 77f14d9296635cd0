"""What a profile shows of a customer's purchases, as data and in words."""

from collections.abc import Iterator

from msgspec import Struct

from models.customer.anomaly import Anomaly
from models.customer.anomaly import in_words as anomaly_in_words
from models.customer.part import Line
from models.customer.rfm import SEGMENT_WORDS, Segment
from models.customer.words import counted, moment_in_words
from models.money import in_words as money_in_words


class _View(Struct, frozen=True, rename="camel"):
    pass


class Window(_View, frozen=True):
    """Purchases of the last ``days``."""

    days: int
    orders: int
    net_minor: int


class DecayedLevel(_View, frozen=True):
    """Orders and net spend, each halving within ``half_life_days``."""

    half_life_days: int
    orders: float
    net_minor: float


class RfmView(_View, frozen=True):
    """``segment`` and the scores are null without a purchase. ``unpriced_refunds``: refunds of
    products whose price no order gave, for which nothing was subtracted.
    """

    recency_days: float | None
    orders: int
    net_minor: int
    first_order_at: str | None
    last_order_at: str | None
    windows: tuple[Window, ...]
    decayed: tuple[DecayedLevel, ...]
    recency_score: int | None
    frequency_score: int | None
    monetary_score: int | None
    segment: Segment | None
    unpriced_refunds: int = 0


class RhythmView(Struct, frozen=True, rename="camel"):
    """The UTC days of the latest purchases, the oldest first, and when the next one is expected:
    after the usual gap at ``expected_at``, and with nine in ten of the customer's own gaps before
    ``overdue_at`` (`Clock`).
    """

    days: tuple[str, ...]
    usual_gap_days: float
    expected_at: str
    overdue_at: str | None


def rhythm_in_words(found: RhythmView | None, as_of: str, _currency: str) -> Iterator[Line]:
    if found is None or found.overdue_at is None:
        return
    state = "overdue since" if found.overdue_at < as_of else "overdue from"
    yield Line(
        "next purchase",
        f"expected about {found.expected_at[:10]}, {state} {found.overdue_at[:10]}",
    )


def rfm_in_words(rfm: RfmView, _as_of: str, currency: str) -> Iterator[Line]:
    if rfm.recency_days is None:
        yield Line("purchases", "none")
        return
    if rfm.segment is not None:
        yield Line("segment", f"{rfm.segment}: {SEGMENT_WORDS[rfm.segment]}")
        scores = (rfm.recency_score, rfm.frequency_score, rfm.monetary_score)
        yield Line("scores", "recency {}, frequency {}, monetary {}, of 5".format(*scores))
    last = moment_in_words(rfm.last_order_at)
    yield Line("last purchase", f"{rfm.recency_days:.1f} days before ({last})")
    net = money_in_words(rfm.net_minor, currency)
    since = moment_in_words(rfm.first_order_at)
    yield Line("purchases", f"{counted(rfm.orders, 'order')}, {net} net, since {since}")
    for span in rfm.windows:
        net = money_in_words(span.net_minor, currency)
        yield Line(f"last {span.days} days", f"{counted(span.orders, 'order')}, {net}")
    if rfm.unpriced_refunds:
        refunds = counted(rfm.unpriced_refunds, "refund")
        yield Line("not taken back", f"{refunds} of products whose price no order told")


def anomaly_lines(found: Anomaly, _as_of: str, _currency: str) -> Iterator[Line]:
    yield Line("buying", anomaly_in_words(found))
