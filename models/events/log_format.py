"""Which records of ``customer-events`` this release reads."""

from typing import Final

import msgspec

from models.events.line import (
    ERASE_FORMAT,
    GONE,
    GONE_FORMAT,
    LINK_FORMAT,
    LINK_TYPES,
    LOG_FORMAT,
    Line,
)
from models.events.names import EVENT_TYPES
from models.events.rejection import Reason, Rejected

#: The formats of each kind of record, as records state them.
_LOG_FORMATS: Final = tuple(
    msgspec.Raw(str(number).encode()) for number in (LOG_FORMAT, 2, ERASE_FORMAT)
)
_LINK_FORMATS: Final = tuple(
    msgspec.Raw(str(number).encode()) for number in (LINK_FORMAT, ERASE_FORMAT)
)
_GONE_FORMAT: Final = msgspec.Raw(str(GONE_FORMAT).encode())


class LogFormatError(ValueError):
    """A record of ``customer-events`` is in the format of another release; the message says what to
    do.
    """


def require_log_format(line: Line) -> None:
    """Raise ``LogFormatError`` for a record that a worker wrote in an unknown format, and
    ``Rejected`` for a watermark: no worker writes one, and after it events would no longer move the
    clock.

    A record that no worker wrote has no format; it is refused later, as a bad event.
    """
    if line.moves_clock and line.type in EVENT_TYPES:
        return
    if line.type == "watermark":
        raise Rejected(
            Reason.UNKNOWN_EVENT, "$.type", "customer-events has no watermarks: workers write none"
        )
    if line.type in LINK_TYPES:
        is_known = line.log_format in _LINK_FORMATS
    elif line.type == GONE:
        is_known = line.log_format == _GONE_FORMAT
    else:
        is_known = line.log_format in _LOG_FORMATS
    if not is_known and is_ours(line):
        found = bytes(line.log_format).decode(errors="replace")
        raise LogFormatError(
            f"customer-events has records in format {found}, and this release reads formats 2 to "
            f"{GONE_FORMAT}. If the log is older: start over with another "
            f"KEEPSTREAM_TOPIC_PREFIX, and publish the events again. If it is newer: upgrade"
        )


def is_ours(line: Line) -> bool:
    """Whether a worker of some release may have written it: the required fields are there."""
    match line.type:
        case "clock" | "live":
            return line.timestamp is not None
        case "model" | "gone":
            return line.stated_version is not None
        case _:
            return line.source is not None
