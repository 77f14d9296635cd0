"""How a customer was won, and what they have brought since, summed over all customers beside the
costs.

The sums are kept for the day on which customers were won, so that a month's costs of a channel are
compared with the customers won in that month.
"""

from bisect import insort
from collections.abc import Iterable, Sequence
from typing import Final

from config.duration import DAY_MS
from models.customer.acquisition import AcquisitionParameters, Touch
from models.customer.engagement import CHANNEL_LENGTH_MAX
from models.customer.lifecycle_state import VISITORS, Lifecycle
from models.customer.margins import margin_share
from models.customer.part import Sum, changed_sums
from models.customer.purchase_state import Purchases
from models.customer.purchase_windows import first_purchase_ms
from models.customer.purchases import purchases
from models.customer.scene import Scene
from models.customer.scores import lifetime_worth
from models.learning.acquisition import (
    BROUGHT_WEEKS_MAX,
    CONVERTED,
    MARGIN,
    RETURN_DAYS,
    SEEN,
    VALUED,
    WON,
    WORTH,
    brought_in,
    cohort_of,
)
from models.learning.lessons import Tally
from models.learning.tallies import ACQUISITION_NAME
from models.money import minor_units

#: Touches that are kept, so that the latest before the first purchase is found even if events come
#: late.
TOUCHES_MAX: Final = 8
_WEEK_DAYS: Final = 7


def note_touch(state: Lifecycle, channel: str, at_ms: int, scene: Scene) -> bool:
    """Keep the channel of a touch until the first purchase, if the last touch is the one that
    counts; return whether it may change by whom a customer was won.
    """
    section = scene.parameters.of(AcquisitionParameters)
    if section.touch is not Touch.LAST or channel in section.direct:
        return False
    insort(state.touches, (at_ms, channel[:CHANNEL_LENGTH_MAX]))
    first_ms = first_purchase_ms(scene.of(purchases))
    _limit(state.touches, first_ms)
    return state.won_day > 0 and at_ms <= first_ms


def _limit(touches: list[tuple[int, str]], first_ms: int) -> None:
    """Drop the earliest touches beyond the bound, but not the last one before the first purchase,
    however often the customer came after it.
    """
    while len(touches) > TOUCHES_MAX:
        del touches[1 if touches[1][0] > first_ms > 0 else 0]


def note_purchases(state: Lifecycle, scene: Scene, *, is_another: bool) -> None:
    """Update how the customer was won and what they brought; ``is_another``: their class has
    changed.
    """
    bought, today = scene.of(purchases), scene.at_ms // DAY_MS
    if not bought.count:
        # Everything was given back, so the customer is not won.
        state.won_day, state.won_by = 0, ""
    elif not state.won_day or not bought.earlier_days:
        state.won_day = bought.days[0] if bought.days else bought.first_at_ms // DAY_MS
        state.won_by = _last_touch(state, bought, scene)
    margin_minor = round(scene.of(margin_share) * bought.net_minor)
    gained = margin_minor - state.margin_minor
    state.margin_minor = margin_minor
    if gained and today - state.won_day <= RETURN_DAYS:
        state.brought = _with_gain(state.brought, today // _WEEK_DAYS, gained)
    if gained or is_another:
        state.worth_minor = _worth_minor(state, scene)


def forget_what_is_long_ago(state: Lifecycle, scene: Scene) -> None:
    """Drop the weeks of a customer who was won more than a year ago: they are no longer needed."""
    if state.brought and scene.at_ms // DAY_MS - state.won_day > RETURN_DAYS + 31:
        state.brought = []


def _with_gain(brought: list[tuple[int, int]], week: int, gained: int) -> list[tuple[int, int]]:
    """The weeks with ``gained`` added to one of them, as a new list: the old one is compared with
    it.
    """
    if not brought or brought[-1][0] < week:
        return [*brought, (week, gained)]
    return _by_week([*brought, (week, gained)])


def _by_week(brought: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The weeks in order, each once, without those whose sum is 0."""
    weeks: dict[int, int] = {}
    for week, gained in brought:
        weeks[week] = weeks.get(week, 0) + gained
    return sorted((week, gained) for week, gained in weeks.items() if gained)


def _last_touch(state: Lifecycle, bought: Purchases, scene: Scene) -> str:
    within_ms = scene.parameters.of(AcquisitionParameters).touch_within
    first_ms = first_purchase_ms(bought)
    for at_ms, channel in reversed(state.touches):
        if first_ms - within_ms < at_ms <= first_ms:
            return channel
    return state.won_by


def _worth_minor(state: Lifecycle, scene: Scene) -> int:
    """The margin that the customer brought and is expected to bring, before the cost of winning
    them; 0 before there is a model, and without a purchase.
    """
    found = scene.of(lifetime_worth)
    if found is None or not state.won_day:
        return 0
    expected = found.clv + found.acquisition_cost
    return state.margin_minor + minor_units(expected, scene.parameters.money.currency)


def standing(state: Lifecycle) -> tuple[object, ...]:
    """The fields that `sums_of` reads: first how the customer was won, then what they brought."""
    brought = state.margin_minor, state.brought, state.worth_minor
    return state.cohort, state.first_day, state.won_day, state.won_by, *brought


def sums_of(state: Lifecycle) -> list[Sum]:
    """One customer's share of the sums; nothing for an unknown visitor."""
    if not state.cohort or state.cohort == VISITORS:
        return []
    sums: list[Sum] = [(f"{SEEN}:{state.cohort}", state.first_day, 1)]
    day = state.won_day
    if not day:
        return sums
    channel, month = state.won_by or state.cohort, cohort_of(day)
    sums.append((f"{CONVERTED}:{state.cohort}", state.first_day, 1))
    sums.append((f"{WON}:{channel}", day, 1))
    sums.append((f"{MARGIN}:{channel}", day, state.margin_minor))
    for week, gained in state.brought:
        sums.append((_week_key(week, day, channel), month, gained))
    if state.worth_minor:
        sums.append((f"{VALUED}:{channel}", month, 1))
        sums.append((f"{WORTH}:{channel}", month, state.worth_minor))
    return sums


def tell_changes(scene: Scene, before: Lifecycle, state: Lifecycle) -> None:
    """Correct the sums when a customer brought more, or gave something back."""
    was, now = standing(before), standing(state)
    if was == now:
        return
    if was[:4] == now[:4]:
        _tell_sums(scene, _gained(before, state))
    else:
        tell(scene, ((sums_of(before), -1), (sums_of(state), 1)))


def _gained(before: Lifecycle, state: Lifecycle) -> list[Sum]:
    """The change of `sums_of` for a customer who was won as before, in the order of keys."""
    day = state.won_day
    if not day or not state.cohort or state.cohort == VISITORS:
        return []
    channel, month = state.won_by or state.cohort, cohort_of(day)
    sums = _brought_more(before.brought, state.brought, channel, day)
    if more_minor := state.margin_minor - before.margin_minor:
        sums.append((f"{MARGIN}:{channel}", day, more_minor))
    if is_valued := (state.worth_minor != 0) - (before.worth_minor != 0):
        sums.append((f"{VALUED}:{channel}", month, is_valued))
    if more_minor := state.worth_minor - before.worth_minor:
        sums.append((f"{WORTH}:{channel}", month, more_minor))
    sums.sort()
    return sums


def _brought_more(
    before: Sequence[tuple[int, int]], now: Sequence[tuple[int, int]], channel: str, day: int
) -> list[Sum]:
    # Mostly only the last week has changed.
    kept = max(min(len(before), len(now)) - 1, 0)
    if before[:kept] == now[:kept]:
        before, now = before[kept:], now[kept:]
    more: dict[str, int] = {}
    for weeks, sign in ((before, -1), (now, 1)):
        for week, gained in weeks:
            key = _week_key(week, day, channel)
            more[key] = more.get(key, 0) + sign * gained
    month = cohort_of(day)
    return [(key, month, amount) for key, amount in more.items() if amount]


def _week_key(week: int, won_day: int, channel: str) -> str:
    """The key of what was brought in a week, by the number of weeks since the customer was won."""
    age = min(max(week - won_day // _WEEK_DAYS, 0), BROUGHT_WEEKS_MAX)
    return f"{brought_in(age)}:{channel}"


def tell(scene: Scene, states: Iterable[tuple[Iterable[Sum], int]]) -> None:
    """Correct the sums by the shares of states, each with its sign."""
    _tell_sums(scene, changed_sums(states))


def _tell_sums(scene: Scene, sums: Iterable[Sum]) -> None:
    if told := tuple(sums):
        scene.teach(Tally(scene.at_ms, ACQUISITION_NAME, RETURN_DAYS, told))


def unite(one: Lifecycle, state: Lifecycle) -> None:
    """Add what another id of the same person brought; they were won by the first that bought. The
    weeks of an id that gave everything back are not the person's.
    """
    known = [(s.won_day, s.won_by) for s in (one, state) if s.won_day]
    one.won_day, one.won_by = min(known, default=(0, ""))
    one.margin_minor += state.margin_minor
    one.worth_minor += state.worth_minor
    one.brought = _by_week([*one.brought, *(state.brought if state.won_day else ())])
    one.touches = sorted([*one.touches, *state.touches])
    _limit(one.touches, one.won_day * DAY_MS)
