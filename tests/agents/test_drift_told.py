"""The trainer reports drift: in words in its log, and in metrics."""

from random import Random

import pytest

from agents.trainer import learn_next
from config.duration import DAY_MS
from models.learning.day_ends import day_end_ms
from models.learning.drift import STREAMS, WARM_UP_MS
from models.learning.lessons import DayEnd, Lesson, Observation
from models.learning.trainer import Trainer
from streams.metrics import Metrics
from tests.models.lines import PARAMETERS


def test_an_alarm_is_a_line_in_the_log_and_a_count(caplog: pytest.LogCaptureFixture) -> None:
    rng, trainer, metrics = Random(1), Trainer(PARAMETERS, partitions=1), Metrics()
    for number in range(6_000):
        day = number / 50
        slower = 0.4 if day * DAY_MS > WARM_UP_MS + 20 * DAY_MS else 0.0
        told = Observation(
            timestamp_ms=round(day * DAY_MS) + 1,
            recency_days=1.0,
            frequency=1,
            monetary_minor=1,
            gap_days=None,
            enters=(0, 0, 0),
            gap_residuals=(rng.gauss(slower, 0.8),),
            offset=number,
        )
        lessons: list[Lesson] = [told]
        if number % 50 == 49:
            lessons.append(DayEnd(day_end_ms(told.timestamp_ms), offset=number, index=1))
        # What is learnt twice, after a crash, alarms once.
        for lesson in 2 * lessons:
            trainer.learn(lesson, number)
            while learn_next(trainer, metrics):
                pass
    metrics.set_drift_means(trainer.drift_means())
    exposed = metrics.exposition().decode()

    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("residual gap drifted up: its mean was ")
    assert 'keepstream_drift_alarms_total{stream="residual_gap"} 1.0' in exposed
    for stream in set(STREAMS) - {"residual_gap"}:
        # Counted from zero, so that the first alarm is an increase.
        assert f'keepstream_drift_alarms_total{{stream="{stream}"}} 0.0' in exposed
    assert 0.3 < trainer.drift_means()["residual_gap"] < 0.5
    assert 'keepstream_drift_mean{stream="residual_gap"}' in exposed
