"""Quiet hours end by the clocks at the customer's own place, however these are set."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from config.duration import MinuteOfDay
from config.parameters import Parameters
from config.rules import QuietHours
from config.zones import zone, zone_names
from models.admission import decode_event
from models.customer.engagement import customer_zone
from models.customer.row import Row
from models.decisions.quiet_hours import not_before_ms
from models.events.event import Event
from models.events.times import iso
from models.events.wire import encode_event
from tests.models.lines import PARAMETERS, context, lived, scene

MINUTE = timedelta(minutes=1)


def ms(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def quiet(begin: object, end: object, where: str = "UTC") -> Parameters:
    hours = QuietHours(begin=MinuteOfDay.parse(begin), end=MinuteOfDay.parse(end))
    return replace(
        PARAMETERS,
        actions=replace(PARAMETERS.actions, quiet_hours=(hours,)),
        time=replace(PARAMETERS.time, zone=where),
    )


def ends(moment_ms: int, parameters: Parameters, row: Row | None = None) -> int:
    now = scene(row or Row(), moment_ms, context(parameters=parameters))
    return not_before_ms(now, "email")


@pytest.mark.parametrize(
    ("begin", "end", "where", "now", "then"),
    [
        ("21:00", "08:00", "UTC", "2026-03-01T20:59:59Z", "2026-03-01T20:59:59Z"),
        ("21:00", "08:00", "UTC", "2026-03-01T21:00:00Z", "2026-03-02T08:00:00Z"),
        ("21:00", "08:00", "UTC", "2026-03-02T07:59:59Z", "2026-03-02T08:00:00Z"),
        ("21:00", "08:00", "UTC", "2026-03-02T08:00:00Z", "2026-03-02T08:00:00Z"),
        ("12:00", "13:30", "UTC", "2026-03-02T12:30:00Z", "2026-03-02T13:30:00Z"),
        ("12:00", "13:30", "UTC", "2026-03-02T23:30:00Z", "2026-03-02T23:30:00Z"),
        ("21:00", "08:00", "America/New_York", "2026-01-15T12:00:00Z", "2026-01-15T13:00:00Z"),
        ("21:00", "08:00", "Asia/Kathmandu", "2026-01-15T16:00:00Z", "2026-01-16T02:15:00Z"),
        # A night of 23 hours, and one of 25.
        ("21:00", "08:00", "Europe/Berlin", "2026-03-28T22:00:00Z", "2026-03-29T06:00:00Z"),
        ("21:00", "08:00", "Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T07:00:00Z"),
        # 02:30 is skipped: clocks go on at 03:00.
        ("21:00", "02:30", "Europe/Berlin", "2026-03-28T22:00:00Z", "2026-03-29T01:00:00Z"),
        # 02:30 comes twice, and so does the half hour before it.
        ("21:00", "02:30", "Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T00:30:00Z"),
        ("21:00", "02:30", "Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-25T01:30:00Z"),
        # Clocks that are set back leave the quiet hours, and come to them again.
        ("02:30", "05:00", "Europe/Berlin", "2026-10-25T00:45:00Z", "2026-10-25T01:00:00Z"),
        ("02:30", "05:00", "Europe/Berlin", "2026-10-25T01:45:00Z", "2026-10-25T04:00:00Z"),
        # The clocks of Lord Howe are set by half an hour.
        ("21:00", "02:15", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-03T15:30:00Z"),
        # The year 2000 came in summer there.
        ("23:00", "07:00", "America/Sao_Paulo", "2000-01-01T01:30:00Z", "2000-01-01T09:00:00Z"),
    ],
)
def test_quiet_hours_end_by_the_clocks_of_the_place(
    begin: str, end: str, where: str, now: str, then: str
) -> None:
    assert iso(ms(then)) == iso(ends(ms(now), quiet(begin, end, where)))


def is_quiet(moment: datetime, begin: int, end: int, where: ZoneInfo) -> bool:
    local = moment.astimezone(where)
    minute = local.hour * 60 + local.minute
    if begin < end:
        return begin <= minute < end
    return minute >= begin or minute < end


@given(
    where=st.sampled_from(
        ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Tehran")
    ),
    begin=st.integers(0, 1439),
    length=st.integers(1, 1439),
    day=st.sampled_from(
        ("2026-03-07", "2026-03-28", "2026-04-04", "2026-10-03", "2026-10-24", "2026-10-31")
    ),
    minutes=st.integers(0, 2_000),
)
def test_no_minute_that_is_not_quiet_is_passed_over(
    where: str, begin: int, length: int, day: str, minutes: int
) -> None:
    end, place = (begin + length) % 1440, zone(where)
    now = datetime.fromisoformat(f"{day}T12:00:00Z") + minutes * MINUTE
    expected = now
    while is_quiet(expected, begin, end, place):
        expected += MINUTE

    found = ends(int(now.timestamp() * 1000), quiet(begin, end, where))

    assert iso(int(expected.timestamp() * 1000)) == iso(found)


def page(day: int, timezone: object) -> Event:
    line = {
        "type": "page",
        "userId": "ada",
        "messageId": str(day),
        "timestamp": f"2026-03-{day:02}T10:00:00Z",
        "context": {"timezone": timezone},
    }
    return decode_event(orjson.dumps(line), message_id="none")


def test_a_customer_is_where_their_latest_event_says() -> None:
    lima, nowhere = page(3, "America/Lima"), page(4, "Moon/Far")
    row = lived([lima, page(1, "Europe/Berlin"), nowhere, page(5, 7)])
    parameters = quiet("21:00", "08:00", "Asia/Tokyo")
    within = context(parameters=parameters)

    assert "America/Lima" == customer_zone(scene(row, ms("2026-03-09T00:00:00Z"), within))
    assert "Asia/Tokyo" == customer_zone(scene(Row(), ms("2026-03-09T00:00:00Z"), within))
    assert ms("2026-03-09T13:00:00Z") == ends(ms("2026-03-09T02:00:00Z"), parameters, row)
    # It travels with the event, and nothing else in its place does.
    assert "America/Lima" == decode_event(encode_event(lima), message_id="m").timezone
    assert b"Moon" not in encode_event(nowhere)


@pytest.mark.parametrize(
    ("written", "name", "hours_ahead"),
    [
        ("Europe/Berlin", "Europe/Berlin", 1),
        ("europe/berlin", "Europe/Berlin", 1),
        (" America/New York ", "America/New_York", -5),
        ("+02:00", "Etc/GMT-2", 2),
        ("+0200", "Etc/GMT-2", 2),
        ("+02", "Etc/GMT-2", 2),
        ("UTC+2", "Etc/GMT-2", 2),
        ("UTC +02:00", "Etc/GMT-2", 2),
        ("gmt+02:00", "Etc/GMT-2", 2),
        ("GMT-5", "Etc/GMT+5", -5),
        ("UTC\u221205:00", "Etc/GMT+5", -5),
        ("+14:00", "Etc/GMT-14", 14),
        ("-00:00", "UTC", 0),
        ("UTC+0", "UTC", 0),
        ("+05:30", "Asia/Kolkata", 5.5),
        ("UTC+5:45", "Asia/Kathmandu", 5.75),
        ("-0330", "America/St_Johns", -3.5),
        # As the database of zones has it: from the other side.
        ("Etc/GMT-2", "Etc/GMT-2", 2),
        ("+15:00", None, 0),
        ("+05:17", None, 0),
        ("2", None, 0),
        ("Mars/Base", None, 0),
        ("", None, 0),
        ("+" * 1_000, None, 0),
    ],
)
def test_a_zone_is_understood_as_senders_write_it(
    written: str, name: str | None, hours_ahead: float
) -> None:
    event = page(1, written)

    assert name == event.timezone
    assert name == decode_event(encode_event(event), message_id="m").timezone
    if name is not None:
        now = datetime(2026, 1, 15, tzinfo=UTC).astimezone(zone(name))
        assert timedelta(hours=hours_ahead) == now.utcoffset()


def test_every_zone_can_be_read() -> None:
    now = datetime(2026, 7, 1, tzinfo=UTC)

    assert {"UTC", "Europe/Berlin", "Asia/Kolkata"} < zone_names()
    assert all(now.astimezone(zone(name)) == now for name in zone_names())
