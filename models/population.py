"""Metrics over all customers: the measures of learners and of parts."""

from collections.abc import Iterator

from config.parameters import Parameters
from models.customer.registry import PARTS
from models.learning.registry import LEARNERS
from models.learning.snapshot import Snapshot
from models.learning.tallies import Tallies
from models.measures import Measure, Sample

#: Every measure of a snapshot.
MEASURES: tuple[Measure, ...] = tuple(
    measure for learning in LEARNERS for measure in learning.measures
)
#: Every measure of the parts' sums.
MEASURES_OF_PARTS: tuple[Measure, ...] = tuple(
    m for part in PARTS if part.population is not None for m in part.population.measures
)


def samples_of(snapshot: Snapshot) -> Iterator[Sample]:
    """The values of a snapshot's measures."""
    for learning in LEARNERS:
        if learning.samples is not None:
            yield from learning.samples(snapshot.drawn[learning.name])


def samples_of_parts(tallies: Tallies, parameters: Parameters) -> Iterator[Sample]:
    """The values of the parts' measures."""
    for part in PARTS:
        if part.population is not None and part.is_on(parameters):
            yield from part.population.samples(tallies.parts.get(part.name, {}), parameters)


def name_of(sample: Sample) -> str:
    """A sample as /metrics names it: ``name{label="value"}``."""
    if not sample.labels:
        return sample.measure.name
    pairs = zip(sample.measure.labels, sample.labels, strict=True)
    labels = ",".join(f'{name}="{value}"' for name, value in pairs)
    return f"{sample.measure.name}{{{labels}}}"
