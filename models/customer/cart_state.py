"""What a row keeps of a cart: its items, and the changes that are applied to them by time.

Recent changes are kept, sorted by time. Once no late event can precede a change, it is folded into
the items. An order empties the cart once, however often its page is shown.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct, field

from config.parameters import Parameters
from models.customer.row import State
from models.money import AMOUNT_MINOR_MAX

#: Changes that are kept unfolded; beyond that, the oldest are folded before they are settled.
CHANGES_MAX: Final = 48
#: Orders that are remembered because they have already emptied the cart.
ORDERS_MAX: Final = 16
#: Units of one product; a larger quantity is a mistake.
_QUANTITY_MAX: Final = 1e12
#: Decimal places of a quantity; anything beyond is the rounding error of float sums.
DECIMALS: Final = 6
#: The quantity that stands for all of a product, and the price that stands for none given.
ALL: Final = -1.0
UNPRICED: Final = -1.0

#: What a change does. The numbers are stored. Of changes at one time, the higher number is applied
#: later: a statement of the cart's contents wins, and an order takes what was put in with it.
PUT, TAKE, CLEAR, STATE, CHECK, ORDER = range(6)
_FILLING: Final = (PUT, STATE, CHECK)
_EMPTYING: Final = (CLEAR, ORDER)


class Change(NamedTuple):
    """A change of the cart. ``key`` is the variant, or the order that empties it; ``price`` is in
    minor units, not rounded.
    """

    at_ms: int
    what: int
    key: int = 0
    product: int = 0
    quantity: float = 0.0
    price: float = UNPRICED


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
        price = self.price or UNPRICED
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
        quantity = round(item.quantity + change.quantity, DECIMALS)
        item.quantity = min(quantity, _QUANTITY_MAX)
        if change.price != UNPRICED and change.at_ms >= item.at_ms:
            item.price = change.price
        item.at_ms = max(item.at_ms, change.at_ms)
        if not item.quantity:
            del self.items[change.key]

    def take(self, change: Change) -> None:
        """Take from the variant, and what it lacks from the other items that may be meant."""
        left, meant = change.quantity, self._meant(change)
        if left == ALL and change.key != change.product:
            meant = meant[:1]
        for item in meant:
            taken = item.quantity if left == ALL else min(left, item.quantity)
            item.quantity = round(item.quantity - taken, DECIMALS)
            item.at_ms = max(item.at_ms, change.at_ms)
            if left != ALL:
                left = round(left - taken, DECIMALS)
            if not item.quantity:
                del self.items[item.key]

    def clear(self, change: Change) -> None:
        self.before, self.items = self.items, self._later_than(change)

    def state(self, change: Change) -> None:
        if (item := self.items.get(change.key)) is not None and item.at_ms > change.at_ms:
            return
        if change.price == UNPRICED and (before := self.before.get(change.key)) is not None:
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


def united(states: Sequence[Cart], parameters: Parameters) -> Cart:
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
        mine.quantity = round(mine.quantity + item.quantity, DECIMALS)
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


def unpack_first(content: bytes) -> Cart:
    """Version 1 stored what a product was worth, but not its quantity, which is taken as 1."""
    before = msgspec.msgpack.decode(content, type=_CartBefore)
    items = [
        CartItem(item.product, item.product, 1.0, float(item.value_minor), item.added_at_ms)
        for item in before.items
        if item.added_at_ms > max(item.removed_at_ms, before.emptied_at_ms)
    ]
    return Cart(items, before.touched_at_ms, before.emptied_at_ms)
