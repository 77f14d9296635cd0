"""When something happened: every form of ISO 8601 with an offset, and no guesses."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.events.rejection import Reason, Rejected
from models.events.times import iso, moment_of
from models.events.wire import decode_line, timestamp_ms

#: Ten o'clock on the first of March, in Greenwich.
TEN = "2026-03-01T10:00:00.000Z"

RIGHT = {
    "2026-03-01T10:00:00Z": TEN,
    "2026-03-01T10:00:00.000Z": TEN,
    "2026-03-01T10:00:00+00:00": TEN,
    "2026-03-01T10:00:00-00:00": TEN,
    "2026-03-01T10:00:00+0000": TEN,
    "2026-03-01T10:00:00+00": TEN,
    "2026-03-01T11:00:00+01": TEN,
    "2026-03-01T05:00:00-05": TEN,
    "2026-03-01T15:30:00+0530": TEN,
    "2026-03-01 10:00:00Z": TEN,
    "2026-03-01 10:00:00+00:00": TEN,
    "2026-03-01 10:00:00 +0000": TEN,
    "2026-03-01t10:00:00z": TEN,
    "2026-03-01T10:00Z": TEN,
    "2026-03-01T10Z": TEN,
    "2026-03-01 10:00:00 UTC": TEN,
    "2026-03-01 10:00:00.000000 UTC": TEN,
    "2026-03-01T10:00:00 GMT": TEN,
    "2026-03-01T11:00:00+01:00[Europe/Berlin]": TEN,
    "2026-03-01T10:00:00Z[Etc/UTC]": TEN,
    "2026-03-01T11:00+01": TEN,
    "20260301T100000Z": TEN,
    "20260301T1000Z": TEN,
    "20260301T110000+0100": TEN,
    "20260301T110000+01": TEN,
    " 2026-03-01T10:00:00Z ": TEN,
    "2026-03-01T10:00:00.1Z": "2026-03-01T10:00:00.100Z",
    "2026-03-01T10:00:00,25Z": "2026-03-01T10:00:00.250Z",
    "20260301T100000.25Z": "2026-03-01T10:00:00.250Z",
    "2026-03-01T10:00:00.1234567Z": "2026-03-01T10:00:00.123Z",
    "2026-03-01T10:00:00.123456789+02:00": "2026-03-01T08:00:00.123Z",
    "2026-02-28T23:59:59.999Z": "2026-02-28T23:59:59.999Z",
    "2024-02-29T12:00:00Z": "2024-02-29T12:00:00.000Z",
    "2026-10-25T02:30:00+02:00": "2026-10-25T00:30:00.000Z",
    "2026-10-25T02:30:00+01:00": "2026-10-25T01:30:00.000Z",
    "2038-01-19T03:14:08Z": "2038-01-19T03:14:08.000Z",
    "2026-03-01T24:00:00Z": "2026-03-02T00:00:00.000Z",
    "2026-02-28T24:00Z": "2026-03-01T00:00:00.000Z",
    "2016-12-31T23:59:60Z": "2017-01-01T00:00:00.000Z",
    "2017-01-01T00:59:60.5+01:00": "2017-01-01T00:00:00.000Z",
}
WRONG: list[Any] = [
    "2026-03-01T10:00:00",
    "20260301T100000",
    "2026-03-01 10:00:00",
    "2026-03-01",
    "20260301",
    "2026-03",
    "1772359200",
    "1772359200000",
    1772359200,
    1772359200000,
    1772359200.5,
    "Sun, 01 Mar 2026 10:00:00 GMT",
    "Sun Mar 01 2026 10:00:00 GMT+0000 (Coordinated Universal Time)",
    "2026-03-01T10:00:00 Europe/Berlin",
    "2026-03-01T10:00:00[Europe/Berlin]",
    "2026-03-01 10:00:00 CET",
    "03/01/2026 10:00:00Z",
    "01.03.2026T10:00:00Z",
    "2026-02-29T12:00:00Z",
    "2026-13-01T10:00:00Z",
    "2026-00-01T10:00:00Z",
    "2026-03-01T25:00:00Z",
    "2026-03-01T24:00:01Z",
    "2026-03-01T10:60:00Z",
    "2026-03-01T10:00:61Z",
    "2026-03-01T10:00:60Z",
    "2026-03-01T10:00:00+25:00",
    "2026-03-01T10:00:00+01:60",
    "9999-12-31T24:00Z",
    "٢٠٢٦-03-01T10:00:00Z",
    "now",
    True,
    {"$date": "2026-03-01T10:00:00Z"},
]


def event(**times: Any) -> bytes:
    return orjson.dumps({"type": "page", "userId": "ada", **times})


def refusal(content: bytes) -> tuple[Reason, str]:
    with pytest.raises(Rejected) as refused:
        timestamp_ms(decode_line(content))
    return refused.value.reason, refused.value.path


@pytest.mark.parametrize(("text", "moment"), RIGHT.items())
def test_a_time_is_read_to_the_instant_it_states(text: str, moment: str) -> None:
    assert moment == iso(timestamp_ms(decode_line(event(timestamp=text))))
    assert moment == iso(timestamp_ms(decode_line(event(originalTimestamp=text))))


@pytest.mark.parametrize("value", WRONG)
def test_what_is_no_instant_is_refused_with_its_place(value: Any) -> None:
    assert (Reason.WRONG_TYPE, "$.timestamp") == refusal(event(timestamp=value))
    assert (Reason.WRONG_TYPE, "$.originalTimestamp") == refusal(event(originalTimestamp=value))
    # What is there counts, also if it is wrong: another time would be a guess.
    both = event(timestamp=value, originalTimestamp=TEN)
    assert (Reason.WRONG_TYPE, "$.timestamp") == refusal(both)


@pytest.mark.parametrize("nothing", [None, "", " ", [], {}])
def test_the_original_time_counts_where_there_is_no_other(nothing: Any) -> None:
    content = event(timestamp=nothing, originalTimestamp=TEN, sentAt="2027-01-01T00:00:00Z")

    assert TEN == iso(timestamp_ms(decode_line(content)))
    # When it was sent or received is not when it happened.
    sent = event(timestamp=nothing, sentAt=TEN, receivedAt=TEN)
    assert (Reason.REQUIRED_MISSING, "$.timestamp") == refusal(sent)


@given(
    st.lists(st.tuples(st.integers(0, 24), st.sampled_from("0123456789-:.,TtZz W+\u0663"))),
    st.integers(0, 2**31),
)
def test_what_is_written_as_usual_is_read_as_all_the_others(
    changes: list[tuple[int, str]], seconds: int
) -> None:
    """The fast path and the whole grammar agree, for any change to a usual text."""
    text = iso(seconds * 1_000 + seconds % 1_000)
    for place, character in changes[:3]:
        text = text[:place] + character + text[place + 1 :]

    # With a blank before it, it is not read the quick way.
    assert moment_of(f" {text}") == moment_of(text)


def test_the_first_of_two_times_counts() -> None:
    content = event(timestamp=TEN, originalTimestamp="2027-01-01T00:00:00Z")

    assert TEN == iso(timestamp_ms(decode_line(content)))
