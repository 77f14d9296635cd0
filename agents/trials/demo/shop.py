"""A simulated shop: what its customers send, and nothing about why.

Every customer has traits that no event shows: how often they buy, how easily they leave, how much a
price matters to them. The stream holds only the consequences, so a learner must find the traits, as
with a real shop. The same configuration gives the same bytes on any machine.
"""

import math
from collections.abc import Iterator
from random import Random

import msgspec

from agents.trials.demo.agenda import Agenda, ShopRecord
from agents.trials.demo.mishaps import add_malformed, release_later, swap_neighbours
from agents.trials.demo.shopper import Shopper
from config.duration import DAY_MS, MINUTE_MS

__all__ = ["ShopConfig", "ShopRecord", "estimate_events", "simulate"]

_KNOWN_BEFORE = 0.33
_LATE_MS = (4 * DAY_MS, 10 * DAY_MS)
_REPEATED_MS = (0, 10 * MINUTE_MS)


class ShopConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What to simulate; the last four are shares of the records, each from 0 to 1.

    Choose ``start_ms`` so that the last day has passed, because ingest refuses events from the
    future.
    """

    seed: int
    customers: int
    start_ms: int
    days: int = 200
    shuffled: float = 0.01
    duplicates: float = 0.005
    late: float = 0.0005
    malformed: float = 0.0005

    def __post_init__(self) -> None:
        for name in ("customers", "days"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1")
        if self.start_ms < 0:
            raise ValueError(f"start_ms is {self.start_ms}: give milliseconds since 1970")
        for name in ("shuffled", "duplicates", "late", "malformed"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give a share from 0 to 1")

    @property
    def end_ms(self) -> int:
        """The first millisecond that is not simulated."""
        return self.start_ms + self.days * DAY_MS


def start_before(now_ms: int, days: int) -> int:
    """The start of a shop of so many days whose last day has passed by ``now_ms``, because events
    from the future are refused.

    Moved by whole weeks, so that a seed always gives the same shop: customers have their hours and
    days of the week.
    """
    return (now_ms // DAY_MS - days) // 7 * 7 * DAY_MS


def simulate(config: ShopConfig) -> Iterator[ShopRecord]:
    """Yield the shop's records in the order in which a broker would get them.

    That is event-time order, except for the configured shares: two neighbours within a minute are
    swapped; a record is repeated, byte for byte, within ten minutes; a record is held back for 4 to
    10 days; and a malformed record is added, made from a good one. Memory grows with customers, not
    with days.
    """
    # Its own random generator, so that the shop's events are the same whatever is lost on the way.
    rng = Random(f"{config.seed} on the way")
    records = _open_shop(config).records()
    records = swap_neighbours(records, config.shuffled, rng)
    records = release_later(
        records, config.late, _LATE_MS, end_ms=config.end_ms, rng=rng, now_too=False
    )
    records = release_later(
        records, config.duplicates, _REPEATED_MS, end_ms=config.end_ms, rng=rng, now_too=True
    )
    return add_malformed(records, config.malformed, rng)


def estimate_events(config: ShopConfig) -> int:
    """Roughly how many records ``simulate`` yields: good for a progress bar, not for a test."""
    # Measured: a long run has fewer records per day, because more and more customers have left.
    return round(config.customers * 1.25 * math.pow(config.days, 0.75))


def _open_shop(config: ShopConfig) -> Agenda:
    """A third of the customers come on the first day, the others in the first 60 % of the time."""
    rng = Random(config.seed)
    agenda = Agenda(rng, config.end_ms)
    arrivals_ms = config.days * DAY_MS * 6 // 10
    for number in range(config.customers):
        window_ms = min(DAY_MS, arrivals_ms) if rng.random() < _KNOWN_BEFORE else arrivals_ms
        arrives_ms = config.start_ms + int(rng.random() * window_ms)
        agenda.plan(arrives_ms, Shopper(agenda, f"c-{number:05d}").arrive)
    return agenda
