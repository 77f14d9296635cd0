"""What the simulated shop sells, and what an order of it costs."""

from random import Random
from typing import TypedDict

_CATEGORIES = ("kitchen", "garden", "books", "toys", "outdoor", "home")
# Log-spaced, so that a price from a lognormal taste is found by index, without a search.
_PRICES_MINOR = tuple(round(400 * 1.04**index) for index in range(120))


class ShopProduct(TypedDict):
    """A line of a cart or of an order."""

    product_id: str
    price: float
    quantity: int
    category: str


def choose_product(rng: Random, price_index: float) -> ShopProduct:
    """A product whose price is lognormal around the one at ``price_index``."""
    index = min(max(round(rng.gauss(price_index, 12)), 0), len(_PRICES_MINOR) - 1)
    return {
        "product_id": f"p-{index:03d}",
        "price": _PRICES_MINOR[index] / 100,
        "quantity": 1 if rng.random() < 0.8 else rng.randint(2, 4),
        "category": _CATEGORIES[index % len(_CATEGORIES)],
    }


def choose_products(rng: Random, price_index: float) -> list[ShopProduct]:
    """One to four products, mostly one."""
    wanted = rng.choices((1, 2, 3, 4), (70, 20, 7, 3))[0]
    # By id: a product that is chosen twice would otherwise be two lines of one order.
    chosen = {p["product_id"]: p for p in (choose_product(rng, price_index) for _ in range(wanted))}
    return list(chosen.values())


def price(
    order_id: str, products: list[ShopProduct], coupon: str | None, *, delivered: bool
) -> dict[str, object]:
    """The properties of an order; ``revenue`` is net of discount, tax and shipping.

    The last two digits of a coupon's name are its discount in percent.
    """
    worth_minor = sum(round(line["price"] * 100) * line["quantity"] for line in products)
    percent_off = int(coupon[-2:]) if coupon else 0
    discount_minor = worth_minor * percent_off // 100
    revenue_minor = worth_minor - discount_minor
    tax_minor = revenue_minor * 19 // 100
    shipping_minor = 495 if delivered and revenue_minor < 5000 else 0
    order: dict[str, object] = {
        "order_id": order_id,
        "revenue": revenue_minor / 100,
        "tax": tax_minor / 100,
        "shipping": shipping_minor / 100,
        "total": (revenue_minor + tax_minor + shipping_minor) / 100,
        "currency": "EUR",
        "products": products,
    }
    if coupon:
        order |= {"coupon": coupon, "discount": discount_minor / 100}
    return order
