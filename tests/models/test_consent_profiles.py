"""A profile that refuses contact, or to be followed, in the words of any tool."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from models.admission import admit, decode_event
from models.customer.consent import refusal
from models.customer.consent_purposes import Purpose
from models.events.event import Event
from models.events.wire import encode_event
from tests.models.lines import PARAMETERS, at, context, line, lived, scene

CHANNELS = ("email", "sms", "push", "phone", "whatsapp", "post", "courier")
EVERYWHERE = {*CHANNELS}
SHOPIFY = {"opt_in_level": "single_opt_in", "consent_updated_at": None}


def admitted(name: str, day: float, /, **fields: Any) -> Event:
    raw = orjson.dumps({**orjson.loads(line(name, at(days=day))), **fields})
    event = admit(raw, PARAMETERS, message_id="m")
    again = decode_event(encode_event(event), message_id="m")
    # Whatever was understood is in the log, too.
    assert (event.consent, False) == (again.consent, again.has_unread_consent)
    return event


def identified(day: float, /, **traits: Any) -> Event:
    return admitted("identify", day, traits=traits)


def refused(*events: Event) -> set[str]:
    """The channels by which nothing may be sold to the customer, and purposes that are refused."""
    now = scene(lived([*events]), at(days=30), context(parameters=PARAMETERS))
    others = (Purpose.ANALYTICS, Purpose.PERSONALISATION)
    return {
        *(channel for channel in CHANNELS if refusal(now, Purpose.MARKETING, channel)),
        *(str(purpose) for purpose in others if refusal(now, purpose)),
    }


REFUSALS: Mapping[str, tuple[dict[str, Any], set[str]]] = {
    "Segment and others": ({"email_opt_in": False, "sms_opt_in": True}, {"email"}),
    "in camel case, as a text": ({"emailOptIn": "false"}, {"email"}),
    "Salesforce": ({"HasOptedOutOfEmail": True, "HasOptedOutOfFax": False}, {"email"}),
    "Salesforce's calls": ({"DoNotCall": "1"}, {"phone"}),
    "HubSpot": ({"hs_email_optout": "true"}, {"email"}),
    "Braze": ({"email_subscribe": "unsubscribed", "push_subscribe": "opted_in"}, {"email"}),
    "Shopify": ({"email_marketing_consent": {**SHOPIFY, "state": "not_subscribed"}}, {"email"}),
    "Shopify's messages": ({"sms_marketing_consent": {"state": "unsubscribed"}}, {"sms"}),
    "Shopify before": ({"accepts_marketing": False}, EVERYWHERE),
    "Klaviyo": (
        {"subscriptions": {"email": {"marketing": {"consent": "NEVER_SUBSCRIBED"}}}},
        {"email"},
    ),
    "Customer.io": ({"unsubscribed": True}, EVERYWHERE),
    "Dynamics": ({"donotbulkemail": True}, {"email"}),
    "two channels": ({"whatsappOptIn": "no", "Do Not Text": "yes"}, {"whatsapp", "sms"}),
    "a newsletter": ({"is_subscribed_to_newsletter": 0}, {"email"}),
    "a bare newsletter": ({"newsletter": False}, {"email"}),
    "a bare name": ({"marketing_emails": False}, {"email"}),
    "marketing": ({"marketing": False}, EVERYWHERE),
    "marketing under the law": ({"gdpr_marketing_consent": "denied"}, EVERYWHERE),
    "no marketing": ({"noMarketing": True}, EVERYWHERE),
    "left out of marketing": ({"exclude_from_marketing": 1}, EVERYWHERE),
    "all contact": ({"do_not_contact": True}, EVERYWHERE),
    "a permission that was not given": ({"permission_to_contact": "no"}, EVERYWHERE),
    "what may be sent": ({"can_send_sms": False}, {"sms"}),
    "since when": ({"email_opt_out_date": "2025-12-01"}, {"email"}),
    "since when of everything": ({"unsubscribed_at": 1_764_547_200}, EVERYWHERE),
    "a status": ({"email_status": "Unsubscribed"}, {"email"}),
    "paths": ({"communication_preferences": {"email": {"opt_in": False}}}, {"email"}),
    "a minor by their own word": ({"is_minor": True}, EVERYWHERE),
    "a child": ({"age": 12}, EVERYWHERE),
    "tracking": ({"do_not_track": True}, {"analytics", "personalisation"}),
    "profiling": ({"profiling_opt_out": "yes"}, {"personalisation"}),
}


@pytest.mark.parametrize(("traits", "no"), REFUSALS.values(), ids=list(REFUSALS))
def test_what_a_profile_refuses_is_refused(traits: dict[str, Any], no: set[str]) -> None:
    event = identified(1, **traits)

    assert no == refused(event)
    assert not event.has_unread_consent


@pytest.mark.parametrize(("traits", "no"), REFUSALS.values(), ids=list(REFUSALS))
def test_only_a_yes_in_words_takes_it_back(traits: dict[str, Any], no: set[str]) -> None:
    """What a cookie banner stamps on every page is no answer to whether somebody may be called."""
    profile = identified(1, **traits)
    page = admitted("page", 2, context={"consent": {"marketing": True}})
    granted = admitted("Consent Granted", 3, properties={})

    assert no == refused(profile, page) == refused(page, profile)
    assert set() == refused(profile, page, granted) == refused(granted, profile)


@pytest.mark.parametrize(
    ("traits", "is_told"),
    [
        *(({name: False}, True) for name in ("email", "subscribed", "consent", "contactable")),
        *(({name: False}, False) for name in ("email_verified", "accepted_terms", "optional")),
        ({"status": "unsubscribed"}, True),
        ({"subscription_status": "cancelled"}, False),
        ({"email_opt_in": True, "do_not_call": False, "unsubscribed": ""}, False),
        ({"email_opt_in_at": "2026-01-01", "marketing_opt_in_level": "single"}, False),
        ({"company": {"do_not_contact": True}}, True),
        ({"age": 30, "minor_version": 1, "preferred_contact": "none"}, False),
    ],
)
def test_what_may_mean_something_else_refuses_nothing(
    traits: dict[str, Any], is_told: bool
) -> None:
    event = identified(1, **traits)

    assert set() == refused(event)
    assert is_told is event.has_unread_consent


def test_a_profile_is_found_where_rudderstack_has_it() -> None:
    for traits in (None, {}, []):
        event = admitted("identify", 1, traits=traits, context={"traits": {"email_opt_in": False}})
        assert {"email"} == refused(event)
        # Also where the strict decoder refuses the line.
        context_ = {"channel": 7, "traits": {"email_opt_in": False}}
        assert {"email"} == refused(admitted("identify", 1, traits=traits, context=context_))
    stated = {"traits": {"plan": "x"}, "context": {"traits": {"email_opt_in": False}}}
    assert set() == refused(admitted("identify", 1, **stated))
    assert set() == refused(admitted("page", 1, context={"traits": {"email_opt_in": False}}))


@pytest.mark.parametrize("name", ["doNotTrack", "dnt", "globalPrivacyControl", "gpc"])
def test_whoever_tells_the_browser_not_to_be_tracked_is_not(name: str) -> None:
    for yes in (True, 1, "1"):
        for rest in ({}, {"channel": 7}, {"consent": {"analytics": True}}):
            event = admitted("Product Viewed", 1, context={name: yes, **rest})
            assert {"analytics", "personalisation"} == refused(event)
    for no in (False, 0, "0", "unspecified", None):
        assert set() == refused(admitted("Product Viewed", 1, context={name: no}))


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        *((name, "sms") for name in ("SMS Received", "Received SMS", "Inbound SMS")),
        ("users.messages.sms.InboundReceive", "sms"),
        ("Text Message Replied", "sms"),
        ("WhatsApp Message Received", "whatsapp"),
    ],
)
def test_whoever_answers_stop_gets_no_more_of_it(name: str, channel: str) -> None:
    for said in ({"body": "STOP"}, {"message_body": "Stop all."}, {"message": "cancel"}):
        event = admitted(name, 1, properties=said)
        assert ({channel}, False) == (refused(event), event.has_unread_consent)
    for other in ("Stop by any time", "When does it end?", "Your parcel is there"):
        event = admitted(name, 1, properties={"body": other})
        assert (set(), False) == (refused(event), event.has_unread_consent)
    told = admitted("Message Received", 1, properties={"body": "STOP"})
    assert (set(), True) == (refused(told), told.has_unread_consent)


@pytest.mark.parametrize(
    ("named", "channel"),
    [
        *((name, "email") for name in ("Email Marketing", "email_marketing", "newsletter")),
        *((name, "sms") for name in ("SMS marketing", "Text", "mobile-marketing")),
        ("phone calls", "phone"),
    ],
)
def test_a_channel_is_meant_whatever_it_is_for(named: str, channel: str) -> None:
    event = admitted("Consent Revoked", 1, properties={"channel": named})

    assert {channel} == refused(event)
