"""Everything stored about a person, as it is exported."""

from typing import Any

import msgspec
import pytest

from models.customer.acquisition import ACQUISITION
from models.customer.calendar import CALENDAR
from models.customer.channels import CHANNELS
from models.customer.identities import IDENTITIES
from models.customer.improvements import IMPROVEMENTS
from models.customer.margins import MARGINS, SoldOrder
from models.customer.named_events import NAMED_EVENTS
from models.customer.part import Part
from models.customer.registry import PARTS
from models.customer.traits import TRAITS_PART, Trait
from models.events.dead_letter import WEBHOOK, DeadLetter, dead_letter
from models.events.rejection import Reason, Rejected
from streams.person_export import is_of_one, names_one_of, of_row
from tests.models.lines import at, happened, lived
from tests.models.test_vendor_mapping import FILES, delivery, load, mapped


@pytest.mark.parametrize("part", PARTS, ids=repr)
def test_every_state_is_told_with_the_names_of_its_fields(part: Part[Any]) -> None:
    order = {"order_id": "o-1", "revenue": 40, "products": [{"product_id": "p", "price": 40}]}
    row = lived(
        [
            happened("Order Completed", at(), **order),
            happened("Ticket Opened", at(1), ticket_id="t-1"),
            happened("Survey Responded", at(2), kind="nps", score=1, scale_max=10),
            happened("Consent Revoked", at(3), purpose="marketing"),
            happened("Product Added", at(4), product_id="p", price=4.0, quantity=1),
        ]
    )
    # What takes another id, a rule that names an event, margins that differ, long habits, a contact
    # that reached them, a cost that is nobody's, or who they say they are.
    row.edit(IDENTITIES).is_user = True
    row.edit(ACQUISITION).counted.append((at(5), 1))
    row.edit(NAMED_EVENTS).by_key["download"] = [at(6)]
    row.edit(IMPROVEMENTS).told_ms = at(7)
    row.edit(MARGINS).orders.append(SoldOrder(at(), 1))
    row.edit(CHANNELS).preferred = "app"
    row.edit(CALENDAR).contacted_ms = at(8)
    row.edit(TRAITS_PART).known["plan"] = Trait(at(9), "pro")
    told, *_ = of_row("ada", row)

    assert isinstance(told["parts"][part.name], dict)
    assert b"object at" not in msgspec.json.encode(told)


@pytest.mark.parametrize(
    ("content", "is_named"),
    [
        ({"userId": "ada"}, True),
        ({"user_id": "ada"}, True),
        ({"userId": 48213}, True),
        ({"anonymousId": "ada"}, True),
        ({"type": "alias", "userId": "bob", "previousId": "ada"}, True),
        ({"userId": "bob", "properties": {"from_user_id": "ada"}}, True),
        (
            {"type": "link", "userId": "anon-1", "properties": {"id": "anon-1", "person": "ada"}},
            True,
        ),
        ({"type": "ada", "userId": "bob", "properties": {"name": "ada"}}, False),
        ({"userId": "Ada"}, False),
        (["ada"], False),
        (None, False),
    ],
)
def test_a_record_names_whom_it_is_of_or_about(content: Any, is_named: bool) -> None:
    assert is_named is names_one_of(content, {"ada", "48213"})


def letter(raw: bytes, step: str = WEBHOOK) -> DeadLetter:
    return dead_letter(Rejected(Reason.WRONG_TYPE), raw, step=step)


@pytest.mark.parametrize("name", [path.stem for path in FILES])
def test_a_refused_webhook_is_of_whom_its_events_would_have_been(name: str) -> None:
    """Whatever name the vendor has for the customer, and whatever its mapping does with it."""
    webhook = load(name)
    kept = letter(delivery(webhook).body)
    ids = {str(event.get("userId") or event["anonymousId"]) for event in mapped(webhook)}

    assert all(is_of_one(kept, {id_}) for id_ in ids)
    assert not is_of_one(kept, {"somebody-else", "99999", "ada"})


@pytest.mark.parametrize(
    ("raw", "step", "is_named"),
    [
        # A short number is in many others, and a word in longer ones.
        (b'{"customer": {"id": 1071}, "note": "7 of 9"}', WEBHOOK, False),
        (b'{"customer": {"id": 7}}', WEBHOOK, True),
        (b'{"buyer": "jos\\u00e9"}', WEBHOOK, True),
        (b'{"note": "ada lives here"}', WEBHOOK, False),
        (b'{"paid": true, "by": null}', WEBHOOK, False),
        (b'{"customer": 7,', WEBHOOK, True),
        (b'{"customer": 17,', WEBHOOK, False),
        (b"userId=ada&x=1", "ingest", True),
        (b"userId=adam&x=1", "ingest", False),
        (b"userId=ada-2", "ingest", False),
        (b'{"userId": "ada", "timestamp": "never"}', "ingest", True),
        (b'{"userId": "eve", "properties": {"name": "ada"}}', "ingest", False),
    ],
)
def test_what_is_no_event_is_of_whom_it_has_the_id(raw: bytes, step: str, is_named: bool) -> None:
    assert is_named is is_of_one(letter(raw, step), {"ada", "7", "jos\u00e9", "True", "None"})
