"""The header in which a record or request carries its trace: W3C Trace Context."""

from typing import Final

from streams.outbox import Headers

TRACEPARENT: Final = "traceparent"
_TRACE_ID_DIGITS: Final = 32


def trace_id_in(headers: Headers) -> str | None:
    """The trace id in a record's headers, for log lines: 32 hexadecimal digits."""
    for name, value in headers:
        parts = value.decode("ascii", "replace").split("-") if name == TRACEPARENT else ()
        if len(parts) == 4 and len(parts[1]) == _TRACE_ID_DIGITS:
            return parts[1]
    return None
