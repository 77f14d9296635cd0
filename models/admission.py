"""From bytes to an event for ``customer-events``, or a refusal with its reason."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from config.names import folded
from config.parameters import Identity, Parameters
from config.topics import CLICKSTREAM
from config.zones import zone_called
from models.catalogue import (
    KIND_BY_NAME,
    MISSPELT,
    NAME_LENGTH_MAX,
    UNKNOWN,
    kind_of,
    known_name,
    nearest_known_name,
)
from models.customer.consent_choices import Choice, asks_to_stop, choice_of, says_no
from models.customer.consent_profiles import refused_in
from models.customer.consent_purposes import CONTACT, NO_STAMPS, Purpose, Stamps, stamps_in
from models.customer.trait_classes import NOTHING_SAID, TraitParameters, classified
from models.events.currency import check_currency
from models.events.event import NOTHING, Event, Kind, Source
from models.events.ids import nobody
from models.events.line import NULL, Line
from models.events.line_ids import (
    MESSAGE_ID_LENGTH_MAX,
    identity,
    message_id_of,
    names_others,
    others_of,
)
from models.events.names import EVENT_TYPES
from models.events.properties import PropertyReader
from models.events.rejection import Reason, Rejected
from models.events.wire import decode_line, received_at_ms, timestamp_ms
from models.money import WITHOUT_DECIMALS

NO_ALIASES: Mapping[str, str] = {}
_IDENTIFY = KIND_BY_NAME["identify"]
#: Some senders use this name for a message that the customer sent, such as STOP.
_SMS_DELIVERED = KIND_BY_NAME["SMS Delivered"]
#: Words in names of events that nobody knows, with the channel of the message that they report.
_MESSAGES: Mapping[str, str] = {"whatsapp": "whatsapp", "sms": "sms", "textmessage": "sms"}
#: What a context has that says nothing of consent, or of not being followed.
_UNCHOSEN, _UNSAID = (None,) * 2, (None,) * 4
#: What somebody refuses who does not want to be tracked.
_TRACKING = (Purpose.ANALYTICS, Purpose.PERSONALISATION)


def decode_event(raw: bytes, *, message_id: str, source: Source | None = None) -> Event:
    """Read an event; ``message_id`` is used if it has none. Raises ``Rejected``."""
    return event_of(decode_line(raw), message_id=message_id, source=source)


def event_of(
    line: Line,
    *,
    message_id: str | None,
    source: Source | None = None,
    aliases: Mapping[str, str] = NO_ALIASES,
    own: Collection[str] = (),
    is_blocked: Callable[[str], bool] | None = None,
) -> Event:
    """The event in a decoded line. Raises ``Rejected``. If the line has no message id,
    ``message_id`` is used, or, if that is None, the id of its ``source``.

    The event gets the name by which Keepstream knows it, however the line spells it. ``aliases``,
    ``own`` and ``is_blocked`` are the operator's (`config.parameters`). A record of the log already
    has the known name and a valid id.
    """
    name = line.event
    kind = KIND_BY_NAME.get(name) if name is not None and line.type == "track" else None
    if name is None or kind is None:
        name, kind = _kind(line, aliases, own)
    nobody = kind.declared.nobody
    if nobody is None:
        customer, identified = identity(line, is_blocked)
        properties = _properties(kind, line)
        instead = kind.declared.instead
        if instead is not None and (other := instead(properties)) is not None:
            name, kind = other[0], KIND_BY_NAME[other[0]]
            properties = kind.declared.shape(**other[1])
    else:
        properties = _properties(kind, line)
        customer, identified = _identity_or(line, is_blocked, nobody(properties))
    visitor = previous = None
    if identified and names_others(line):
        visitor, previous = others_of(line, customer, is_blocked)
    # Inlined, because nearly every event has an id.
    given = line.message_id
    if given.__class__ is not str or not 0 < len(given) <= MESSAGE_ID_LENGTH_MAX:
        if message_id is None:
            assert source is not None
            message_id = source.message_id
        given = message_id_of(line, message_id)
    context = line.context
    stamps = NO_STAMPS
    if context is not None and nobody is None:
        choices = context.consent, context.consent_management
        privacy = context.do_not_track, context.dnt, context.global_privacy_control, context.gpc
        if choices != _UNCHOSEN or privacy != _UNSAID:
            stamps = _stamps_of(choices, privacy)
    if kind is UNKNOWN or kind is _IDENTIFY or kind is _SMS_DELIVERED:
        stamps = _with_a_no(stamps, kind, line, own)
    # Positional: with more than fifteen keywords Python builds a dictionary first, at six times the
    # cost.
    return Event(
        name,
        kind,
        customer,
        message_id=given,
        occurred_at_ms=timestamp_ms(line),
        properties=properties,
        channel=context.channel if context is not None else None,
        source=line.source if source is None else source,
        identified=identified,
        timezone=None
        if context is None or context.timezone is None
        else _timezone(context.timezone),
        historical=context is not None and context.historical is True,
        consent=stamps.granted,
        has_unread_consent=not stamps.is_understood,
        visitor=visitor,
        previous=previous,
        batched=context is not None and context.batched is True,
    )


def _stamps_of(choices: tuple[Any, Any], privacy: tuple[Any, ...]) -> Stamps:
    """The stamps in a context: its choices of consent, the first of which that is there counts, and
    whether the browser said that nobody may be followed, which is an objection like any other.
    """
    consent, management = choices
    stamps = stamps_in(consent if consent is not None else management)
    is_no = any(choice_of(one) is Choice.GRANTED for one in privacy)
    return stamps.refusing(_TRACKING) if is_no else stamps


def _with_a_no(stamps: Stamps, kind: Kind, line: Line, own: Collection[str]) -> Stamps:
    """The stamps of an event whose text may contain a refusal that nothing else reads: it is
    counted as a click, or kept as traits. A clear one, in the traits of an identify or in a text
    message, counts; any other is reported as not understood.
    """
    if kind is _IDENTIFY:
        traits = bytes(line.traits)
        refused = refused_in(traits)
        if not refused and not says_no(traits):
            return stamps
    else:
        name, properties = folded(line.event or ""), bytes(line.properties)
        channel = _message_channel(name, kind)
        is_stop = channel and asks_to_stop(properties)
        refused = frozenset({f"{CONTACT}:{channel}"} if is_stop else ())
        if not refused and (name in own or not says_no(properties)):
            return stamps
    return stamps.refusing(refused) if refused else stamps._replace(is_understood=False)


def _message_channel(name: str, kind: Kind) -> str:
    """The channel by which the customer sent a message, judged by the event's name; "" if it names
    none.
    """
    if kind is _SMS_DELIVERED:
        return "sms"
    return next((channel for word, channel in _MESSAGES.items() if word in name), "")


def admit(
    raw: bytes,
    parameters: Parameters,
    *,
    message_id: str | None,
    topic: str = CLICKSTREAM,
    source: Source | None = None,
) -> Event:
    """The event in ``raw`` as published on ``topic``. Raises ``Rejected``.

    ``message_id``: as in `event_of`. ``source`` says when the broker received the event, the line's
    ``receivedAt`` when the collector did. An event more than ``time.future`` later than either is
    refused, so that one wrong date cannot move the clock of all customers.
    """
    return admit_line(
        decode_line(raw), parameters, message_id=message_id, topic=topic, source=source
    )


def admit_line(
    line: Line,
    parameters: Parameters,
    *,
    message_id: str | None,
    topic: str = CLICKSTREAM,
    source: Source | None = None,
) -> Event:
    """``admit`` for a line that is decoded already."""
    names, ids = parameters.names, parameters.identity
    event = event_of(
        line,
        message_id=message_id,
        source=source,
        aliases=names.aliases,
        own=names.own,
        is_blocked=ids.is_blocked if ids.blocked else None,
    )
    if not event.kind.is_known:
        _check_unknown(event.name, topic)
    elif event.kind.declared.has_traits:
        event = _with_classes(event, line, parameters)
    if ids.blocked:
        _check_named(event, ids)
    _check_arrival(event, line, parameters.time.future)
    if event.properties is not NOTHING:
        check_currency(event.properties, event.occurred_at_ms, parameters.money)
        reader, shops = event.kind.reader, parameters.money.currency
        if shops in WITHOUT_DECIMALS and reader is not None and line.traits == NULL:
            reader.check_decimals(bytes(line.properties), shops)
    return event


def _with_classes(event: Event, line: Line, parameters: Parameters) -> Event:
    """The event with the classes of its traits instead of the traits."""
    if line.traits == NULL:
        return event
    classes = classified(
        bytes(line.traits),
        event.occurred_at_ms,
        parameters.of(TraitParameters),
        is_of_firm=event.name == "group",
    )
    if classes == NOTHING_SAID:
        return msgspec.structs.replace(event, properties=NOTHING)
    if classes.is_child:
        # Nothing is sold to a child.
        stamps = Stamps(event.consent).refusing((CONTACT,))
        event = msgspec.structs.replace(event, consent=stamps.granted)
    return msgspec.structs.replace(event, properties=classes)


def _check_named(event: Event, identity: Identity) -> None:
    """Refuse blocked ids among the customers that the properties name, too."""
    for name in getattr(event.kind.declared.shape, "customers", ()):
        if identity.is_blocked(getattr(event.properties, name)):
            raise nobody(f"$.properties.{name}")


def _timezone(named: Any) -> str | None:
    """The sender's time zone, or None if no zone has that name."""
    return zone_called(named) if isinstance(named, str) else None


def _kind(line: Line, aliases: Mapping[str, str], own: Collection[str]) -> tuple[str, Kind]:
    """The event's name and what it means."""
    if line.type != "track":
        kind = kind_of(line.type)
        if line.type in EVENT_TYPES:
            return line.type, kind
        return _kind_of_type(line, aliases, own)
    name = line.event
    if not name:
        raise Rejected(Reason.REQUIRED_MISSING, "$.event", "a track event has a name")
    if len(name) > NAME_LENGTH_MAX:
        raise Rejected(Reason.OUT_OF_RANGE, "$.event", f"more than {NAME_LENGTH_MAX} characters")
    kind = kind_of(name)
    if name == kind.name:
        return name, kind
    return _kind_of_spelling(name, kind, aliases, own)


def _kind_of_type(line: Line, aliases: Mapping[str, str], own: Collection[str]) -> tuple[str, Kind]:
    """As `_kind`, for a line whose type is spelled in another way."""
    known = line.type.strip().lower()
    if known not in EVENT_TYPES:
        raise Rejected(Reason.UNKNOWN_EVENT, "$.type", "not an event type")
    return _kind(msgspec.structs.replace(line, type=known), aliases, own)


def _kind_of_spelling(
    name: str, kind: Kind, aliases: Mapping[str, str], own: Collection[str]
) -> tuple[str, Kind]:
    """As `_kind`, for a name that is not spelled as it is known. ``kind``: its kind if the operator
    has no setting for it.
    """
    key = folded(name)
    if not key:
        raise Rejected(Reason.REQUIRED_MISSING, "$.event", "a track event has a name")
    meant = aliases.get(key)
    if meant is not None:
        kind = kind_of(meant)
    if kind.is_known:
        return kind.name, kind
    if kind is MISSPELT and key in own:
        kind = UNKNOWN
    return known_name(name) or name.strip(), kind


def _check_unknown(name: str, topic: str) -> None:
    if topic != CLICKSTREAM:
        nearest = nearest_known_name(name)
        hint = f"; did you mean {nearest}?" if nearest is not None else ""
        raise Rejected(Reason.UNKNOWN_EVENT, "$.event", f"not an event of {topic}{hint}")


def _check_arrival(event: Event, line: Line, future_ms: int) -> None:
    """Compare with each known arrival: the broker's, and the one in the line."""
    source = event.source
    stated_ms = None if line.received_at == NULL else received_at_ms(line)
    # An arrival before this is earlier than the event allows.
    earliest_ms = event.occurred_at_ms - future_ms
    if (source is not None and source.received_at < earliest_ms) or (
        stated_ms is not None and stated_ms < earliest_ms
    ):
        raise Rejected(
            Reason.OUT_OF_RANGE,
            "$.timestamp",
            "later than its arrival",
            "correct the sender's clock and the event's timestamp",
        )


def _identity_or(
    line: Line, is_blocked: Callable[[str], bool] | None, nobody: str
) -> tuple[str, bool]:
    """As `identity`, with the id ``nobody`` for events without an identity, so that their repeats
    are recognised.
    """
    try:
        return identity(line, is_blocked)
    except Rejected as rejected:
        if rejected.reason is not Reason.NO_IDENTITY:
            raise
        return nobody, False


def _properties(kind: Kind, line: Line) -> Any:
    reader, declared = kind.reader, kind.declared
    if reader is None:
        return NOTHING
    if declared.has_traits:
        return _traits(reader, bytes(line.traits))
    content = bytes(line.properties)
    # The log has the properties as this code wrote them.
    read = reader.read if line.source is None else reader.read_written
    properties, check = read(content), declared.check
    if check is None:
        return properties
    try:
        check(properties)
    except Rejected:
        # A missing property may be there under another spelling.
        properties = reader.read_again(content)
        check(properties)
    return properties


def _traits(reader: PropertyReader, content: bytes) -> Any:
    """The classes that ingest made of traits. Traits that cannot be read count as none: the event's
    identity must not be lost because of them.
    """
    try:
        classes = reader.read(content)
    except Rejected:
        return NOTHING
    return NOTHING if classes == NOTHING_SAID else classes
