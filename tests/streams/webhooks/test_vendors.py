"""Requests to tools, compared with the examples in their documentation.

Each example is copied from the page that is named; free parts (custom properties) are an empty
object here.
"""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agents.webhooks.examples import ACTION, TRIGGER, WITHDRAWAL
from config.endpoints import LOGINS, Endpoint, EndpointRule
from models.decisions.trigger import ChurnReceipt, Decision, FactsTold
from streams.graves import Fingerprints
from streams.webhooks.destinations import DESTINATIONS, GENERIC, Composer, Request
from streams.webhooks.messages import message_of

#: Stands for any other name, of a text or a number.
ANY = "*"
#: https://docs.slack.dev/tools/java-slack-sdk/guides/incoming-webhooks
SLACK: dict[str, Any] = {"text": "Hello, World!"}
#: https://docs.customer.io/integrations/api/track/tag/track-events/track/ ("name" is required)
CUSTOMERIO: dict[str, Any] = {
    "name": "purchase",
    "id": "01BX5ZZKBKACTAV9WEVGEMMVRZ",
    "type": "event",
    "timestamp": 1365436200,
    "data": {},
}
#: https://www.braze.com/docs/api/endpoints/user_data/post_user_track/ and
#: https://www.braze.com/docs/api/objects_filters/event_object/
BRAZE: dict[str, Any] = {
    "events": [
        {
            "external_id": "user_identifier",
            "app_id": "app_identifier",
            "name": "watched_trailer",
            "time": "2013-07-16T19:20:30+1:00",
            "properties": {},
        }
    ]
}
#: https://developers.klaviyo.com/en/reference/create_event
KLAVIYO: dict[str, Any] = {
    "data": {
        "type": "event",
        "attributes": {
            "properties": {},
            "time": "2022-11-08T00:00:00+00:00",
            "value": 9.99,
            "value_currency": "USD",
            "unique_id": "u",
            "metric": {"data": {"type": "metric", "attributes": {"name": "Viewed Product"}}},
            "profile": {
                "data": {
                    "type": "profile",
                    "attributes": {
                        "external_id": "e",
                        "email": "sarah.mason@klaviyo-demo.com",
                        "phone_number": "+15005550006",
                    },
                }
            },
        },
    }
}
#: https://developers.hubspot.com/docs/api-reference/events-send-event-completions-v3/guide
HUBSPOT: dict[str, Any] = {
    "occurredAt": "2023-11-07T05:31:56Z",
    "eventName": "pe123456_account_login",
    "utk": "<string>",
    "uuid": "<string>",
    "email": "mark.s@lumon.industries",
    "properties": {},
    "objectId": "089274502",
}
#: https://docs.dittofeed.com/api-reference/endpoints/apps/track
DITTOFEED: dict[str, Any] = {
    "messageId": "23d04926-78e5-4ebc-853f-f26c84ff629e",
    "event": "COURSE_CLICKED",
    "userId": "1043",
    "timestamp": "<string>",
    "properties": {},
    "context": {},
}
#: https://mautic-developer.readthedocs.io/en/5.x/rest_api/contacts.html: what "Create contact"
#: sends, in which "you can post any Contact field alias", and how tags are given by "Edit contact".
MAUTIC: dict[str, Any] = {
    "firstname": "Jim",
    "lastname": "Contact",
    "email": "jim@example.com",
    "overwriteWithBlank": True,
    "tags": ["one", "-two"],
    ANY: "a text or a number",
}
DOCUMENTED = {
    "slack": SLACK,
    "customerio": CUSTOMERIO,
    "braze": BRAZE,
    "klaviyo": KLAVIYO,
    "hubspot": HUBSPOT,
    "dittofeed": DITTOFEED,
    "mautic": MAUTIC,
}
WITH_SCORE = msgspec.structs.replace(
    TRIGGER, churn=ChurnReceipt(0.91, 28.0, "prior", 0), user_id="ada@example.com"
)

#: Chosen by all endpoints here; one has the name of a property.
KNOWN: FactsTold = {
    "segment": "champions",
    "segments": ("vip", "loyal"),
    "net_365d": 80.0,
    "nps": None,
    "value_at_stake": 1.0,
}
TELLING = msgspec.structs.replace(TRIGGER, facts=KNOWN)


def request(to: str, decided: Decision, url: str = "https://tool.example.com") -> Request:
    besides = {"hubspot": {"event": "pe1_k"}, "mautic": {"field": "customer_id"}}.get(to, {})
    user = "site" if LOGINS[to] == "user" else ""
    rule = EndpointRule(name="x", to=to, user=user, facts=tuple(KNOWN), **besides)
    secrets = () if LOGINS[to] == "url" else ("key",)
    return Composer(Endpoint(rule, url, secrets)).request(
        message_of(decided, Fingerprints(), 0), 1_772_650_900
    )


def body(to: str, decided: Decision = TRIGGER) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request(to, decided).body)
    return found


def misfits(found: Any, documented: Any, path: str = "$") -> list[str]:
    """Where a body has a field that the documentation lacks, or one of another type."""
    if isinstance(documented, dict) and isinstance(found, dict):
        if not documented:
            return [f"{path}.{k}" for k, v in found.items() if not isinstance(v, str | float | int)]
        return [
            place
            for name, value in found.items()
            for place in (
                misfits(value, documented[name], f"{path}.{name}")
                if name in documented
                else []
                if ANY in documented and isinstance(value, str | float | int)
                else [f"{path}.{name}"]
            )
        ]
    if isinstance(documented, list) and isinstance(found, list):
        return [place for one in found for place in misfits(one, documented[0], f"{path}[]")]
    return [] if type(found) is type(documented) else [path]


def test_every_destination_is_held_against_its_documentation() -> None:
    assert set(DOCUMENTED) == set(DESTINATIONS) == set(LOGINS) - {GENERIC}


@pytest.mark.parametrize(
    "decided", [TRIGGER, WITH_SCORE, TELLING, ACTION, WITHDRAWAL], ids=lambda d: d.kind
)
@pytest.mark.parametrize("to", DOCUMENTED)
def test_a_body_has_nothing_that_the_documentation_has_not(to: str, decided: Decision) -> None:
    assert [] == misfits(body(to, decided), DOCUMENTED[to])
    # The same on each try.
    assert request(to, decided) == request(to, decided)


def test_a_misfit_is_noticed() -> None:
    assert ["$.nme"] == misfits({"nme": "x"}, CUSTOMERIO)
    assert ["$.timestamp"] == misfits({"timestamp": "x"}, CUSTOMERIO)
    assert ["$.data.a"] == misfits({"data": {"a": {}}}, CUSTOMERIO)
    assert ["$.events[].x"] == misfits({"events": [{"x": 1}]}, BRAZE)
    assert ["$.tags[]", "$.points"] == misfits({"tags": [1], "points": [], "a": "b"}, MAUTIC)


def test_customers_are_named_as_each_tool_names_them() -> None:
    assert "https://tool.example.com/api/v1/customers/ada/events" == (
        request("customerio", TRIGGER).url
    )
    assert "ada" == body("braze")["events"][0]["external_id"]
    profile = body("klaviyo")["data"]["attributes"]["profile"]["data"]
    assert {"external_id": "ada"} == profile["attributes"]
    assert "ada" == body("dittofeed")["userId"]
    assert ("ada", None) == (body("hubspot")["objectId"], body("hubspot").get("email"))
    assert "ada" == body("mautic")["customer_id"]
    by_mail = body("hubspot", WITH_SCORE)
    assert ("ada@example.com", None) == (by_mail["email"], by_mail.get("objectId"))


@pytest.mark.parametrize(
    ("user_id", "path"), [("a/b?c#d", "a%2Fb%3Fc%23d"), ("..", "%2E%2E"), ("é%41", "%C3%A9%2541")]
)
def test_an_id_is_one_part_of_a_path_whatever_is_in_it(user_id: str, path: str) -> None:
    decided = msgspec.structs.replace(TRIGGER, user_id=user_id)

    assert request("customerio", decided).url.endswith(f"/api/v1/customers/{path}/events")


def test_repeats_can_be_recognised_by_what_each_tool_recognises_them() -> None:
    ulid = body("customerio")["id"]
    assert (26, set()) == (len(ulid), set(ulid) - set("0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
    assert ulid[0] <= "7"
    assert ulid != body("customerio", ACTION)["id"]
    assert TRIGGER.id == body("klaviyo")["data"]["attributes"]["unique_id"]
    assert TRIGGER.id == body("dittofeed")["messageId"]
    assert TRIGGER.id == body("hubspot")["uuid"].replace("-", "")
    # Braze has no id of an event: it is a property there.
    assert TRIGGER.id == body("braze")["events"][0]["properties"]["decision_id"]


def test_the_event_says_what_was_decided() -> None:
    assert "keepstream cart-abandoned" == body("braze")["events"][0]["name"]
    assert {
        "decision_id": ACTION.id,
        "kind": "next-best-action",
        "group": "treated",
        "action": "cart-coupon",
        "channel": "email",
        "owner": "crm",
        "due_at": "2026-03-05T19:00:00.000Z",
        "not_before": "2026-03-05T07:00:00.000Z",
        "value_at_stake": 24.0,
        "reasons": "1 in the cart",
    } == body("braze", ACTION)["events"][0]["properties"]
    withdrawn = body("dittofeed", WITHDRAWAL)["properties"]
    assert (ACTION.id, "consent") == (withdrawn["withdrawn_decision_id"], withdrawn["because"])
    assert 0.91 == body("dittofeed", WITH_SCORE)["properties"]["churn_probability"]


@pytest.mark.parametrize(
    ("to", "found"),
    [
        ("customerio", lambda told: told["data"]),
        ("braze", lambda told: told["events"][0]["properties"]),
        ("klaviyo", lambda told: told["data"]["attributes"]["properties"]),
        ("hubspot", lambda told: told["properties"]),
        ("dittofeed", lambda told: told["properties"]),
        ("mautic", lambda told: {name.removeprefix("keepstream_"): told[name] for name in told}),
    ],
)
def test_the_facts_that_are_known_are_told_beside_the_decision(
    to: str, found: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    told = found(body(to, TELLING))

    assert ("champions", "80.0", None) == (told["segment"], str(told["net_365d"]), told.get("nps"))
    assert "vip, loyal" == told["segments"]
    if to != "mautic":
        assert "24.0" == str(told["value_at_stake"])


def test_a_contact_in_mautic_is_tagged_with_what_was_decided_until_it_is_withdrawn() -> None:
    assert {
        "customer_id": "ada",
        "tags": ["keepstream cart-abandoned"],
        "keepstream_decision": "cart-abandoned",
        "keepstream_decision_id": TRIGGER.id,
        "keepstream_decided_at": "2026-03-04 19:00:00",
    } == body("mautic")
    action, withdrawal = body("mautic", ACTION), body("mautic", WITHDRAWAL)
    assert (["keepstream cart-coupon"], "cart-coupon") == (
        action["tags"],
        action["keepstream_decision"],
    )
    assert (["-keepstream cart-coupon"], "action-withdrawn") == (
        withdrawal["tags"],
        withdrawal["keepstream_decision"],
    )


@pytest.mark.parametrize(
    ("to", "headers", "path"),
    [
        ("slack", {"Content-Type": "application/json"}, ""),
        ("customerio", {"Authorization": "Basic c2l0ZTprZXk="}, "/api/v1/customers/ada/events"),
        ("braze", {"Authorization": "Bearer key"}, "/users/track"),
        (
            "klaviyo",
            {
                "Authorization": "Klaviyo-API-Key key",
                "revision": "2026-07-15",
                "Content-Type": "application/vnd.api+json",
            },
            "/api/events",
        ),
        ("hubspot", {"Authorization": "Bearer key"}, "/events/v3/send"),
        ("dittofeed", {"Authorization": "Basic key"}, "/api/public/apps/track"),
        ("mautic", {"Authorization": "Basic c2l0ZTprZXk="}, "/api/contacts/new"),
    ],
)
def test_each_is_logged_in_to_as_it_wants(to: str, headers: dict[str, str], path: str) -> None:
    found = request(
        to, TRIGGER, "https://tool.example.com/" if path else "https://tool.example.com"
    )

    assert headers.items() <= found.headers.items()
    assert f"https://tool.example.com{path}" == found.url
