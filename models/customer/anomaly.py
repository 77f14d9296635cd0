"""How unusual a customer's last 14 days were, compared with their own past.

Days are counted, not events: ten page views in one visit show no more of a habit than one.
"""

from math import asin, pi, sqrt

from msgspec import Struct

from config.duration import DAY_MS
from models.customer.active_days import ActiveDays, active_until, active_within
from models.learning.history import History, days_since, is_known_since

WINDOW_DAYS = 14
#: A past that is shorter, or has fewer active days, does not show what is usual.
USUAL_DAYS_MIN = 42
USUAL_COUNT_MIN = 4


class Anomaly(Struct, frozen=True, rename="camel"):
    """``deviations``: in standard deviations, below 0 for less than usual; ``ratio``: days in the
    last 14 divided by the usual number.
    """

    deviations: float
    ratio: float


def anomaly(lately: int, usual: int, usual_days: float) -> Anomaly | None:
    """Compare ``lately`` active days in the last `WINDOW_DAYS` with ``usual`` ones in the
    ``usual_days`` before; None if that past is too short.

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
    """Compares the days on which the customer was active."""
    today = at_ms // DAY_MS
    lately = active_within(days, today, WINDOW_DAYS)
    usual = active_until(days, today) - lately
    return anomaly(lately, usual, today - WINDOW_DAYS - days.first_day + 1)


def purchase_anomaly(past: History, at_ms: int) -> Anomaly | None:
    """Compares the days on which the customer bought; None if not all of the last are known."""
    since_ms = at_ms - WINDOW_DAYS * DAY_MS
    if not is_known_since(past, since_ms):
        return None
    lately = days_since(past, since_ms)
    return anomaly(lately, past.repeats + 1 - lately, int(past.life) - WINDOW_DAYS + 1)


def _angle(count: float, days: float) -> float:
    share = (count + 0.375) / (days + 0.75)
    return asin(sqrt(share)) if share < 1.0 else pi / 2.0


def in_words(found: Anomaly) -> str:
    """The anomaly in words; within two standard deviations it is as usual."""
    times = found.ratio
    if abs(found.deviations) < 2.0:
        words = "as usual for this customer"
    elif not times:
        return f"nothing in the last 14 days, unlike usual ({found.deviations:+.1f} deviations)"
    elif times < 1.0:
        words = "half as often" if 0.4 < times < 0.6 else f"{times:.0%} as often"
        words += " as usual for this customer"
    else:
        words = f"{times:.1f} times as often as usual for this customer"
    return f"last 14 days {words} ({found.deviations:+.1f} deviations)"
