"""What events say of a cart: products and quantities, and the changes that an event makes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import msgspec
from msgspec import Struct

from config.parameters import Money
from config.topics import CLICKSTREAM
from models.customer.cart_state import (
    ALL,
    CHECK,
    CLEAR,
    DECIMALS,
    ORDER,
    PUT,
    STATE,
    TAKE,
    UNPRICED,
    Change,
)
from models.customer.fingerprint import fingerprint
from models.customer.order_products import QUANTITIES, VARIANTS
from models.events.event import Amount, Event, EventType
from models.money import foreign, has_rate, minor_per_unit, rate_of

ADDED, REMOVED = "Product Added", "Product Removed"
FROM_WISHLIST = "Wishlist Product Added to Cart"
VIEWED, UPDATED, EMPTIED = "Cart Viewed", "Cart Updated", "Cart Emptied"
CHECKOUT = "Checkout Started"
#: It empties the cart of what was put in before it.
ORDER_COMPLETED = "Order Completed"


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


def _minor_of(event: Event, money: Money) -> float | None:
    """The shop's minor units in one unit of the event's currency; None for a currency without a
    rate, whose prices are ignored.
    """
    at_ms, code = event.occurred_at_ms, foreign(getattr(event.properties, "currency", None), money)
    if not has_rate(code, at_ms, money):
        return None
    return minor_per_unit(money.currency) * (rate_of(code, at_ms, money) if code else 1.0)


def changes_of(event: Event, money: Money) -> Sequence[Change]:
    """The changes that an event makes to the cart, in the order in which they apply."""
    at_ms, news, name = event.occurred_at_ms, event.properties, event.name
    if name == ORDER_COMPLETED:
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
    unsaid = ALL if what == TAKE else 1.0
    quantity = unsaid if said.quantity is None else round(said.quantity, DECIMALS)
    price = UNPRICED if said.price is None or minor is None else said.price * minor
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


_NEWS = EventType(shape=CartNews, value=lambda news: news.worth)
EVENTS = {
    **dict.fromkeys((ADDED, REMOVED, FROM_WISHLIST, VIEWED, CHECKOUT), _NEWS),
    UPDATED: msgspec.structs.replace(_NEWS, topic=CLICKSTREAM),
    EMPTIED: EventType(topic=CLICKSTREAM),
}
