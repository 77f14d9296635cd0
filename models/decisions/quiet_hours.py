"""At what time of day a customer is contacted: never in quiet hours, and, if an action asks for it,
at the hour at which they usually come.
"""

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from config.duration import HOUR_MS
from config.rules import QuietHours
from config.zones import zone
from models.customer.channels import preferred_hour
from models.customer.consent import personalisation_refused
from models.customer.engagement import customer_zone
from models.customer.fingerprint import fingerprint
from models.customer.scene import Scene

_DAY_MINUTES: Final = 24 * 60
_MINUTE: Final = timedelta(minutes=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def not_before_ms(scene: Scene, channel: str) -> int:
    """The first moment from now on at which the customer may be contacted by this channel."""
    hours = scene.parameters.actions.quiet_for(channel)
    if hours is None:
        return scene.at_ms
    where = zone(scene.of(customer_zone))
    now = _moment(scene.at_ms)
    return _ms(_end(now, hours, where)) if _is_quiet(now, hours, where) else scene.at_ms


def at_best_hour_ms(scene: Scene, channel: str, earliest_ms: int, due_ms: int) -> int:
    """``earliest_ms``, or a moment in the next hour at which the customer usually comes, if one is
    known that is before ``due_ms`` and not quiet. The moment within the hour depends on the
    customer.
    """
    hour = scene.of(preferred_hour)
    if hour is None or scene.of(personalisation_refused) is not None:
        return earliest_ms
    where = zone(scene.of(customer_zone))
    earliest = _moment(earliest_ms)
    if earliest.astimezone(where).hour == hour:
        return earliest_ms
    begin = earliest.astimezone(where).replace(hour=hour, minute=0, second=0, microsecond=0)
    if begin <= earliest:
        begin += timedelta(days=1)
    # Spread customers over the hour.
    at_ms = _ms(begin.astimezone(UTC)) + fingerprint(scene.customer) % HOUR_MS
    hours = scene.parameters.actions.quiet_for(channel)
    is_quiet = hours is not None and _is_quiet(_moment(at_ms), hours, where)
    return earliest_ms if is_quiet or at_ms >= due_ms else at_ms


def _moment(at_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at_ms)


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _shown(moment: datetime, where: ZoneInfo) -> int:
    """The minute of the day that clocks show in that zone."""
    local = moment.astimezone(where)
    return local.hour * 60 + local.minute


def _is_quiet(moment: datetime, hours: QuietHours, where: ZoneInfo) -> bool:
    minute = _shown(moment, where)
    if hours.begin < hours.end:
        return hours.begin <= minute < hours.end
    return minute >= hours.begin or minute < hours.end


def _end(now: datetime, hours: QuietHours, where: ZoneInfo) -> datetime:
    """The first moment after ``now`` at which the clocks there show an hour that is not quiet.

    When clocks are set, some hours occur twice and others not at all. So setting the clocks can end
    the quiet hours, or bring them back.
    """
    while True:
        left = (hours.end - _shown(now, where)) % _DAY_MINUTES
        end = now.replace(second=0, microsecond=0) + left * _MINUTE
        if end.astimezone(where).utcoffset() == now.astimezone(where).utcoffset():
            return end
        now = _clocks_set(now, end, where)
        if not _is_quiet(now, hours, where):
            return now


def _clocks_set(early: datetime, late: datetime, where: ZoneInfo) -> datetime:
    """The first minute after ``early`` with the offset from UTC that applies at ``late``."""
    early, offset = early.replace(second=0, microsecond=0), late.astimezone(where).utcoffset()
    while late - early > _MINUTE:
        middle = early + (late - early) // _MINUTE // 2 * _MINUTE
        if middle.astimezone(where).utcoffset() == offset:
            late = middle
        else:
            early = middle
    return late
