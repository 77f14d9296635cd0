"""The products of orders and refunds, as shops send them."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from msgspec import Struct
from msgspec.structs import force_setattr

from models.customer.fingerprint import fingerprint
from models.events.numbers import number_in

#: The largest price and the largest quantity, so that their product is a valid amount.
_NUMBER_MAX: Final = 1e12
_ITEM_BITS: Final = 32
#: What shop systems and tag managers call the variant of a product, and how many of it there are.
VARIANTS: Final = dict.fromkeys(("item_variant", "variant_id", "variation_id"), "variant")
QUANTITIES: Final = dict.fromkeys(
    ("qty", "item_quantity", "qty_ordered", "units", "pieces"), "quantity"
)


class Product(Struct, frozen=True, omit_defaults=True, gc=False):
    """A product of an order or of a refund. A price or a quantity that is not a number is unknown;
    an unknown quantity is 1. ``category`` matters if it has a margin of its own. A ``coupon``, and
    the ``discount`` on one piece, are those of the order, which takes them over.
    """

    product_id: str | int | float | None = None
    sku: str | int | float | None = None
    variant: str | int | float | None = None
    price: float | str | None = None
    quantity: float | str | None = None
    category: Any = None
    coupon: str | None = None
    discount: float | str | None = None
    #: What cannot be read of a product does not cost the order.
    dispensable: ClassVar[frozenset[str]] = frozenset(
        {"product_id", "sku", "variant", "coupon", "discount"}
    )
    #: ``Quantity: 3`` is not one.
    in_any_case: ClassVar[bool] = True
    holders: ClassVar[tuple[str, ...]] = ("lineitem", "item", "product")
    aliases: ClassVar[Mapping[str, str]] = {
        "item_id": "product_id",
        **VARIANTS,
        "item_price": "price",
        **QUANTITIES,
        "item_category": "category",
        **dict.fromkeys(("coupon_code", "item_coupon"), "coupon"),
    }

    @property
    def key(self) -> int:
        """The product's key within the order: the variant's, else the product's."""
        sku, variant, product = self.sku, self.variant, self.product_id
        if sku not in (None, ""):
            return _key(f"{sku}")
        if variant not in (None, ""):
            return _key(f"{product} {variant}")
        return _key(f"{product}") if product not in (None, "") else 0

    @property
    def product_key(self) -> int:
        """The key of a product that is named by its id alone."""
        return _key(f"{self.product_id}") if self.product_id not in (None, "") else self.key

    @property
    def unit(self) -> float | None:
        """The price of one; None if it is not known."""
        return number_or_none(self.price)

    @property
    def pieces(self) -> float:
        found = number_or_none(self.quantity)
        return 1.0 if found is None else found


def take_coupon(products: Sequence[Product]) -> str | None:
    """The first coupon of the products, which no longer have one then."""
    found = None
    for product in products:
        if product.coupon is not None:
            found = found or product.coupon
            force_setattr(product, "coupon", None)
    return found


def take_discount(products: Sequence[Product]) -> float | None:
    """What the products together cost less than their list prices, which they no longer state then;
    None if none of them did.
    """
    found = None
    for product in products:
        if product.discount is not None:
            said = number_or_none(product.discount)
            force_setattr(product, "discount", None)
            if said is not None:
                found = (found or 0.0) + said * product.pieces
    return found


def take_minus(products: Sequence[Product]) -> None:
    """Count what is given back as pieces, also where they are written as fewer than none."""
    for product in products:
        said = product.quantity
        pieces = number_in(said) if isinstance(said, str) else said
        if isinstance(pieces, int | float) and pieces < 0:
            force_setattr(product, "quantity", -pieces)


def _key(text: str) -> int:
    # 0 is the key of a product without any id, which is no product of the order.
    return (fingerprint(text) >> (63 - _ITEM_BITS)) or 1


def number_or_none(value: float | str | None) -> float | None:
    """A price, quantity or amount; None for anything else, which does not cost its event."""
    said = number_in(value) if isinstance(value, str) else None
    try:
        number = said if said is not None else float(-1.0 if value is None else value)
    except ValueError:
        return None
    # NaN is outside of the bounds, too.
    return number if 0.0 <= number <= _NUMBER_MAX else None
