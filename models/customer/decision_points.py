"""When a customer is scored for good: at the end of a purchase day, and at check-ins."""

from config.duration import DAY_MS
from models.customer.purchase_state import WINDOW_MS_MAX, Purchases
from models.learning.day_ends import day_end_ms
from models.learning.history import History


def next_decision_ms(bought: Purchases, handled_ms: int, check_in_ms: int) -> int:
    """The next decision point after ``handled_ms``: the end of the last purchase day, or the next
    check-in on the grid that begins with the first purchase.

    0 without a purchase, and once the last one is older than `WINDOW_MS_MAX`. When the customer
    buys again after that, the check-ins left out before that purchase are not made up for.
    """
    begun_ms, last_at_ms = bought.sitting
    if not last_at_ms:
        return 0
    first_ms = day_end_ms(bought.first_at_ms)
    purchase_ms = day_end_ms(begun_ms)
    # A purchase in the last second of a day comes after that day's decision point.
    if handled_ms < purchase_ms and begun_ms <= purchase_ms:
        return purchase_ms
    since_ms = handled_ms if handled_ms > purchase_ms else purchase_ms
    due_ms = first_ms + ((since_ms - first_ms) // check_in_ms + 1) * check_in_ms
    return due_ms if due_ms <= last_at_ms + WINDOW_MS_MAX else 0


def has_bought_today(past: History, at_ms: int) -> bool:
    """Whether a decision point ends a purchase day."""
    return bool(past.days) and past.days[-1] == at_ms // DAY_MS


def is_check_in(bought: Purchases, at_ms: int, check_in_ms: int) -> bool:
    """Whether a decision point is on the grid of check-ins, even on a purchase day: check-ins on
    days without a purchase alone would underestimate how much customers buy.
    """
    since_ms = at_ms - day_end_ms(bought.first_at_ms)
    return since_ms > 0 and not since_ms % check_in_ms
