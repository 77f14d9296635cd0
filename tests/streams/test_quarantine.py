"""Each foreign record is counted, and they are logged now and then."""

import logging

import pytest

from config.topics import LABELLED_EXAMPLES, RETENTION_TRIGGERS
from streams.metrics import Metrics
from streams.quarantine import TELL_EVERY_S, Quarantine


def test_a_flood_is_counted_and_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    metrics, now_s = Metrics(), [1_000.0]
    quarantine = Quarantine(metrics, lambda: now_s[0])
    with caplog.at_level(logging.WARNING):
        for offset in range(1_000):
            quarantine.leave_out(LABELLED_EXAMPLES, 0, offset, "not a lesson")
        quarantine.leave_out(RETENTION_TRIGGERS, 3, 7, "not a decision")
        now_s[0] += TELL_EVERY_S
        quarantine.leave_out(LABELLED_EXAMPLES, 0, 5_000, "not a lesson")

    words = "left out %s, the last at partition %d, offset %d: not a %s"
    assert [
        words % ("1 record of labelled-examples that is not ours", 0, 0, "lesson"),
        words % ("1 record of retention-triggers that is not ours", 3, 7, "decision"),
        words % ("1000 records of labelled-examples that are not ours", 0, 5_000, "lesson"),
    ] == caplog.messages
    told = metrics.exposition().decode()
    assert 'keepstream_foreign_records_total{topic="labelled-examples"} 1001.0' in told
    assert 'keepstream_foreign_records_total{topic="model-snapshots"} 0.0' in told
