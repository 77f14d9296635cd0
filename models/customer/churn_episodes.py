"""Whether a customer left, and whether silently, by everything known of that time.

Silence of `risk.episode` after a purchase is an episode of churn. Events of its time may be late,
and come in any order: an order that was placed in it, a refund of the order before it, or a
complaint. The latest episode is what it would be if all of them had come in time.
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
    """Keep a complaint, whatever its time."""
    if at_ms not in state.complaints:
        insort(state.complaints, at_ms)
        del state.complaints[:-COMPLAINTS_MAX]
    state.complained_ms = state.complaints[-1]


def note_left(state: Risk, left_ms: int, section: RiskParameters) -> None:
    """Make the episode that was complete at ``left_ms`` the latest."""
    state.left_before_ms = state.left_ms
    state.left_ms, state.was_silent = left_ms, _is_silent(state, left_ms, section)


def reconsider(state: Risk, section: RiskParameters) -> None:
    """A late complaint may belong to the time of the latest episode."""
    state.was_silent = state.was_silent and _is_silent(state, state.left_ms, section)


def take_back(state: Risk, bought: Purchases, section: RiskParameters) -> None:
    """Undo an episode if an order was placed in it."""
    left_ms = state.left_ms
    if left_ms and last_until(bought, left_ms) > left_ms - section.episode:
        _forget_latest(state, section)


def take_back_unbegun(
    state: Risk, bought: Purchases, section: RiskParameters, money: Money
) -> None:
    """Undo an episode if the order before it had been given back by its end. An order that is given
    back later does not undo that the customer had left.
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
    """Whether the silence after the last purchase up to ``known_ms`` is an episode that is
    complete, and whose timer has passed. ``full_ms``: when the latest episode ever became complete.
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
    """Whether a late event, at ``news_ms``, shows that the customer had left before they bought
    again. Until ``reached_ms``, everything was computed as if they had not.
    """
    section, money = scene.parameters.of(RiskParameters), scene.parameters.money
    later: list[Order] = []
    for order in reversed(bought.orders):
        begun_ms, left_ms = order.placed_at_ms, order.placed_at_ms + section.episode
        if begun_ms and (left_ms < news_ms or left_ms <= state.left_ms):
            return False
        # The last purchase has its own timer.
        is_over = begun_ms and begun_ms != bought.last_at_ms and left_ms <= reached_ms
        if is_over and was_purchase(order, left_ms, money):
            if any(_is_within(one, left_ms, money) for one in later):
                return False
            note_left(state, left_ms, section)
            return True
        later.append(order)
    return False


def _is_within(order: Order, left_ms: int, money: Money) -> bool:
    """Whether the order ended a silence up to then, by what is known now or was known then."""
    is_early = 0 < order.placed_at_ms <= left_ms
    return is_early and (order.is_purchase or was_purchase(order, left_ms, money))


def _stood(bought: Purchases, placed_ms: int, at_ms: int, money: Money) -> bool:
    """Whether the order placed at ``placed_ms`` was a purchase by what had happened to it by
    ``at_ms``; true for orders that are no longer kept one by one.
    """
    placed = [order for order in bought.orders if order.placed_at_ms == placed_ms]
    if not placed or any(was_purchase(order, at_ms, money) for order in placed):
        return True
    return bool(order_records.within(bought.records, placed_ms - 1, placed_ms)[0])


def _is_silent(state: Risk, left_ms: int, section: RiskParameters) -> bool:
    """Whether no complaint is known since `heard_within` before the purchase."""
    heard_from_ms = left_ms - section.episode - section.heard_within
    place = bisect_right(state.complaints, left_ms)
    return not place or state.complaints[place - 1] < heard_from_ms
