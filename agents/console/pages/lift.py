"""The lift of actions, as the shop's page shows it."""

from collections.abc import Iterable
from typing import NamedTuple

from agents.words.lift import lift_in_words
from config.parameters import Parameters
from models.customer.lift_measures import MEASURES
from models.measures import Sample


class LiftView(NamedTuple):
    """An action, or an action for one reason: its customers, and a line for each comparison."""

    about: str
    compared: tuple[str, ...]


def lift_views(samples: Iterable[Sample], parameters: Parameters) -> tuple[LiftView, ...]:
    """One for each action that was followed for long enough."""
    found: list[tuple[str, list[str]]] = []
    for line in lift_in_words(samples, parameters):
        if line.startswith(" "):
            found[-1][1].append(line.strip())
        else:
            found.append((line, []))
    return tuple(LiftView(about, tuple(lines)) for about, lines in found)


def without_lift(samples: Iterable[Sample]) -> list[Sample]:
    """The samples without those of lift, which are shown in words and need no table."""
    return [sample for sample in samples if sample.measure not in MEASURES]
