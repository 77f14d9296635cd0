"""R, F and M scores from 1 to 5, and the segment they name."""

from bisect import bisect_left
from enum import StrEnum

from msgspec import Struct

from models.learning.population import Cuts, Population


class Segment(StrEnum):
    CHAMPIONS = "champions"
    LOYAL = "loyal"
    POTENTIAL = "potential"
    NEW = "new"
    AT_RISK = "at risk"
    CANT_LOSE = "can't lose"
    HIBERNATING = "hibernating"
    LOST = "lost"


SEGMENT_WORDS = {
    Segment.CHAMPIONS: "buys often and much, and did so lately",
    Segment.LOYAL: "buys regularly, and still does",
    Segment.POTENTIAL: "bought lately, and could become loyal",
    Segment.NEW: "bought once, lately",
    Segment.AT_RISK: "used to buy more, and has been away",
    Segment.CANT_LOSE: "was among the best, and has been away for long",
    Segment.HIBERNATING: "bought little, and has been away",
    Segment.LOST: "has been away for long, and was not among the best",
}


class RfmScores(Struct, frozen=True):
    """Scores from 1 to 5: 5 is most recent, most often, most money."""

    recency: int
    frequency: int
    monetary: int
    segment: Segment


def rfm_scores(
    recency_days: float, orders_365d: int, net_365d_minor: int, orders: int, population: Population
) -> RfmScores:
    """Scores by the population's cut points, for a customer with ``orders`` orders in all."""
    recency = 6 - _score(recency_days, population.recency_days_cuts)
    frequency = _score(float(orders_365d), population.frequency_cuts)
    monetary = _score(float(net_365d_minor), population.monetary_minor_cuts)
    segment = segment_of(recency, frequency, monetary, orders)
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
