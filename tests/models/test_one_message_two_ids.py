"""When a visitor's message that is sent again as the user's counts once, and when twice."""

from typing import Any

import pytest

from models.customer.registry import PARTS
from tests.models.persons import Deployment, said_by
from tests.models.test_persons import logged_in, minute, page

#: By event: its properties, and the parts that take two copies from before the link for two events.
EVENTS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "page": ({}, {"engagement", "timeline"}),
    "Product Added": (
        {"product_id": "p", "price": 5.0, "quantity": 1},
        {"engagement", "timeline", "cart", "lifecycle"},
    ),
    "Order Completed": ({"order_id": "o", "revenue": 9.0}, {"engagement", "timeline", "cart"}),
    "Ticket Opened": ({"ticket_id": "t"}, {"engagement", "timeline"}),
    "Complaint Filed": ({"ticket_id": "t"}, {"engagement", "timeline", "evidence"}),
    "Coupon Entered": ({"coupon_id": "c"}, {"engagement", "timeline", "evidence", "prices"}),
    "Points Redeemed": ({"redemption_id": "r", "points": 5}, {"engagement", "timeline"}),
    "Consent Granted": ({"purpose": "marketing"}, {"engagement", "timeline"}),
    # Decided about, for each id by itself.
    "Survey Responded": (
        {"kind": "nps", "score": 1, "scale_max": 10},
        {"engagement", "timeline", "evidence", "contacts"},
    ),
}


def told(*events: bytes, partitions: int) -> dict[str, bytes]:
    shop = Deployment(partitions)
    shop.tell(page(-5, user="ada"), page(-5, visitor="anon-1"), *events)
    row = shop.row("ada")
    assert row is not None
    assert {"ada", "anon-1"} == row.ids.keys()
    return {part.name: part.pack(row.read(part)) for part in PARTS if part.name != "identities"}


def copies(name: str) -> tuple[bytes, bytes]:
    said = {"message": "m", **EVENTS[name][0]}
    return (
        said_by(name, minute(0), visitor="anon-1", **said),
        said_by(name, minute(0), user="ada", **said),
    )


@pytest.mark.parametrize("partitions", [1, 4])
@pytest.mark.parametrize("name", EVENTS)
def test_after_the_link_it_counts_once_whichever_copy_comes_first(
    name: str, partitions: int
) -> None:
    one, other = copies(name)
    once = told(logged_in(-1), one, partitions=partitions)

    assert once == told(logged_in(-1), one, other, partitions=partitions)
    assert once == told(logged_in(-1), one, other, one, other, partitions=partitions)


@pytest.mark.parametrize("partitions", [1, 4])
@pytest.mark.parametrize("name", EVENTS)
def test_from_before_the_link_only_what_adds_up_events_counts_both(
    name: str, partitions: int
) -> None:
    one, other = copies(name)
    once = told(one, logged_in(1), partitions=partitions)
    twice = told(one, other, logged_in(1), partitions=partitions)

    assert EVENTS[name][1] == {part for part in once if once[part] != twice[part]}
    assert twice == told(other, one, logged_in(1), partitions=partitions)
