"""Hours of the customer's day in which nobody is contacted."""

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from config.rules import QuietHours
from config.zones import zone
from models.customer.engagement import zone_name
from models.customer.scene import Scene

_DAY_MINUTES: Final = 24 * 60
_MINUTE: Final = timedelta(minutes=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def not_before_ms(scene: Scene, channel: str) -> int:
    """The first moment from now on at which the customer may be contacted by this channel."""
    hours = scene.parameters.actions.quiet_for(channel)
    if hours is None:
        return scene.at_ms
    where = zone(customer_zone(scene))
    now = _EPOCH + timedelta(milliseconds=scene.at_ms)
    if not _is_quiet(now, hours, where):
        return scene.at_ms
    return (_end(now, hours, where) - _EPOCH) // timedelta(milliseconds=1)


def customer_zone(scene: Scene) -> str:
    """The zone that the customer's latest event named, else the shop's."""
    return scene.of(zone_name) or scene.parameters.time.zone


def _shown(moment: datetime, where: ZoneInfo) -> int:
    """The minute of the day that clocks show there."""
    local = moment.astimezone(where)
    return local.hour * 60 + local.minute


def _is_quiet(moment: datetime, hours: QuietHours, where: ZoneInfo) -> bool:
    minute = _shown(moment, where)
    if hours.begin < hours.end:
        return hours.begin <= minute < hours.end
    return minute >= hours.begin or minute < hours.end


def _end(now: datetime, hours: QuietHours, where: ZoneInfo) -> datetime:
    """The first moment after ``now`` at which the clocks there show an hour that is not quiet.

    Clocks that are set show some hours twice and skip others: they may leave the quiet hours by
    being set, or come back into them.
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
    """The first minute after ``early`` with the offset from UTC that there is at ``late``."""
    early, offset = early.replace(second=0, microsecond=0), late.astimezone(where).utcoffset()
    while late - early > _MINUTE:
        middle = early + (late - early) // _MINUTE // 2 * _MINUTE
        if middle.astimezone(where).utcoffset() == offset:
            late = middle
        else:
            early = middle
    return late
