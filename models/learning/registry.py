"""Every learner, one line each. The trainer, snapshots and metrics use no other list.

The value that a learner draws must be quick to import, because every worker decides with it. The
learner itself may be slow to import (River takes a second or two), so it is imported when it is
started.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from config.parameters import Parameters
from models.learning import (
    acquisition,
    churn_models,
    improvements,
    label_sampling,
    population,
    spend,
    spend_models,
    tallies,
    tiers,
)
from models.learning.churn_state import ChurnState
from models.learning.lessons import Cost, Example, Observation, Tally
from models.learning.scorers import SCORERS
from models.measures import Measure, Sample


class Learner(Protocol):
    """Learns in place. Its state is a function of its lessons in their order.

    ``knows_enough``: False while the first snapshot must wait for this learner.
    """

    @property
    def knows_enough(self) -> bool: ...

    def learn(self, lesson: Any) -> object:
        """Learn one lesson. A returned list holds alarms."""
        ...

    def state(self) -> Struct | None:
        """The whole state, enough to restore the learner; None to start over."""
        ...

    def draw(self, now_ms: int) -> Struct | None:
        """The value for the next snapshot, as of the latest lesson; None for no value."""
        ...


class Learning(NamedTuple):
    """A learner's description, available without starting it.

    ``name``: its key in a snapshot. ``learns``: the lesson types it receives. ``start`` makes a
    learner, new or from an encoded state. ``drawn``: the type of what it draws; ``prior`` makes the
    value used before the first draw. ``measures`` and ``samples``: its metrics on /metrics.
    ``sums_of``: the part whose tallies it receives; None for all parts.
    """

    name: str
    learns: tuple[type, ...]
    start: Callable[[bytes | None, Parameters], Learner]
    drawn: type[Struct] | None = None
    prior: Callable[[Parameters], Struct] | None = None
    measures: tuple[Measure, ...] = ()
    samples: Callable[[Any], Iterable[Sample]] | None = None
    sums_of: str | None = None


def _start_churn(state: bytes | None, parameters: Parameters) -> Learner:
    from models.learning.churn_learner import ChurnLearner  # noqa: PLC0415

    return ChurnLearner(_restored(state, ChurnState), parameters)


def _start_drift(_state: bytes | None, _parameters: Parameters) -> Learner:
    from models.learning.drift import DriftMonitor  # noqa: PLC0415

    return DriftMonitor()


def _restored(state: bytes | None, kind: type[Struct]) -> Any:
    return None if state is None else msgspec.json.decode(state, type=kind)


def _starts(learner: Any, kind: type[Struct]) -> Callable[[bytes | None, Parameters], Learner]:
    def start(state: bytes | None, parameters: Parameters) -> Learner:
        started: Learner = learner(_restored(state, kind), parameters)
        return started

    return start


LEARNERS: tuple[Learning, ...] = (
    Learning(
        "population",
        (Observation,),
        _starts(population.PopulationLearner, population.PopulationState),
        population.Population,
        population.prior_population,
        population.MEASURES,
        population.samples,
    ),
    Learning(
        "churn",
        (Example,),
        _start_churn,
        churn_models.ChurnScoring,
        lambda _: churn_models.ChurnScoring(),
        churn_models.MEASURES,
        lambda drawn: churn_models.samples(drawn, SCORERS),
    ),
    Learning(
        "spend",
        (Example,),
        _starts(spend.SpendLearner, spend_models.SpendStates),
        spend_models.SpendScoring,
        lambda _: spend_models.SpendScoring(),
        spend_models.MEASURES,
        spend_models.samples,
    ),
    Learning(
        "acquisition",
        (Observation, Cost, Tally),
        _starts(acquisition.AcquisitionLearner, acquisition.AcquisitionState),
        acquisition.AcquisitionCosts,
        lambda _: acquisition.AcquisitionCosts(),
        acquisition.MEASURES,
        acquisition.samples,
        sums_of=tallies.ACQUISITION_NAME,
    ),
    Learning(
        "tallies",
        (Tally,),
        _starts(tallies.TallyLearner, tallies.TallyState),
        tallies.Tallies,
        lambda _: tallies.Tallies(),
    ),
    Learning(
        "tiers",
        (Tally,),
        _starts(tiers.TierCutsLearner, tiers.TierCutsState),
        tiers.TierCuts,
        lambda _: tiers.TierCuts(),
        sums_of=tiers.TIERS_NAME,
    ),
    Learning(
        improvements.IMPROVEMENTS_NAME,
        (Tally,),
        _starts(improvements.ImprovementsLearner, improvements.ImprovementsState),
        improvements.Improvements,
        lambda _: improvements.Improvements(),
        sums_of=improvements.IMPROVEMENTS_NAME,
    ),
    Learning(
        "sampling",
        (Observation,),
        _starts(label_sampling.LabelSamplingLearner, label_sampling.LabelSamplingState),
        label_sampling.LabelSampling,
        lambda _: label_sampling.LabelSampling(),
        label_sampling.MEASURES,
        label_sampling.samples,
    ),
    Learning("drift", (Observation,), _start_drift),
)
DRAWN_TYPES: dict[str, type[Struct]] = {
    learning.name: learning.drawn for learning in LEARNERS if learning.drawn is not None
}
