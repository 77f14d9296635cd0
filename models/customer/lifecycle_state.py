"""What is kept of a customer's class and stage, and of how they were won."""

from typing import Final

from msgspec import field

from models.customer.row import State

#: The cohort of visitors whom nobody knows yet: they are no people, and are counted by themselves.
VISITORS: Final = "visitors"


class Lifecycle(State):
    """``customer_class`` and ``stage`` when last looked at, "" before that; since when, and what
    they were ``before``. ``reached`` has a bit for each stage ever reached.

    ``first_day`` and ``cohort``: when and by which channel they came; ``won_day``: when they first
    bought, ``won_by``: through which other channel, "" for the cohort's; ``margin_minor``: what
    they brought, ``brought``: that by the week since 1970, ascending; ``worth_minor``: that and
    what is expected of them, 0 before anything is. All as it was told of all customers.

    ``points`` are signs of interest as of ``points_at_ms``; ``praised_ms`` is the latest time they
    spoke well of the shop, ``shared_ms`` the latest times they shared something; ``touches``: by
    which channels they came lately, with when, until they bought (`acquisition.touch`).
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
