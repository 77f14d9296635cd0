"""Turns a vendor's webhook into events by the vendor's rules."""

import difflib
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from config.names import folded
from config.rules import RuleError
from config.vendors import EventRule, VendorRule
from models.catalogue import KIND_BY_NAME
from models.collecting.queries import Calls, Query, QueryError, holds
from models.events.foreign import UNREADABLE
from models.events.leniency import read_json
from models.events.names import EVENT_TYPES
from models.events.numbers import number_in
from models.events.rejection import Reason, Rejected
from models.events.times import LATEST_MS, iso, milliseconds, moment_of, since_1970

#: Larger numbers are not exact in every language, so large ids travel as texts.
_EXACT_MAX: Final = 2**53 - 1
_BODY_FIX: Final = "let the vendor send JSON, and nothing on the way change it"


class Webhook(Struct, frozen=True):
    """A webhook as it came. ``source``: the source that sent it; ``headers``: by lower-case
    names.
    """

    source: str
    headers: Mapping[str, str]
    body: bytes


class OwnIds(NamedTuple):
    """The operator's expressions for the ids of customers and visitors, which replace the vendor's;
    ``where``: the file and path, for messages.
    """

    where: str
    user: str | None = None
    guest: str | None = None


class Mapped(NamedTuple):
    """The type of a webhook, its events in wire format, and the refusals of events that could not
    be made.
    """

    type: str
    events: list[bytes]
    refusals: list[Rejected]


class _Rule(NamedTuple):
    """An event's rule with its compiled expressions; missing ones are those of the vendor."""

    rule: EventRule
    when: Query | None
    each: Query | None
    id: Query
    user: Query
    guest: Query | None
    timestamp: Query
    channel: Query | None
    properties: dict[str, Query]


class VendorMapping:
    """A vendor's rules, compiled at the start, so that errors are found before any webhook arrives.

    ``where``: the file and path of the rules, for messages.
    """

    def __init__(self, vendor: VendorRule, where: str, own: OwnIds | None = None) -> None:
        """Raises ``RuleError``."""
        self._where = where
        self._expressions: list[Query] = []
        own = own or OwnIds(where)
        self._type = self._required(vendor.type, "type")
        self._skip = self._compiled(vendor.skip, "skip")
        self._timestamp = self._required(vendor.timestamp, "timestamp")
        whole = {
            "id": self._required(vendor.id, "id"),
            "user": self._own(own.where, own.user, "user") or self._required(vendor.user, "user"),
            "guest": self._own(own.where, own.guest, "guest")
            or self._compiled(vendor.guest, "guest"),
            "timestamp": self._timestamp,
            "channel": self._compiled(vendor.channel, "channel"),
        }
        self._rules: dict[str, list[_Rule]] = {}
        self._headers_of_all = self._headers_from(0)
        self._headers_of: dict[str, tuple[str, ...]] = {}
        for number, rule in enumerate(vendor.events):
            before = len(self._expressions)
            compiled = self._rule(rule, f"events[{number}]", whole)
            for name in rule.types:
                self._rules.setdefault(name, []).append(compiled)
                known = self._headers_of.get(name, self._headers_of_all)
                self._headers_of[name] = (*known, *self._headers_from(before))
        self._decimals = {
            currency: int(decimals)
            for decimals, currencies in vendor.decimals.items()
            for currency in currencies
        }
        self.types = tuple(self._rules)
        #: The headers that the expressions read, in lower case.
        self.headers = tuple(dict.fromkeys(self._headers_from(0)))

    def headers_of(self, kind: str) -> tuple[str, ...]:
        """The headers that the expressions for webhooks of one type read, in lower case; for an
        unknown type, those that the expressions for all types do.
        """
        return tuple(dict.fromkeys(self._headers_of.get(kind, self._headers_of_all)))

    def _headers_from(self, first: int) -> tuple[str, ...]:
        """The headers that the expressions from the ``first`` on read."""
        return tuple(name for one in self._expressions[first:] for name in one.headers)

    def __call__(self, webhook: Webhook) -> Mapped:
        """The events that a webhook becomes; none if its type has no rules. Raises ``Rejected`` for
        an invalid webhook; an event that can't be made does not affect the others.
        """
        tree = _tree_of(webhook.body)
        calls = Calls(webhook.headers, self._decimals)
        kind = self._type.value(tree, calls)
        if not isinstance(kind, str):
            raise _not_found("type", self._type, "post webhooks of this vendor alone here")
        rules = self._rules.get(kind, [])
        if not rules or (self._skip is not None and holds(self._skip.value(tree, calls))):
            return Mapped(kind, [], [])
        mapped = Mapped(kind, [], [])
        for rule in rules:
            try:
                for thing in _things(rule, tree, calls):
                    self._add(mapped, rule, thing, calls, webhook)
            except Rejected as rejected:
                mapped.refusals.append(rejected)
        return mapped

    def _add(
        self, mapped: Mapped, rule: _Rule, tree: dict[str, Any], calls: Calls, webhook: Webhook
    ) -> None:
        """Add the event that a rule makes of the webhook, or of one item of a list in it, or its
        refusal.
        """
        try:
            if rule.when is not None and not holds(rule.when.value(tree, calls)):
                return
            happened_ms = _moment_ms(rule.timestamp, tree, calls)
            within_ms = rule.rule.within
            if within_ms is not None:
                sent_ms = _moment_ms(self._timestamp, tree, calls)
                if sent_ms - happened_ms > within_ms:
                    return
            mapped.events.append(_event(rule, tree, calls, webhook, happened_ms))
        except Rejected as rejected:
            mapped.refusals.append(rejected)

    def _rule(self, rule: EventRule, place: str, whole: Mapping[str, Any]) -> _Rule:
        if rule.event not in KIND_BY_NAME or rule.event in EVENT_TYPES:
            raise RuleError(f"{self._where}: {place}.event: {_unknown(rule.event)}")
        own = {
            name: self._compiled(getattr(rule, name), f"{place}.{name}") or of_vendor
            for name, of_vendor in whole.items()
        }
        return _Rule(
            rule,
            self._compiled(rule.when, f"{place}.when"),
            self._compiled(rule.each, f"{place}.each"),
            **own,
            properties={
                name: self._required(text, f"{place}.properties.{name}")
                for name, text in rule.properties.items()
            },
        )

    def _compiled(self, text: str | None, place: str) -> Query | None:
        return self._own(self._where, text, place)

    def _required(self, text: str, place: str) -> Query:
        return self._query(self._where, text, place)

    def _own(self, where: str, text: str | None, place: str) -> Query | None:
        return None if text is None else self._query(where, text, place)

    def _query(self, where: str, text: str, place: str) -> Query:
        try:
            found = Query(text)
        except QueryError as error:
            raise RuleError(f"{where}: {place}: {error}") from None
        self._expressions.append(found)
        return found


def _things(rule: _Rule, tree: dict[str, Any], calls: Calls) -> list[dict[str, Any]]:
    """The trees for a rule's expressions: the webhook, or one copy of it for each item of a list in
    it.
    """
    if rule.each is None:
        return [tree]
    things = rule.each.value(tree, calls) or []
    if not isinstance(things, list):
        raise _not_found("each", rule.each, "let each find a list")
    return [{**tree, "each": thing} for thing in things]


def _event(
    rule: _Rule, tree: dict[str, Any], calls: Calls, webhook: Webhook, happened_ms: int
) -> bytes:
    event: dict[str, Any] = {
        "type": "track",
        "event": rule.rule.event,
        "messageId": _message_id(rule, tree, calls, webhook),
        **_identity(rule, tree, calls, webhook.source),
        "timestamp": iso(happened_ms),
    }
    found = {name: _exact(one.value(tree, calls)) for name, one in rule.properties.items()}
    event["properties"] = {name: value for name, value in found.items() if value is not None}
    channel = rule.channel.value(tree, calls) if rule.channel is not None else None
    if isinstance(channel, str) and channel:
        event["context"] = {"channel": channel}
    try:
        return msgspec.json.encode(event)
    except (UnicodeEncodeError, RecursionError):
        # A lone surrogate, from JSON that was only readable leniently.
        raise Rejected(Reason.BAD_JSON, "$", "a text in it is no text") from None


def _message_id(rule: _Rule, tree: dict[str, Any], calls: Calls, webhook: Webhook) -> str:
    """A message id that stays the same when the webhook is delivered again, and differs between its
    events.
    """
    stated = rule.id.value(tree, calls)
    if not isinstance(stated, str | int) or isinstance(stated, bool) or stated == "":
        # Repeated deliveries have the same bytes.
        stated = blake2b(webhook.body, digest_size=16).hexdigest()
    return f"{webhook.source}:{stated}:{rule.rule.event.lower().replace(' ', '-')}"


def _identity(rule: _Rule, tree: dict[str, Any], calls: Calls, source: str) -> dict[str, str]:
    user = rule.user.value(tree, calls)
    if holds(user):
        return {"userId": _id_text("user", rule.user, user)}
    guest = rule.guest.value(tree, calls) if rule.guest is not None else None
    if rule.guest is not None and holds(guest):
        return {"anonymousId": _id_text("guest", rule.guest, guest)}
    raise Rejected(
        Reason.NO_IDENTITY,
        "$",
        f"neither user ({rule.user.text}) nor guest finds anyone in it",
        f"name where the customer's id is as user under [webhooks.{source}]",
    )


def _id_text(name: str, expression: Query, found: Any) -> str:
    if isinstance(found, str | int) and not isinstance(found, bool):
        return str(found)
    raise Rejected(
        Reason.WRONG_TYPE, "$", f"{name} ({expression.text}) finds no id", "let it find a text"
    )


def _moment_ms(expression: Query, tree: dict[str, Any], calls: Calls) -> int:
    """The moment that an expression finds, in ISO 8601 or as a number since 1970."""
    found = expression.value(tree, calls)
    moment = None
    if isinstance(found, int | float) and not isinstance(found, bool):
        moment = since_1970(found)
    elif isinstance(found, str):
        number = number_in(found)
        moment = moment_of(found) if number is None else since_1970(number)
    at_ms = 0 if moment is None else milliseconds(moment)
    if not 0 < at_ms < LATEST_MS:
        fix = "let it find ISO 8601 with an offset, or seconds or milliseconds since 1970"
        raise _not_found("timestamp", expression, fix)
    return at_ms


def _exact(value: Any) -> Any:
    """The value with whole numbers that every JSON reader represents exactly; larger ones become
    texts.
    """
    if isinstance(value, dict):
        return {name: _exact(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_exact(one) for one in value]
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_whole and abs(value) > _EXACT_MAX else value


def _tree_of(body: bytes) -> dict[str, Any]:
    try:
        tree = msgspec.json.decode(body)
    except UNREADABLE:
        try:
            tree = read_json(body)
        except Rejected as rejected:
            raise Rejected(rejected.reason, "$", rejected.detail, _BODY_FIX) from None
    if not isinstance(tree, dict):
        raise Rejected(Reason.WRONG_TYPE, "$", "a webhook is a JSON object", _BODY_FIX)
    return tree


def _not_found(name: str, expression: Query, fix: str) -> Rejected:
    return Rejected(
        Reason.REQUIRED_MISSING, "$", f"{name} ({expression.text}) finds nothing of use in it", fix
    )


def _unknown(name: str) -> str:
    meant = {folded(known): known for known in KIND_BY_NAME if known not in EVENT_TYPES}
    close = difflib.get_close_matches(folded(name), meant, n=1, cutoff=0.6)
    fix = f"did you mean {meant[close[0]]}?" if close else "`keepstream schema` lists all"
    return f"{name!r} is no event that is known; {fix}"
