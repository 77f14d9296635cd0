"""Whether a customer left, and whether they did so silently, by all that is known of that time.

Silence of `risk.episode` after a purchase is an episode of churn. News of its time may be late, and
comes in any order: an order that was placed in it, that the order before it had been given back by
then, or a complaint. What is said of the latest episode is what would be said if all of it had been
known in time.
"""

from bisect import bisect_right, insort

from config.parameters import Money
from models.customer import order_records
from models.customer.order_state import Order
from models.customer.orders import was_purchase
from models.customer.purchase_state import Purchases
from models.customer.purchase_windows import last_until
from models.customer.risk_state import COMPLAINTS_MAX, Risk, RiskParameters
from models.customer.scene import Scene


def hear_complaint(state: Risk, at_ms: int) -> None:
    """Keep a complaint of whichever time."""
    if at_ms not in state.complaints:
        insort(state.complaints, at_ms)
        del state.complaints[:-COMPLAINTS_MAX]
    state.complained_ms = state.complaints[-1]


def note_left(state: Risk, left_ms: int, section: RiskParameters) -> None:
    """Have the episode that was full at ``left_ms`` be the latest."""
    state.left_before_ms = state.left_ms
    state.left_ms, state.was_silent = left_ms, _is_silent(state, left_ms, section)


def reconsider(state: Risk, section: RiskParameters) -> None:
    """A complaint that is heard of late was in time to be one of the latest episode."""
    state.was_silent = state.was_silent and _is_silent(state, state.left_ms, section)


def take_back(state: Risk, bought: Purchases, section: RiskParameters) -> None:
    """An episode is none if an order was placed in it."""
    left_ms = state.left_ms
    if left_ms and last_until(bought, left_ms) > left_ms - section.episode:
        _forget_latest(state, section)


def take_back_unbegun(
    state: Risk, bought: Purchases, section: RiskParameters, money: Money
) -> None:
    """An episode is none if the order that it followed had been given back when it was full; one
    that is given back afterwards does not undo that the customer had left.
    """
    left_ms = state.left_ms
    if left_ms and not _stood(bought, left_ms - section.episode, left_ms, money):
        _forget_latest(state, section)


def _forget_latest(state: Risk, section: RiskParameters) -> None:
    left_ms, state.left_before_ms = state.left_before_ms, 0
    state.left_ms, state.was_silent = left_ms, bool(left_ms) and _is_silent(state, left_ms, section)


def leave_after_all(
    state: Risk, bought: Purchases, known_ms: int, full_ms: int, section: RiskParameters
) -> bool:
    """Whether the silence after the last purchase of up to ``known_ms`` is an episode whose time
    has come, and does not come again. ``full_ms``: when the latest was ever full.
    """
    last_ms = last_until(bought, known_ms)
    left_ms = last_ms + section.episode
    # While no other purchase is known after it, its own timer is still to come.
    is_over = last_ms != bought.last_at_ms and left_ms <= known_ms
    if not last_ms or left_ms <= state.left_ms or not (is_over or left_ms <= full_ms):
        return False
    if last_until(bought, left_ms) > last_ms:
        return False
    note_left(state, left_ms, section)
    return True


def leave_before(
    state: Risk, bought: Purchases, news_ms: int, reached_ms: int, scene: Scene
) -> bool:
    """Whether the customer turns out to have left before they bought again, by late news of
    ``news_ms``: until ``reached_ms`` all went on as if they had not.
    """
    section, money = scene.parameters.of(RiskParameters), scene.parameters.money
    later: list[Order] = []
    for order in reversed(bought.orders):
        begun_ms, left_ms = order.placed_at_ms, order.placed_at_ms + section.episode
        if begun_ms and (left_ms < news_ms or left_ms <= state.left_ms):
            return False
        # The last purchase has a timer of its own.
        is_over = begun_ms and begun_ms != bought.last_at_ms and left_ms <= reached_ms
        if is_over and was_purchase(order, left_ms, money):
            if any(_is_within(one, left_ms, money) for one in later):
                return False
            note_left(state, left_ms, section)
            return True
        later.append(order)
    return False


def _is_within(order: Order, left_ms: int, money: Money) -> bool:
    """Whether the order ends a silence up to then, by now or by what was known then."""
    is_early = 0 < order.placed_at_ms <= left_ms
    return is_early and (order.is_purchase or was_purchase(order, left_ms, money))


def _stood(bought: Purchases, placed_ms: int, at_ms: int, money: Money) -> bool:
    """Whether what was placed at ``placed_ms`` was a purchase by what had happened to it by
    ``at_ms``; so was what is not known by itself any more.
    """
    placed = [order for order in bought.orders if order.placed_at_ms == placed_ms]
    if not placed or any(was_purchase(order, at_ms, money) for order in placed):
        return True
    return bool(order_records.within(bought.records, placed_ms - 1, placed_ms)[0])


def _is_silent(state: Risk, left_ms: int, section: RiskParameters) -> bool:
    """Whether no complaint is known from `heard_within` before the purchase on."""
    heard_from_ms = left_ms - section.episode - section.heard_within
    place = bisect_right(state.complaints, left_ms)
    return not place or state.complaints[place - 1] < heard_from_ms
