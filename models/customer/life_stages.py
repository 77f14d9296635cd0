"""A customer's class, and their stage of the lifecycle, at one moment."""

from collections.abc import Mapping
from enum import StrEnum
from math import ceil, log2
from typing import Annotated, Final

from config.duration import DAY_MS, DURATION_MAX_DAYS
from config.limits import NotNegative, Positive, PositiveInt, PositiveMs, Share, at_most
from config.parameters import Overdue, Section
from models.customer.purchase_state import WINDOW_MS_MAX, Purchases
from models.customer.purchase_windows import first_from, first_purchase_ms, last_until
from models.customer.rhythm import clock_of
from models.customer.row import Due
from models.learning.history import Days

#: Customers who buy by the year are lost after this many of their gaps, instead of ``lost_gaps``.
_YEARS: Final = 2.0
#: A silence after which everybody is lost, whatever their gaps.
_LOST_DAYS_MOST: Final = float(DURATION_MAX_DAYS)
#: The most shares that an operator may require: so many are kept.
_SHARES_MAX: Final = 16


class LifecycleParameters(Section, frozen=True):
    section = "lifecycle"
    open_tables = ("points",)
    enabled: bool
    settle: PositiveMs
    new_for: PositiveMs
    returned_for: PositiveMs
    lost_after: PositiveMs
    lost_gaps: Positive
    half_life: PositiveMs
    considers_at: Positive
    loyal_days: PositiveInt
    loyal_within: PositiveMs
    advocates_for: PositiveMs
    rated_well: Share
    shares: Annotated[PositiveInt, at_most(_SHARES_MAX)]
    funnel_days: PositiveInt
    points: Mapping[str, NotNegative]


class CustomerClass(StrEnum):
    """``potential``: has not bought; ``lost``: silent for too long; ``returned``: bought again
    lately, after they were lost.
    """

    POTENTIAL = "potential"
    NEW = "new"
    EXISTING = "existing"
    LOST = "lost"
    RETURNED = "returned"


class LifeStage(StrEnum):
    """In the order in which they are reached."""

    AWARENESS = "awareness"
    CONSIDERATION = "consideration"
    PURCHASE = "purchase"
    LOYALTY = "loyalty"
    ADVOCACY = "advocacy"


STAGES: Final = tuple(LifeStage)
#: By stage, the bits of all stages up to it.
STAGES_UP_TO: Final = {stage: (2 << place) - 1 for place, stage in enumerate(STAGES)}


def next_look_ms(known: Due, at_ms: int, settle_ms: int) -> int:
    """When to look at a customer after an event at ``at_ms``, given the present timer: once the
    event has settled, or earlier if the timer is due before.
    """
    due_ms = max(at_ms + settle_ms, known.handled_ms + 1)
    return min(due_ms, known.due_ms) if known.due_ms else due_ms


def is_last_look(bought: Purchases, at_ms: int, check_in_ms: int) -> bool:
    """Whether no look follows this one before the customer buys: check-ins end a year after the
    last purchase, and when everything was given back.
    """
    last_ms = bought.last_at_ms
    return not last_ms or at_ms > last_ms + WINDOW_MS_MAX - check_in_ms


def lost_after_ms(
    days: Days, gap_days: float, overdue: Overdue, section: LifecycleParameters
) -> int:
    """The silence in ms after which a customer who bought on these days is lost."""
    clock = clock_of(days, gap_days, overdue)
    gaps = _YEARS if clock.is_seasonal else section.lost_gaps
    silent_days = min(gaps * clock.expected_days, _LOST_DAYS_MOST)
    return max(ceil(silent_days * DAY_MS), section.lost_after)


class Course:
    """A customer's purchases up to a moment, and the class that follows from them.

    ``lost_ms``: when the present silence makes them lost, 0 without a purchase; ``new_until_ms``:
    when a customer with one purchase day is no longer new, 0 for all others; ``returned_until_ms``:
    when they no longer count as returned, 0 if they never were lost.
    """

    __slots__ = ("_has_bought", "lost_ms", "new_until_ms", "returned_until_ms")

    def __init__(
        self, bought: Purchases, gap_days: float, overdue: Overdue, section: LifecycleParameters
    ) -> None:
        self.lost_ms = self.new_until_ms = 0
        last_ms, days = bought.last_at_ms, bought.days
        self._has_bought = last_ms > 0
        if last_ms:
            self.lost_ms = last_ms + lost_after_ms(days, gap_days, overdue, section)
            if len(days) + bought.earlier_days <= 1:
                # "At most" so long ago: they still are at that very millisecond.
                self.new_until_ms = first_purchase_ms(bought) + section.new_for + 1
        self.returned_until_ms = 0
        # Purchases that all lie within ``lost_after`` have no silence that makes anybody lost.
        if days and (days[-1] - days[0]) * DAY_MS >= section.lost_after:
            self.returned_until_ms = returned_until_ms(bought, gap_days, overdue, section)

    def class_at(self, at_ms: int) -> CustomerClass:
        """The class at a moment, which no known event is after."""
        if not self._has_bought:
            return CustomerClass.POTENTIAL
        if at_ms >= self.lost_ms:
            return CustomerClass.LOST
        if at_ms < self.returned_until_ms:
            return CustomerClass.RETURNED
        return CustomerClass.NEW if at_ms < self.new_until_ms else CustomerClass.EXISTING

    @property
    def edges_ms(self) -> tuple[int, int, int]:
        """When time alone may change the class."""
        return self.lost_ms, self.new_until_ms, self.returned_until_ms


def returned_until_ms(
    bought: Purchases, gap_days: float, overdue: Overdue, section: LifecycleParameters
) -> int:
    """Until when a customer counts as returned; 0 if no silence between two purchases had made them
    lost.
    """
    days = bought.days
    for place in range(len(days) - 1, 0, -1):
        # A shorter silence makes nobody lost; this test is cheap, and spares the other one.
        if (days[place] - days[place - 1]) * DAY_MS < section.lost_after:
            continue
        came_ms = first_from(bought, days[place] * DAY_MS)
        silent_ms = came_ms - last_until(bought, came_ms - 1)
        # A purchase at exactly that time is not too late.
        if silent_ms > lost_after_ms(days[:place], gap_days, overdue, section):
            return came_ms + section.returned_for
    return 0


def loyal_until_ms(bought: Purchases, overdue_ms: int, section: LifecycleParameters) -> int:
    """Until when there are enough purchase days within the window and the next purchase is not
    overdue; 0 with too few.
    """
    if len(bought.days) < section.loyal_days:
        return 0
    oldest = bought.days[-section.loyal_days]
    return min((oldest + 1) * DAY_MS + section.loyal_within, overdue_ms)


def advocates_until_ms(praised_ms: int, shared_ms: list[int], section: LifecycleParameters) -> int:
    """Until when praise or sharing makes a loyal customer an advocate; 0 without either."""
    if not praised_ms and not shared_ms:
        return 0
    latest_ms = max(
        praised_ms, shared_ms[-section.shares] if len(shared_ms) >= section.shares else 0
    )
    return latest_ms + section.advocates_for if latest_ms else 0


def considers_until_ms(points: float, at_ms: int, section: LifecycleParameters) -> int:
    """When the points as of ``at_ms`` have decayed to half of what consideration takes."""
    halvings = log2(points / (section.considers_at / 2.0)) if points > 0.0 else 0.0
    return at_ms + ceil(halvings * section.half_life) if halvings > 0.0 else 0
