"""The wire format: one JSON object an event, as Segment's specification has it.

The same decoder reads raw topics, ``customer-events``, and the logs that ``replay`` takes, so an
event means the same wherever it is read.
"""

import re
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from models.events import catalogue
from models.events.catalogue import Properties
from models.events.rejection import Reason, Rejected, rejected_by

EVENT_BYTES_MAX = 32 * 1024
EVENT_TYPES = frozenset({"track", "identify", "page", "screen", "group", "alias"})
_NOTHING = catalogue.Nothing()
CUSTOMER_ID = re.compile(r"[A-Za-z0-9_.:@-]{1,128}").fullmatch
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9_.:@-]")
#: Values that stand for nobody in particular; state kept under them would be everyone's.
_NOBODY = re.compile(
    r"[0-]*|-1|null|none|nil|nan|undefined|anonymous|guest|unknown", re.IGNORECASE
).fullmatch
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
#: Up to here a deadline that follows from an event can still be written as a date.
_LATEST_MS = 32_503_680_000_000


class Source(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Where on a raw topic an event came from, and when the broker took it."""

    topic: str
    partition: int
    offset: int
    received_at: int


class Context(Struct, frozen=True, omit_defaults=True, gc=False):
    channel: str | None = None


class Event(Struct, frozen=True):
    """Something that happened, checked and typed."""

    name: str
    customer: str
    message_id: str
    occurred_at_ms: int
    properties: Properties = _NOTHING
    channel: str | None = None
    source: Source | None = None
    identified: bool = True


class Position(Struct, frozen=True, omit_defaults=True, gc=False):
    """A place in ``customer-events``, as an exported log names it."""

    partition: int
    offset: int


class Line(Struct, rename="camel"):
    """Every field of an event or a control line that means something here."""

    type: str
    event: str | None = None
    message_id: str | None = None
    user_id: str | None = None
    anonymous_id: str | None = None
    timestamp: Annotated[datetime, Meta(tz=True)] | None = None
    properties: msgspec.Raw = msgspec.Raw(b"null")
    context: Context | None = None
    source: Source | None = None
    position: Position | None = None
    stated_version: int | float | str | None = msgspec.field(default=None, name="version")
    sha256: str | None = None
    horizon_days: Annotated[float, Meta(gt=0, le=3660)] | None = None

    @property
    def version(self) -> int | None:
        """A model record's number; a client library may write anything there."""
        return self.stated_version if isinstance(self.stated_version, int) else None


_LINE = msgspec.json.Decoder(Line)


def decode_line(raw: bytes) -> Line:
    """Read one JSON object, an event or a control line. Raises ``Rejected``."""
    if len(raw) > EVENT_BYTES_MAX:
        raise Rejected(Reason.TOO_LARGE, "$", f"more than {EVENT_BYTES_MAX} bytes")
    try:
        return _LINE.decode(raw)
    except msgspec.DecodeError as error:
        raise rejected_by(error) from None
    except (UnicodeDecodeError, RecursionError):
        raise Rejected(Reason.BAD_JSON, "$", "not UTF-8, or nested too deeply") from None


def decode_event(raw: bytes, *, message_id: str, source: Source | None = None) -> Event:
    """Read an event; ``message_id`` stands in where it has none. Raises ``Rejected``."""
    return event_of(decode_line(raw), message_id=message_id, source=source)


def event_of(line: Line, *, message_id: str, source: Source | None = None) -> Event:
    """The event in a decoded line. Raises ``Rejected``."""
    if line.type not in EVENT_TYPES:
        raise Rejected(Reason.UNKNOWN_EVENT, "$.type", "not an event type")
    name = line.type
    if name == "track":
        if not line.event:
            raise Rejected(Reason.REQUIRED_MISSING, "$.event", "a track event has a name")
        name = line.event
        if len(name) > 256:
            raise Rejected(Reason.OUT_OF_RANGE, "$.event", "more than 256 characters")
    is_cost = name == catalogue.Name.CAMPAIGN_COST
    customer, identified = ("", False) if is_cost else identity(line)
    decoder = catalogue.DECODERS.get(name)
    properties = _NOTHING if decoder is None else _properties(decoder, line.properties)
    if isinstance(properties, catalogue.CampaignCost):
        customer, identified = _identity_of_cost(line, properties)
    if line.message_id is not None and len(line.message_id) > 256:
        raise Rejected(Reason.OUT_OF_RANGE, "$.messageId", "more than 256 characters")
    return Event(
        name=name,
        customer=customer,
        message_id=line.message_id or message_id,
        occurred_at_ms=timestamp_ms(line),
        properties=properties,
        channel=line.context.channel if line.context is not None else None,
        source=line.source if source is None else source,
        identified=identified,
    )


def identity(line: Line) -> tuple[str, bool]:
    """Whose line it is: ``userId``, else ``anonymousId``; and whether it was the former."""
    for value, path in ((line.user_id, "$.userId"), (line.anonymous_id, "$.anonymousId")):
        if value is None or _NOBODY(value):
            continue
        if CUSTOMER_ID(value) is None:
            raise Rejected(Reason.OUT_OF_RANGE, path, "letters, digits and _.:@- only, 128 at most")
        return value, path == "$.userId"
    raise Rejected(Reason.NO_IDENTITY, "$.userId", "neither userId nor anonymousId names anyone")


def _identity_of_cost(line: Line, cost: catalogue.CampaignCost) -> tuple[str, bool]:
    """A cost is nobody's: unless the line names somebody, it is kept with its channel, so that
    repeats of it meet.
    """
    try:
        return identity(line)
    except Rejected as rejected:
        if rejected.reason is not Reason.NO_IDENTITY:
            raise
        return f"channel:{_NOT_IN_ID.sub('_', cost.channel)[:100]}", False


def timestamp_ms(line: Line) -> int:
    """When it happened, in milliseconds since 1970."""
    if line.timestamp is None:
        raise Rejected(Reason.REQUIRED_MISSING, "$.timestamp", "an event says when it happened")
    occurred_at_ms = milliseconds(line.timestamp)
    # State says "never" with 0, and so does a sender whose clock was not set.
    if not 0 < occurred_at_ms < _LATEST_MS:
        raise Rejected(Reason.OUT_OF_RANGE, "$.timestamp", "not after 1970 and before 3000")
    return occurred_at_ms


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970, rounded down; exact for every representable moment."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000 + delta.microseconds // 1_000


def _properties(decoder: "msgspec.json.Decoder[Properties]", raw: msgspec.Raw) -> Properties:
    content = bytes(raw)
    try:
        properties = decoder.decode(b"{}" if content == b"null" else content)
    except msgspec.DecodeError as error:
        raise rejected_by(error, within="$.properties") from None
    except (UnicodeDecodeError, RecursionError):
        raise Rejected(Reason.BAD_JSON, "$.properties", "not UTF-8, or nested too deeply") from None
    _check(properties)
    return properties


def _check(properties: Properties) -> None:
    """Rules that a type cannot say."""
    match properties:
        case catalogue.Order(revenue=None, subtotal=None, total=None):
            raise Rejected(
                Reason.REQUIRED_MISSING, "$.properties.revenue", "an order has an amount"
            )
        case catalogue.Survey():
            _check_survey(properties)


def _check_survey(survey: catalogue.Survey) -> None:
    low, high = survey_scale(survey)
    if survey.kind is catalogue.SurveyKind.CES and survey.higher_is_better is None:
        raise Rejected(
            Reason.REQUIRED_MISSING,
            "$.properties.higher_is_better",
            "the polarity of CES differs by vendor",
        )
    if not low < high:
        raise Rejected(Reason.OUT_OF_RANGE, "$.properties.scale_max", "not above scale_min")
    if not low <= survey.score <= high:
        raise Rejected(Reason.OUT_OF_RANGE, "$.properties.score", f"outside {low:g} to {high:g}")


def survey_scale(survey: catalogue.Survey) -> tuple[float, float]:
    """Lowest and highest score: 0 to 10 for NPS whatever it says, else 1 to 5 unless it says."""
    if survey.kind is catalogue.SurveyKind.NPS:
        return 0.0, 10.0
    low = 1.0 if survey.scale_min is None else survey.scale_min
    high = (
        (5.0 if survey.kind is catalogue.SurveyKind.CSAT else 7.0)
        if survey.scale_max is None
        else survey.scale_max
    )
    return low, high


def encode_event(event: Event, position: Position | None = None) -> bytes:
    """The event in wire format with only the fields that state needs."""
    # A plain dict keeps the door narrow: what is not named here does not travel on.
    line: dict[str, Any] = {"type": event.name if event.name in EVENT_TYPES else "track"}
    if line["type"] == "track":
        line["event"] = event.name
    line["messageId"] = event.message_id
    line["userId" if event.identified else "anonymousId"] = event.customer
    line["timestamp"] = iso(event.occurred_at_ms)
    if event.properties is not _NOTHING:
        line["properties"] = event.properties
    if event.channel is not None:
        line["context"] = {"channel": event.channel}
    if event.source is not None:
        line["source"] = event.source
    if position is not None:
        line["position"] = position
    return msgspec.json.encode(line)


def iso(moment_ms: int) -> str:
    """ISO 8601 in UTC with milliseconds."""
    seconds, millis = divmod(moment_ms, 1_000)
    return f"{_iso_seconds(seconds)}.{millis:03d}Z"


def _iso_seconds(seconds: int) -> str:
    day, rest = divmod(seconds, 86_400)
    return f"{_iso_day(day)}T{rest // 3_600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"


_DAYS: dict[int, str] = {}


def _iso_day(day: int) -> str:
    # Events of one stretch share few dates; remembering them is most of the cost saved.
    text = _DAYS.get(day)
    if text is None:
        if len(_DAYS) > 4_096:
            _DAYS.clear()
        text = datetime.fromordinal(day + 719_163).strftime("%Y-%m-%d")
        _DAYS[day] = text
    return text
