"""From bytes to an event for ``customer-events``, or a refusal with its reason."""

from typing import Any

import msgspec

from config.parameters import Parameters
from config.topics import CLICKSTREAM
from models.catalogue import kind_of
from models.events.event import NOTHING, Event, Kind, Source
from models.events.names import EVENT_TYPES, NOT_SUPPORTED
from models.events.rejection import Reason, Rejected, rejected_by
from models.events.wire import Line, decode_line, identity, timestamp_ms

NAME_LENGTH_MAX = 256
MESSAGE_ID_LENGTH_MAX = 256


def decode_event(raw: bytes, *, message_id: str, source: Source | None = None) -> Event:
    """Read an event; ``message_id`` is used if it has none. Raises ``Rejected``."""
    return event_of(decode_line(raw), message_id=message_id, source=source)


def event_of(line: Line, *, message_id: str, source: Source | None = None) -> Event:
    """The event in a decoded line. Raises ``Rejected``."""
    name = _name(line)
    kind = kind_of(name)
    decoder, nobody = kind.decoder, kind.declared.nobody
    if nobody is None:
        customer, identified = identity(line)
        properties = NOTHING if decoder is None else _properties(kind, line.properties)
    else:
        properties = _properties(kind, line.properties)
        customer, identified = _identity_or(line, nobody(properties))
    if line.message_id is not None and len(line.message_id) > MESSAGE_ID_LENGTH_MAX:
        raise Rejected(Reason.OUT_OF_RANGE, "$.messageId", "more than 256 characters")
    return Event(
        name=name,
        kind=kind,
        customer=customer,
        message_id=line.message_id or message_id,
        occurred_at_ms=timestamp_ms(line),
        properties=properties,
        channel=line.context.channel if line.context is not None else None,
        source=line.source if source is None else source,
        identified=identified,
        historical=line.context is not None and line.context.historical is True,
    )


def admit(
    raw: bytes,
    parameters: Parameters,
    *,
    message_id: str,
    topic: str = CLICKSTREAM,
    source: Source | None = None,
) -> Event:
    """The event in ``raw`` as published on ``topic``. Raises ``Rejected``.

    ``message_id`` is used if the event has none; ``source`` says when the broker took it, and an
    event more than ``time.future`` later than that is refused, so that one bad date cannot move
    the clock of all customers.
    """
    return admit_line(
        decode_line(raw), parameters, message_id=message_id, topic=topic, source=source
    )


def admit_line(
    line: Line,
    parameters: Parameters,
    *,
    message_id: str,
    topic: str = CLICKSTREAM,
    source: Source | None = None,
) -> Event:
    """``admit`` for a line that is decoded already."""
    event = event_of(line, message_id=message_id, source=source)
    if event.name in NOT_SUPPORTED:
        raise Rejected(Reason.UNKNOWN_EVENT, "$.event", "not supported")
    if event.kind.number == 0 and topic != CLICKSTREAM:
        raise Rejected(Reason.UNKNOWN_EVENT, "$.event", f"not an event of {topic}")
    if event.source is not None:
        ahead_ms = event.occurred_at_ms - event.source.received_at
        if ahead_ms > parameters.time.future:
            raise Rejected(Reason.OUT_OF_RANGE, "$.timestamp", "later than its arrival")
    _check_currency(event.properties, parameters.money.currency)
    return event


def _name(line: Line) -> str:
    if line.type not in EVENT_TYPES:
        raise Rejected(Reason.UNKNOWN_EVENT, "$.type", "not an event type")
    if line.type != "track":
        return line.type
    if not line.event:
        raise Rejected(Reason.REQUIRED_MISSING, "$.event", "a track event has a name")
    if len(line.event) > NAME_LENGTH_MAX:
        raise Rejected(Reason.OUT_OF_RANGE, "$.event", "more than 256 characters")
    return line.event


def _identity_or(line: Line, nobody: str) -> tuple[str, bool]:
    """As `identity`, with the id ``nobody`` for events without an identity, so that their repeats
    are recognised.
    """
    try:
        return identity(line)
    except Rejected as rejected:
        if rejected.reason is not Reason.NO_IDENTITY:
            raise
        return nobody, False


def _properties(kind: Kind, raw: msgspec.Raw) -> Any:
    assert kind.decoder is not None
    content = bytes(raw)
    try:
        properties = kind.decoder.decode(b"{}" if content == b"null" else content)
    except msgspec.DecodeError as error:
        raise rejected_by(error, within="$.properties") from None
    except (UnicodeDecodeError, RecursionError):
        raise Rejected(Reason.BAD_JSON, "$.properties", "not UTF-8, or nested too deeply") from None
    if kind.declared.check is not None:
        kind.declared.check(properties)
    return properties


def _check_currency(properties: Any, currency: str) -> None:
    named = getattr(properties, "currency", None)
    if named is not None and named.upper() != currency:
        raise Rejected(
            Reason.OUT_OF_RANGE, "$.properties.currency", f"this shop's currency is {currency}"
        )
