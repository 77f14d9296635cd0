"""Consent: the latest choice applies, whenever it arrives, and blocks exactly what it is about."""

from collections.abc import Mapping, Sequence
from math import isnan
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from config.duration import DAY_MS, DurationMs
from config.parameters import ParameterError, Parameters
from models.admission import admit, decode_event
from models.customer.consent import CONSENT, FACTS, refusal
from models.customer.consent_purposes import Purpose
from models.customer.consent_state import WORDS_MAX, ConsentDefaults, ConsentParameters
from models.customer.row import Row
from models.decisions.trigger import Trigger
from models.engine import Effect
from models.events.event import Event
from models.events.rejection import Rejected
from models.events.times import iso
from models.events.wire import encode_event
from models.learning.lessons import Lesson, Tally
from models.learning.tallies import TallyLearner
from models.parameters import load_parameters
from models.population import name_of, samples_of_parts
from tests.models.lines import (
    PARAMETERS,
    at,
    context,
    happened,
    line,
    lived,
    lived_with_effects,
    scene,
    seen,
    step,
    waited,
)

SHIPPED = PARAMETERS.of(ConsentParameters)
ALL = {"analytics", "personalisation", "marketing"}


def set_to(**values: Any) -> Parameters:
    return PARAMETERS.with_section(replace(SHIPPED, **values))


OPT_IN = set_to(default=ConsentDefaults("granted", "granted", "denied"))


def said(name: str, day: float, /, *, message: str | None = None, **properties: Any) -> Event:
    raw = line(name, at(days=day), message=message, properties=properties)
    return decode_event(raw, message_id="none")


def revoked(day: float, **properties: Any) -> Event:
    return said("Consent Revoked", day, **properties)


def granted(day: float, **properties: Any) -> Event:
    return said("Consent Granted", day, **properties)


def denied(
    events: Sequence[Event], day: float = 30, parameters: Parameters = PARAMETERS
) -> set[str]:
    """The consent facts that are false at the end of a day."""
    row, within = lived(events), context(parameters=parameters)
    now = scene(row, at(days=day), within)
    return {name.removeprefix("consent_") for name in FACTS if not now[name]}


MARKETING = {"marketing", *(f"marketing_{c}" for c in ("email", "sms", "push", "phone", "post"))}
STANDS: Mapping[str, tuple[list[Event], set[str]]] = {
    "nothing was said": ([], set()),
    "everything that can be revoked": ([revoked(1)], {"analytics", "personalisation", *MARKETING}),
    "one purpose": ([revoked(1, purpose="analytics")], {"analytics"}),
    "two purposes": (
        [revoked(1, purposes=["analytics", "personalization"])],
        {"analytics", "personalisation"},
    ),
    "a purpose under another name": ([revoked(1, purpose=" Advertising ")], MARKETING),
    "one channel": ([revoked(1, purpose="marketing", channel="SMS")], {"marketing_sms"}),
    "a channel under another name": ([revoked(1, channel="text")], {"marketing_sms"}),
    "mail": ([said("Unsubscribed", 1)], {"marketing_email"}),
    "mail, by an empty list": ([said("Unsubscribed", 1, list_id="")], {"marketing_email"}),
    "one list alone": ([said("Unsubscribed", 1, list_id="news")], set()),
    "spam, whatever the list": (
        [said("Email Marked as Spam", 1, list_id="news")],
        {"marketing_email"},
    ),
    "messages": ([said("SMS Opted Out", 1)], {"marketing_sms"}),
    "push": ([said("Push Unsubscribed", 1)], {"marketing_push"}),
    "every channel at once": ([said("Opted Out", 1)], MARKETING),
    "one channel, said otherwise": ([said("Opted Out", 1, channel="sms")], {"marketing_sms"}),
    "in again": ([said("Opted Out", 1), said("Opted In", 2)], set()),
    "a list that was not filled in": (
        [said("Unsubscribed", 1, list_id="null")],
        {"marketing_email"},
    ),
    "a scanner, in another way": ([said("Unsubscribed", 1, machine="true")], set()),
    "somebody, in another way": ([said("Unsubscribed", 1, machine="no")], {"marketing_email"}),
    "a scanner followed the link": ([said("Unsubscribed", 1, machine=True)], set()),
    "granted again": ([revoked(1), granted(2)], set()),
    "granted again by one channel": (
        [revoked(1, purpose="marketing"), said("Email Subscribed", 2)],
        MARKETING - {"marketing_email"},
    ),
    "granted at the same moment": ([granted(1), revoked(1)], {*ALL, *MARKETING}),
    "an old grant is heard of late": (
        [revoked(2, purpose="marketing"), granted(1, purpose="marketing")],
        MARKETING,
    ),
    "service cannot be revoked": ([revoked(1, purpose="transactional")], set()),
    "mail came back for good": ([said("Email Bounced", 1, type="hard")], {"email_reachable"}),
    "mail came back, nobody says how": ([said("Email Bounced", 1)], {"email_reachable"}),
    "mail came back twice for a while": (
        [said("Email Bounced", day, type="soft") for day in (1, 2)],
        set(),
    ),
    "mail came back thrice, by its name": (
        [said("Email Soft Bounced", day) for day in (1, 2, 3)],
        {"email_reachable"},
    ),
    "mail came back once, by its name": ([said("Email Soft Bounced", 1)], set()),
    "mail came back thrice in a week": (
        [said("Email Bounced", day, bounce_type="Transient") for day in (1, 4, 7.9)],
        {"email_reachable"},
    ),
    "mail came back thrice in more than a week": (
        [said("Email Bounced", day, type="soft") for day in (1, 4, 8)],
        set(),
    ),
    "mail arrives again": (
        [said("Email Bounced", 1), said("Email Opened", 2)],
        set(),
    ),
    "mail arrived before": (
        [said("Email Delivered", 1), said("Email Bounced", 1)],
        {"email_reachable"},
    ),
}


def stamped(day: float, consent: Any, *, event: str = "page", context: Any = None) -> Event:
    """Another event, with this consent in its context."""
    said: dict[str, Any] = orjson.loads(line(event, at(days=day)))
    said["context"] = {"consent": consent} if context is None else context
    said["messageId"] += str(consent)
    return decode_event(orjson.dumps(said), message_id="none")


def preferences(**choices: Any) -> dict[str, Any]:
    return {"categoryPreferences": choices}


STAMPS: Mapping[str, tuple[list[Event], set[str]]] = {
    "a no by category": ([stamped(1, preferences(Advertising=False))], MARKETING),
    "a no at once": ([stamped(1, {"marketing": False})], MARKETING),
    "a no by purpose": ([stamped(1, {"purposes": {"analytics": False}})], {"analytics"}),
    "a no in words": ([stamped(1, {"personalization": "Denied"})], {"personalisation"}),
    "on any event": ([stamped(1, {"marketing": False}, event="My Own Thing")], MARKETING),
    "nothing is said of the others": (
        [revoked(1, purpose="analytics"), stamped(2, preferences(Advertising=True))],
        {"analytics"},
    ),
    "nothing is said": (
        [
            revoked(1, purpose="analytics"),
            stamped(2, {}),
            stamped(3, preferences()),
            stamped(4, None),
            stamped(5, preferences(Analytics=None)),
            stamped(6, []),
        ],
        {"analytics"},
    ),
    "granted again": (
        [stamped(1, preferences(Advertising=False)), stamped(2, preferences(Advertising=True))],
        set(),
    ),
    "granted again after an event": (
        [revoked(1, purpose="marketing"), stamped(2, {"marketing": True})],
        set(),
    ),
    "revoked by an event later": (
        [stamped(1, {"marketing": True}), revoked(2, purpose="marketing")],
        MARKETING,
    ),
    "revoked after an event": (
        [granted(1, purpose="marketing"), stamped(2, {"marketing": False})],
        MARKETING,
    ),
    "both at the same moment": (
        [revoked(1, purpose="marketing"), stamped(1, {"marketing": True})],
        MARKETING,
    ),
    "both at the same moment, the other way round": (
        [granted(1, purpose="marketing"), stamped(1, {"marketing": False})],
        MARKETING,
    ),
    "two stamps of one moment": (
        [stamped(1, {"marketing": True}), stamped(1, {"marketing": False})],
        MARKETING,
    ),
    "two names of one purpose": (
        [stamped(1, preferences(Advertising=True, Newsletter=False))],
        MARKETING,
    ),
    "a channel that was left stays left": (
        [said("Unsubscribed", 1), stamped(2, preferences(Advertising=True))],
        {"marketing_email"},
    ),
    "a channel that was left before everything was": (
        [said("Unsubscribed", 1), revoked(2), stamped(3, {"marketing": True, "analytics": True})],
        {"marketing_email", "personalisation"},
    ),
    "a channel that was left, then all was granted": (
        [said("Unsubscribed", 1), granted(2), stamped(3, {"marketing": True})],
        set(),
    ),
    "a channel that was granted is closed with the rest": (
        [said("Email Subscribed", 1), stamped(2, {"marketing": False})],
        MARKETING,
    ),
    "an object with a choice": ([stamped(1, {"marketing": {"granted": False}})], MARKETING),
    "an object with a status": ([stamped(1, {"marketing": {"Status": "denied"}})], MARKETING),
    "another word for no": ([stamped(1, {"purposes": {"marketing": "withdrawn"}})], MARKETING),
    "categories": ([stamped(1, {"categories": {"marketing": "opted-out"}})], MARKETING),
    "lists of what was allowed and denied": (
        [stamped(1, {"allowedConsentIds": ["C0002"], "deniedConsentIds": ["C0004", "C0001"]})],
        MARKETING,
    ),
    "in both lists it is denied": (
        [stamped(1, {"deniedConsentIds": ["marketing"], "allowedConsentIds": ["marketing"]})],
        MARKETING,
    ),
    "service cannot be revoked here either": ([stamped(1, preferences(Functional=False))], set()),
}


@pytest.mark.parametrize(("events", "no"), STAMPS.values(), ids=list(STAMPS))
def test_what_the_context_says_of_consent_is_a_word_of_its_time(
    events: list[Event], no: set[str]
) -> None:
    assert no == denied(events)
    assert no == denied(events[::-1])


def test_what_rudderstack_says_of_consent_is_read_where_it_has_it() -> None:
    lists = {"deniedConsentIds": ["C0004"], "allowedConsentIds": ["C0001"], "provider": "oneTrust"}
    event = stamped(1, None, context={"consentManagement": lists})

    assert MARKETING == denied([event])
    assert MARKETING == denied([decode_event(encode_event(event), message_id="none")])
    # Also where the strict decoder refuses the line.
    lenient = stamped(1, None, context={"consentManagement": lists, "channel": 7})
    assert (event.consent, event.has_unread_consent) == (lenient.consent, False)


UNREAD: Mapping[str, tuple[Any, set[str]]] = {
    "a text": ("no", set()),
    "a list": ([{"marketing": False}], set()),
    "a number": (7, set()),
    "preferences that are a list": ({"categoryPreferences": ["Advertising"]}, set()),
    "a purpose that nobody knows": (preferences(DataSharing=False), set()),
    "a choice that is neither": (preferences(Advertising="maybe"), set()),
    "a choice that waits": (preferences(Advertising="pending"), set()),
    "a choice that is an object": ({"marketing": {"email": False}}, set()),
    "a list that is none": ({"deniedConsentIds": {"marketing": True}}, set()),
    "an id that nobody knows": ({"deniedConsentIds": ["C0099", "C0004"]}, MARKETING),
    "one that can be read beside it": (preferences(DataSharing=True, Advertising=False), MARKETING),
}


@pytest.mark.parametrize(("consent", "no"), UNREAD.values(), ids=list(UNREAD))
def test_a_consent_that_is_not_understood_costs_no_event_and_is_told_of(
    consent: Any, no: set[str]
) -> None:
    event = stamped(1, consent)
    read = [one.has_unread_consent for _, (events, _) in STAMPS.items() for one in events]

    assert event.has_unread_consent
    assert no == denied([event])
    assert not any(read)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("consent_marketing", 1.0, "marketing: allowed"),
        ("consent_marketing", 0.0, "marketing: refused"),
        ("consent_marketing_email", 0.0, "marketing by email: refused"),
        ("email_reachable", 1.0, "e-mail: arrives"),
        ("email_reachable", 0.0, "e-mail: comes back"),
    ],
)
def test_a_yes_and_a_no_are_told_in_words(name: str, value: float, words: str) -> None:
    assert words == FACTS[name].told(value)


def test_a_receipt_tells_what_is_refused() -> None:
    effects = lived_with_effects([revoked(1, purpose="marketing")])[1]
    [fired] = [one for one in effects if isinstance(one, Trigger)]

    assert ["marketing: refused", "marketing by email: refused"] == [r.words for r in fired.reasons]


def test_what_is_wrong_beside_it_in_the_context_costs_no_consent() -> None:
    context = {"channel": 7, "consent": {"marketing": False}, "historical": True}
    event = stamped(1, None, context=context)

    assert ((("marketing", False),), True, None) == (
        event.consent,
        event.historical,
        event.channel,
    )


def test_the_log_carries_what_was_understood() -> None:
    event = stamped(1, preferences(Advertising=False, Analytics=True, DataSharing=True))
    again = decode_event(encode_event(event), message_id="none")

    assert (("analytics", True), ("marketing", False)) == event.consent == again.consent
    assert not again.has_unread_consent


def test_a_campaign_s_cost_has_no_consent_of_anybody() -> None:
    cost = orjson.loads(line("Campaign Cost", at(days=1), properties={"channel": "a", "amount": 1}))
    cost["context"] = {"consent": {"marketing": False}}

    assert () == decode_event(orjson.dumps(cost), message_id="none").consent


@pytest.mark.parametrize(("events", "no"), STANDS.values(), ids=list(STANDS))
def test_what_was_said_last_stands_in_whatever_order_it_is_heard(
    events: list[Event], no: set[str]
) -> None:
    assert no == denied(events)
    assert no == denied(events[::-1])


def test_before_it_was_said_it_was_allowed_and_an_opt_in_country_needs_a_word() -> None:
    assert MARKETING == denied([], parameters=OPT_IN)
    assert MARKETING - {"marketing_email"} == denied(
        [said("Email Subscribed", 1)], parameters=OPT_IN
    )
    assert set() == denied([granted(1)], parameters=OPT_IN)


def test_a_grant_expires_and_a_revocation_does_not() -> None:
    short = set_to(
        default=ConsentDefaults("granted", "granted", "denied"), expires=DurationMs(10 * DAY_MS)
    )
    events = [granted(1, purpose="marketing"), said("SMS Opted Out", 2)]

    assert {"marketing_sms"} == denied(events, day=10.9, parameters=short)
    assert MARKETING == denied(events, day=11, parameters=short)
    assert {"marketing_sms"} == denied(
        events, day=400, parameters=set_to(expires=DurationMs(DAY_MS))
    )


def list_refused(row: Row, day: float, name: str | None) -> tuple[int, str] | None:
    return refusal(scene(row, at(days=day)), Purpose.MARKETING, "email", name)


def test_one_list_is_left_and_then_everything() -> None:
    news = said("Unsubscribed", 1, list_id="News")
    one = lived([news])
    both = lived([revoked(3, purpose="marketing"), granted(0, purpose="marketing")], row=one)

    assert None is list_refused(one, 2, "offers")
    assert None is list_refused(one, 2, None)
    assert (at(days=1), "marketing:email:news") == list_refused(one, 2, "news")
    assert (at(days=3), "marketing") == list_refused(both, 4, "news")
    assert (at(days=3), "marketing") == list_refused(both, 4, "offers")
    # The ids of lists are numbers at some platforms.
    assert (at(days=1), "marketing:email:17") == list_refused(
        lived([said("Unsubscribed", 1, list_id=17)]), 2, "17"
    )


def test_with_more_lists_than_are_remembered_an_unknown_one_counts_as_left() -> None:
    lists = [said("Unsubscribed", n / 100, list_id=f"list-{n}") for n in range(WORDS_MAX + 5)]
    few = lived(lists[: WORDS_MAX - 1])
    many = lived(lists)

    assert None is list_refused(few, 1, "another")
    assert None is not list_refused(many, 1, "another")
    assert None is not list_refused(many, 1, "list-0")
    assert WORDS_MAX == len(many.read(CONSENT).words)
    # What holds of all of marketing is never let go of.
    early = lived([revoked(0, purpose="marketing"), *lists])
    assert (at(), "marketing") == list_refused(early, 1, None)


@given(st.integers(0, 2**32))
def test_any_order_of_arrival_gives_the_same_state(seed: int) -> None:
    rng = Random(seed)
    events = [
        said(
            rng.choice(["Consent Granted", "Consent Revoked", "Unsubscribed", "SMS Opted In"]),
            rng.randint(0, 20) / 10,
            message=str(number),
            **{
                name: value
                for name, value in {
                    "purpose": rng.choice([None, "analytics", "marketing"]),
                    "channel": rng.choice([None, "sms", "email"]),
                    "list_id": rng.choice([None, *(f"l-{n}" for n in range(30))]),
                }.items()
                if value is not None
            },
        )
        for number in range(60)
    ]
    shuffled = rng.sample(events, len(events))

    one, other = lived(events), lived(shuffled)

    assert CONSENT.pack(one.read(CONSENT)) == CONSENT.pack(other.read(CONSENT))


@pytest.mark.parametrize(
    ("properties", "path"),
    [
        ({"purpose": "world peace"}, "$.properties.purpose"),
        ({"purposes": ["marketing", "world peace"]}, "$.properties.purpose"),
        ({"purpose": {"marketing": False}}, "$.properties.purpose"),
        ({"channel": "call me on Monday"}, "$.properties.channel"),
        ({"channel": {"email": False}}, "$.properties.channel"),
        ({"channels": ["sms", 7]}, "$.properties.channel"),
    ],
)
def test_a_word_that_nobody_understands_is_refused(properties: Any, path: str) -> None:
    with pytest.raises(Rejected) as refused:
        revoked(1, **properties)

    assert path == refused.value.path
    assert "world peace" not in refused.value.detail


def no(channel: str) -> set[str]:
    return {f"marketing_{channel}"}


EMAIL, SMS, PUSH, PHONE, POST = map(no, ("email", "sms", "push", "phone", "post"))
EVERYTHING = {*ALL, *MARKETING}


@pytest.mark.parametrize(
    ("name", "properties", "refused"),
    [
        ("Consent Changed", {"granted": False}, EVERYTHING),
        ("Consent Changed", {"purpose": "marketing", "granted": "false"}, MARKETING),
        ("consent_updated", {"Granted": False, "purpose": "marketing"}, MARKETING),
        ("Consent Updated", {"consent": False, "channel": "email"}, EMAIL),
        ("Consent Updated", {"status": "Unsubscribed"}, EVERYTHING),
        ("Consent Changed", {"purpose": "analytics", "optedOut": True}, {"analytics"}),
        ("Consent Changed", {"granted": True, "status": "revoked"}, EVERYTHING),
        ("Consent Changed", {"purpose": "marketing", "status": "pending"}, set()),
        ("Marketing Consent Changed", {"consent": "denied"}, MARKETING),
        ("Subscription Preferences Updated", {"opted_in": False, "channel": "sms"}, SMS),
        ("Email Preferences Updated", {"subscribed": 0}, EMAIL),
        ("Email Subscription Changed", {"status": "opted-out"}, EMAIL),
        ("SMS Subscription Changed", {"is_subscribed": "no"}, SMS),
        ("Push Permission Changed", {"allowed": False}, PUSH),
        ("Email Subscribed", {"subscribed": False}, EMAIL),
        ("Email Subscribed", {"unsubscribed": "2026-03-01T10:00:00Z"}, EMAIL),
        ("Consent Granted", {"purpose": "marketing", "granted": False}, MARKETING),
        ("Consent Granted", {"purpose": "marketing", "revoked": True}, MARKETING),
        ("Consent Granted", {"purpose": "marketing", "revoked": False}, set()),
        ("Consent Revoked", {"purpose": "marketing", "granted": True}, MARKETING),
        ("Unsubscribed", {"status": "what ever"}, EMAIL),
        ("Opted Out", {"channels": ["email", "Text Message"]}, EMAIL | SMS),
        ("Consent Revoked", {"purpose": "marketing", "channel": ["email"]}, EMAIL),
        ("Consent Revoked", {"purpose": ["marketing", "analytics"]}, {"analytics", *MARKETING}),
        ("Consent Revoked", {"channel": "email, sms"}, EMAIL | SMS),
        ("Unsubscribed", {"channel": "all"}, MARKETING),
        ("Consent Revoked", {"channel": "Web Push"}, PUSH),
        ("Consent Revoked", {"channel": "mobile-push"}, PUSH),
        ("Consent Revoked", {"channel": "direct mail"}, POST),
        ("Text Opted Out", {}, SMS),
        ("Web Push Unsubscribed", {}, PUSH),
        ("Push Notifications Opted Out", {}, PUSH),
        ("Do Not Call", {}, PHONE),
        ("Phone Unsubscribed", {}, PHONE),
        ("Direct Mail Opted Out", {}, POST),
    ],
)
def test_a_no_is_understood_by_what_the_properties_say(
    name: str, properties: dict[str, Any], refused: set[str]
) -> None:
    event = said(name, 1, **properties)

    assert refused == denied([event])
    assert refused == denied([decode_event(encode_event(event), message_id="none")])


@pytest.mark.parametrize(
    ("name", "properties", "refused"),
    [
        ("Email Subscribed", {}, MARKETING - EMAIL),
        ("Email Subscribed", {"status": "confirmed"}, MARKETING - EMAIL),
        ("Email Subscribed", {"double_opt_in": True}, MARKETING - EMAIL),
        ("Email Subscribed", {"status": "pending"}, MARKETING),
        ("Email Subscribed", {"confirmed": False}, MARKETING),
        ("Email Subscribed", {"subscribed": True, "double_opt_in": "pending"}, MARKETING),
        ("Email Subscribed", {"state": "Bavaria", "consent": "I agree."}, MARKETING - EMAIL),
        ("Email Opted In", {"status": "unconfirmed"}, MARKETING),
        ("Double Opt-In Confirmed", {}, MARKETING - EMAIL),
        ("Email Subscription Confirmed", {}, MARKETING - EMAIL),
        ("Consent Granted", {"purpose": "marketing", "status": "revoked"}, MARKETING),
        ("Consent Granted", {"purpose": "marketing", "channels": ["sms"]}, MARKETING - SMS),
        ("Consent Granted", {"purpose": "marketing", "channel": ["sms"]}, MARKETING - SMS),
        ("Email Subscribed", {"channel": "all"}, MARKETING - EMAIL),
        ("Consent Granted", {"purpose": ["analytics"]}, MARKETING),
        ("Consent Changed", {"purpose": "marketing", "granted": True}, set()),
        ("Consent Updated", {"purpose": "marketing", "status": "granted"}, set()),
    ],
)
def test_in_an_opt_in_country_a_yes_is_one_that_was_said_and_confirmed(
    name: str, properties: dict[str, Any], refused: set[str]
) -> None:
    event = said(name, 1, **properties)
    again = decode_event(encode_event(event), message_id="none")

    # MARKETING - {..} of a channel leaves marketing as such refused.
    assert refused == denied([event], parameters=OPT_IN)
    assert refused == denied([again], parameters=OPT_IN)


@pytest.mark.parametrize(
    ("name", "properties"),
    [
        ("Consent Changed", {}),
        ("Consent Changed", {"purpose": "marketing"}),
        ("Consent Changed", {"granted": "perhaps"}),
        ("Email Preferences Updated", {"confirmed": True}),
        ("Consent Granted", {"status": "perhaps"}),
        ("Email Subscribed", {"granted": [True]}),
    ],
)
def test_a_choice_that_nobody_understands_is_refused(name: str, properties: Any) -> None:
    with pytest.raises(Rejected) as refused:
        said(name, 1, **properties)

    assert "$.properties.granted" == refused.value.path


@pytest.mark.parametrize(
    ("properties", "is_told"),
    [
        ({"granted": False}, True),
        ({"Opted-In": "no"}, True),
        ({"subscription": {"email": {"optedOut": True}}}, True),
        ({"status": "unsubscribed"}, True),
        ({"email_state": "Opted Out"}, True),
        ({"consent": "denied"}, True),
        ({"granted": True}, False),
        ({"status": "shipped"}, False),
        ({"opted_out": False}, False),
        ({"marketing_opt_in": "no"}, True),
        ({"hasOptedOutOfEmail": True}, True),
        ({"email": False}, True),
        ({"newsletter": 0}, True),
        ({"do_not_contact": "yes"}, True),
        ({"acceptsMarketing": False}, True),
        ({"email": "ada@example.org", "newsletter": "weekly"}, False),
        ({"marketing_opt_in": True}, False),
        ({"comment": "granted: false"}, False),
        ({"unsubscribed_from_emails": True}, True),
        ({"globalUnsubscribe": "yes"}, True),
        ({"unsubscribed_at": "2026-03-01T10:00:00Z"}, True),
        ({"optedOutOn": 1772359200}, True),
        ({"unsubscribed_at": None, "created_at": "2026-03-01T10:00:00Z"}, False),
        ({"push_subscribe": "unsubscribed"}, True),
        ({"do_not_email": "Y"}, True),
        *(({name: True}, True) for name in ("dnc", "DNC", "suppressed", "isBlacklisted")),
        *(({name: False}, True) for name in ("allow_email", "allowMarketing", "can_contact")),
        *(({name: "no"}, True) for name in ("receiveEmails", "sms_enabled", "mailing_list")),
        ({"email_opt_in": "off"}, True),
        ({"$consent": False}, True),
        *(({name: " STOP. "}, True) for name in ("body", "message_body", "keyword")),
        ({"body": "please stop by"}, False),
        ({"label": "Stop", "email_verified": False, "phone": "0"}, True),
        ({"label": "Stop", "email_verified": False, "blocked": True}, False),
    ],
)
def test_a_no_in_an_event_that_nobody_knows_is_told_of(
    properties: dict[str, Any], is_told: bool
) -> None:
    event = said("Panel Moved", 1, **properties)

    assert is_told is event.has_unread_consent
    own = replace(PARAMETERS, names=replace(PARAMETERS.names, own=frozenset({"panelmoved"})))
    raw = line("Panel Moved", at(days=1), properties=properties)
    assert not admit(raw, own, message_id="m").has_unread_consent
    # Of a profile that says so only what is beyond doubt is read.
    raw = orjson.dumps({**orjson.loads(line("identify", at(days=1))), "traits": properties})
    told = admit(raw, PARAMETERS, message_id="m")
    assert is_told is (told.has_unread_consent or told.consent != ())


@pytest.mark.parametrize(
    "traits",
    [
        *({name: True} for name in ("do_not_contact", "dnc", "unsubscribed", "hasOptedOut")),
        *({name: "yes"} for name in ("Opted Out", "marketing_opt_out", "globalUnsubscribe")),
        {"email": "ada@example.org", "DO-NOT-CONTACT": 1, "newsletter": True},
    ],
)
def test_whoever_wants_no_contact_by_their_profile_has_none(traits: dict[str, Any]) -> None:
    said = orjson.loads(line("identify", at(days=1)))
    event = decode_event(orjson.dumps({**said, "traits": traits}), message_id="none")

    assert MARKETING == denied([event])
    assert not event.has_unread_consent
    again = decode_event(encode_event(event), message_id="none")
    assert (event.consent, False) == (again.consent, again.has_unread_consent)
    assert set() == denied([event, granted(2)])


@pytest.mark.parametrize(
    "traits",
    [
        *({name: False} for name in ("do_not_contact", "dnc", "unsubscribed", "hasOptedOut")),
        *({name: None} for name in ("do_not_contact", "unsubscribed")),
        {"company": {"do_not_contact": True}},
        {"notes": "do not contact", "unsubscribed": "maybe"},
    ],
)
def test_a_profile_that_says_nothing_of_the_kind_refuses_nothing(traits: dict[str, Any]) -> None:
    said = orjson.loads(line("identify", at(days=1)))

    assert () == decode_event(orjson.dumps({**said, "traits": traits}), message_id="none").consent


@pytest.mark.parametrize(
    ("properties", "is_soft"),
    [
        *(({name: "temporary"}, True) for name in ("severity", "bounceType", "Bounce_Class")),
        *(({"Type": word}, True) for word in ("SoftBounce", "Transient")),
        *(({"category": word}, word == "soft") for word in ("soft", "hard")),
        ({"severity": "permanent"}, False),
        ({}, False),
    ],
)
def test_how_an_email_came_back_is_read_in_every_mailer_s_words(
    properties: dict[str, Any], is_soft: bool
) -> None:
    assert is_soft is said("Email Bounced", 1, **properties).properties.is_soft


@pytest.mark.parametrize("list_id", ["all", "ALL", "global", "*"])
def test_whoever_leaves_all_lists_leaves_the_channel(list_id: str) -> None:
    assert EMAIL == denied([said("Unsubscribed", 1, list_id=list_id)])
    assert set() == denied([said("Unsubscribed", 1, list_id="weekly")])


@pytest.mark.parametrize(
    ("name", "purpose"),
    [
        *((name, "marketing") for name in ("ad_storage", "adUserData", "Email Marketing", "C0004")),
        *((name, "analytics") for name in ("analytics_storage", "C0002")),
        ("ad_personalization", "personalisation"),
    ],
)
def test_a_purpose_is_known_by_what_consent_platforms_call_it(name: str, purpose: str) -> None:
    viewed = orjson.loads(line("Product Viewed", at(days=1)))
    stamped = orjson.dumps({**viewed, "context": {"consent": {name: "denied"}}})
    event = decode_event(stamped, message_id="none")
    assert (((purpose, False),), False) == (event.consent, event.has_unread_consent)
    revoked = said("Consent Revoked", 1, purpose=name)
    assert (name,) == revoked.properties.named


def test_a_change_is_told_once() -> None:
    _, effects = lived_with_effects(
        [
            said("Unsubscribed", 1),
            said("Unsubscribed", 2),
            said("Email Opened", 3),
            granted(40),
            said("Unsubscribed", 41),
        ]
    )
    told = [
        (found.kind, found.timestamp)
        for found in effects
        if isinstance(found, Trigger) and found.kind == "consent-revoked"
    ]

    assert [("consent-revoked", iso(at(days=day))) for day in (1, 41)] == told


def test_a_profile_says_what_was_agreed_to() -> None:
    row = lived(
        [
            said("Unsubscribed", 1, list_id="weekly"),
            granted(2, purpose="personalisation", source="checkout"),
            said("Email Bounced", 3),
        ]
    )
    view = seen(row, at(days=4)).consent

    assert None is seen(Row(), at()).consent
    assert (True, True, True) == (view.analytics, view.personalisation, view.marketing)
    assert iso(at(days=3)) == view.email_unreachable_since
    assert [
        ("marketing", "email", "other", "revoked", "unsubscribed"),
        ("personalisation", None, None, "granted", "checkout"),
    ] == [(w.purpose, w.channel, w.list, w.word, w.source) for w in view.words]


def shares(customers: Sequence[Sequence[Event]]) -> dict[str, float]:
    learner = TallyLearner(None, PARAMETERS)
    for events in customers:
        for effect in lived_with_effects(events)[1]:
            if isinstance(effect, Tally) and effect.part == "consent":
                learner.learn(effect)
    samples = samples_of_parts(learner.so_far(at(days=9)), PARAMETERS)
    return {name_of(s): s.value for s in samples if "consent" in s.measure.name}


def test_shares_are_of_those_who_said_something_and_of_twenty_at_least() -> None:
    yes = [granted(1, purpose="marketing")]
    back = [*yes, revoked(2, purpose="marketing"), granted(3, purpose="marketing")]
    no = [*yes, said("Unsubscribed", 2)]

    assert {} == shares([yes] * 10 + [no] * 9)
    assert {
        'keepstream_consent_customers{purpose="marketing"}': 20,
        'keepstream_consent_customers{purpose="marketing_email"}': 20,
        'keepstream_consent_share{purpose="marketing"}': 1.0,
        'keepstream_consent_share{purpose="marketing_email"}': 0.75,
    } == shares([yes] * 5 + [back] * 10 + [no] * 5)


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("consent.default.marketing=maybe", "consent.default.marketing"),
        ("consent.default.marketting=denied", "did you mean consent.default.marketing?"),
        ("consent.soft_bounces=9", "consent.soft_bounces is 8 at most"),
    ],
)
def test_a_default_that_is_none_is_refused(assignment: str, words: str) -> None:
    with pytest.raises(ParameterError, match="consent") as refused:
        load_parameters(assignments=[assignment])

    assert words in str(refused.value)


def test_nothing_but_codes_is_kept() -> None:
    row = lived([revoked(1, source="Ada said so", list_id="Ada's list")])

    assert b"Ada" not in CONSENT.pack(row.read(CONSENT))


def taught(events: Sequence[Event], days: float = 70) -> list[str]:
    """The lessons of a customer who orders twice, with this news in between."""
    orders = [
        happened("Order Completed", at(days=day), order_id=f"O-{day}", revenue=50.0)
        for day in (0, 3)
    ]
    heard = sorted([*orders, *events], key=lambda event: event.occurred_at_ms)
    row, effects = Row(), list[Effect]()
    for event in heard:
        within = context(event.occurred_at_ms)
        row, more = waited(row, event.occurred_at_ms - 1, within=within)
        row, _, new = step(row, event, within)
        effects += [*more, *new]
    effects += waited(row, at(days=days))[1]
    return [type(e).__name__ for e in effects if isinstance(e, Lesson)]


def test_nobody_who_revoked_analytics_is_learnt_from_or_counted() -> None:
    revoked_first = [revoked(-1, purpose="analytics")]
    granted_later = [*revoked_first, granted(60, purpose="analytics")]

    assert {"Example", "Observation", "Tally"} == set(taught([]))
    # But that they revoked it is counted.
    assert ["Tally"] == taught(revoked_first)
    assert {"Example", "Observation", "Tally"} == set(taught(granted_later, days=100))
    # What waited when it was revoked is dropped, even if it is granted again before it is due.
    examples = taught([]).count("Example")
    waiting = taught([revoked(5, purpose="analytics"), granted(6, purpose="analytics")])
    assert 0 < waiting.count("Example") < examples
    assert 0 == taught([revoked(40, purpose="analytics")], days=60).count("Example") - taught(
        [], days=40
    ).count("Example")


def test_who_refuses_that_who_they_are_decides_has_no_score_that_anybody_sees() -> None:
    orders = [
        happened("Order Completed", at(days=day), order_id=f"O-{day}", revenue=50.0)
        for day in (0, 3, 6)
    ]
    gloomy = replace(PARAMETERS, churn=replace(PARAMETERS.churn, prior=0.95))
    within = context(parameters=gloomy)
    refused = revoked(1, purpose="personalisation")

    def fired(events: Sequence[Event]) -> tuple[Row, set[str]]:
        row, effects = lived_with_effects(events, within=within)
        row, more = waited(row, at(days=60), within=within)
        return row, {found.kind for found in (*effects, *more) if isinstance(found, Trigger)}

    (open_row, open_kinds), (shut_row, shut_kinds) = fired(orders), fired([refused, *orders])

    assert {"churn-risk"} == open_kinds - shut_kinds
    shown, hidden = seen(open_row, at(days=60)), seen(shut_row, at(days=60))
    assert shown.churn
    assert shown.explanations
    assert ((), (), None, None) == (
        hidden.churn,
        hidden.explanations,
        hidden.silent_churn,
        hidden.value,
    )
    # What the customer bought is what a service needs.
    assert shown.rfm == hidden.rfm
    told = scene(shut_row, at(days=60), within)
    assert isnan(float(told["churn_probability"]))
