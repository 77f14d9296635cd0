"""What lies in the cart, as latest times per product, so that arrival order doesn't matter."""

from collections.abc import Iterator, Sequence
from math import nan

from msgspec import Struct, field

from config.duration import HOUR_MS
from config.limits import PositiveMs
from config.parameters import Parameters, Section
from models.customer.fingerprint import fingerprint
from models.customer.part import Fact, Line, Part, ProfileSection, Timer
from models.customer.row import State
from models.customer.scene import Scene
from models.customer.words import counted, how_long_before
from models.events.event import Amount, Event, EventType
from models.events.wire import iso_or_none
from models.money import in_words as money_in_words
from models.money import minor_units

ADDED, REMOVED = "Product Added", "Product Removed"
VIEWED, CHECKOUT = "Cart Viewed", "Checkout Started"
#: It takes with it what was put in before.
_ORDER_COMPLETED = "Order Completed"
CART_IDLE = "cart-idle"
_IDLE = "cart"


class CartParameters(Section, frozen=True):
    """``idle``: a cart that is not empty and not touched for this long is abandoned."""

    section = "cart"
    idle: PositiveMs


class CartProduct(Struct, frozen=True, omit_defaults=True, gc=False):
    """A product put into or taken out of the cart."""

    product_id: str | None = None
    sku: str | None = None
    name: str | None = None
    price: Amount | None = None
    quantity: Amount | None = None

    @property
    def text(self) -> str:
        """What tells the product from others."""
        return self.product_id or self.sku or self.name or "?"


class Item(State):
    """A product by the latest time it was put in and taken out; ``value_minor`` when put in."""

    product: int
    added_at_ms: int = 0
    removed_at_ms: int = 0
    value_minor: int = 0


class Cart(State):
    """Items sorted by product, the last touch, and when an order last emptied it."""

    items: list[Item] = field(default_factory=list)
    touched_at_ms: int = 0
    emptied_at_ms: int = 0

    def contents(self) -> list[Item]:
        """The items that are in the cart."""
        emptied_at_ms = self.emptied_at_ms
        return [
            item
            for item in self.items
            if item.added_at_ms > item.removed_at_ms and item.added_at_ms > emptied_at_ms
        ]

    def is_empty(self) -> bool:
        """Whether nothing is in the cart."""
        for item in self.items:
            added_at_ms = item.added_at_ms
            if added_at_ms > item.removed_at_ms and added_at_ms > self.emptied_at_ms:
                return False
        return True

    @property
    def value_minor(self) -> int:
        value_minor = 0
        for item in self.contents():
            value_minor += item.value_minor
        return value_minor


def _record(state: Cart, event: Event, scene: Scene) -> None:
    """The customer put in, took out, looked, or bought what was in it."""
    parameters = scene.parameters
    if event.name == _ORDER_COMPLETED:
        settled_ms = scene.context.clock_ms - parameters.time.lateness
        _empty(state, event.occurred_at_ms, settled_ms)
    else:
        state.touched_at_ms = max(state.touched_at_ms, event.occurred_at_ms)
        if isinstance(event.properties, CartProduct):
            _move(state, event, parameters.money.currency)
            _forget(state, parameters.bounds.products)
    due_ms = 0
    if not state.is_empty():
        due_ms = state.touched_at_ms + parameters.of(CartParameters).idle
    scene.row.set_due(_IDLE, due_ms)


def _empty(state: Cart, at_ms: int, settled_ms: int) -> None:
    """An order took what was put in before it."""
    state.emptied_at_ms = max(state.emptied_at_ms, at_ms)
    # A touch older than anything that can still arrive needs no memory, whatever came after it.
    horizon_ms = min(state.emptied_at_ms, settled_ms)
    state.items = [item for item in state.items if _latest_ms(item) > horizon_ms]
    for item in state.items:
        if item.added_at_ms <= horizon_ms:
            item.added_at_ms = item.value_minor = 0
        if item.removed_at_ms <= horizon_ms:
            item.removed_at_ms = 0


def _move(state: Cart, event: Event, currency: str) -> None:
    product, items, place = fingerprint(event.properties.text), state.items, 0
    while place < len(items) and items[place].product < product:
        place += 1
    if place == len(items) or items[place].product != product:
        items.insert(place, Item(product))
    item, at_ms = items[place], event.occurred_at_ms
    if event.name == REMOVED:
        item.removed_at_ms = max(item.removed_at_ms, at_ms)
    elif at_ms >= item.added_at_ms:
        said: CartProduct = event.properties
        quantity = 1.0 if said.quantity is None else said.quantity
        value_minor = minor_units((said.price or 0.0) * quantity, currency)
        if at_ms == item.added_at_ms:
            # Two values of one moment: which came first is not known, so the higher one stands.
            value_minor = max(value_minor, item.value_minor)
        item.added_at_ms, item.value_minor = at_ms, value_minor


def _forget(state: Cart, products_max: int) -> None:
    """Keep the products touched last."""
    if len(state.items) > products_max:
        latest = sorted(state.items, key=lambda item: (_latest_ms(item), item.product))
        state.items = sorted(latest[-products_max:], key=lambda item: item.product)


def _latest_ms(item: Item) -> int:
    return max(item.added_at_ms, item.removed_at_ms)


def _abandon(scene: Scene) -> None:
    scene.raise_moment(CART_IDLE)


def _united(states: Sequence[Cart], parameters: Parameters) -> Cart:
    """One person's cart: of each product the latest times, so that an order under one id empties
    what was put in under another.
    """
    one = Cart()
    items: dict[int, Item] = {}
    for state in states:
        one.touched_at_ms = max(one.touched_at_ms, state.touched_at_ms)
        one.emptied_at_ms = max(one.emptied_at_ms, state.emptied_at_ms)
        for item in state.items:
            mine = items.setdefault(item.product, Item(item.product))
            newer = (item.added_at_ms, item.value_minor) > (mine.added_at_ms, mine.value_minor)
            if newer:
                mine.added_at_ms, mine.value_minor = item.added_at_ms, item.value_minor
            mine.removed_at_ms = max(mine.removed_at_ms, item.removed_at_ms)
    one.items = [items[product] for product in sorted(items)]
    _forget(one, parameters.bounds.products)
    return one


def cart(scene: Scene) -> Cart:
    """The customer's cart; read only."""
    return scene.row.read(CART)


def _idle_hours(scene: Scene) -> float:
    touched_ms = scene.row.read(CART).touched_at_ms
    return (scene.at_ms - touched_ms) / HOUR_MS if touched_ms else nan


FACTS = {
    "cart_items": Fact(
        lambda s: float(len(s.row.read(CART).contents())),
        "{:.0f} in the cart",
        "products in the cart",
        least=0.0,
    ),
    "cart_value": Fact(
        lambda s: s.money(s.row.read(CART).value_minor),
        "worth {:.2f}",
        "what the cart is worth",
        least=0.0,
    ),
    "cart_idle_hours": Fact(
        _idle_hours,
        "untouched for {:.1f} hours",
        "hours since the cart was last touched",
    ),
}


class CartView(Struct, frozen=True, rename="camel"):
    items: int
    value_minor: int
    touched_at: str | None


def _view(scene: Scene) -> CartView:
    state = scene.row.read(CART)
    return CartView(len(state.contents()), state.value_minor, iso_or_none(state.touched_at_ms))


def _in_words(view: CartView, as_of: str, currency: str) -> Iterator[Line]:
    if not view.items:
        yield Line("cart", "empty")
        return
    value = money_in_words(view.value_minor, currency)
    touched = how_long_before(view.touched_at, as_of)
    yield Line("cart", f"{counted(view.items, 'product')}, {value}, touched {touched}")


CART: Part[Cart] = Part(
    name="cart",
    code="ca",
    about="What was put into the cart and neither taken out nor bought.",
    state=Cart,
    united=_united,
    parameters=CartParameters,
    events={
        ADDED: EventType(shape=CartProduct),
        REMOVED: EventType(shape=CartProduct),
        VIEWED: EventType(),
        CHECKOUT: EventType(),
    },
    listens=frozenset({ADDED, REMOVED, VIEWED, CHECKOUT, _ORDER_COMPLETED}),
    record=_record,
    timers=(Timer(_IDLE, _abandon),),
    moments={CART_IDLE: "a cart that isn't empty was left alone for cart.idle"},
    offers=(cart,),
    facts=FACTS,
    sections=(ProfileSection("cart", CartView, _view, _in_words, place=430),),
)
