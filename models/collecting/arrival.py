"""An event as it arrived, with its time corrected for the sender's clock: once, and only here.

    event time = receivedAt - (sentAt - timestamp)

Everything else stays as it was sent, byte for byte. The time by the sender's clock is kept as
``originalTimestamp``.
"""

import msgspec
from msgspec import Raw, Struct

from models.collecting.json_fields import (
    NULL,
    fields_of,
    is_missing,
    moment_ms,
    object_in,
    rename_spelling,
)
from models.collecting.posthog import from_posthog
from models.collecting.requests import Form
from models.events.rejection import Reason, Rejected
from models.events.times import LATEST_MS, iso
from models.events.wire import EVENT_BYTES_MAX

_IDENTIFY = Raw(b'"identify"')


class Arrival(Struct, frozen=True):
    """What a request says about all its events: the time of its arrival (Unix ms), the sender's
    time of sending, the events' type by its address, and a context for events without one; and
    whether its source sends in batches.
    """

    received_at_ms: int
    form: Form = Form.SEGMENT
    sent_at: Raw = NULL
    type: str | None = None
    context: Raw = NULL
    is_batched: bool = False

    @property
    def skew_ms(self) -> int | None:
        """Arrival time minus the sender's time of sending, in ms; None without the latter."""
        sent_at_ms = moment_ms(self.sent_at)
        return None if sent_at_ms is None else self.received_at_ms - sent_at_ms


def arrived(raw: bytes | Raw, arrival: Arrival) -> bytes | None:
    """The event in its published form; None for an event that by design concerns no customer.
    Raises ``Rejected`` if it is no event at all.

    An unreadable time is passed on; the later check of the event refuses it.
    """
    if len(bytes(raw)) > EVENT_BYTES_MAX:
        raise Rejected(Reason.TOO_LARGE, "$", f"more than {EVENT_BYTES_MAX} bytes")
    fields = fields_of(raw)
    if arrival.form is Form.POSTHOG:
        translated = from_posthog(fields)
        if translated is None:
            return None
        fields = translated
    # The key has been checked already, and would be stored for as long as the event.
    fields.pop("writeKey", None)
    _complete(fields, arrival)
    _correct_time(fields, arrival.received_at_ms)
    return msgspec.json.encode(fields)


def _complete(fields: dict[str, Raw], arrival: Arrival) -> None:
    """Fill in what the request says about all its events."""
    if arrival.type is not None and is_missing(fields, "type"):
        fields["type"] = Raw(msgspec.json.encode(arrival.type))
    if is_missing(fields, "sentAt") and arrival.sent_at != NULL:
        fields["sentAt"] = arrival.sent_at
    if is_missing(fields, "context") and arrival.context != NULL:
        fields["context"] = arrival.context
    if arrival.is_batched:
        context = {**object_in(fields, "context"), "batched": Raw(b"true")}
        fields["context"] = Raw(msgspec.json.encode(context))
    if fields.get("type") == _IDENTIFY and is_missing(fields, "traits"):
        # RudderStack's libraries put traits into the context.
        traits = object_in(fields, "context").get("traits")
        if traits is not None:
            fields["traits"] = traits


def _correct_time(fields: dict[str, Raw], received_at_ms: int) -> None:
    for name in ("timestamp", "originalTimestamp"):
        rename_spelling(fields, name)
    stated = "timestamp" if not is_missing(fields, "timestamp") else "originalTimestamp"
    sent_at_ms = moment_ms(fields.get("sentAt"))
    happened_ms: int | None = received_at_ms
    if not is_missing(fields, stated):
        happened_ms = moment_ms(fields[stated])
        if happened_ms is not None and sent_at_ms is not None:
            happened_ms += received_at_ms - sent_at_ms
        if stated == "timestamp":
            fields["originalTimestamp"] = fields["timestamp"]
    if happened_ms is not None and 0 < happened_ms < LATEST_MS:
        fields["timestamp"] = Raw(b'"%b"' % iso(happened_ms).encode())
    fields["receivedAt"] = Raw(b'"%b"' % iso(received_at_ms).encode())
