"""What it costs to win a customer, by the channel they came through."""

from msgspec import Struct

#: Beyond so many channels, the rest are counted together.
CHANNELS_MAX = 64
OTHER = "other"


class Channel(Struct, array_like=True):
    """What was spent on a channel, in minor units, and the customers won through it."""

    cost_minor: int = 0
    acquired: int = 0


class Acquisition(Struct, rename="camel"):
    """Sums by channel: the same in any order, as long as there are not too many channels."""

    channels: dict[str, Channel] = {}

    def spend(self, channel: str, amount_minor: int) -> None:
        self._of(channel).cost_minor += amount_minor

    def win(self, channel: str) -> None:
        """One more customer, whose first event came through ``channel``."""
        self._of(channel).acquired += 1

    def costs_minor(self) -> dict[str, float]:
        """The cost of one customer by channel, where both costs and customers are known."""
        return {
            name: channel.cost_minor / channel.acquired
            for name, channel in self.channels.items()
            if channel.cost_minor and channel.acquired
        }

    def _of(self, name: str) -> Channel:
        known = name in self.channels or len(self.channels) < CHANNELS_MAX
        return self.channels.setdefault(name if known else OTHER, Channel())
