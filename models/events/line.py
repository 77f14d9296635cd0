"""The fields of an event or a control line that Keepstream reads, and the formats of records of
``customer-events``.
"""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from models.events.event import Source

#: The format of records of ``customer-events``. Format 1 was never released and did not state a
#: format. In format 2 only clock records moved a partition's clock, and there was no rehearsal.
LOG_FORMAT = 3
#: The format of link records (`models.events.link_record`). A release that does not know them stops
#: at the first one.
LINK_FORMAT = 4
#: The format of erasure requests, and of the link records about them.
ERASE_FORMAT = 5
LINK_TYPES: Final = frozenset({"link", "unlink", "left", "graft", "forwarded", "release", "erase"})
#: The type of what remains of a record whose content is gone (`models.events.gone`), and its
#: format.
GONE: Final = "gone"
GONE_FORMAT = 6
_LOG_FORMAT = msgspec.Raw(str(LOG_FORMAT).encode())
_BEFORE_REHEARSAL = msgspec.Raw(b"2")


class Context(Struct, frozen=True, omit_defaults=True, gc=False):
    """``historical``: decisions that follow from the event are only rehearsed. ``consent``: by
    purpose, in the words of the system that asked for it; ``consent_management``: RudderStack's
    place for it. ``batched``: the hour of the event's time is that of its sender's batch.
    ``traits``: where RudderStack's libraries put those of an identify. The last ones are what
    browsers are told by people who do not want to be tracked.
    """

    channel: Annotated[str, Meta(min_length=1)] | None = None
    timezone: Any = None
    historical: Any = None
    consent: Any = None
    batched: Any = None
    consent_management: Any = msgspec.field(default=None, name="consentManagement")
    traits: Any = None
    do_not_track: Any = msgspec.field(default=None, name="doNotTrack")
    dnt: Any = None
    global_privacy_control: Any = msgspec.field(default=None, name="globalPrivacyControl")
    gpc: Any = None


class Position(Struct, frozen=True, omit_defaults=True, gc=False):
    """A place in ``customer-events``, as an exported log states it."""

    partition: int
    offset: int


class Line(Struct, rename="camel", gc=False):
    """The fields of an event or a control line that Keepstream reads."""

    type: str
    event: str | None = None
    # Any value that a sender takes for an id; `identity` and `message_id_of` read them.
    message_id: Any = None
    user_id: Any = None
    anonymous_id: Any = None
    # In an alias: the customer's earlier id.
    previous_id: Any = None
    timestamp: Annotated[datetime, Meta(tz=True)] | None = None
    properties: msgspec.Raw = msgspec.Raw(b"null")
    # In an identify or a group; also searched for a refusal of consent.
    traits: msgspec.Raw = msgspec.Raw(b"null")
    context: Context | None = None
    source: Source | None = None
    position: Position | None = None
    stated_version: int | float | str | None = msgspec.field(default=None, name="version")
    sha256: str | None = None
    horizon_days: Annotated[float, Meta(gt=0, le=3660)] | None = None
    # Other spellings, which the decoder finds at no extra cost.
    other_id: Any = msgspec.field(default=None, name="user_id")
    id_in_capitals: Any = msgspec.field(default=None, name="userID")
    other_visitor: Any = msgspec.field(default=None, name="anonymous_id")
    other_message_id: Any = msgspec.field(default=None, name="message_id")
    # Client libraries may write anything here; it is read only in records of the log.
    log_format: msgspec.Raw = msgspec.Raw(b"1")
    # Any value is accepted: one that is no time is ignored.
    received_at: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def moves_clock(self) -> bool:
        """Whether this event of the log moves its partition's clock, as events do since format 3.
        An erasure request does not: it is no activity of the shop, whose clock may be behind.
        """
        return self.log_format == _LOG_FORMAT

    @property
    def is_before_rehearsal(self) -> bool:
        """Whether this record of the log is from a release without rehearsals."""
        if self.type == GONE:
            return self.stated_version == 2
        return self.log_format == _BEFORE_REHEARSAL

    @property
    def version(self) -> int | None:
        """The version in a model record; None for any other value that a client library wrote."""
        return self.stated_version if isinstance(self.stated_version, int) else None


#: The default of a field whose raw value is kept, if the line lacks the field.
NULL: Final = msgspec.Raw(b"null")
