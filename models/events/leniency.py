"""JSON as senders write it, where the strict decoder refuses it.

Everything here is the second try for an event that the strict decoder did not take: halves of
surrogate pairs, bytes that are no UTF-8, NaN, control characters, a byte-order mark, empty lists
for empty objects. Texts keep what cannot be text as lone surrogates, so that an id with one can
still be refused.
"""

import json
import re
from collections.abc import Mapping
from math import nan
from typing import Any, Final

from config.names import folded
from models.events.rejection import Reason, Rejected

_HALF_PAIR = re.compile(r"[\ud800-\udfff]")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
#: More digits are no number that anybody meant, and Python refuses to read thousands of them.
_DIGITS_MAX: Final = 400


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS_MAX else float(digits)


def _not_finite(_constant: str) -> float:
    return nan


_DECODER = json.JSONDecoder(parse_int=_integer, parse_constant=_not_finite, strict=False)


def read_json(raw: bytes) -> Any:
    """The value in ``raw``. Raises ``Rejected`` if it is no JSON by any reading."""
    content = raw.removeprefix(_BYTE_ORDER_MARK)
    try:
        return _DECODER.decode(content.decode("utf-8", errors="surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise Rejected(Reason.BAD_JSON, "$", _in_words(error)) from None


def _in_words(error: Exception) -> str:
    if not isinstance(error, json.JSONDecodeError):
        return "nested too deeply"
    # What comes after a colon is quoted from the content.
    return f"{error.msg.partition(':')[0]} (character {error.pos})"


def is_nothing(value: Any) -> bool:
    """Whether ``value`` stands for a missing one: null, a blank text, an empty list or object."""
    if value is None or value == [] or value == {}:
        return True
    return isinstance(value, str) and not value.strip()


def plain(text: str) -> str:
    """``text`` with a replacement character for what cannot be written in UTF-8."""
    return _HALF_PAIR.sub("\ufffd", text)


def escaped(text: str) -> str:
    """``text`` with escapes for what cannot be written in UTF-8: other texts stay other texts."""
    return text.encode("utf-8", "backslashreplace").decode()


def to_json(value: Any) -> bytes:
    """The value's bytes, which `read_json` reads as it is."""
    return json.dumps(value, separators=(",", ":")).encode()


def spelt(fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The values of ``fields`` by their known names; ``names``: those by their folded spelling.

    A value under the known name itself counts more than one under another spelling; what stands
    for a missing value is left out.
    """
    found: dict[str, Any] = {}
    for key, value in fields.items():
        name = names.get(folded(key))
        if name is not None and not is_nothing(value) and (key == name or name not in found):
            found[name] = value
    return found
