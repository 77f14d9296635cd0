"""What a row keeps of a customer's class and stage, and of how they were won."""

from typing import Final

from msgspec import field

from models.customer.row import State

#: The cohort of unidentified visitors, who are counted by themselves.
VISITORS: Final = "visitors"


class Lifecycle(State):
    """``customer_class`` and ``stage`` at the last look, "" before the first; since when, and the
    ones before them. ``reached`` has a bit for each stage ever reached.

    ``first_day`` and ``cohort``: when and by which channel the customer came; ``won_day``: when
    they first bought; ``won_by``: the channel that won them, "" if it is the cohort's;
    ``margin_minor``: the margin they brought; ``brought``: the same by week since 1970, ascending;
    ``worth_minor``: the margin brought and expected, 0 while nothing is expected. All of these are
    as last reported to the sums.

    ``points`` are signs of interest as of ``points_at_ms``; ``praised_ms``: when they last spoke
    well of the shop; ``shared_ms``: the latest times they shared something; ``touches``: the times
    and channels of their latest visits before the first purchase (`acquisition.touch`).
    """

    customer_class: str = ""
    class_since_ms: int = 0
    class_before: str = ""
    stage: str = ""
    stage_since_ms: int = 0
    stage_before: str = ""
    reached: int = 0
    first_day: int = 0
    cohort: str = ""
    points: float = 0.0
    points_at_ms: int = 0
    praised_ms: int = 0
    shared_ms: list[int] = field(default_factory=list)
    won_day: int = 0
    margin_minor: int = 0
    won_by: str = ""
    brought: list[tuple[int, int]] = field(default_factory=list)
    worth_minor: int = 0
    touches: list[tuple[int, str]] = field(default_factory=list)
