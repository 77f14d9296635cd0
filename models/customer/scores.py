"""R, F and M scores from 1 to 5, and the segment they name."""

from bisect import bisect_left
from enum import StrEnum

from msgspec import Struct

from config.duration import DAY_MS
from models.customer.purchases import WINDOW_DAYS, Purchases, window
from models.learning.snapshot import Cuts, Snapshot


class Segment(StrEnum):
    CHAMPIONS = "champions"
    LOYAL = "loyal"
    POTENTIAL = "potential"
    NEW = "new"
    AT_RISK = "at risk"
    CANT_LOSE = "can't lose"
    HIBERNATING = "hibernating"
    LOST = "lost"


class RfmScores(Struct, frozen=True):
    """5 is most recent, most often, most money."""

    recency: int
    frequency: int
    monetary: int
    segment: Segment


def rfm_scores(purchases: Purchases, at_ms: int, snapshot: Snapshot) -> RfmScores | None:
    """Scores by the snapshot's cut points, over the longest window; None for who has not bought."""
    if not purchases.count:
        return None
    count, net_minor = window(purchases, at_ms, WINDOW_DAYS[-1])
    recency_days = max(at_ms - purchases.last_at_ms, 0) / DAY_MS
    recency = 6 - _score(recency_days, snapshot.recency_days_cuts)
    frequency = _score(float(count), snapshot.frequency_cuts)
    monetary = _score(float(net_minor), snapshot.monetary_minor_cuts)
    segment = segment_of(recency, frequency, monetary, purchases.count)
    return RfmScores(recency, frequency, monetary, segment)


def segment_of(recency: int, frequency: int, monetary: int, count: int) -> Segment:
    """The named segment of three scores: recency against the mean of frequency and money."""
    worth = (frequency + monetary) / 2
    if recency >= 4:
        if count == 1:
            return Segment.NEW
        return (
            Segment.CHAMPIONS if worth >= 4 else Segment.LOYAL if worth >= 3 else Segment.POTENTIAL
        )
    if recency == 3:
        return Segment.LOYAL if worth >= 4 else Segment.POTENTIAL
    if worth >= 4 and recency == 1:
        return Segment.CANT_LOSE
    if recency == 2:
        return Segment.AT_RISK if worth >= 3 else Segment.HIBERNATING
    return Segment.LOST


def _score(value: float, cuts: Cuts) -> int:
    return 1 + bisect_left(cuts, value)
