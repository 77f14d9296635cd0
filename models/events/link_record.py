"""Records of the log by which rows tell each other who is who, also from one partition to another.

The fold of a row writes them as effects, and the fold of the row that they are for reads them, so
that a replay of the log needs nothing else.
"""

from base64 import b64decode, b64encode
from typing import Any, Final

import msgspec
from msgspec import Struct

from config.topics import CUSTOMER_EVENTS
from models.events.event import Source
from models.events.foreign import UNREADABLE
from models.events.rejection import Reason, Rejected
from models.events.times import iso
from models.events.wire import ERASE_FORMAT, LINK_FORMAT, LINK_TYPES, Line, timestamp_ms

#: To an id: a user says that it is theirs; somebody says that it is nobody's from then on; its row
#: comes back from the person who had it.
CLAIM, UNLINK, LEFT = "link", "unlink", "left"
#: To a person: the row of an id that becomes theirs; an event of an id of theirs; an id is not
#: theirs, or no longer.
GRAFT, FORWARDED, RELEASE = "graft", "forwarded", "release"
#: To a person from an id of theirs, and to each of their ids: the whole person is erased.
ERASE = "erase"
#: Records that one record of the log writes at most: their place must be a whole number, too.
PER_RECORD_MAX: Final = 64


class LinkSaid(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """``id``: which id it is about; ``person``: the user who claims it or has it. ``by``: what
    links or splits them. ``since``: since when it is linked. ``row``: the bytes of the id's row.
    ``event``: of the id, as a record of the log. ``again``: the row is another by now, for one that
    is linked already. ``until``: claims up to this time are void; of an erasure, what is dated up
    to then is gone, and ``by`` is its mode. ``historical``: a historical
    event says so, and nothing is decided aloud because of it. ``owner``: into whom the user who
    claims the id is merged; ``away``: they have too many ids, and this one is its own meanwhile.
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
    """One of them, for ``customer``; its place is that of the record that made it, and tells it
    from its repeats.
    """

    kind: str
    customer: str
    at_ms: int
    said: LinkSaid
    partition: int = -1
    offset: int = -1
    index: int = -1


def encode_link_record(record: LinkRecord) -> bytes:
    """The record's bytes; the same record always has the same."""
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
    """The record in a line of the log. Raises ``Rejected`` for what no worker wrote."""
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
    """For a record of these that no worker wrote; ``path`` is what is wrong with it."""
    return Rejected(
        Reason.WRONG_TYPE,
        path,
        "a record of who is who that no worker wrote",
        "see who else than workers may write to customer-events",
    )


def row_text(packed: bytes) -> str:
    """A row's bytes as a record has them."""
    return b64encode(packed).decode()


def row_bytes(text: str) -> bytes:
    """The bytes of a row in a record. Raises ``Rejected``."""
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise not_ours("$.properties.row") from None
