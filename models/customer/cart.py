"""The cart as quantities of variants, whatever the order of arrival.

Recent changes are kept, sorted by time. Once no late event can precede a change, it is folded into
the items. An order empties the cart once, however often its page is shown.
"""

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import nan
from typing import ClassVar, Final, NamedTuple

import msgspec
from msgspec import Struct, field

from config.duration import HOUR_MS
from config.limits import PositiveMs
from config.parameters import Money, Parameters, Section
from config.topics import CLICKSTREAM
from models.customer.edges import of_timer
from models.customer.fingerprint import fingerprint
from models.customer.motion import STILL, since
from models.customer.order_products import QUANTITIES, VARIANTS
from models.customer.part import Fact, Line, Part, ProfileSection, Timer
from models.customer.row import State
from models.customer.scene import Scene
from models.customer.words import counted, how_long_before
from models.events.event import Amount, Event, EventType
from models.events.times import iso_or_none
from models.money import AMOUNT_MINOR_MAX, foreign, has_rate, minor_per_unit, rate_of
from models.money import in_words as money_in_words

ADDED, REMOVED = "Product Added", "Product Removed"
FROM_WISHLIST = "Wishlist Product Added to Cart"
VIEWED, UPDATED, EMPTIED = "Cart Viewed", "Cart Updated", "Cart Emptied"
CHECKOUT = "Checkout Started"
#: It empties the cart of what was put in before it.
_ORDER_COMPLETED = "Order Completed"
CART_IDLE = "cart-idle"
_IDLE = "cart"
#: Changes that are kept unfolded; beyond that, the oldest are folded before they are settled.
CHANGES_MAX: Final = 48
#: Orders that are remembered because they have already emptied the cart.
ORDERS_MAX: Final = 16
#: Units of one product; a larger quantity is a mistake.
_QUANTITY_MAX: Final = 1e12
#: Decimal places of a quantity; anything beyond is the rounding error of float sums.
_DECIMALS: Final = 6
#: The quantity that stands for all of a product, and the price that stands for none given.
_ALL: Final = -1.0
_UNSAID: Final = -1.0

#: What a change does. The numbers are stored. Of changes at one time, the higher number is applied
#: later: a statement of the cart's contents wins, and an order takes what was put in with it.
PUT, TAKE, CLEAR, STATE, CHECK, ORDER = range(6)
_FILLING: Final = (PUT, STATE, CHECK)
_EMPTYING: Final = (CLEAR, ORDER)


class CartParameters(Section, frozen=True):
    """``idle``: a cart that is not empty and not touched for this long is abandoned."""

    section = "cart"
    idle: PositiveMs


class CartProduct(Struct, frozen=True, omit_defaults=True, gc=False):
    """A product and its quantity, 1 if none is given; ``price`` is per unit."""

    product_id: str | None = None
    sku: str | None = None
    variant: str | None = None
    name: str | None = None
    price: Amount | None = None
    quantity: Amount | None = None
    #: A cart's contents are known even without prices.
    dispensable: ClassVar[frozenset[str]] = frozenset({"price"})
    in_any_case: ClassVar[bool] = True
    #: The names that tag managers and shop systems use.
    aliases: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("item_id",), "product_id"),
        **VARIANTS,
        **dict.fromkeys(("item_name", "product_name"), "name"),
        **dict.fromkeys(("item_price",), "price"),
        **QUANTITIES,
    }

    @property
    def is_named(self) -> bool:
        """Whether it says which product it is."""
        return bool(self.sku or self.product_id or self.name)

    @property
    def key_and_product(self) -> tuple[int, int]:
        """The key of the variant (sku, else variant, else the product itself), and the key that all
        variants of the product share.
        """
        name = self.product_id or self.sku or self.name or "?"
        product = fingerprint(name)
        if self.sku:
            return (product if name is self.sku else fingerprint(self.sku)), product
        if self.variant:
            variant = fingerprint(f"{self.product_id or self.name or '?'}\n{self.variant}")
            return variant, product
        return product, product


class CartNews(CartProduct, frozen=True, omit_defaults=True, gc=False):
    """One product, or each of ``products``, was put into the cart or taken out of it. Of a cart
    that was viewed or updated, ``products`` is everything in it.
    """

    products: tuple[CartProduct, ...] | None = None
    order_id: str | None = None
    currency: str | None = None
    dispensable: ClassVar[frozenset[str]] = CartProduct.dispensable | {"order_id"}
    aliases: ClassVar[Mapping[str, str]] = {
        **CartProduct.aliases,
        **dict.fromkeys(
            ("items", "line_items", "cart_items", "contents", "content_ids"), "products"
        ),
        **dict.fromkeys(("currency_code", "presentment_currency"), "currency"),
    }
    holders: ClassVar[tuple[str, ...]] = (
        *("properties", "data", "ecommerce", "cart", "basket", "checkout", "add", "remove"),
        *("cartline", "merchandise", "product", "item"),
    )
    #: A cart's contents are known even without prices.
    has_amount: ClassVar[bool] = False

    @property
    def worth(self) -> float | None:
        """The sum of price times quantity of the products with a price; None without any price."""
        products = (self,) if self.is_named or not self.products else self.products
        found = None
        for one in products:
            if one.price is not None:
                pieces = 1.0 if one.quantity is None else one.quantity
                found = (found or 0.0) + one.price * pieces
        return found


class Change(NamedTuple):
    """A change of the cart. ``key`` is the variant, or the order that empties it; ``price`` is in
    minor units, not rounded.
    """

    at_ms: int
    what: int
    key: int = 0
    product: int = 0
    quantity: float = 0.0
    price: float = _UNSAID


class CartItem(State):
    """A variant's quantity and its latest price in minor units; ``at_ms``: when it last changed."""

    key: int
    product: int
    quantity: float = 0.0
    price: float = 0.0
    at_ms: int = 0

    @property
    def value_minor(self) -> int:
        return round(min(self.price * self.quantity, AMOUNT_MINOR_MAX))

    def as_change(self) -> Change:
        """The change that puts all of it in at the time of its last change."""
        price = self.price or _UNSAID
        return Change(self.at_ms, PUT, self.key, self.product, self.quantity, price)


class Cart(State):
    """Settled items and later changes, the last touch, and the orders that emptied the cart.

    ``items`` are sorted by variant; ``orders`` are the settled ones, in the order of time.
    """

    items: list[CartItem] = field(default_factory=list)
    touched_at_ms: int = 0
    emptied_at_ms: int = 0
    changes: list[Change] = field(default_factory=list)
    orders: list[int] = field(default_factory=list)

    def contents(self) -> list[CartItem]:
        """The present items, sorted by variant; read only."""
        if not self.changes:
            return self.items
        return _sorted(_folded(self, self.changes).items)

    @property
    def is_empty(self) -> bool:
        if self.changes:
            last = self.changes[-1]
            # Nearly always the last change put something in, or was an order that took everything:
            # then nothing needs to be added up.
            if last.what in _FILLING and last.quantity and last.at_ms > self.emptied_at_ms:
                return False
            if last.what == ORDER and self._takes_all(last):
                return True
        return not self.contents()

    def _takes_all(self, order: Change) -> bool:
        """Whether the last change is the first event of an order, and no settled item is later."""
        if order.key and (
            order.key in self.orders
            or [True for one in self.changes[:-1] if one.key == order.key and one.what == ORDER]
        ):
            return False
        return not [True for item in self.items if item.at_ms > order.at_ms]

    def settle(self, settled_ms: int, products_max: int) -> None:
        """Fold the changes that no late event can precede, and the oldest beyond `CHANGES_MAX`."""
        changes, place = self.changes, 0
        for change in changes:
            if change.at_ms >= settled_ms:
                break
            place += 1
        if place < len(changes) - CHANGES_MAX:
            place = len(changes) - CHANGES_MAX
        if not place:
            return
        after = _folded(self, changes[:place])
        self.items = _latest(_sorted(after.items), products_max)
        self.orders, self.emptied_at_ms = after.orders[-ORDERS_MAX:], after.emptied_at_ms
        self.changes = changes[place:]


class _Fold:
    """A cart while changes are applied to it, in the order of time. Some settled items may be later
    than these changes.
    """

    __slots__ = ("before", "emptied_at_ms", "items", "orders")

    def __init__(self, cart: Cart) -> None:
        self.items: dict[int, CartItem] = {
            item.key: CartItem(item.key, item.product, item.quantity, item.price, item.at_ms)
            for item in cart.items
        }
        #: The items before the cart's contents were stated anew, kept for their prices.
        self.before: dict[int, CartItem] = {}
        self.orders = list(cart.orders)
        self.emptied_at_ms = cart.emptied_at_ms

    def put(self, change: Change) -> None:
        item = self.items.get(change.key)
        if item is None:
            item = self.items[change.key] = CartItem(change.key, change.product)
        quantity = round(item.quantity + change.quantity, _DECIMALS)
        item.quantity = min(quantity, _QUANTITY_MAX)
        if change.price != _UNSAID and change.at_ms >= item.at_ms:
            item.price = change.price
        item.at_ms = max(item.at_ms, change.at_ms)
        if not item.quantity:
            del self.items[change.key]

    def take(self, change: Change) -> None:
        """Take from the variant, and what it lacks from the other items that may be meant."""
        left, meant = change.quantity, self._meant(change)
        if left == _ALL and change.key != change.product:
            meant = meant[:1]
        for item in meant:
            taken = item.quantity if left == _ALL else min(left, item.quantity)
            item.quantity = round(item.quantity - taken, _DECIMALS)
            item.at_ms = max(item.at_ms, change.at_ms)
            if left != _ALL:
                left = round(left - taken, _DECIMALS)
            if not item.quantity:
                del self.items[item.key]

    def clear(self, change: Change) -> None:
        self.before, self.items = self.items, self._later_than(change)

    def state(self, change: Change) -> None:
        if (item := self.items.get(change.key)) is not None and item.at_ms > change.at_ms:
            return
        if change.price == _UNSAID and (before := self.before.get(change.key)) is not None:
            change = change._replace(price=before.price)
        self.items.pop(change.key, None)
        self.put(change)

    def check(self, change: Change) -> None:
        """A checkout lists what is being bought, so at least that much of it is in the cart."""
        there = 0.0
        for item in self._meant(change):
            there += item.quantity
        if there < change.quantity:
            self.put(change._replace(quantity=change.quantity - there))

    def order(self, change: Change) -> None:
        """The first event of an order empties the cart; later ones, such as its page shown again,
        do not.
        """
        if change.key:
            if change.key in self.orders:
                return
            self.orders.append(change.key)
        self.items = self._later_than(change)
        self.emptied_at_ms = max(self.emptied_at_ms, change.at_ms)

    def _later_than(self, change: Change) -> dict[int, CartItem]:
        return {key: item for key, item in self.items.items() if item.at_ms > change.at_ms}

    def _meant(self, change: Change) -> list[CartItem]:
        """The items that the change may mean, the variant's own first. A change of a product means
        any variant of it, and a variant may have been put in under its product.
        """
        key, product, items = change.key, change.product, self.items
        keys = [key]
        if key != product:
            keys.append(product)
        else:
            variants = [one for one, item in items.items() if item.product == product]
            keys += sorted([one for one in variants if one != product])
        return [items[one] for one in keys if one in items]


_APPLY: Final = (_Fold.put, _Fold.take, _Fold.clear, _Fold.state, _Fold.check, _Fold.order)


def _folded(cart: Cart, changes: Iterable[Change]) -> _Fold:
    fold = _Fold(cart)
    for change in changes:
        # An order took what came before it. Earlier orders are still noted.
        if change.what == ORDER or change.at_ms > fold.emptied_at_ms:
            _APPLY[change.what](fold, change)
    return fold


def _sorted(items: dict[int, CartItem]) -> list[CartItem]:
    return [items[key] for key in sorted(items)]


def _latest(items: list[CartItem], products_max: int) -> list[CartItem]:
    """The items that changed last, at most ``products_max``."""
    if len(items) <= products_max:
        return items
    latest = sorted(items, key=lambda item: (item.at_ms, item.key))
    return sorted(latest[-products_max:], key=lambda item: item.key)


def _record(state: Cart, event: Event, scene: Scene) -> None:
    """Note that the customer changed, viewed or bought the cart."""
    parameters = scene.parameters
    at_ms = event.occurred_at_ms
    if event.name != _ORDER_COMPLETED:
        if at_ms > state.touched_at_ms:
            state.touched_at_ms = at_ms
    for change in _changes(event, parameters.money):
        insort(state.changes, change)
    settled_ms = scene.context.clock_ms - parameters.time.lateness
    state.settle(settled_ms, parameters.bounds.products)
    _wait(state, scene)


def _wait(state: Cart, scene: Scene) -> None:
    """Set the timer to when the cart will have been untouched for ``idle``."""
    due_ms = 0
    if not state.is_empty:
        due_ms = state.touched_at_ms + scene.parameters.of(CartParameters).idle
    scene.row.set_due(_IDLE, due_ms)


def _reunited(scene: Scene, _before: Cart, _other: Cart, _sign: int) -> None:
    _wait(scene.row.read(CART), scene)


def _minor_of(event: Event, money: Money) -> float | None:
    """The shop's minor units in one unit of the event's currency; None for a currency without a
    rate, whose prices are ignored.
    """
    at_ms, code = event.occurred_at_ms, foreign(getattr(event.properties, "currency", None), money)
    if not has_rate(code, at_ms, money):
        return None
    return minor_per_unit(money.currency) * (rate_of(code, at_ms, money) if code else 1.0)


def _changes(event: Event, money: Money) -> Sequence[Change]:
    """The changes that an event makes to the cart."""
    at_ms, news, name = event.occurred_at_ms, event.properties, event.name
    if name == _ORDER_COMPLETED:
        order_id = getattr(news, "order_id", None)
        return (Change(at_ms, ORDER, fingerprint(order_id) if order_id else 0),)
    if name == EMPTIED:
        return (Change(at_ms, CLEAR),)
    minor = _minor_of(event, money)
    if name in (VIEWED, UPDATED):
        if news.products is None:
            return ()
        return [Change(at_ms, CLEAR), *_added_up(at_ms, STATE, news.products, minor)]
    if name == CHECKOUT:
        return _added_up(at_ms, CHECK, news.products or (), minor)
    what = TAKE if name == REMOVED else PUT
    products = (news,) if news.is_named or not news.products else news.products
    return [_of(at_ms, what, one, minor) for one in products]


def _of(at_ms: int, what: int, said: CartProduct, minor: float | None) -> Change:
    unsaid = _ALL if what == TAKE else 1.0
    quantity = unsaid if said.quantity is None else round(said.quantity, _DECIMALS)
    price = _UNSAID if said.price is None or minor is None else said.price * minor
    key, product = said.key_and_product
    return Change(at_ms, what, key, product, quantity, price)


def _added_up(
    at_ms: int, what: int, products: Iterable[CartProduct], minor: float | None
) -> Sequence[Change]:
    """One change for each variant: a cart may list a variant on several lines."""
    by_key: dict[int, Change] = {}
    for said in products:
        one = _of(at_ms, what, said, minor)
        before = by_key.get(one.key)
        if before is not None:
            one = one._replace(
                quantity=before.quantity + one.quantity, price=max(before.price, one.price)
            )
        by_key[one.key] = one
    return [*by_key.values()]


def _abandon(scene: Scene) -> None:
    scene.raise_moment(CART_IDLE)


def _united(states: Sequence[Cart], parameters: Parameters) -> Cart:
    """One person's cart: the items of all ids, except those that a later order under any id took.

    An order takes what was put in before it and nothing after it, whether they are settled or not.
    """
    one, products_max = Cart(), parameters.bounds.products
    items: dict[int, CartItem] = {}
    changes: list[Change] = []
    orders: set[int] = set()
    for state in states:
        one.touched_at_ms = max(one.touched_at_ms, state.touched_at_ms)
        one.emptied_at_ms = max(one.emptied_at_ms, state.emptied_at_ms)
        orders.update(state.orders)
        changes += state.changes
    # An item settled under one id may be later than what empties the cart under another.
    first_ms = min((c.at_ms for c in changes if c.what in _EMPTYING), default=None)
    # Sorted, so that the order of ids does not matter: a variant keeps the product it was first put
    # in as.
    lying = [item for state in states for item in state.items]
    for item in sorted(lying, key=lambda item: (item.at_ms, item.price, item.product)):
        if item.at_ms <= one.emptied_at_ms:
            continue
        if first_ms is not None and item.at_ms > first_ms:
            changes.append(item.as_change())
            continue
        mine = items.setdefault(item.key, CartItem(item.key, item.product))
        mine.quantity = round(mine.quantity + item.quantity, _DECIMALS)
        mine.at_ms, mine.price = max((mine.at_ms, mine.price), (item.at_ms, item.price))
    # It is not known which of two ids' orders came first.
    is_one = sum(bool(state.orders) for state in states) == 1
    known = next((state.orders for state in states if state.orders), [])
    one.orders = list(known) if is_one else sorted(orders)[-ORDERS_MAX:]
    one.items = _latest(_sorted(items), products_max)
    one.changes = sorted(changes)
    one.settle(0, products_max)
    return one


class _ItemBefore(Struct, array_like=True):
    """A product of version 1, with the latest times it was put in and taken out."""

    product: int
    added_at_ms: int
    removed_at_ms: int
    value_minor: int


class _CartBefore(Struct, array_like=True):
    items: list[_ItemBefore]
    touched_at_ms: int
    emptied_at_ms: int


def _of_version_1(content: bytes) -> Cart:
    """Version 1 stored what a product was worth, but not its quantity, which is taken as 1."""
    before = msgspec.msgpack.decode(content, type=_CartBefore)
    items = [
        CartItem(item.product, item.product, 1.0, float(item.value_minor), item.added_at_ms)
        for item in before.items
        if item.added_at_ms > max(item.removed_at_ms, before.emptied_at_ms)
    ]
    return Cart(items, before.touched_at_ms, before.emptied_at_ms)


def cart(scene: Scene) -> Cart:
    """The customer's cart; read only."""
    return scene.row.read(CART)


def contents(scene: Scene) -> list[CartItem]:
    """What is in the customer's cart; read only."""
    return scene.row.read(CART).contents()


def value_minor(scene: Scene) -> int:
    """The value of the cart at its latest prices."""
    total_minor = 0
    for item in scene.of(contents):
        total_minor += item.value_minor
    return total_minor


def _units(scene: Scene) -> float:
    units = 0.0
    for item in scene.of(contents):
        units += item.quantity
    return units


def _touched_ms(scene: Scene) -> int:
    return scene.row.read(CART).touched_at_ms


def _idle_hours(scene: Scene) -> float:
    touched_ms = _touched_ms(scene)
    return (scene.at_ms - touched_ms) / HOUR_MS if touched_ms else nan


FACTS = {
    "cart_items": Fact(
        lambda s: float(len(s.of(contents))),
        "{:.0f} in the cart",
        "different products in the cart",
        least=0.0,
        whole=True,
        moves=STILL,
    ),
    "cart_units": Fact(
        _units,
        "{:g} pieces",
        "how many pieces of all products are in the cart",
        least=0.0,
        moves=STILL,
    ),
    "cart_value": Fact(
        lambda s: s.money(s.of(value_minor)),
        "worth {:.2f}",
        "what the cart is worth",
        least=0.0,
        moves=STILL,
    ),
    "cart_idle_hours": Fact(
        _idle_hours,
        "untouched for {:.1f} hours",
        "hours since the cart was last touched",
        moves=since(_touched_ms, HOUR_MS),
    ),
}


class CartView(Struct, frozen=True, rename="camel"):
    items: int
    value_minor: int
    touched_at: str | None


def _view(scene: Scene) -> CartView:
    state = scene.row.read(CART)
    return CartView(
        len(scene.of(contents)), scene.of(value_minor), iso_or_none(state.touched_at_ms)
    )


def _in_words(view: CartView, as_of: str, currency: str) -> Iterator[Line]:
    if not view.items:
        yield Line("cart", "empty")
        return
    value = money_in_words(view.value_minor, currency)
    touched = how_long_before(view.touched_at, as_of)
    yield Line("cart", f"{counted(view.items, 'product')}, {value}, touched {touched}")


_NEWS = EventType(shape=CartNews, value=lambda news: news.worth)
EVENTS = {
    **dict.fromkeys((ADDED, REMOVED, FROM_WISHLIST, VIEWED, CHECKOUT), _NEWS),
    UPDATED: msgspec.structs.replace(_NEWS, topic=CLICKSTREAM),
    EMPTIED: EventType(topic=CLICKSTREAM),
}

CART: Part[Cart] = Part(
    name="cart",
    code="ca",
    is_apart=True,
    about="What was put into the cart and neither taken out nor bought.",
    state=Cart,
    version=3,
    dense_since=3,
    older={1: _of_version_1},
    united=_united,
    reunited=_reunited,
    parameters=CartParameters,
    events=EVENTS,
    listens=frozenset({*EVENTS, _ORDER_COMPLETED}),
    record=_record,
    timers=(Timer(_IDLE, _abandon),),
    moments={CART_IDLE: "a cart that isn't empty was left alone for cart.idle"},
    offers=(cart,),
    facts=FACTS,
    sections=(ProfileSection("cart", CartView, _view, _in_words, place=430, edge=of_timer(_IDLE)),),
)
