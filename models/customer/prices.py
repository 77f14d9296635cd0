"""Price sensitivity: how much of what a customer buys is bought for less.

A purchase counts as discounted if its discount is `discounted_from` of its list value or more, or a
coupon was used. A sale for everybody says little about one customer, so purchases weigh less in a
calendar month in which all customers buy for less.

The fact may close a discount or choose another action; it never sets a price. Personal prices by
willingness to pay are what China's PIPL, article 24, calls unreasonable differential treatment.
"""

from bisect import insort
from collections.abc import Callable, Iterator
from math import nan

from msgspec import Struct

from models.customer.decay import added
from models.customer.edges import first_after
from models.customer.motion import steps
from models.customer.order_news import CANCELLED, COMPLETED, REFUNDED, UPDATED
from models.customer.part import Basis, Fact, Line, Part, ProfileSection, Told
from models.customer.price_measures import (
    MEASURES,
    PRICES_NAME,
    SUMS_DAYS,
    keys,
    samples,
    sums_of,
    sums_of_all,
)
from models.customer.price_news import DENIED, ENTERED, FILTERED, Discount, Filters
from models.customer.price_sensitivity import (
    YEAR_MS,
    Sensitivity,
    bought_until,
    buys_for_less_only,
    is_dependent,
    sensitivity_of,
)
from models.customer.price_state import (
    PURCHASES_MAX,
    PricedOrder,
    PriceParameters,
    Prices,
    follow,
    is_dropped,
    let_go,
    sort_key,
    united,
    unpack_earlier,
)
from models.customer.purchases import order_of_event, purchases
from models.customer.scene import Scene
from models.events.event import Event, EventType

_ORDER_EVENTS = frozenset({COMPLETED, UPDATED, REFUNDED, CANCELLED})
PRICE_DEPENDENT = "price-dependent"


def _record(state: Prices, event: Event, scene: Scene) -> None:
    if event.name in _ORDER_EVENTS:
        _note_order(state, event, scene)
    elif event.name != FILTERED or event.properties.is_cheapest_first:
        half_life_ms = scene.parameters.of(PriceParameters).hunting_half_life
        at_ms = event.occurred_at_ms
        state.hunting = added(state.hunting, state.hunting_at_ms, 1.0, at_ms, half_life_ms)
        state.hunting_at_ms = max(state.hunting_at_ms, at_ms)


def _note_order(state: Prices, event: Event, scene: Scene) -> None:
    """Keep an order as it stands after its event, and report what changed of it."""
    order = scene.of(order_of_event)
    if order is None or not order.placed_at_ms:
        return
    known = next((one for one in state.orders if one.id == order.id), None)
    if known is None and event.occurred_at_ms > order.placed_at_ms and is_dropped(state, order):
        return
    was_dependent = is_dependent(state, scene)
    told = sums_of(known, scene) if known is not None else {}
    if known is None:
        known = PricedOrder(order.placed_at_ms, order.id)
    else:
        state.orders.remove(known)
    follow(known, order, event)
    insort(state.orders, known, key=sort_key)
    if len(state.orders) > PURCHASES_MAX:
        let_go(state, scene.parameters.of(PriceParameters))
    tells = sums_of(known, scene) if known in state.orders else told
    changes = {key: tells.get(key, 0) - told.get(key, 0) for key in (*told, *tells)}
    if any(changes.values()):
        PRICES.tell(scene, [(key, day, by) for (key, day), by in sorted(changes.items()) if by])
    if is_dependent(state, scene) and not was_dependent:
        scene.raise_moment(PRICE_DEPENDENT)


def _take_up(scene: Scene) -> None:
    """Update the known orders; the prices of orders that came meanwhile are not known."""
    state = scene.row.read(PRICES)
    if not state.orders:
        return
    known = {one.id: one for one in scene.of(purchases).orders if one.placed_at_ms}
    state, before = scene.row.edit(PRICES), sums_of_all(state, scene)
    for one in state.orders:
        if (order := known.get(one.id)) is not None:
            one.placed_at_ms, one.is_purchase = order.placed_at_ms, order.is_purchase
    state.orders.sort(key=sort_key)
    PRICES.tell_changes(scene, before, sums_of_all(state, scene))


def _reunited(scene: Scene, before: Prices, other: Prices, sign: int) -> None:
    PRICES.tell_anew(scene, before, other, sign, lambda state: sums_of_all(state, scene))


def sensitivity(scene: Scene) -> Sensitivity | None:
    """The customer's price sensitivity at this moment; None without a purchase."""
    return sensitivity_of(scene.row.read(PRICES), scene)


def full_price_share(scene: Scene) -> float | None:
    """The share of the purchases of the last 365 days, the latest `PURCHASES_MAX` of them, that
    were made at full price; None without one, and if the part is switched off.
    """
    section = scene.parameters.of(PriceParameters)
    if not section.enabled:
        return None
    from_depth, at_ms = section.discounted_from, scene.at_ms
    after_ms, bought, full = at_ms - YEAR_MS, 0, 0
    for one in scene.row.read(PRICES).orders:
        if one.is_purchase and after_ms < one.placed_at_ms <= at_ms:
            bought += 1
            full += not one.has_coupon and one.depth < from_depth
    return full / bought if bought else None


def _edge(scene: Scene) -> int:
    """When the next purchase is more than 365 days old."""
    state = scene.row.read(PRICES)
    placed_ms = [state.full_ms, *(one.placed_at_ms for one in state.orders if one.is_purchase)]
    return first_after(scene.at_ms, (time_ms + YEAR_MS for time_ms in placed_ms))


def is_price_dependent(scene: Scene) -> bool:
    """Whether the customer buys only for less, so that a discount gains nothing but a lower price.

    False if the part is switched off.
    """
    return PRICES.is_on(scene.parameters) and is_dependent(scene.row.read(PRICES), scene)


def _number(read: str) -> Callable[[Scene], float]:
    def value(scene: Scene) -> float:
        found = scene.of(sensitivity)
        return nan if found is None else float(getattr(found, read))

    return value


def _discount_only(scene: Scene) -> float:
    """``discount_only`` of the `sensitivity`, without computing the rest."""
    state, at_ms = scene.row.read(PRICES), scene.at_ms
    if not bought_until(state, at_ms):
        return nan
    return float(buys_for_less_only(state, at_ms, scene.parameters.of(PriceParameters)))


FACTS = {
    "price_sensitivity": Fact(
        _number("total"),
        "the price decides {:.0%}",
        "0 to 1: how much the price decides, by discounts taken and looked for",
        least=0.0,
        most=1.0,
    ),
    "discount_share": Fact(
        _number("share"),
        "{:.0%} bought for less",
        "share of purchases with a discount or a coupon, drawn towards what is usual",
        least=0.0,
        most=1.0,
    ),
    "discount_only": Fact(
        _discount_only,
        "bought for less only: {:.0f}",
        "1 if there are three purchases or more in a year and none at full price, else 0",
        least=0.0,
        most=1.0,
        whole=True,
        moves=steps(_edge),
    ),
}


class PricesView(Struct, frozen=True, rename="camel"):
    sensitivity: float
    discount_share: float
    discount_depth: float
    hunting: float
    discount_only: bool


def _view(scene: Scene) -> PricesView | None:
    """None without a purchase, and if the part is switched off."""
    found = scene.of(sensitivity) if PRICES.is_on(scene.parameters) else None
    return None if found is None else PricesView(*found)


def _in_words(view: PricesView | None, _as_of: str, _currency: str) -> Iterator[Line]:
    if view is None:
        return
    only = ", none at full price in a year" if view.discount_only else ""
    yield Line(
        "prices",
        f"sensitivity {view.sensitivity:.2f}: {view.discount_share:.0%} bought for less, "
        f"{view.discount_depth:.0%} off where there was a discount{only}",
    )


PRICES: Part[Prices] = Part(
    name=PRICES_NAME,
    code="pr",
    about="How much the price decides: discounts taken, and signs of looking for them.",
    version=3,
    older={1: unpack_earlier, 2: unpack_earlier},
    dense_since=2,
    state=Prices,
    united=united,
    reunited=_reunited,
    parameters=PriceParameters,
    has_own_file=True,
    events={FILTERED: EventType(shape=Filters)},
    adds={COMPLETED: Discount, UPDATED: Discount},
    listens=frozenset({*_ORDER_EVENTS, FILTERED, ENTERED, DENIED}),
    record=_record,
    take_up=_take_up,
    moments={PRICE_DEPENDENT: "the customer now buys for less only, and the price decides"},
    offers=(sensitivity, is_price_dependent, full_price_share),
    reads=(order_of_event, purchases),
    facts=FACTS,
    sections=(
        ProfileSection(
            "prices",
            PricesView | None,
            _view,
            _in_words,
            place=440,
            basis=Basis.POPULATION,
            edge=_edge,
        ),
    ),
    population=Told(
        keys=keys,
        window_days=lambda _parameters: SUMS_DAYS,
        measures=MEASURES,
        samples=samples,
    ),
)
