"""Whether two rows have the same content, whichever releases wrote them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from models.customer.contacts import CONTACTS, SUPPRESSIONS_MAX, Contacts
from models.customer.identities import note_visitor
from models.customer.registry import PARTS
from models.customer.row import Row, decode_row, encode_row
from models.customer.row_formats import RowError


def has_content(written: bytes, expected: bytes) -> bool:
    """Whether a row is what this release would have written, apart from differences between
    releases. These are: how parts are packed, message ids that this release would have dropped by
    now, and facts that earlier releases did not note. Those facts are that a customer is a visitor,
    that they were in both groups of the holdout, and what was rejected before the latest moments.
    The same holds for the row of each of a person's ids. Parts that an earlier release did not know
    are compared as they are: see `models.parts_in_force`.
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
    """Change both to what this release would have written, where they may differ."""
    row.renew(PARTS)
    other.renew(PARTS)
    if row.messages.endswith(other.messages):
        row.messages = other.messages
    note_visitor(row, other)
    _overlook_what_was_not_kept(row, other)
    for id_, sub in row.ids.items():
        if id_ in other.ids:
            _overlook(sub.row, other.ids[id_].row)


def _overlook_what_was_not_kept(row: Row, other: Row) -> None:
    mine, theirs = row.read(CONTACTS), other.read(CONTACTS)
    is_full = len(theirs.suppressed()) == SUPPRESSIONS_MAX
    if _is_begun_later(_earlier(mine), _earlier(theirs), is_full=is_full):
        row.edit(CONTACTS).earlier = theirs.earlier
    if not mine.contaminated_ms and theirs.contaminated_ms:
        row.edit(CONTACTS).contaminated_ms = theirs.contaminated_ms


def _earlier(state: Contacts) -> list[tuple[int, str, str]]:
    return [(one.at_ms, one.action, one.by) for one in state.earlier]


def _is_begun_later(
    written: Sequence[tuple[Any, ...]], expected: Sequence[tuple[Any, ...]], *, is_full: bool
) -> bool:
    """Whether ``written`` is ``expected`` as far as it was kept; both have items that begin with a
    time. A release that did not keep them may have begun the row. So each item must be expected,
    or, if no more fit in, older than all that is expected.
    """
    more = Counter(written) - Counter(expected)
    if not more:
        return True
    return is_full and bool(expected) and max(more)[0] <= expected[0][0]


#: The profile sections that may be shorter in rows that an earlier release began.
_BEGUN_LATER = frozenset({"suppressions"})
_SECTIONS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def comparable(profile: bytes) -> bytes:
    """The profile without the sections that depend on which release began the row: a row made from
    the log has what that release did not keep.
    """
    try:
        sections = _SECTIONS.decode(profile)
    except msgspec.DecodeError:
        return profile
    kept = {name: value for name, value in sections.items() if name not in _BEGUN_LATER}
    return msgspec.json.encode(kept)


def different_parts(written: bytes, expected: bytes) -> Iterator[str]:
    """The differences, in words."""
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
