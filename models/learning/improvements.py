"""The shop's improvements, by the reason to leave that they answer; shared by all customers."""

from typing import Any, Final

from msgspec import Struct

from config.parameters import Parameters
from models.learning.lessons import AddedUp, Tally

IMPROVEMENTS_NAME: Final = "improvements"


class Improvements(Struct, frozen=True, rename="camel"):
    """The release time of the latest improvement for each reason."""

    latest_ms: dict[str, int] = {}


class ImprovementsState(Struct, rename="camel"):
    """The release times learnt so far; the order of lessons does not matter."""

    latest_ms: dict[str, int] = {}


class ImprovementsLearner:
    """Keeps the latest improvement for each reason."""

    knows_enough = True

    def __init__(self, state: Any, _parameters: Parameters) -> None:
        self._state: ImprovementsState = state or ImprovementsState()

    def learn(self, tally: Tally | AddedUp) -> None:
        """Note the release of an improvement."""
        if tally.part != IMPROVEMENTS_NAME:
            return
        latest_ms = self._state.latest_ms
        for kind, _, _ in tally.sums:
            latest_ms[kind] = max(tally.timestamp_ms, latest_ms.get(kind, 0))

    def state(self) -> ImprovementsState:
        """The whole state, enough to restore the learner."""
        return self._state

    def draw(self, _now_ms: int) -> Improvements:
        """The improvements released so far."""
        return Improvements(dict(self._state.latest_ms))
