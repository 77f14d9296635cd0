"""The properties that an event should have, and lacks."""

from typing import Any

import pytest
from msgspec.structs import replace

from streams.collector.completeness import missing_in
from tests.models.lines import at, happened

LINE = {"product_id": "p", "price": 10.0}


@pytest.mark.parametrize(
    ("name", "said", "missing"),
    [
        (
            "Order Completed",
            {"order_id": "o", "revenue": 1, "products": [LINE], "currency": "EUR"},
            [],
        ),
        ("Order Completed", {"order_id": "o", "revenue": 1}, ["products", "currency"]),
        ("Order Completed", {"revenue": 1, "products": [], "currency": "EUR"}, ["products"]),
        ("Product Added", {"product_id": "p"}, []),
        ("Product Added", {"sku": "s"}, []),
        ("Product Added", {"price": 3.0}, ["product_id"]),
        ("Product Added", {"products": [LINE]}, []),
        # An empty cart.
        ("Cart Viewed", {"products": []}, []),
        ("Ticket Opened", {"ticket_id": "t"}, []),
    ],
)
def test_what_an_event_lacks_is_named(name: str, said: dict[str, Any], missing: list[str]) -> None:
    assert missing == list(missing_in(happened(name, at(), channel="web", **said)))


def test_where_and_which_one_it_is_are_missed_in_every_event() -> None:
    event = replace(happened("Ticket Opened", at(), ticket_id="t"), message_id="")

    assert ["message_id", "channel"] == list(missing_in(event))
