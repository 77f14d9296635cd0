"""What is kept of a customer's risk: the band, the complaints, and the latest episode of churn."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from msgspec import field, msgpack

from config.limits import PositiveMs, Share
from config.parameters import Section
from models.customer.row import State

#: The latest complaints of a customer, which show whether they left without one.
COMPLAINTS_MAX: Final = 16


class RiskBand(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class RiskParameters(Section, frozen=True):
    section = "risk"
    enabled: bool
    high: Share
    high_until: Share
    medium: Share
    medium_until: Share
    episode: PositiveMs
    heard_within: PositiveMs
    price_sensitive: Share

    def problems(self) -> Iterator[str]:
        """Limits that are not in order."""
        limits = (self.medium_until, self.medium, self.high)
        if list(limits) != sorted(limits) or not self.medium <= self.high_until <= self.high:
            yield (
                "risk: medium_until, medium, high_until and high must ascend, as in "
                "0.4, 0.5, 0.6, 0.7"
            )


class Risk(State):
    """The ``band`` at the last look, since when, and the one ``before`` it; "" for none.

    ``complained_ms``: the latest complaint; ``left_ms``: when the latest episode of churn became
    complete, and whether it ``was_silent``. ``asked_ms``: when it was last asked whether they buy
    again, 0 if it is not asked now, and whether they were ``price_sensitive`` then. ``complaints``:
    the times of the latest ones, ascending; ``left_before_ms``: when the episode before the latest
    became complete.
    """

    band: str = ""
    since_ms: int = 0
    before: str = ""
    complained_ms: int = 0
    left_ms: int = 0
    was_silent: bool = False
    asked_ms: int = 0
    price_sensitive: bool = False
    complaints: list[int] = field(default_factory=list)
    left_before_ms: int = 0


_STORED: Final = msgpack.Decoder(Risk)


def unpack_earlier(content: bytes) -> Risk:
    """Read version 1, which asked no question, or 2, which kept only the latest complaint."""
    state = _STORED.decode(content)
    if state.complained_ms:
        state.complaints = [state.complained_ms]
    return state
