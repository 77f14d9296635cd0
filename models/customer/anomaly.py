"""How unusual a customer's last fortnight was, by their own measure.

Days are counted, not events: ten page views in one visit say no more of somebody's habits than one.
"""

from math import asin, pi, sqrt

from msgspec import Struct

from config.duration import DAY_MS
from models.customer.active_days import ActiveDays, active_until, active_within
from models.learning.features import History, days_since

WINDOW_DAYS = 14
#: Of a shorter past, or one with fewer days, nobody can say what is usual.
USUAL_DAYS_MIN = 42
USUAL_COUNT_MIN = 4


class Anomaly(Struct, frozen=True, rename="camel"):
    """``deviations``: below zero for less than usual, in standard deviations; ``ratio``: days a
    fortnight over the usual ones.
    """

    deviations: float
    ratio: float


def anomaly(lately: int, usual: int, usual_days: float) -> Anomaly | None:
    """The last `WINDOW_DAYS` with ``lately`` days of something, against ``usual`` of them in the
    ``usual_days`` before; None where the past is too short to tell.

    Two shares compared by their arcsines, whose variance does not depend on the share: J. Cohen
    (1988), "Statistical Power Analysis for the Behavioral Sciences", ch. 6; 3/8 as F. Anscombe
    (1948) has it, for counts near none or all.
    """
    if usual_days < USUAL_DAYS_MIN or usual < USUAL_COUNT_MIN:
        return None
    spread = sqrt(1.0 / WINDOW_DAYS + 1.0 / usual_days) / 2.0
    difference = _angle(lately, WINDOW_DAYS) - _angle(usual, usual_days)
    return Anomaly(difference / spread, lately * usual_days / (usual * WINDOW_DAYS))


def activity_anomaly(days: ActiveDays, at_ms: int) -> Anomaly | None:
    """Of whatever the customer does themselves."""
    today = at_ms // DAY_MS
    lately = active_within(days, today, WINDOW_DAYS)
    usual = active_until(days, today) - lately
    return anomaly(lately, usual, today - WINDOW_DAYS - days.first_day + 1)


def purchase_anomaly(past: History, at_ms: int) -> Anomaly | None:
    """Of the days the customer bought on."""
    lately = days_since(past, at_ms - WINDOW_DAYS * DAY_MS)
    return anomaly(lately, past.repeats + 1 - lately, int(past.life) - WINDOW_DAYS + 1)


def _angle(count: float, days: float) -> float:
    share = (count + 0.375) / (days + 0.75)
    return asin(sqrt(share)) if share < 1.0 else pi / 2.0
