"""The formats of rows, and the errors for rows that cannot be used."""

from collections.abc import Mapping

import msgspec

from models.events.foreign import UNREADABLE

#: The layout of rows: `models.customer.row_layout`. Formats 2 and 3 are read as well
#: (`models.customer.earlier_rows`). Format 1 was one struct for all concerns.
ROW_FORMAT = 4
_OLDEST_READ = 2
#: Rows in earlier formats had this many fields or more.
_OLDER_FIELDS_MIN = 4


class RowError(ValueError):
    """A stored row cannot be used; the message says why."""


class NewerRow(RowError):
    """A row was written by a newer release than this one."""


class OlderRow(RowError):
    """A row is in a format that this release no longer reads."""


def require_readable(code: str, version: int, known: int) -> None:
    """Refuse a part that a newer release wrote."""
    if version > known:
        raise NewerRow(
            f"a row has a part ({code}) that was written by a newer release; upgrade this worker"
        )


def require_versions(parts: Mapping[str, bytes], at: int, versions: Mapping[str, int]) -> None:
    """Refuse packed parts that a newer release wrote. Their versions stand ``at`` that place of the
    bytes.
    """
    for code, entry in parts.items():
        if len(entry) <= at:
            raise RowError("a row is damaged: a part is cut short")
        if code in versions:
            require_readable(code, entry[at], versions[code])


def require_format(found: int, what: str, newest: int = ROW_FORMAT) -> None:
    """Raise ``NewerRow`` or ``OlderRow`` for the format of another release, newer than ``newest``
    or older than all that are read; 0 (no format) raises neither.
    """
    if found > newest:
        raise NewerRow(f"{what} was written by a newer release; upgrade this worker")
    if 0 < found < _OLDEST_READ:
        raise OlderRow(
            f"{what} is in format {found}, which this release does not read (it writes "
            f"{newest}): start over with another KEEPSTREAM_TOPIC_PREFIX, and publish the "
            f"events again"
        )


def format_of(content: bytes) -> int:
    """The format number that stored bytes begin with; 0 if there is none."""
    try:
        fields = msgspec.msgpack.decode(content, type=list[msgspec.Raw])
        found = msgspec.msgpack.decode(fields[0], type=int)
    except (*UNREADABLE, IndexError):
        return 0
    # A list that is no row may begin with a small number, too.
    return found if found > _OLDEST_READ or len(fields) >= _OLDER_FIELDS_MIN else 0
