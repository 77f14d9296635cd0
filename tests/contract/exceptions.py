"""Where a part keeps a rule of the contract in another way: why, and what holds instead."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from config.parameters import Parameters
from models.customer.channels import ChannelPreference
from models.customer.consent import FACTS as CONSENT_FACTS
from models.customer.contacts import (
    COOLDOWN,
    DECISIONS_MAX,
    MOMENTS_MAX,
    SUPPRESSIONS_MAX,
    Contacts,
)
from models.customer.decay import decayed
from models.customer.labels import Labels
from models.customer.lift import FOLLOWED_MAX, FollowedActions
from models.customer.loyalty import LOYALTY, Loyalty
from models.customer.margins import MARGINS, Margins
from models.customer.order_news import COMPLETED, UPDATED
from models.customer.price_state import Prices
from models.customer.prices import PRICES
from models.customer.purchase_state import PurchaseParameters, Purchases
from models.customer.purchases import PURCHASES
from models.customer.segments import Memberships
from models.customer.tier_state import Tier, Tiered
from models.customer.tiers import TIERS
from models.events.event import Event
from tests.models.lines import PARAMETERS

#: Whether the union of some ids' states contains what it must.
Holds = Callable[[Sequence[Any], Any, Parameters], bool]


class NotOfEvents(NamedTuple):
    """C6: a state that timers or decisions make. ``reason`` must stand, word for word, in the
    part's docstring of ``united``.
    """

    reason: str
    holds: Holds


def _has_every_contact(states: Sequence[Contacts], one: Contacts, _parameters: Parameters) -> bool:
    """As many contacts as fit in, the latest firing of each trigger, and every threshold."""
    contacts = [contact.id for state in states for contact in state.latest]
    fired = {name for state in states for name in state.fired_ms}
    at_risk = {name for state in states for name in state.at_risk}
    rejected = sorted(known.at_ms for state in states for known in state.suppressed())
    moments = sorted(decided.at_ms for state in states for decided in state.moments)
    return (
        {contact.id for contact in one.latest} <= set(contacts)
        and len(one.latest) == min(len(contacts), DECISIONS_MAX)
        and one.fired_ms
        == {name: max(state.fired_ms.get(name, 0) for state in states) for name in fired}
        and set(one.at_risk) == at_risk
        and [decided.at_ms for decided in one.moments] == moments[-MOMENTS_MAX:]
        and [known.at_ms for known in one.suppressed()] == rejected[-SUPPRESSIONS_MAX:]
    )


def _has_the_earliest_labels(states: Sequence[Labels], one: Labels, parameters: Parameters) -> bool:
    """The earliest labels of each horizon, and the cells of one id."""
    waiting = [waited for state in states for waited in state.waiting()]
    horizons = {waited.horizon_days for waited in waiting}
    earliest = []
    for horizon_days in horizons:
        due = sorted(w.due_ms for w in waiting if w.horizon_days == horizon_days)
        earliest += due[: parameters.bounds.pending]
    return sorted(earliest) == [waited.due_ms for waited in one.waiting()] and one.counted in [
        state.counted for state in states
    ]


def _is_in_all(states: Sequence[Memberships], one: Memberships, _parameters: Parameters) -> bool:
    """A member of every segment of any id, since the first of them entered it."""
    since: dict[str, int] = {}
    for state in states:
        for name, standing in state.standings.items():
            if standing.since_ms:
                since[name] = min(standing.since_ms, since.get(name, standing.since_ms))
    return since == {n: s.since_ms for n, s in one.standings.items() if s.since_ms}


def _is_the_highest(states: Sequence[Tiered], one: Tiered, _parameters: Parameters) -> bool:
    """One of the states, in the highest tier of all."""
    packed = [TIERS.pack(state) for state in states]
    order = ["", *reversed(Tier)]
    highest = max([order.index(state.tier) for state in states], default=0)
    return TIERS.pack(one) in (packed or [TIERS.empty]) and order.index(one.tier) == highest


def _is_the_latest(
    states: Sequence[ChannelPreference], one: ChannelPreference, _parameters: Parameters
) -> bool:
    """The latest preference of any id, and the hour of one of them."""
    known = [(state.since_ms, state.preferred, state.before) for state in states]
    hours = {state.hour for state in states}
    latest = max(known, default=(0, "", ""))
    return (one.since_ms, one.preferred, one.before) == latest and one.hour in (hours or {-1})


def _follows_each_action_once(
    states: Sequence[FollowedActions], one: FollowedActions, _parameters: Parameters
) -> bool:
    """As many actions as fit in, only those of some id; left out if any id is."""
    known = {(a.at_ms, a.action) for state in states for a in state.latest}
    return (
        {(a.at_ms, a.action) for a in one.latest} <= known
        and bool(one.latest) == bool(known)
        and len(one.latest) <= FOLLOWED_MAX
        and one.is_left_out == any(state.is_left_out for state in states)
    )


NOT_OF_EVENTS = {
    "channels": NotOfEvents(
        "One person's preference is that of the id that came to its own last", _is_the_latest
    ),
    "contacts": NotOfEvents(
        "what became of an action is only known if it was heard under the id that the action was "
        "decided for",
        _has_every_contact,
    ),
    "churn": NotOfEvents(
        "the cells are those of the id that was counted last",
        _has_the_earliest_labels,
    ),
    "lift": NotOfEvents("decisions make them", _follows_each_action_once),
    "segments": NotOfEvents(
        "what is true of an id need not be of the person, nor the other way round", _is_in_all
    ),
    "tiers": NotOfEvents(
        "One person's tier is the highest that an id was found to be in",
        _is_the_highest,
    ),
}


class NotAdditive(NamedTuple):
    """C6: a state of which a union of ids has less, or has it in another form. ``reasons`` must
    stand, word for word, in the part's docstring of ``united``. ``rest``: the state without what
    differs, even when all news of an order came under one id; ``holds`` checks what differs.
    """

    reasons: tuple[str, ...]
    rest: Callable[[Any], Any]
    holds: Holds


def _was_told_all(states: Sequence[Loyalty], one: Loyalty, _parameters: Parameters) -> bool:
    """The sums of all ids are those of the person."""
    told = [sum(amounts) for amounts in zip(*(state.told for state in states), strict=True)]
    return told == list(one.told)


def _untold(state: Loyalty) -> Loyalty:
    copied = LOYALTY.unpack(LOYALTY.pack(state))
    copied.told = Loyalty().told
    return copied


def _has_every_order(states: Sequence[Prices], one: Prices, _parameters: Parameters) -> bool:
    """The orders of all ids."""
    known = {order.id for state in states for order in state.orders}
    return {order.id for order in one.orders} == known


def _but_whether_it_stands(state: Prices) -> Prices:
    copied = PRICES.unpack(PRICES.pack(state))
    for order in copied.orders:
        order.is_purchase = False
    return copied


def _has_every_sold_order(states: Sequence[Margins], one: Margins, _parameters: Parameters) -> bool:
    """The orders of all ids."""
    return {o.id for o in one.orders} == {o.id for state in states for o in state.orders}


def _but_what_is_left_of_it(state: Margins) -> Margins:
    copied = MARGINS.unpack(MARGINS.pack(state))
    for order in copied.orders:
        order.net_minor = 0
    return copied


NOT_ADDITIVE = {
    "loyalty": NotAdditive(
        (
            "of an order, the lowest net stands",
            "What was told of each id stays told",
        ),
        _untold,
        _was_told_all,
    ),
    "margins": NotAdditive(
        ("what was given back under another id than the order's is not seen",),
        _but_what_is_left_of_it,
        _has_every_sold_order,
    ),
    "prices": NotAdditive(
        ("a refund that was heard under another id than its order is not seen",),
        _but_whether_it_stands,
        _has_every_order,
    ),
}


def _aged(state: Purchases) -> Purchases:
    """The purchases, with their levels decayed to the latest news of the orders."""
    aged = PURCHASES.unpack(PURCHASES.pack(state))
    news = (max(one.placed_at_ms, one.priced_at_ms, one.ended_at_ms) for one in aged.orders)
    as_of_ms = max(news, default=aged.as_of_ms)
    for place, half_life_ms in enumerate(PARAMETERS.of(PurchaseParameters).half_lives):
        for levels in (aged.decayed_orders, aged.decayed_net_minor):
            levels[place] = decayed(levels[place], as_of_ms - aged.as_of_ms, half_life_ms)
    aged.as_of_ms = as_of_ms
    return aged


#: C1: states that are compared as of one moment. Levels are as of the latest order that was a
#: purchase when its news came; with another order of arrival this may be another one.
AGED: dict[str, Callable[[Any], Any]] = {"purchases": _aged}

#: C4: timers that no event sets, by their code.
SET_BY_DECISIONS = {
    COOLDOWN: "a rule that fired is looked at again when its cooldown ends",
    "channel": "a look sets it, while another channel is ahead of the preferred one",
    "lift": "a decision sets it, for when it is known whether the customer bought",
}

#: C8: timers of other parts that a part sets, through one of their readings.
TIMERS_OF_OTHERS = {
    ("churn", "overdue"): "at a check-in, the end of a silence is set by what is usual by then"
}

#: C6: parts that store nothing about a customer.
STATELESS = {"identities": "what events say of ids is told between rows (models.links)"}

#: C7: facts that are known of a customer who did nothing.
KNOWN_OF_NOBODY = {
    "margin_share": "of somebody who has bought nothing the shop's margin is expected",
    "typical_gap_days": "a newcomer's usual gap is the population's until they have one",
    **dict.fromkeys(
        CONSENT_FACTS, "what nobody revoked is allowed, unless the shop says otherwise"
    ),
    "churn_reason": "that the reason is unknown has a word of its own, which rules compare with",
    "ids": "everybody has the one that they are known by",
    "reason_at_last_signal": "it has the words of churn_reason",
}


class Refunded(NamedTuple):
    """C13: the events of a customer with the same state as one who returned everything, given their
    events and those that returned it.
    """

    reason: str
    as_after: Callable[[list[Event], list[Event]], list[Event]]


def _but_the_news_of_their_ends(events: list[Event], given_back: list[Event]) -> list[Event]:
    return [event for event in (*events, *given_back) if event.name not in {COMPLETED, UPDATED}]


def _but_what_was_completed(events: list[Event], given_back: list[Event]) -> list[Event]:
    return [event for event in (*events, *given_back) if event.name != COMPLETED]


REFUNDS = {
    "engagement": Refunded(
        "ordering is something that the customer did, whatever became of the order",
        lambda events, _given_back: events,
    ),
    "funnel": Refunded(
        "a visit that came to an order did, whatever became of the order",
        lambda events, _given_back: events,
    ),
    "cart": Refunded(
        "an order empties the cart, whatever becomes of the order",
        lambda events, _given_back: events,
    ),
    "lifecycle": Refunded(
        "somebody is looked at soon after an order, whatever became of it",
        lambda events, _given_back: events,
    ),
    "tiers": Refunded(
        "somebody is looked at soon after something was given back, whatever it was",
        _but_what_was_completed,
    ),
    "evidence": Refunded(
        "that an order was refunded speaks for itself, whether or not it was ever heard of",
        _but_the_news_of_their_ends,
    ),
    "loyalty": Refunded(
        "points that were redeemed on an order come back when it is cancelled",
        _but_the_news_of_their_ends,
    ),
}

#: C11: texts of events that are stored as they are, by the event's name and the field.
TEXTS_THAT_TRAVEL = {
    ("Campaign Cost", "channel"): "costs are told by channel, and they are nobody's",
}
