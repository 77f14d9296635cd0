"""The cart as quantities of variants, whatever the order of arrival."""

from bisect import insort
from collections.abc import Iterator
from math import nan

from msgspec import Struct

from config.duration import HOUR_MS
from config.limits import PositiveMs
from config.parameters import Section
from models.customer.cart_news import EVENTS, ORDER_COMPLETED, changes_of
from models.customer.cart_state import Cart, CartItem, united, unpack_first
from models.customer.edges import of_timer
from models.customer.motion import STILL, since
from models.customer.part import Fact, Line, Part, ProfileSection, Timer
from models.customer.scene import Scene
from models.customer.words import counted, how_long_before
from models.events.event import Event
from models.events.times import iso_or_none
from models.money import in_words as money_in_words

CART_IDLE = "cart-idle"
_IDLE = "cart"


class CartParameters(Section, frozen=True):
    """``idle``: a cart that is not empty and not touched for this long is abandoned."""

    section = "cart"
    idle: PositiveMs


def _record(state: Cart, event: Event, scene: Scene) -> None:
    """Note that the customer changed, viewed or bought the cart."""
    parameters = scene.parameters
    at_ms = event.occurred_at_ms
    if event.name != ORDER_COMPLETED:
        if at_ms > state.touched_at_ms:
            state.touched_at_ms = at_ms
    for change in changes_of(event, parameters.money):
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


def _abandon(scene: Scene) -> None:
    scene.raise_moment(CART_IDLE)


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
        "worth {}",
        "what the cart is worth",
        least=0.0,
        moves=STILL,
        is_money=True,
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


CART: Part[Cart] = Part(
    name="cart",
    code="ca",
    is_apart=True,
    about="What was put into the cart and neither taken out nor bought.",
    state=Cart,
    version=3,
    dense_since=3,
    older={1: unpack_first},
    united=united,
    reunited=_reunited,
    parameters=CartParameters,
    events=EVENTS,
    listens=frozenset({*EVENTS, ORDER_COMPLETED}),
    record=_record,
    timers=(Timer(_IDLE, _abandon),),
    moments={CART_IDLE: "a cart that isn't empty was left alone for cart.idle"},
    offers=(cart,),
    facts=FACTS,
    sections=(ProfileSection("cart", CartView, _view, _in_words, place=430, edge=of_timer(_IDLE)),),
)
