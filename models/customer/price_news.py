"""What events say of prices: discounts of orders, and signs of looking for a lower price."""

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct
from msgspec.structs import force_setattr

from models.customer.order_products import Product, take_discount

FILTERED, ENTERED, DENIED = "Product List Filtered", "Coupon Entered", "Coupon Denied"


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
