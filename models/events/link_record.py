"""Log records in which rows tell each other about linked ids, also across partitions.

The fold of one row writes them as effects, and the fold of the receiving row reads them, so a
replay needs only the log.
"""

from base64 import b64decode, b64encode
from typing import Any, Final

import msgspec
from msgspec import Struct

from config.topics import CUSTOMER_EVENTS
from models.events.event import Source
from models.events.foreign import UNREADABLE
from models.events.line import ERASE_FORMAT, LINK_FORMAT, LINK_TYPES, Line
from models.events.rejection import Reason, Rejected
from models.events.times import iso
from models.events.wire import timestamp_ms

#: To an id: a user claims it; it is declared unlinked from then on; its row comes back from the
#: person who had it.
CLAIM, UNLINK, LEFT = "link", "unlink", "left"
#: To a person: the row of an id that joins them; an event of one of their ids; an id that is not
#: theirs, or no longer.
GRAFT, FORWARDED, RELEASE = "graft", "forwarded", "release"
#: To a person from one of their ids, and to each of their ids: the whole person is erased.
ERASE = "erase"
#: The most link records that one record of the log writes. Their place is its offset times this,
#: plus their index.
PER_RECORD_MAX: Final = 64


class LinkSaid(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """``id``: the id in question; ``person``: the user who claims or has it. ``by``: what links or
    splits them. ``since``: the time of the link. ``row``: the bytes of the id's row. ``event``: an
    event of the id, as a record of the log. ``again``: a newer row of an id that is already linked.
    ``until``: claims up to this time are void; in an erasure, everything dated up to then is
    erased, and ``by`` is its mode. ``historical``: a historical event caused it, so its decisions
    are only rehearsed. ``owner``: the user into whom the claiming user is merged; ``away``: that
    user has too many ids, so this id stays separate for now.
    """

    id: str
    person: str
    by: str = ""
    since: int = 0
    row: str = ""
    event: msgspec.Raw = msgspec.Raw(b"null")
    again: bool = False
    until: int = 0
    historical: bool = False
    owner: str = ""
    away: bool = False


class LinkRecord(Struct):
    """A link record for ``customer``. Its place is that of the record that caused it, which
    identifies its repeats.
    """

    kind: str
    customer: str
    at_ms: int
    said: LinkSaid
    partition: int = -1
    offset: int = -1
    index: int = -1


def encode_link_record(record: LinkRecord) -> bytes:
    """The record's bytes; equal records have equal bytes."""
    assert record.index < PER_RECORD_MAX
    line: dict[str, Any] = {
        "type": record.kind,
        "userId": record.customer,
        "timestamp": iso(record.at_ms),
        "properties": record.said,
        "source": Source(
            CUSTOMER_EVENTS,
            record.partition,
            record.offset * PER_RECORD_MAX + record.index,
            record.at_ms,
        ),
        "logFormat": ERASE_FORMAT if record.kind == ERASE else LINK_FORMAT,
    }
    return msgspec.json.encode(line)


_SAID = msgspec.json.Decoder(LinkSaid)


def link_record_of(line: Line) -> LinkRecord:
    """The record in a line of the log. Raises ``Rejected`` for a record that no worker wrote."""
    source, customer = line.source, line.user_id
    is_ours = source is not None and source.topic == CUSTOMER_EVENTS
    if line.type not in LINK_TYPES or not is_ours or not isinstance(customer, str):
        raise not_ours("$.source")
    try:
        said = _SAID.decode(line.properties)
    except UNREADABLE:
        raise not_ours("$.properties") from None
    return LinkRecord(line.type, customer, timestamp_ms(line), said)


def not_ours(path: str) -> Rejected:
    """The refusal of a link record that no worker wrote; ``path`` is the faulty field."""
    return Rejected(
        Reason.WRONG_TYPE,
        path,
        "a record of who is who that no worker wrote",
        "see who else than workers may write to customer-events",
    )


def row_text(packed: bytes) -> str:
    """A row's bytes, as the text in a record."""
    return b64encode(packed).decode()


def row_bytes(text: str) -> bytes:
    """The bytes of a row in a record. Raises ``Rejected``."""
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise not_ours("$.properties.row") from None
