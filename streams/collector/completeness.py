"""Finds fields that an accepted event should have and lacks."""

from collections.abc import Iterator

from models.events.event import Event

_ORDER = "Order Completed"


def missing_in(event: Event) -> Iterator[str]:
    """The fields that the event lacks. Without a ``messageId`` a repeat counts twice. Without a
    channel nobody knows where it happened. Without a currency an order is taken to be in the shop's
    own. Without a product, an event about a product is about none in particular.
    """
    if not event.message_id:
        yield "message_id"
    if event.channel is None:
        yield "channel"
    said = event.properties
    if event.name == _ORDER:
        if not said.products:
            yield "products"
        if said.currency is None:
            yield "currency"
    elif getattr(said, "is_named", True) is False and said.products is None:
        yield "product_id"
