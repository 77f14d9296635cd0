"""Names of events: other spellings mean the same, and a misspelt name does not count as a click."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from config.names import ALIASES, folded
from config.parameters import ParameterError
from config.topics import CLICKSTREAM, RAW_TOPICS, TRANSACTIONS
from models.admission import admit, decode_event
from models.catalogue import (
    KINDS,
    MISSPELT,
    TOPICS,
    UNKNOWN,
    kind_of,
    known_name,
    nearest_known_name,
    topic_of,
)
from models.events.event import Event
from models.events.rejection import Reason, Rejected
from models.events.wire import encode_event
from models.parameters import load_parameters
from models.replay import Replay
from tests.models.lines import PARAMETERS, at, line


def named(name: str, event_type: str = "track", **properties: Any) -> bytes:
    said = {"type": event_type, "event": name, "userId": "ada", "properties": properties}
    return orjson.dumps({**said, "timestamp": "2026-01-01T00:00:00Z"})


def known_as(name: str, **properties: Any) -> Event:
    return admit(named(name, **properties), PARAMETERS, message_id="m")


@pytest.mark.parametrize("name", TOPICS)
def test_case_blanks_underscores_and_dashes_make_no_other_name(name: str) -> None:
    for spelt in (
        name.lower(),
        name.upper(),
        name.swapcase(),
        f"  {name}\t",
        name.replace(" ", "_"),
        name.replace(" ", "-").lower(),
        name.replace(" ", ""),
        name.replace(" ", "\u00a0"),
        name.replace(" ", ".").lower(),
        name.replace(" ", "/"),
        name.replace(" ", ":"),
        name[0].lower() + name[1:].replace(" ", ""),
    ):
        assert kind_of(name) is kind_of(spelt)
        assert name == kind_of(spelt).name
        assert TOPICS[name] == topic_of("track", spelt)
        assert nearest_known_name(spelt) is None


def test_no_two_known_names_are_written_alike() -> None:
    names = list(TOPICS)

    assert len(names) == len({folded(name) for name in names})


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_every_shipped_alias_is_another_name_of_a_known_event(alias: str, name: str) -> None:
    assert name in TOPICS
    assert kind_of(name) is kind_of(alias) is kind_of(alias.lower().replace(" ", "_"))
    assert folded(alias) not in {folded(known) for known in TOPICS}


def test_no_two_shipped_aliases_are_written_alike() -> None:
    assert len(ALIASES) == len({folded(alias) for alias in ALIASES})


@pytest.mark.parametrize(
    ("old", "name"),
    [
        ("Completed Order", "Order Completed"),
        ("Viewed Product", "Product Viewed"),
        ("Added Product", "Product Added"),
        ("Removed Product", "Product Removed"),
        ("Viewed Product Category", "Product List Viewed"),
        ("Order Canceled", "Order Cancelled"),
    ],
)
def test_names_of_old_libraries_are_understood(old: str, name: str) -> None:
    event = known_as(old, order_id="o", revenue=5)

    assert (name, kind_of(name)) == (event.name, event.kind)


@pytest.mark.parametrize("spelt", ["order completed", "ORDER_COMPLETED", " Completed Order "])
def test_the_log_has_the_known_name(spelt: str) -> None:
    event = known_as(spelt, revenue=5)

    assert b'"event":"Order Completed"' in encode_event(event)
    assert event == decode_event(encode_event(event), message_id="")


@pytest.mark.parametrize("event_type", ["TRACK", "Track", " track "])
def test_a_type_may_be_written_in_any_case(event_type: str) -> None:
    event = admit(named("Product Viewed", event_type), PARAMETERS, message_id="m")

    assert "Product Viewed" == event.name
    assert "page" == admit(named("", "PAGE"), PARAMETERS, message_id="m").name
    assert TRANSACTIONS == topic_of(event_type, "Order Completed")


SLIPS = {
    "Order Complete": "Order Completed",
    "Order Complated": "Order Completed",
    "Order Compelted": "Order Completed",
    "Order Completedd": "Order Completed",
    "Oder Completed": "Order Completed",
    "Orders Complete": "Order Completed",
    "Order Completion": "Order Completed",
    "OrderComplete": "Order Completed",
    "ordercomplete": "Order Completed",
    "Order: Completed!": "Order Completed",
    "Complete Order": "Order Completed",
    "Orders Refunded": "Order Refunded",
    "Order Cancel": "Order Cancelled",
    "Order Cancellation": "Order Cancelled",
    "Product View": "Product Viewed",
    "Products Viewed": "Product Viewed",
    "Product Veiwed": "Product Viewed",
    "Product Add": "Product Added",
    "Add Product": "Product Added",
    "Ticket Open": "Ticket Opened",
    "Ticket Openned": "Ticket Opened",
    "Checkout Start": "Checkout Started",
    "Subscripton Cancelled": "Subscription Cancelled",
    "User Erase Request": "User Erase Requested",
}
#: What is no slip of a known name, and means what one means or may mean it.
MEANT_OTHERWISE = {
    **dict.fromkeys(
        (
            "Order Created",
            "orders/create",
            "Order Success",
            "Purchase Confirmed",
            "New Order",
            "Sale",
            "Ecommerce Purchase",
            "eCommerce - Purchase",
            "In-App Purchase",
            "POS Sale",
            "In-Store Purchase",
            "Subscription Order Completed",
            "Pre-Order Placed",
            "woocommerce_new_order",
            "woocommerce_order_status_completed",
            "ecommerce.order_completed",
            "Product Purchased",
            "Gift Card Purchased",
            "Payment Succeeded",
            "payment_intent.succeeded",
            "charge.succeeded",
            "checkout.session.completed",
            "Track Transaction",
        ),
        "Order Completed",
    ),
    **dict.fromkeys(
        (
            *("Partial Refund", "Order Partially Refunded", "Order Returned", "Payment Refunded"),
            *("Line Item Refunded", "Order Item Refunded", "Return Received", "charge.refunded"),
            *("Chargeback Created", "charge.dispute.created", "Payment Disputed"),
        ),
        "Order Refunded",
    ),
    **dict.fromkeys(
        (
            *("Order Failed", "Order Deleted", "Order Line Cancelled", "Order Partially Cancelled"),
            *("Partial Cancellation", "Order Marked as Fraud"),
        ),
        "Order Cancelled",
    ),
    **dict.fromkeys(
        (
            *("Ticket SLA Breached", "Conversation Auto Closed", "Zendesk Ticket Created"),
            *("zen:event-type:ticket.comment_added", "Customer Replied", "Agent Replied"),
        ),
        "Ticket Updated",
    ),
    **dict.fromkeys(
        (
            *("NPS Submitted", "CSAT Score Given", "Ticket Rated", "conversation.rating.added"),
            "Good Satisfaction Rating",
        ),
        "Survey Responded",
    ),
    **dict.fromkeys(("Users Merged", "Profile Merged", "$merge_dangerously"), "Customer Merged"),
    **dict.fromkeys(("Cart Quantity Changed", "Product Quantity Updated"), "Cart Updated"),
    **dict.fromkeys(
        (
            *("Do Not Sell", "Suppressed", "Suppression Added", "Customer Blocked", "DNC Added"),
            *("Newsletter Subscription Cancelled", "Removed from Mailing List", "Blacklisted"),
            *("Left Mailing List", "Push Disabled", "Push Token Removed", "Marketing Paused"),
            *("Notification Permission Denied", "WhatsApp Blocked", "Customer Deceased"),
            *("Cookies Disabled", "Marketing Objection", "Do Not Disturb"),
        ),
        "Opted Out",
    ),
    **dict.fromkeys(
        ("Objected to Profiling", "Profiling Refused", "Tracking Declined", "Tracking Refused"),
        "Consent Revoked",
    ),
    **dict.fromkeys(
        (
            *("Segment Consent Preference Updated", "Privacy Preferences Updated"),
            *("Cookie Settings Changed", "Notification Settings Changed"),
        ),
        "Consent Changed",
    ),
    **dict.fromkeys(("STOP Received", "SMS Stop Keyword", "STOP", "Reply STOP"), "SMS Opted Out"),
    **dict.fromkeys(
        (
            *("Account Deleted", "User Deleted", "Contact Deleted", "customers/redact"),
            *("GDPR Deletion Requested", "Data Erasure Request", "Right to be Forgotten"),
            *("Delete My Data", "Account Closed", "Deletion Requested"),
        ),
        "User Erase Requested",
    ),
    "Resubscribed": "Email Subscribed",
    "Complained": "Email Marked as Spam",
    "subscriber.complaint": "Email Marked as Spam",
    "bounce": "Email Bounced",
    "subscriber.bounced": "Email Bounced",
    **dict.fromkeys(("Cleaned", "dropped", "out_of_band", "Address Cleaned"), "Email Bounced"),
    **dict.fromkeys(
        (
            *("Abgemeldet", "Newsletter-Abmeldung", "Désabonnement", "Désinscription newsletter"),
            *("Disiscrizione", "Dado de baja", "Uitgeschreven", "取消订阅", "Отписался"),
        ),
        "Unsubscribed",
    ),
    **dict.fromkeys(("DNT Enabled", "Global Privacy Control", "ATT Denied"), "Opted Out"),
    **dict.fromkeys(
        (
            *("users.behaviors.subscription.GlobalStateChange", "Subscription Group State Changed"),
            *("SubscriptionChange", "cio_subscription_preferences_changed"),
        ),
        "Consent Changed",
    ),
    **dict.fromkeys(
        (
            *("sales_order_place_after", "checkout_submit_all_after", "Placed An Order"),
            *("users.behaviors.Purchase", "[Amplitude] Revenue", "$purchase", "revenue_amount"),
        ),
        "Order Completed",
    ),
    **dict.fromkeys(
        ("Order Line Refunded", "creditmemo", "Credit Note Issued", "Credit Memo Created"),
        "Order Refunded",
    ),
}
OTHERS = [
    "Order Details Viewed",
    "Order Tracked",
    "Refund Requested",
    "Refund Policy Viewed",
    "Return Requested",
    "Returned",
    "Sale Page Viewed",
    "Ticket Purchased",
    "Tickets Viewed",
    "Case Study Viewed",
    "Survey Started",
    "Survey Question Answered",
    "Survey Dismissed by Bot",
    "Newsletter Signup",
    "Profile Updated",
    "Stop Video",
    "Confetti Thrown",
    "Product Liked",
    "Product Saved",
    "Product Rated",
    "Product Production",
    "Product",
    "Viewed",
    "Card Viewed",
    "Car Viewed",
    "Chart Shared",
    "Order Computed",
    "Order Ready",
    "Order Packed",
    "Order Exported",
    "Lead List",
    "Lead Won",
    "Signed Out",
    "Signed On",
    "Subscription Reviewed",
    "Subscription Paused",
    "Coupon Copied",
    "Video Viewed",
    "Form Sent",
    "Email Spent",
    "Email Verified",
    "Email Address Changed",
    "Cookie Banner Viewed",
    "Privacy Policy Viewed",
    "Settings Changed",
    "Track Order",
    "Order History Viewed",
    "Purchase History Viewed",
    "Payment Method Added",
    "Payment Method Removed",
    "Payment Started",
    "Plan Selected",
    "Summer Sale",
    "Flash Sale Started",
    "Contact Us Clicked",
    "Delivery Address Removed",
    "Filter Removed",
    "Push Notification Tapped",
    "Newsletter Popup Closed",
    "Customer Service Contacted",
    "Account Created",
    "Video Stopped",
    "Rating Given",
    "Points Earned",
    "Store Visited",
    "Cart Parked",
    "Search",
    "purchasing",
    "Page Viewed",
    "Bestellung abgeschlossen",
    "订单完成",
    "?",
    "x" * 256,
    "Order Completed" + "!" * 300,
]


@pytest.mark.parametrize(("slip", "meant"), SLIPS.items())
def test_a_slip_is_no_interaction_and_it_is_known_what_was_meant(slip: str, meant: str) -> None:
    event = decode_event(named(slip), message_id="m")

    assert meant == nearest_known_name(slip)
    assert (slip, MISSPELT) == (event.name, event.kind)
    assert event == decode_event(encode_event(event), message_id="")
    assert event.kind.is_passive
    assert CLICKSTREAM == topic_of("track", slip)


@pytest.mark.parametrize(("name", "meant"), MEANT_OTHERWISE.items())
def test_what_may_mean_a_known_name_is_no_click_either(name: str, meant: str) -> None:
    for spelt in (name, name.lower(), name.replace(" ", "_")):
        assert MISSPELT is kind_of(spelt)
        assert meant == nearest_known_name(spelt)


@pytest.mark.parametrize(
    "name",
    [
        *("Email Sent", "Received Email", "Email Processed", "SMS Delivered", "Push Sent"),
        *("Push Notification Delivered", "WhatsApp Message Sent", "Text Message Sent"),
        *("Order Shipped", "order_fulfilled", "Fulfilled Order", "Package Delivered"),
        *("Cart Abandoned", "Checkout Abandoned"),
    ],
)
def test_what_the_shop_does_is_no_sign_of_the_customer(name: str) -> None:
    kind = kind_of(name)

    assert (True, True) == (kind.is_known, kind.is_passive)


@pytest.mark.parametrize("other", OTHERS)
def test_a_name_that_is_simply_another_is_no_slip(other: str) -> None:
    assert nearest_known_name(other) is None
    assert kind_of(other) is UNKNOWN


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.is_known], ids=lambda k: k.name)
def test_what_is_known_is_near_to_nothing(kind: Any) -> None:
    assert nearest_known_name(kind.name) is None or kind.name not in TOPICS
    assert kind_of(kind.name) is kind


@pytest.mark.parametrize("topic", [topic for topic in RAW_TOPICS if topic != CLICKSTREAM])
def test_elsewhere_a_slip_is_refused_with_the_name_that_was_meant(topic: str) -> None:
    with pytest.raises(Rejected) as refused:
        admit(named("Order Complete"), PARAMETERS, message_id="m", topic=topic)

    assert (Reason.UNKNOWN_EVENT, "$.event") == (refused.value.reason, refused.value.path)
    assert f"not an event of {topic}; did you mean Order Completed?" == refused.value.detail


def test_a_slip_changes_no_figure_of_the_customer() -> None:
    def told(*names: str) -> Any:
        replay = Replay(PARAMETERS)
        for number, name in enumerate(names, 1):
            assert [] == replay.feed(line(name, at(minutes=number)), number)
        [profile] = replay.profiles()
        return profile.engagement.interactions, profile.rfm.orders

    assert (2, 0) == told("Product Viewed", "Order Complete", "Confetti Thrown")


@pytest.fixture
def of_a_shop(tmp_path: Path) -> Any:
    def parameters(text: str) -> Any:
        file = tmp_path / "parameters.toml"
        file.write_text(text, "utf-8")
        return load_parameters(file)

    return parameters


def test_a_shop_adds_aliases_of_its_own(of_a_shop: Any) -> None:
    ours = of_a_shop(
        """
        [names.aliases]
        "Bestellung abgeschlossen" = "Order Completed"
        "Viewed Product" = "Product Clicked"
        """
    )

    for spelt in ("Bestellung abgeschlossen", "BESTELLUNG_ABGESCHLOSSEN"):
        event = admit(named(spelt, revenue=5), ours, message_id="m", topic=TRANSACTIONS)
        assert ("Order Completed", 5.0) == (event.name, event.properties.revenue)
    # Its word counts more than what is shipped, and no alias takes a known name away.
    assert "Product Clicked" == admit(named("viewed product"), ours, message_id="m").name
    assert "Product Viewed" == admit(named("Product Viewed"), ours, message_id="m").name


def test_a_shop_may_say_that_a_name_is_its_own(of_a_shop: Any) -> None:
    ours = of_a_shop('[names]\nown = ["Product Viewer"]')

    assert kind_of("Product Viewer") is MISSPELT
    assert admit(named("product viewer"), ours, message_id="m").kind is UNKNOWN
    assert admit(named("Products Viewed"), ours, message_id="m").kind is MISSPELT


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Unsubscribe", "Unsubscribed"),
        ("user_unsubscribed", "Unsubscribed"),
        ("group_unsubscribe", "Unsubscribed"),
        ("Opt Out", "Opted Out"),
        ("marketing-opt-out", "Opted Out"),
        ("Do Not Contact", "Opted Out"),
        ("Consent Withdrawn", "Consent Revoked"),
        ("consentDenied", "Consent Revoked"),
        ("spam_complaint", "Email Marked as Spam"),
        ("spamreport", "Email Marked as Spam"),
        ("hard_bounce", "Email Bounced"),
        ("Email Soft Bounce", "Email Soft Bounced"),
    ],
)
def test_a_no_is_understood_as_mailers_and_forms_call_it(name: str, meant: str) -> None:
    assert meant == known_name(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Weekly Digest Unsubscribe Link Followed", "Unsubscribed"),
        ("Reseller Opted Out Form", "Opted Out"),
        ("crm.do_not_email.set", "Opted Out"),
        ("CookieConsentRejectedByUser", "Consent Revoked"),
        ("Withdrawal of Consent Received", "Consent Revoked"),
        ("Reported Spam In App", "Email Marked as Spam"),
        ("Newsletter Email Bounced Back", "Email Bounced"),
        ("Cookie Consent Was Updated", "Consent Changed"),
        ("Shop Email Preferences Edited", "Consent Changed"),
        ("crm.contact_permission.changed", "Consent Changed"),
    ],
)
def test_what_sounds_like_a_no_is_no_click_and_is_reported(name: str, meant: str) -> None:
    assert kind_of(name) is MISSPELT
    assert meant == nearest_known_name(name)


@pytest.mark.parametrize(
    "name",
    ["Adopt Outfit", "Consent Banner Viewed", "Bounce House Booked", "Option Outlined", "Spa Met"],
)
def test_what_only_looks_like_a_no_is_an_event_as_any_other(name: str) -> None:
    assert kind_of(name) is UNKNOWN


def test_an_alias_of_nothing_refuses_to_start(of_a_shop: Any) -> None:
    with pytest.raises(ParameterError, match="'Order Complete'; did you mean Order Completed?"):
        of_a_shop('[names.aliases]\n"Bestellt" = "Order Complete"')
    with pytest.raises(ParameterError, match="'Confetti'; `keepstream schema` lists them"):
        load_parameters(assignments=["names.aliases.Bestellt=Confetti"])
