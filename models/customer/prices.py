"""Price sensitivity: how much of what a customer buys is bought for less.

A purchase counts as discounted if its discount is `discounted_from` of its list value or more, or a
coupon was used. A sale for everybody says little about one customer, so purchases weigh less in a
calendar month in which all customers buy for less.

The fact may close a discount or choose another action; it never sets a price. Personal prices by
willingness to pay are what China's PIPL, article 24, calls unreasonable differential treatment.
"""

from bisect import insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from datetime import UTC, datetime
from functools import lru_cache
from math import exp, exp2, nan
from typing import ClassVar, NamedTuple

from msgspec import Struct, field, msgpack
from msgspec.structs import force_setattr

from config.duration import DAY_MS
from config.limits import Positive, PositiveInt, PositiveMs, Share
from config.parameters import Parameters, Section
from models.customer.decay import added, decayed
from models.customer.edges import first_after
from models.customer.motion import steps
from models.customer.order_news import (
    CANCELLED,
    COMPLETED,
    REFUNDED,
    UPDATED,
    OrderNews,
)
from models.customer.order_products import Product, number_or_none, take_discount
from models.customer.order_state import Order
from models.customer.part import Basis, Fact, Line, Part, ProfileSection, Sum, Told
from models.customer.purchases import order_of_event, purchases
from models.customer.row import State
from models.customer.scene import Scene
from models.events.event import Event, EventType
from models.learning.tallies import Tallies
from models.measures import Measure, Sample

FILTERED, ENTERED, DENIED = "Product List Filtered", "Coupon Entered", "Coupon Denied"
_ORDER_EVENTS = frozenset({COMPLETED, UPDATED, REFUNDED, CANCELLED})
PRICE_DEPENDENT = "price-dependent"
#: The latest purchases of a customer; older ones weigh little.
PURCHASES_MAX = 32
#: The weights of `share`, `depth` and `hunt` in the price sensitivity.
_WEIGHTS = (0.60, 0.25, 0.15)
#: A discount of this depth counts in full; this many signs of hunting, nearly so.
_DEEP, _SIGNS = 0.30, 3.0
_YEAR_MS = 365 * DAY_MS
_DEPENDENT_PURCHASES_MIN = 3
#: The sums over all customers cover this many days: two sales of each calendar month.
_SUMS_DAYS = 730
_MONTHS = tuple(f"{month:02d}" for month in range(1, 13))


class PriceParameters(Section, frozen=True):
    section = "prices"
    enabled: bool
    half_life: PositiveMs
    hunting_half_life: PositiveMs
    discounted_from: Share
    typical_share: Share
    typical_weight: Positive
    purchases_min: PositiveInt
    dependent_at: Share


class Discount(Struct, frozen=True, omit_defaults=True, gc=False):
    """The amount by which an order's price was lowered; unknown if it is not a number."""

    discount: float | str | None = None
    #: A bad discount does not cost the order.
    dispensable: ClassVar[frozenset[str]] = frozenset({"discount"})

    def __post_init__(self) -> None:
        """Without a discount of its own, an order has that of its products."""
        products: Sequence[Product] = getattr(self, "products", None) or ()
        found = take_discount(products) if products else None
        if found is not None and self.discount is None:
            force_setattr(self, "discount", found)


class Sort(Struct, frozen=True, omit_defaults=True, gc=False):
    type: str | None = None
    value: str | None = None


class Filters(Struct, frozen=True, omit_defaults=True):
    """How a list of products was filtered; only whether it is sorted by price is read."""

    sorts: tuple[Sort, ...] | None = None
    dispensable: ClassVar[frozenset[str]] = frozenset({"sorts"})

    @property
    def is_cheapest_first(self) -> bool:
        return any(
            (sort.type or "").lower() == "price" and (sort.value or "").lower().startswith("asc")
            for sort in self.sorts or ()
        )


class PricedOrder(State):
    """An order's discount as a share of its list value (``depth``), by the latest event that states
    one, and whether any event states a coupon.
    """

    placed_at_ms: int
    id: int
    priced_at_ms: int = 0
    depth: float = 0.0
    has_coupon: bool = False
    is_purchase: bool = False


class Prices(State):
    """The latest orders by (time, id), and a decayed count of signs of hunting for a price.

    ``full_ms``: the time of the latest purchase at full price before these orders.
    """

    orders: list[PricedOrder] = field(default_factory=list)
    hunting: float = 0.0
    hunting_at_ms: int = 0
    full_ms: int = 0


_STORED = msgpack.Decoder(Prices)


def _unpack_earlier(content: bytes) -> Prices:
    """Read version 1 or 2, in which an event without a discount counted as one that says there is
    none.
    """
    state = _STORED.decode(content)
    for order in state.orders:
        if not order.depth:
            order.priced_at_ms = 0
    return state


def _sort_key(order: PricedOrder) -> tuple[int, int]:
    return order.placed_at_ms, order.id


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
    if known is None and event.occurred_at_ms > order.placed_at_ms and _is_gone(state, order):
        return
    was_dependent = _is_dependent(state, scene)
    told = _sums_of(known, scene) if known is not None else {}
    if known is None:
        known = PricedOrder(order.placed_at_ms, order.id)
    else:
        state.orders.remove(known)
    _follow(known, order, event)
    insort(state.orders, known, key=_sort_key)
    if len(state.orders) > PURCHASES_MAX:
        _let_go(state, scene.parameters.of(PriceParameters))
    tells = _sums_of(known, scene) if known in state.orders else told
    changes = {key: tells.get(key, 0) - told.get(key, 0) for key in (*told, *tells)}
    if any(changes.values()):
        PRICES.tell(scene, [(key, day, by) for (key, day), by in sorted(changes.items()) if by])
    if _is_dependent(state, scene) and not was_dependent:
        scene.raise_moment(PRICE_DEPENDENT)


def _take_up(scene: Scene) -> None:
    """Update the known orders; the prices of orders that came meanwhile are not known."""
    state = scene.row.read(PRICES)
    if not state.orders:
        return
    known = {one.id: one for one in scene.of(purchases).orders if one.placed_at_ms}
    state, before = scene.row.edit(PRICES), _sums_of_all(state, scene)
    for one in state.orders:
        if (order := known.get(one.id)) is not None:
            one.placed_at_ms, one.is_purchase = order.placed_at_ms, order.is_purchase
    state.orders.sort(key=_sort_key)
    PRICES.tell_changes(scene, before, _sums_of_all(state, scene))


def _follow(known: PricedOrder, order: Order, event: Event) -> None:
    known.placed_at_ms, known.is_purchase = order.placed_at_ms, order.is_purchase
    news, at_ms = event.properties, event.occurred_at_ms
    if not isinstance(news, OrderNews):
        return
    # What an event does not state stays as it is.
    known.has_coupon = known.has_coupon or bool(news.coupon)
    depth = _depth(news)
    if depth is not None and at_ms >= known.priced_at_ms:
        # Of two discounts of one moment, it is not known which came first, so the lower one counts.
        known.depth = min(depth, known.depth) if at_ms == known.priced_at_ms else depth
        known.priced_at_ms = at_ms


def _depth(news: OrderNews) -> float | None:
    """The discount's share of the list value, which is the discount plus what was paid; None if it
    is not stated.
    """
    discount = number_or_none(getattr(news, "discount", None))
    if not discount:
        return discount
    return discount / ((news.amount or 0.0) + discount)


def _let_go(state: Prices, section: PriceParameters) -> None:
    """Keep the latest orders; of earlier ones, only the latest at full price."""
    while len(state.orders) > PURCHASES_MAX:
        order = state.orders.pop(0)
        if order.is_purchase and not _is_discounted(order, section):
            state.full_ms = max(state.full_ms, order.placed_at_ms)


def _is_gone(state: Prices, order: Order) -> bool:
    """Whether an order that is not among the latest was dropped: a dropped order is not counted
    again.
    """
    orders = state.orders
    return len(orders) == PURCHASES_MAX and (order.placed_at_ms, order.id) < _sort_key(orders[0])


def _is_discounted(order: PricedOrder, section: PriceParameters) -> bool:
    return order.has_coupon or order.depth >= section.discounted_from


def _sums_of(order: PricedOrder, scene: Scene) -> dict[tuple[str, int], int]:
    """An order's share of the sums over all customers."""
    if not order.is_purchase:
        return {}
    day = order.placed_at_ms // DAY_MS
    month = _month_of(day)
    sums = {(f"purchases:{month}", day): 1}
    if _is_discounted(order, scene.parameters.of(PriceParameters)):
        sums[f"discounted:{month}", day] = 1
    return sums


def _sums_of_all(state: Prices, scene: Scene) -> list[Sum]:
    return [
        (key, day, amount)
        for order in state.orders
        for (key, day), amount in _sums_of(order, scene).items()
    ]


def _reunited(scene: Scene, before: Prices, other: Prices, sign: int) -> None:
    PRICES.tell_anew(scene, before, other, sign, lambda state: _sums_of_all(state, scene))


@lru_cache(maxsize=4_096)
def _month_of(day: int) -> str:
    return _MONTHS[datetime.fromtimestamp(day * DAY_MS // 1_000, UTC).month - 1]


class Usual(NamedTuple):
    """The share of all customers' purchases that is discounted, over all and by calendar month."""

    share: float
    by_month: Mapping[str, float]


def _usual(scene: Scene) -> Usual:
    """As of the snapshot; the operator's values if too few purchases were seen."""
    section = scene.parameters.of(PriceParameters)
    found = scene.snapshot.of(Tallies).parts.get(PRICES.name, {})
    return _usual_of(found, section)


def _usual_of(sums: Mapping[str, int], section: PriceParameters) -> Usual:
    shares: dict[str, float] = {}
    purchases = discounted = 0
    for month in _MONTHS:
        count = sums.get(f"purchases:{month}", 0)
        lower = sums.get(f"discounted:{month}", 0)
        purchases += count
        discounted += lower
        if count >= section.purchases_min:
            shares[month] = lower / count
    enough = purchases >= section.purchases_min
    return Usual(discounted / purchases if enough else section.typical_share, shares)


class Sensitivity(NamedTuple):
    """How much the price decides, 0 to 1, and what that is made of.

    ``share`` of purchases that are discounted, drawn towards the usual one; ``depth`` of their
    discounts; ``hunt``: 0 to 1, signs of looking for a lower price. ``discount_only``: at least
    three purchases in the last 365 days, none at full price.
    """

    total: float
    share: float
    depth: float
    hunt: float
    discount_only: bool


def sensitivity(scene: Scene) -> Sensitivity | None:
    """The customer's price sensitivity at this moment; None without a purchase."""
    return _sensitivity(scene.row.read(PRICES), scene)


def full_price_share(scene: Scene) -> float | None:
    """The share of the purchases of the last 365 days, the latest `PURCHASES_MAX` of them, that
    were made at full price; None without one, and if the part is switched off.
    """
    section = scene.parameters.of(PriceParameters)
    if not section.enabled:
        return None
    from_depth, at_ms = section.discounted_from, scene.at_ms
    after_ms, bought, full = at_ms - _YEAR_MS, 0, 0
    for one in scene.row.read(PRICES).orders:
        if one.is_purchase and after_ms < one.placed_at_ms <= at_ms:
            bought += 1
            full += not one.has_coupon and one.depth < from_depth
    return full / bought if bought else None


def _sensitivity(state: Prices, scene: Scene) -> Sensitivity | None:
    section, at_ms = scene.parameters.of(PriceParameters), scene.at_ms
    bought = _bought_until(state, at_ms)
    if not bought:
        return None
    usual = scene.of(_usual)
    all_weights = discounted_weights = depths = 0.0
    for order in bought:
        weight = exp2(-(at_ms - order.placed_at_ms) / section.half_life) * _surprise(order, usual)
        all_weights += weight
        if _is_discounted(order, section):
            discounted_weights += weight
            depths += weight * order.depth
    spare = section.typical_weight
    share = (discounted_weights + spare * usual.share) / (all_weights + spare)
    depth = depths / discounted_weights if discounted_weights else 0.0
    lag_ms = at_ms - state.hunting_at_ms
    hunt = 1.0 - exp(-decayed(state.hunting, lag_ms, section.hunting_half_life) / _SIGNS)
    of_share, of_depth, of_hunt = _WEIGHTS
    return Sensitivity(
        of_share * share + of_depth * min(depth / _DEEP, 1.0) + of_hunt * hunt,
        share,
        depth,
        hunt,
        _buys_for_less_only(state, at_ms, section),
    )


def _bought_until(state: Prices, at_ms: int) -> list[PricedOrder]:
    return [one for one in state.orders if one.is_purchase and one.placed_at_ms <= at_ms]


def _buys_for_less_only(state: Prices, at_ms: int, section: PriceParameters) -> bool:
    """Whether there are enough purchases in the last 365 days, none of them at full price."""
    lately = 0
    if at_ms - _YEAR_MS < state.full_ms <= at_ms:
        return False
    # The latest first: one at full price decides it, and most customers have one.
    for one in reversed(state.orders):
        if one.is_purchase and at_ms - _YEAR_MS < one.placed_at_ms <= at_ms:
            if not _is_discounted(one, section):
                return False
            lately += 1
    return lately >= _DEPENDENT_PURCHASES_MIN


def _edge(scene: Scene) -> int:
    """When the next purchase is more than 365 days old."""
    state = scene.row.read(PRICES)
    placed_ms = [state.full_ms, *(one.placed_at_ms for one in state.orders if one.is_purchase)]
    return first_after(scene.at_ms, (time_ms + _YEAR_MS for time_ms in placed_ms))


def _surprise(order: PricedOrder, usual: Usual) -> float:
    """How much a purchase says about its customer: 1, and less in a month in which all customers
    buy for less than is usual in other months.
    """
    in_month = usual.by_month.get(_month_of(order.placed_at_ms // DAY_MS))
    if in_month is None or in_month <= usual.share:
        return 1.0
    return (1.0 - in_month) / (1.0 - usual.share)


def is_price_dependent(scene: Scene) -> bool:
    """Whether the customer buys only for less, so that a discount gains nothing but a lower price.

    False if the part is switched off.
    """
    return PRICES.is_on(scene.parameters) and _is_dependent(scene.row.read(PRICES), scene)


def _is_dependent(state: Prices, scene: Scene) -> bool:
    section = scene.parameters.of(PriceParameters)
    if not _buys_for_less_only(state, scene.at_ms, section):
        return False
    found = _sensitivity(state, scene)
    return found is not None and found.total >= section.dependent_at


def _united(states: Sequence[Prices], parameters: Parameters) -> Prices:
    """One person's prices: of each order its latest price, and the signs of all ids added up.

    Not additive: a refund that was heard under another id than its order is not seen.
    """
    one = Prices()
    half_life_ms = parameters.of(PriceParameters).hunting_half_life
    orders: dict[int, PricedOrder] = {}
    for state in states:
        for order in state.orders:
            known = orders.get(order.id)
            orders[order.id] = copy(order) if known is None else _merged(known, order)
        at_ms = state.hunting_at_ms
        one.hunting = added(one.hunting, one.hunting_at_ms, state.hunting, at_ms, half_life_ms)
        one.hunting_at_ms = max(one.hunting_at_ms, at_ms)
        one.full_ms = max(one.full_ms, state.full_ms)
    one.orders = sorted(orders.values(), key=_sort_key)
    _let_go(one, parameters.of(PriceParameters))
    return one


def _merged(one: PricedOrder, other: PricedOrder) -> PricedOrder:
    """One order by the events of two ids."""
    latest = copy(max(one, other, key=lambda order: order.priced_at_ms))
    if one.priced_at_ms == other.priced_at_ms:
        latest.depth = min(one.depth, other.depth)
    latest.has_coupon = one.has_coupon or other.has_coupon
    latest.placed_at_ms = min(one.placed_at_ms, other.placed_at_ms)
    latest.is_purchase = one.is_purchase and other.is_purchase
    return latest


def _number(read: str) -> Callable[[Scene], float]:
    def value(scene: Scene) -> float:
        found = scene.of(sensitivity)
        return nan if found is None else float(getattr(found, read))

    return value


def _discount_only(scene: Scene) -> float:
    """``discount_only`` of the `sensitivity`, without computing the rest."""
    state, at_ms = scene.row.read(PRICES), scene.at_ms
    if not _bought_until(state, at_ms):
        return nan
    return float(_buys_for_less_only(state, at_ms, scene.parameters.of(PriceParameters)))


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


_DISCOUNTED = Measure(
    "keepstream_discounted_purchases_share",
    "Share of purchases of the last two years with a discount or a coupon, by calendar month",
    ("month",),
)


def _keys(_parameters: Parameters) -> list[str]:
    return [f"{what}:{month}" for month in _MONTHS for what in ("purchases", "discounted")]


def _samples(sums: Mapping[str, int], parameters: Parameters) -> Iterator[Sample]:
    usual = _usual_of(sums, parameters.of(PriceParameters))
    for month, share in usual.by_month.items():
        yield Sample(_DISCOUNTED, (month,), share)


PRICES: Part[Prices] = Part(
    name="prices",
    code="pr",
    about="How much the price decides: discounts taken, and signs of looking for them.",
    version=3,
    older={1: _unpack_earlier, 2: _unpack_earlier},
    dense_since=2,
    state=Prices,
    united=_united,
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
        keys=_keys,
        window_days=lambda _parameters: _SUMS_DAYS,
        measures=(_DISCOUNTED,),
        samples=_samples,
    ),
)
