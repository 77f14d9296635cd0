"""Translates events from PostHog's format."""

from typing import Final

import msgspec
from msgspec import Raw

from models.collecting.json_fields import object_in, text_in, value_of

#: PostHog's names for events that have a type of their own in Segment's specification.
_TYPES: Final = {
    "$identify": "identify",
    "$set": "identify",
    "$pageview": "page",
    "$screen": "screen",
    "$create_alias": "alias",
}


#: Events about a group, under an id that the library makes up: they would create a customer for it.
_OF_NO_CUSTOMER: Final = frozenset({"$groupidentify"})


def from_posthog(fields: dict[str, Raw]) -> dict[str, Raw] | None:
    """The same event with the fields of Segment's specification and unchanged properties. None if
    it concerns no customer.
    """
    properties = object_in(fields, "properties")
    name = text_in(fields, "event")
    if name in _OF_NO_CUSTOMER:
        return None
    kind = _TYPES.get(name or "", "track")
    event = {"type": Raw(msgspec.json.encode(kind))}
    if kind == "track" and "event" in fields:
        event["event"] = fields["event"]
    for ours, theirs in (("messageId", "uuid"), ("timestamp", "timestamp"), ("sentAt", "sent_at")):
        if theirs in fields:
            event[ours] = fields[theirs]
    event |= _identity(kind, fields, properties)
    traits = properties.get("$set") or fields.get("$set")
    if traits is not None and kind == "identify":
        event["traits"] = traits
    if "properties" in fields:
        event["properties"] = fields["properties"]
    library = {
        ours: properties[theirs]
        for ours, theirs in (("name", "$lib"), ("version", "$lib_version"))
        if theirs in properties
    }
    event["context"] = Raw(msgspec.json.encode({"library": library}))
    return event


def _identity(kind: str, fields: dict[str, Raw], properties: dict[str, Raw]) -> dict[str, Raw]:
    """The customer: a known user, or a visitor for whom PostHog keeps no person."""
    distinct = fields.get("distinct_id") or properties.get("distinct_id")
    if distinct is None:
        return {}
    if kind == "alias" and "alias" in properties:
        return {"userId": properties["alias"], "previousId": distinct}
    is_personless = value_of(properties.get("$process_person_profile")) is False
    if is_personless or distinct == properties.get("$device_id"):
        return {"anonymousId": distinct}
    if "$anon_distinct_id" in properties:
        return {"userId": distinct, "anonymousId": properties["$anon_distinct_id"]}
    return {"userId": distinct}
