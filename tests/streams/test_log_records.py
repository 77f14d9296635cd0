"""A record that no worker wrote changes nothing, whatever it claims."""

import time

import orjson
import pytest

from config.settings import load_settings
from config.topics import CLICKSTREAM, CUSTOMER_EVENTS
from models.events.line import LOG_FORMAT
from models.events.log_format import LogFormatError
from models.events.rejection import Rejected
from models.events.times import iso
from streams.log_records import AHEAD_MAX_MS, log_line_of
from streams.set_aside import SetAside
from tests.streams.test_record_batches import FakeRecord

NOW_MS = int(time.time() * 1_000)
TO_COME_MS = NOW_MS + 2 * AHEAD_MAX_MS
SOURCE = {"topic": CLICKSTREAM, "partition": 0, "offset": 5, "receivedAt": NOW_MS}
PAGE = {"type": "page", "userId": "ada", "timestamp": iso(NOW_MS), "source": SOURCE}
CLOCK = {"type": "clock", "timestamp": iso(NOW_MS)}


def record(told: dict[str, object], **changed: object) -> FakeRecord:
    value = orjson.dumps({"logFormat": LOG_FORMAT, **told, **changed})
    return FakeRecord(77, 3, CUSTOMER_EVENTS, value=value)


@pytest.mark.parametrize("told", [PAGE, CLOCK])
def test_what_a_worker_writes_is_read(told: dict[str, object]) -> None:
    assert told["type"] == log_line_of(record(told), SetAside()).type


@pytest.mark.parametrize(
    ("forged", "path"),
    [
        (record(CLOCK, timestamp=iso(TO_COME_MS)), "$.timestamp"),
        (record(PAGE, timestamp=iso(TO_COME_MS)), "$.timestamp"),
        (record(PAGE, source={**SOURCE, "receivedAt": TO_COME_MS}), "$.timestamp"),
        (record(CLOCK, type="watermark"), "$.type"),
    ],
)
def test_what_would_move_the_clock_past_what_is_true_is_refused(
    forged: FakeRecord, path: str
) -> None:
    with pytest.raises(Rejected) as refused:
        log_line_of(forged, SetAside())
    assert path == refused.value.path


@pytest.mark.parametrize("told", [PAGE, CLOCK])
def test_another_release_s_record_is_told_with_its_place_and_can_be_set_aside(
    told: dict[str, object],
) -> None:
    newer = record(told, logFormat=LOG_FORMAT + 1)
    for named in ("", "customer-events-3@76,customers-3@77"):
        settings = load_settings({}, set_aside=named)
        with pytest.raises(LogFormatError) as stopped:
            log_line_of(newer, SetAside.of(settings))
        assert "If it is newer: upgrade. It is the record customer-events-3@77." in str(
            stopped.value
        )
        # As it must be written then, with what is set aside already.
        _, _, rest = str(stopped.value).partition("set KEEPSTREAM_SET_ASIDE=")
        as_told = load_settings({"KEEPSTREAM_SET_ASIDE": rest.split(" ")[0]})
        assert set(filter(None, named.split(","))) < set(as_told.set_aside.split(","))
        with pytest.raises(Rejected) as refused:
            log_line_of(newer, SetAside.of(as_told))
        assert "$.logFormat" == refused.value.path
