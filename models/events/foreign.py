"""Foreign records: records on an internal topic from another program, or damaged ones.

Every decoder of an internal topic raises the same error for them, so that all readers can skip them
in the same way.
"""

from typing import Any

import msgspec

#: Raised by decoders for malformed bytes: invalid JSON, invalid UTF-8, nested too deeply.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
#: The largest integer that every encoding used here can hold.
INT_MAX = 2**63 - 1


class Foreign(ValueError):
    """A record that no release of Keepstream wrote; the message says why, and quotes none of it."""


def decoded(decoder: Any, content: bytes, what: str) -> Any:
    """Decode ``content``. Raises ``Foreign``, which says that it is not ``what``."""
    try:
        return decoder.decode(content)
    except UNREADABLE as error:
        raise Foreign(f"not {what}: {_in_short(error)}") from None


def _in_short(error: BaseException) -> str:
    """The error without any value of the record, which may be personal."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    is_of_a_field = isinstance(error, msgspec.ValidationError)
    return "a field is not as it should be" if is_of_a_field else "it is malformed"
