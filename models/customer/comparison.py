"""Whether two rows have the same content, whichever releases wrote them."""

from collections.abc import Iterator

from models.customer.identities import note_visitor
from models.customer.registry import PARTS
from models.customer.row import RowError, decode_row, encode_row


def has_content(written: bytes, expected: bytes) -> bool:
    """Whether a row is what this release would have written, but for how an earlier one packed its
    parts, for ids of messages that this one would have dropped by now, and for that somebody is a
    visitor, which earlier ones did not note.
    """
    if written == expected:
        return True
    row, other = decode_row(written), decode_row(expected)
    try:
        for part in PARTS:
            row.renew(part)
    except RowError:
        return False
    if row.messages.endswith(other.messages):
        row.messages = other.messages
    note_visitor(row, other)
    return encode_row(row) == encode_row(other)


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
