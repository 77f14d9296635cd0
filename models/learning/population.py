"""The trainer's state: what the population looks like at its check-ins."""

import msgspec
from msgspec import Struct

from config.parameters import Parameters
from models.learning.histogram import Histogram, observe, quantiles
from models.learning.snapshot import Snapshot, prior_snapshot

_QUINTILES = (0.2, 0.4, 0.6, 0.8)


class Observation(Struct, frozen=True, rename="camel", tag="observation", tag_field="type"):
    """One customer as a check-in found them; says nothing about who.

    ``offset`` and ``index`` place it in its partition of ``customer-events``: the trainer drops
    what it has seen by them.
    """

    timestamp_ms: int
    recency_days: float
    frequency: int
    monetary_minor: int
    gap_days: float | None
    partition: int = 0
    offset: int = 0
    index: int = 0


class Population:
    """Histograms of recency, frequency, money and gaps, and the snapshots drawn from them.

    A function of the observations in their order: folding the topic again gives every snapshot
    bit for bit.
    """

    def __init__(self, parameters: Parameters, snapshot: Snapshot | None = None) -> None:
        self._parameters = parameters
        self.snapshot = snapshot or prior_snapshot(parameters)
        self._histograms: dict[str, Histogram] = {
            name: {int(index): count for index, count in bins.items()}
            for name, bins in self.snapshot.histograms.items()
        }
        self._positions = dict(self.snapshot.positions)
        self.observations = self.snapshot.observations
        self._latest_ms = self.snapshot.created_at_ms

    def learn(self, observation: Observation) -> bool:
        """Count an observation; False when it is a repeat."""
        partition, position = str(observation.partition), (observation.offset, observation.index)
        if position <= self._positions.get(partition, (-1, -1)):
            return False
        self._positions[partition] = position
        self._observe("recency_days", observation.recency_days)
        self._observe("frequency", float(observation.frequency))
        self._observe("monetary_minor", float(observation.monetary_minor))
        if observation.gap_days is not None:
            self._observe("gap_days", observation.gap_days)
        self.observations += 1
        self._latest_ms = max(self._latest_ms, observation.timestamp_ms)
        return True

    @property
    def is_due(self) -> bool:
        """Whether enough was seen, and enough event time went by, for the next snapshot."""
        learning = self._parameters.learning
        return (
            self.observations >= learning.minimum_examples
            and self._latest_ms >= self.snapshot.created_at_ms + learning.snapshot_every
        )

    def draw(self, consumed: int = 0) -> Snapshot:
        """The next snapshot; ``consumed`` is the next position of the topic of observations."""
        prior = prior_snapshot(self._parameters)
        gaps = self._histograms.get("gap_days")
        self.snapshot = Snapshot(
            version=self.snapshot.version + 1,
            created_at_ms=self._latest_ms,
            recency_days_cuts=self._cuts("recency_days") or prior.recency_days_cuts,
            frequency_cuts=self._cuts("frequency") or prior.frequency_cuts,
            monetary_minor_cuts=self._cuts("monetary_minor") or prior.monetary_minor_cuts,
            gap_days=quantiles(gaps, (0.5,))[0] if gaps else prior.gap_days,
            observations=self.observations,
            positions=dict(self._positions),
            consumed=consumed,
            histograms={
                name: {str(index): count for index, count in sorted(bins.items())}
                for name, bins in sorted(self._histograms.items())
            },
        )
        return self.snapshot

    def _observe(self, name: str, value: float) -> None:
        observe(self._histograms.setdefault(name, {}), value)

    def _cuts(self, name: str) -> tuple[float, float, float, float] | None:
        bins = self._histograms.get(name)
        if not bins:
            return None
        first, second, third, fourth = quantiles(bins, _QUINTILES)
        return first, second, third, fourth


_DECODER = msgspec.json.Decoder(Observation)


def encode_observation(observation: Observation) -> bytes:
    """The observation as it travels to the trainer."""
    return msgspec.json.encode(observation)


def decode_observation(content: bytes) -> Observation:
    """Raises ``msgspec.DecodeError`` when ``content`` is no observation."""
    return _DECODER.decode(content)
