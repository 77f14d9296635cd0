"""An event that names a user and a visitor keeps both ids, so the log has the link."""

import json
from typing import Any

import pytest

from models.admission import admit, decode_event
from models.events.event import Event
from models.events.line import Position
from models.events.rejection import Reason, Rejected
from models.events.wire import decode_log_line, encode_event
from models.parameters import load_parameters
from tests.models.lines import PARAMETERS

_BLOCKING = load_parameters(assignments=['identity.blocked=["kiosk-.*"]'])


def admitted(parameters: Any = PARAMETERS, /, **fields: Any) -> Event:
    line = {"type": "identify", "messageId": "m1", "timestamp": "2026-03-30T16:02:30Z", **fields}
    return admit(json.dumps(line).encode(), parameters, message_id="m")


@pytest.mark.parametrize(
    ("fields", "customer", "visitor"),
    [
        ({"userId": "olaf", "anonymousId": "anon-4711"}, "olaf", "anon-4711"),
        ({"userId": "olaf", "anonymous_id": "anon-4711"}, "olaf", "anon-4711"),
        ({"user_id": "olaf", "anonymousId": "anon-4711"}, "olaf", "anon-4711"),
        ({"userID": "olaf", "ANONYMOUSID": "anon-4711", "TimeStamp": ""}, "olaf", "anon-4711"),
        ({"userId": "olaf", "anonymousId": 4711}, "olaf", "4711"),
        ({"type": "alias", "userId": "olaf", "previousId": "anon-4711"}, "olaf", "anon-4711"),
        ({"type": "alias", "userId": "o", "previousId": "a", "anonymousId": "b"}, "o", "b"),
        ({"type": "alias", "userId": "o", "previousId": "null", "anonymousId": "b"}, "o", "b"),
        ({"type": "alias", "userId": "o", "previousId": "o", "anonymousId": "b"}, "o", "b"),
        ({"type": "alias", "userId": "o", "previous_id": "a"}, "o", "a"),
        ({"type": "alias", "userId": "o", "previousID": "a"}, "o", "a"),
        ({"userId": "olaf", "anonymousID": "anon-4711"}, "olaf", "anon-4711"),
        ({"userId": "olaf", "anonymousid": "anon-4711"}, "olaf", "anon-4711"),
        ({"userId": "olaf", "anonymous-id": "anon-4711"}, "olaf", "anon-4711"),
        ({"userId": "olaf", "AnonymousId": "anon-4711"}, "olaf", "anon-4711"),
        ({"userId": "olaf", "properties": {"anonymous": True}}, "olaf", None),
        ({"userId": "olaf", "previousId": "anon-4711"}, "olaf", None),
        ({"anonymousId": "anon-4711"}, "anon-4711", None),
        ({"userId": "undefined", "anonymousId": "anon-4711"}, "anon-4711", None),
        ({"userId": "olaf", "anonymousId": "olaf"}, "olaf", None),
        ({"userId": "olaf", "anonymousId": "undefined"}, "olaf", None),
        ({"userId": "olaf", "anonymousId": True}, "olaf", None),
        ({"userId": "olaf", "anonymousId": {"id": 1}}, "olaf", None),
        ({"userId": "olaf", "anonymousId": "x" * 999}, "olaf", None),
        ({"userId": "olaf", "anonymousId": {"id": 1}, "anonymous_id": "b"}, "olaf", "b"),
        ({"userId": "olaf"}, "olaf", None),
    ],
)
def test_who_an_event_is_of_and_who_they_were(
    fields: dict[str, Any], customer: str, visitor: str | None
) -> None:
    event = admitted(**fields)

    assert (customer, visitor) == (event.customer, event.visitor)


#: What an alias of olaf's names that is nobody, no id, olaf himself, or blocked.
_NOTHING = (None, "null", True, "olaf", "kiosk-7")
_ALIASES = [
    *((before, now, None, None) for before in (None, "olaf") for now in _NOTHING),
    *((before, "b", "b", None) for before in _NOTHING),
    *(("a", now, "a", None) for now in _NOTHING),
    ("a", "a", "a", None),
    ("a", "b", "b", "a"),
]


@pytest.mark.parametrize(("before", "now", "visitor", "previous"), _ALIASES)
def test_an_alias_says_of_two_ids_who_they_were(
    before: Any, now: Any, visitor: str | None, previous: str | None
) -> None:
    alias = admitted(_BLOCKING, type="alias", userId="olaf", previousId=before, anonymousId=now)
    recorded = decode_event(encode_event(alias), message_id="m")

    for event in (alias, recorded):
        assert ("olaf", visitor, previous) == (event.customer, event.visitor, event.previous)


def test_what_an_event_that_is_no_alias_says_of_before_is_not_heard() -> None:
    event = admitted(userId="olaf", previousId="a", anonymousId="b")

    assert ["b"] == list(event.named)


@pytest.mark.parametrize("type_", ["identify", "alias", "page"])
def test_both_ids_reach_the_log_and_an_export(type_: str) -> None:
    told = {"previousId" if type_ == "alias" else "anonymousId": "anon-4711"}
    event = admitted(type=type_, userId="olaf", **told)

    record = encode_event(event, Position(partition=0, offset=7))

    again = decode_event(record, message_id="m")
    assert event == again
    assert "anon-4711" == decode_log_line(record).anonymous_id


def test_an_event_of_one_id_is_written_as_before() -> None:
    of_user = json.loads(encode_event(admitted(userId="olaf")))
    of_visitor = json.loads(encode_event(admitted(anonymousId="anon-4711")))

    assert ["type", "messageId", "userId", "timestamp", "logFormat"] == list(of_user)
    assert ["type", "messageId", "anonymousId", "timestamp", "logFormat"] == list(of_visitor)


def test_a_blocked_visitor_is_nobody() -> None:
    assert admitted(_BLOCKING, userId="olaf", anonymousId="kiosk-7").visitor is None
    assert "shop-7" == admitted(_BLOCKING, userId="olaf", anonymousId="shop-7").visitor


_NOBODIES = ["null", " Guest ", "00000000-0000-0000-0000-000000000000", "{{id}}", 0, "kiosk-7"]
_NAMES = {
    "alias": "previousId",
    "Customer Merged": "properties.from_user_id",
    "Customer Split": "properties.id",
}


@pytest.mark.parametrize("named", _NOBODIES)
@pytest.mark.parametrize("name", _NAMES)
def test_nobody_is_one_with_who_is_nobody(name: str, named: Any) -> None:
    with pytest.raises(Rejected) as refused:
        _who_is_who(name, named)

    assert Reason.NO_IDENTITY is refused.value.reason
    assert f"$.{_NAMES[name]}" == refused.value.path
    assert "an id of one customer" in refused.value.fix


@pytest.mark.parametrize("named", [" bob ", "bob", 4711, 4711.0, "Gäste-7"])
@pytest.mark.parametrize("name", _NAMES)
def test_who_is_named_is_read_as_any_id_is(name: str, named: Any) -> None:
    event = _who_is_who(name, named)

    known = _who_is_who("page", named).customer
    names = [
        event.visitor,
        *(getattr(event.properties, one, None) for one in ("from_user_id", "id")),
    ]
    assert [known] == [one for one in names if one is not None]


def _who_is_who(name: str, named: Any) -> Event:
    if name == "page":
        return admitted(_BLOCKING, type=name, userId=named)
    if name == "alias":
        return admitted(_BLOCKING, type=name, userId="ada", previousId=named)
    field = _NAMES[name].rpartition(".")[2]
    return admitted(_BLOCKING, type="track", event=name, userId="ada", properties={field: named})


@pytest.mark.parametrize("named", [None, True, "", [], {}])
def test_an_alias_that_names_none_is_the_users(named: Any) -> None:
    assert "ada" == admitted(type="alias", userId="ada", previousId=named).customer
