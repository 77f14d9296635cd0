"""Reads JSON as senders write it, where the strict decoder refuses it.

All of this is a second attempt, for lone surrogates, invalid UTF-8, NaN, control characters, a
byte-order mark, and empty lists in place of empty objects. Undecodable bytes stay in texts as lone
surrogates, so that an id with one can still be refused.
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
#: Nobody means a number with more digits, and Python refuses to parse thousands of them.
_DIGITS_MAX: Final = 400


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS_MAX else float(digits)


def _not_finite(_constant: str) -> float:
    return nan


_DECODER = json.JSONDecoder(parse_int=_integer, parse_constant=_not_finite, strict=False)


def read_json(raw: bytes) -> Any:
    """The value in ``raw``. Raises ``Rejected`` if it can't be read even leniently."""
    content = raw.removeprefix(_BYTE_ORDER_MARK)
    try:
        return _DECODER.decode(content.decode("utf-8", errors="surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise Rejected(Reason.BAD_JSON, "$", _in_words(error)) from None


def _in_words(error: Exception) -> str:
    if not isinstance(error, json.JSONDecodeError):
        return "nested too deeply"
    # The text after a colon quotes the content.
    return f"{error.msg.partition(':')[0]} (character {error.pos})"


def is_nothing(value: Any) -> bool:
    """Whether ``value`` stands for a missing one: null, a blank text, an empty list or object."""
    if value is None or value == [] or value == {}:
        return True
    return isinstance(value, str) and not value.strip()


def plain(text: str) -> str:
    """``text`` with a replacement character for what UTF-8 cannot encode."""
    return _HALF_PAIR.sub("\ufffd", text)


def escaped(text: str) -> str:
    """``text`` with escapes for what UTF-8 cannot encode: different texts stay different."""
    return text.encode("utf-8", "backslashreplace").decode()


def to_json(value: Any) -> bytes:
    """The value's bytes, which `read_json` reads back unchanged."""
    return json.dumps(value, separators=(",", ":")).encode()


def spelt(fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The values of ``fields`` by their known names; ``names``: known names by folded spelling.

    A value under the known name itself takes precedence over another spelling; values that stand
    for a missing one are left out.
    """
    found: dict[str, Any] = {}
    for key, value in fields.items():
        name = names.get(folded(key))
        if name is not None and not is_nothing(value) and (key == name or name not in found):
            found[name] = value
    return found
