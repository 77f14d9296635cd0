"""Whether two rows have the same content, whichever releases wrote them."""

from collections.abc import Iterator

from models.customer.identities import note_visitor
from models.customer.registry import PARTS
from models.customer.row import Row, RowError, decode_row, encode_row
from models.customer.timeline import TIMELINE, is_begun_later


def has_content(written: bytes, expected: bytes) -> bool:
    """Whether a row is what this release would have written, but for how an earlier one packed its
    parts, for ids of messages that this one would have dropped by now, and for what earlier ones
    did not note: that somebody is a visitor, and what happened last. So of each of a person's ids.
    """
    if written == expected:
        return True
    row, other = decode_row(written), decode_row(expected)
    try:
        _overlook(row, other)
    except RowError:
        return False
    return encode_row(row) == encode_row(other)


def _overlook(row: Row, other: Row) -> None:
    """Have ``row`` be as this release would have written it, where it may differ."""
    for part in PARTS:
        row.renew(part)
    if row.messages.endswith(other.messages):
        row.messages = other.messages
    note_visitor(row, other)
    if is_begun_later(row.read(TIMELINE), other.read(TIMELINE)):
        row.replace(TIMELINE, other.read(TIMELINE))
    for id_, sub in row.ids.items():
        if id_ in other.ids:
            _overlook(sub.row, other.ids[id_].row)


def different_parts(written: bytes, expected: bytes) -> Iterator[str]:
    """What differs, in words."""
    row, other = decode_row(written), decode_row(expected)
    if row.applied != other.applied:
        yield f"last changed at {row.applied} instead of {other.applied}"
    for part in PARTS:
        if part.pack(row.read(part)) != part.pack(other.read(part)):
            yield part.name
    if sorted(row.packed_timers()) != sorted(other.packed_timers()):
        yield "timers"
    if not row.messages.endswith(other.messages):
        yield "message ids"
