"""What lies in the cart, as latest times per product, so that arrival order doesn't matter."""

from msgspec import Struct
from msgspec.structs import replace

from config.parameters import Parameters
from models.customer.fingerprint import fingerprint
from models.customer.purchases import minor_units
from models.events import catalogue
from models.events.catalogue import Name
from models.events.wire import Event

TOUCHES = frozenset(
    {Name.PRODUCT_ADDED, Name.PRODUCT_REMOVED, Name.CART_VIEWED, Name.CHECKOUT_STARTED}
)


class Item(Struct, frozen=True, array_like=True, gc=False):
    """A product by the latest time it was put in and taken out; ``value_minor`` when put in."""

    product: int
    added_at_ms: int = 0
    removed_at_ms: int = 0
    value_minor: int = 0


class Cart(Struct, frozen=True, array_like=True):
    """Items sorted by product, the last touch, and when an order last emptied it."""

    items: tuple[Item, ...] = ()
    touched_at_ms: int = 0
    emptied_at_ms: int = 0

    def contents(self) -> tuple[Item, ...]:
        """The items that are in the cart."""
        emptied_at_ms = self.emptied_at_ms
        return tuple(
            item
            for item in self.items
            if item.added_at_ms > item.removed_at_ms and item.added_at_ms > emptied_at_ms
        )

    @property
    def value_minor(self) -> int:
        return sum(item.value_minor for item in self.contents())


def touch(cart: Cart, event: Event, parameters: Parameters) -> Cart:
    """``cart`` after the customer put in, took out or looked."""
    touched_at_ms = max(cart.touched_at_ms, event.occurred_at_ms)
    if not isinstance(event.properties, catalogue.CartProduct):
        return replace(cart, touched_at_ms=touched_at_ms)
    items = {item.product: item for item in cart.items}
    product = fingerprint(_product(event.properties))
    items[product] = _moved(items.get(product, Item(product)), event, parameters.money.currency)
    kept = sorted(items.values(), key=_recency)
    kept = sorted(kept[-parameters.bounds.products :], key=lambda item: item.product)
    return replace(cart, items=tuple(kept), touched_at_ms=touched_at_ms)


def empty(cart: Cart, event: Event, clock_ms: int, parameters: Parameters) -> Cart:
    """``cart`` after an order took what was put in before it."""
    emptied_at_ms = max(cart.emptied_at_ms, event.occurred_at_ms)
    # A touch older than anything that can still arrive needs no memory.
    horizon_ms = min(emptied_at_ms, clock_ms - parameters.time.lateness)
    items = tuple(i for i in cart.items if max(i.added_at_ms, i.removed_at_ms) > horizon_ms)
    return replace(cart, items=items, emptied_at_ms=emptied_at_ms)


def _recency(item: Item) -> tuple[int, int]:
    return max(item.added_at_ms, item.removed_at_ms), item.product


def _product(properties: catalogue.CartProduct) -> str:
    return properties.product_id or properties.sku or properties.name or "?"


def _moved(item: Item, event: Event, currency: str) -> Item:
    at_ms = event.occurred_at_ms
    if event.name == Name.PRODUCT_REMOVED:
        return replace(item, removed_at_ms=max(item.removed_at_ms, at_ms))
    if at_ms < item.added_at_ms:
        return item
    properties = event.properties
    assert isinstance(properties, catalogue.CartProduct)
    quantity = 1.0 if properties.quantity is None else properties.quantity
    value_minor = minor_units((properties.price or 0.0) * quantity, currency)
    if at_ms == item.added_at_ms:
        # Two values of one moment: which came first is not known, so the higher one stands.
        value_minor = max(value_minor, item.value_minor)
    return replace(item, added_at_ms=at_ms, value_minor=value_minor)
