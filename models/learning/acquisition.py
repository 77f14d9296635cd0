"""What it costs to win a customer, by the channel they came through."""

from typing import Any

from msgspec import Struct

from config.parameters import Parameters
from models.learning.lessons import Cost, Observation

#: Channels beyond this number are counted together as `OTHER`.
CHANNELS_MAX = 64
OTHER = "other"


class Channel(Struct, array_like=True):
    """What was spent on a channel, in minor units, and the customers won through it."""

    cost_minor: int = 0
    acquired: int = 0


class AcquisitionState(Struct, rename="camel"):
    """Sums by channel. The order of lessons does not matter below `CHANNELS_MAX` channels."""

    channels: dict[str, Channel] = {}


class AcquisitionCosts(Struct, frozen=True, rename="camel"):
    """The cost of one customer in minor units, by channel, where both costs and customers are
    known.
    """

    by_channel_minor: dict[str, float] = {}


class AcquisitionLearner:
    """Adds up costs, and counts customers at their first check-in."""

    knows_enough = True

    def __init__(self, state: Any, _parameters: Parameters) -> None:
        self._state: AcquisitionState = state or AcquisitionState()

    def learn(self, lesson: Observation | Cost) -> None:
        """Add a cost, or count a customer under the channel of their first event."""
        if isinstance(lesson, Cost):
            self._of(lesson.channel).cost_minor += lesson.amount_minor
        elif lesson.acquired:
            self._of(lesson.acquired).acquired += 1

    def state(self) -> AcquisitionState:
        """The whole state, enough to restore the learner."""
        return self._state

    def draw(self, _now_ms: int) -> AcquisitionCosts:
        """Costs divided by customers won."""
        return AcquisitionCosts(
            {
                name: channel.cost_minor / channel.acquired
                for name, channel in self._state.channels.items()
                if channel.cost_minor and channel.acquired
            }
        )

    def _of(self, name: str) -> Channel:
        channels = self._state.channels
        known = name in channels or len(channels) < CHANNELS_MAX
        return channels.setdefault(name if known else OTHER, Channel())
