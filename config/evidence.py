"""What counts as evidence of why a customer leaves: typed, and what cannot be used of it."""

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from config.duration import DurationMs

#: Tables of weights by event; one event may be moved from one of them to another.
TABLES = ("price", "product", "service", "about")


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``price``, ``product`` and ``service``: weights of events by what their name says; ``about``:
    of those that say themselves what they are about, in a word of ``words``.
    """

    half_life: DurationMs
    least: float
    at_risk: float
    late_ticket: float
    detractor: float
    poor: float
    price: dict[str, float]
    product: dict[str, float]
    service: dict[str, float]
    about: dict[str, float]
    words: dict[str, Literal["price", "product", "service", "none"]]

    def weights(self) -> dict[str, float]:
        """What must not be negative, by the name it has as a parameter."""
        weights = {"evidence.late_ticket": self.late_ticket}
        for table in TABLES:
            named: dict[str, float] = getattr(self, table)
            weights |= {f"evidence.{table}.{name}": weight for name, weight in named.items()}
        return weights

    def unusable_word(self) -> str | None:
        """A word that no category or reason can ever be; None when there is none."""
        words = (
            word for word in self.words if not re.fullmatch(r"\w+", word) or word.lower() != word
        )
        return next(words, None)


def events_named(values: Mapping[str, Any]) -> set[str]:
    """The events in the tables of parameters as they were read."""
    return {name for table in TABLES for name in values["evidence"][table]}
