"""The quality of the models over time, from the versions of the snapshots.

A snapshot counts every score that has matured so far, in tables that add up. So the difference
between two versions is exactly the scores that matured in between.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from config.duration import DAY_MS
from config.parameters import Parameters
from models.events.foreign import UNREADABLE
from models.learning.churn_models import CHAMPION, ChurnScoring
from models.learning.feature_names import NAMES
from models.learning.population import Population
from models.learning.population import samples as population_samples
from models.learning.reliability import Reliability
from models.learning.scorers import Scorer
from models.learning.snapshot import Snapshot, SnapshotError, decode_snapshot
from models.learning.tallies import Tallies
from models.measures import Sample
from models.population import samples_of_parts

#: Quality is measured over the scores that matured within this time.
WINDOW_MS: Final = 28 * DAY_MS
#: The most versions to remember; beyond it, every second one of the older half is dropped.
POINTS_MAX: Final = 400
#: The scorers that are followed: the champion, whose scores were served, and the formula.
FOLLOWED: Final = (CHAMPION, str(Scorer.BASELINE))
#: With fewer scores, a mean says little.
JUDGED_MIN: Final = 30


class JudgedScores(NamedTuple):
    """The quality of the scores that matured within a window; None for what cannot be computed."""

    log_loss: float | None
    auc: float | None
    calibration_error: float | None
    examples: int


class ModelPoint(NamedTuple):
    """A version: when it was drawn, in ms of event time, the scorer that it serves by horizon, the
    quality of those in `FOLLOWED` by horizon and scorer, and its figures for all customers.
    """

    version: int
    at_ms: int
    serves: Mapping[str, str]
    judged: Mapping[tuple[str, str], JudgedScores]
    samples: Sequence[Sample]


class FeatureShift(NamedTuple):
    """A feature whose mean has moved, and by how many of its standard deviations."""

    feature: str
    deviations: float


class _Online(Struct, rename="camel"):
    count: int = 0
    means: tuple[float, ...] = ()
    variances: tuple[float, ...] = ()


class _Churn(Struct, rename="camel"):
    horizons: dict[str, _Online] = {}
    reliability: dict[str, Reliability] = {}


class _Learners(Struct):
    churn: _Churn = msgspec.field(default_factory=_Churn)


class _Trainer(Struct):
    """The fields that are read from a trainer's state."""

    learners: _Learners = msgspec.field(default_factory=_Learners)


_TRAINER = msgspec.json.Decoder(_Trainer | None)


class _Counted(NamedTuple):
    """The tables of a version, summed over all kinds of decisions, and the moments of its
    features.
    """

    at_ms: int
    tables: Mapping[tuple[str, str], Reliability]
    features: Mapping[str, _Online]


class ModelHistory:
    """The latest versions, in the order in which they were drawn."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._points: list[ModelPoint] = []
        #: The tables of the last window, and those of the version before it.
        self._counted: deque[_Counted] = deque()

    @property
    def points(self) -> Sequence[ModelPoint]:
        """The versions, the oldest first."""
        return self._points

    def add(self, content: bytes) -> None:
        """Add a version; bytes that are no snapshot of this release are ignored."""
        try:
            snapshot = decode_snapshot(content)
            trainer = _TRAINER.decode(snapshot.trainer) or _Trainer()
        except (SnapshotError, *UNREADABLE):
            return
        if self._points and snapshot.version <= self._points[-1].version:
            # It was drawn again, or learning has started over: it does not include the earlier
            # counts.
            self._points = [one for one in self._points if one.version < snapshot.version]
            self._counted.clear()
        counted = _counted(snapshot, trainer)
        self._counted.append(counted)
        begin_ms = counted.at_ms - WINDOW_MS
        while len(self._counted) > 1 and self._counted[1].at_ms <= begin_ms:
            self._counted.popleft()
        self._points.append(self._point(snapshot, counted))
        if len(self._points) > POINTS_MAX:
            older = POINTS_MAX // 2
            self._points = [*self._points[:older:2], *self._points[older:]]

    def shifts(self, horizon: str) -> list[FeatureShift]:
        """How far the features' means over the last window are from those before it, the farthest
        first. Only decisions that matured in that window count.
        """
        if not self._counted:
            return []
        newest, oldest = (
            one.features.get(horizon) for one in (self._counted[-1], self._counted[0])
        )
        if newest is None or oldest is None or self._is_young or not oldest.means:
            return []
        more = newest.count - oldest.count
        if oldest.count < JUDGED_MIN or more < JUDGED_MIN:
            return []
        shifts = []
        for place, name in enumerate(NAMES):
            before, variance = oldest.means[place], oldest.variances[place]
            recent = (newest.count * newest.means[place] - oldest.count * before) / more
            if variance > 0:
                shifts.append(FeatureShift(name, (recent - before) / sqrt(variance)))
        return sorted(shifts, key=lambda one: -abs(one.deviations))

    @property
    def _is_young(self) -> bool:
        """Whether there is no version from before the window."""
        return self._counted[0].at_ms > self._counted[-1].at_ms - WINDOW_MS

    def _point(self, snapshot: Snapshot, counted: _Counted) -> ModelPoint:
        before = None if self._is_young else self._counted[0]
        judged = {}
        for name, table in counted.tables.items():
            earlier = before.tables.get(name) if before is not None else None
            recent = table if earlier is None else table.since(earlier)
            if recent is not None and recent.examples >= JUDGED_MIN:
                judged[name] = JudgedScores(
                    recent.mean_log_loss, recent.auc, recent.calibration_error, recent.examples
                )
        models = snapshot.of(ChurnScoring).models
        return ModelPoint(
            snapshot.version,
            snapshot.created_at_ms,
            {horizon: model.champion for horizon, model in models.items()},
            judged,
            [
                *population_samples(snapshot.of(Population)),
                *samples_of_parts(snapshot.of(Tallies), self._parameters),
            ],
        )


def _counted(snapshot: Snapshot, trainer: _Trainer) -> _Counted:
    churn = trainer.learners.churn
    tables: dict[tuple[str, str], Reliability] = {}
    for name, found in churn.reliability.items():
        horizon, _, scorer = name.split()
        if scorer in FOLLOWED:
            known = tables.get((horizon, scorer))
            tables[horizon, scorer] = found if known is None else known.merged(found)
    features = {
        horizon: one
        for horizon, one in churn.horizons.items()
        if len(one.means) == len(one.variances) == len(NAMES)
    }
    return _Counted(snapshot.created_at_ms, tables, features)
