"""Checks that a lesson can be learnt, so that no lesson breaks a learner.

A lesson that broke a learner would break it again at every start, after being learnt by half.
"""

from base64 import b64decode
from collections.abc import Iterable
from math import isfinite

from config.duration import DAY_MS
from models.events.foreign import INT_MAX, Foreign
from models.events.times import LATEST_MS
from models.learning.feature_names import unpack
from models.learning.lessons import (
    Cost,
    DayEnd,
    Example,
    Forecast,
    Lesson,
    Observation,
    Tally,
    decode_lesson,
)
from models.learning.scorers import LOG_ODDS_MAX, SCORERS, unpack_said
from models.learning.spend_models import NAMES as SEEN

#: Above every real amount and count, and exact as a float.
AMOUNT_MAX = 2**53
#: In days; three hundred years.
DAYS_MAX = 110_000
NAME_LENGTH_MAX = 256
#: A cost is spread over a year at most.
PERIOD_DAYS_MAX = 366
#: Events may be ahead of the broker's clock by minutes.
AHEAD_MAX_MS = DAY_MS


def learnable_lesson(content: bytes) -> Lesson:
    """Read a lesson. Raises ``Foreign`` for one that no worker can have written."""
    lesson = decode_lesson(content)
    _require_learnable(lesson)
    return lesson


def require_past(lesson: Lesson, now_ms: int) -> None:
    """Raise ``Foreign`` for a lesson with a time in the future: it would hold back all snapshots
    until then.
    """
    if lesson.timestamp_ms > now_ms + AHEAD_MAX_MS:
        raise Foreign("not a lesson: its time is still to come")


def _require_learnable(lesson: Lesson) -> None:
    _require_within(lesson.partition, 0, 2**31 - 1, "partition")
    _require_within(lesson.offset, 0, INT_MAX, "offset")
    _require_within(lesson.index, 0, INT_MAX, "index")
    _require_within(lesson.timestamp_ms, 1, LATEST_MS, "time")
    match lesson:
        case Observation():
            _check_observation(lesson)
        case Example():
            _check_example(lesson)
        case Cost():
            _require_within(len(lesson.channel), 0, NAME_LENGTH_MAX, "channel")
            _require_within(lesson.amount_minor, -AMOUNT_MAX, AMOUNT_MAX, "amount")
            _require_within(lesson.period_days, 1, PERIOD_DAYS_MAX, "period")
        case Tally():
            _check_tally(lesson)
        case DayEnd():
            pass


def _check_observation(lesson: Observation) -> None:
    _require_within(lesson.recency_days, -DAYS_MAX, DAYS_MAX, "recency")
    _require_within(lesson.frequency, 0, AMOUNT_MAX, "frequency")
    _require_within(lesson.monetary_minor, -AMOUNT_MAX, AMOUNT_MAX, "amount")
    if lesson.gap_days is not None:
        _require_within(lesson.gap_days, 0, DAYS_MAX, "gap")
    for cell in (lesson.enters, lesson.leaves):
        for count in cell or ():
            _require_within(count, 0, DAYS_MAX, "cell")
    for counted in (lesson.spend_enters, lesson.spend_leaves):
        for amount in counted or ():
            _require_within(amount, -AMOUNT_MAX, AMOUNT_MAX, "amount")
    _require_finite(lesson.gap_residuals, "gap residuals")
    try:
        _require_finite(lesson.values() if lesson.features else (), "features")
    except ValueError as error:
        # Features of another release: the lesson is learnt without them.
        if isinstance(error, Foreign):
            raise
    _require_within(len(lesson.acquired or ""), 0, NAME_LENGTH_MAX, "channel")
    _require_within(lesson.labels_thousandths, 0, AMOUNT_MAX, "number of labels")


def _check_example(lesson: Example) -> None:
    _require_within(lesson.horizon_days, 0.01, DAYS_MAX, "horizon")
    _require_within(lesson.weight, 1, AMOUNT_MAX, "weight")
    _require_within(lesson.spent_minor, -AMOUNT_MAX, AMOUNT_MAX, "amount")
    # The kind becomes part of table names, so it must be one word.
    if not lesson.kind or lesson.kind.split() != [lesson.kind]:
        raise Foreign("not a lesson: its kind is none")
    _require_within(len(lesson.kind), 1, NAME_LENGTH_MAX, "kind")
    _check_features(lesson.features)
    if lesson.said:
        try:
            said = unpack_said(_unpacked(lesson.said))
        except ValueError as error:
            raise Foreign(f"not a lesson: {error}") from None
        _require_within(said.served, 0, len(SCORERS) - 1, "scorer")
        for odds in said.log_odds:
            _require_within(odds or 0.0, -LOG_ODDS_MAX, LOG_ODDS_MAX, "score")
    if lesson.forecast is not None:
        _check_forecast(lesson.forecast)


def _check_forecast(forecast: Forecast) -> None:
    _require_within(abs(forecast.order_minor), 1e-6, AMOUNT_MAX, "order")
    _require_within(forecast.formula_minor, -AMOUNT_MAX, AMOUNT_MAX, "forecast")
    _require_within(forecast.challenger_minor or 0.0, -AMOUNT_MAX, AMOUNT_MAX, "forecast")
    if len(forecast.features) != len(SEEN):
        raise Foreign("not a lesson: its forecast has other features")
    _require_finite(forecast.features, "forecast's features")


def _check_tally(lesson: Tally) -> None:
    _require_within(len(lesson.part), 1, NAME_LENGTH_MAX, "part")
    _require_within(lesson.window_days, 0, DAYS_MAX, "window")
    for key, day, amount in lesson.sums:
        _require_within(len(key), 0, NAME_LENGTH_MAX, "key")
        _require_within(day, 0, LATEST_MS // DAY_MS, "day")
        _require_within(amount, -AMOUNT_MAX, AMOUNT_MAX, "amount")


def _check_features(packed: str) -> None:
    try:
        values = unpack(_unpacked(packed))
    except ValueError as error:
        raise Foreign(f"not a lesson: {error}") from None
    _require_finite(values, "features")


def _unpacked(packed: str) -> bytes:
    try:
        return b64decode(packed, validate=True)
    except ValueError:
        raise Foreign("not a lesson: what it packs cannot be unpacked") from None


def _require_finite(values: Iterable[float], what: str) -> None:
    if not all(isfinite(value) and abs(value) <= AMOUNT_MAX for value in values):
        raise Foreign(f"not a lesson: its {what} are no numbers to learn from")


def _require_within(value: float, least: float, most: float, what: str) -> None:
    # NaN fails this comparison, too.
    if not least <= value <= most:
        raise Foreign(f"not a lesson: its {what} is beyond what can be")
