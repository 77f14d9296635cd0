"""What is on a topic of ours and is not ours: another program's record, or a damaged one.

Every decoder of an internal topic's records refuses it by the one error, so that every reader can
leave it out the same way.
"""

from typing import Any

import msgspec

#: What decoding malformed bytes raises: broken, not UTF-8, nested too deeply.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
#: The largest whole number that all of our encodings hold.
INT_MAX = 2**63 - 1


class Foreign(ValueError):
    """A record that no release of ours wrote; the message says why, and quotes nothing of it."""


def decoded(decoder: Any, content: bytes, what: str) -> Any:
    """What ``decoder`` reads. Raises ``Foreign``, which says that it is not ``what``."""
    try:
        return decoder.decode(content)
    except UNREADABLE as error:
        raise Foreign(f"not {what}: {_in_short(error)}") from None


def _in_short(error: BaseException) -> str:
    """Without a value of the record, which may be anybody's."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    is_of_a_field = isinstance(error, msgspec.ValidationError)
    return "a field is not as it should be" if is_of_a_field else "it is malformed"
