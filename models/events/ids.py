"""Ids as real systems write them, and texts that are sent where an id is not known.

An id is opaque: it is compared letter for letter, without any normalisation of Unicode, so that the
systems on both sides find each other by it.
"""

import re
from typing import Any, Final

from models.events.rejection import Reason, Rejected

#: In UTF-8: an id is a Kafka key, a part of a key in Redis, and a part of an address.
ID_BYTES_MAX: Final = 256
#: What no id may contain, for regular expressions: control characters, ends of lines and halves of
#: surrogate pairs.
NEVER_IN_ID: Final = r"\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff"
_BAD = re.compile(f"[{NEVER_IN_ID}]").search
#: So many letters are never more than the bytes allowed.
SURELY_SHORT: Final = ID_BYTES_MAX // 4
#: Integers beyond it are not exact as floats.
EXACT_MAX: Final = 2**53
#: What client libraries and databases send where no id is known, in any case; where a - is, there
#: may be a blank, _ or nothing.
PLACEHOLDERS: Final = (
    *("true", "false", "null", "none", "nil", "nan", "undefined", "unknown", "n/a", "#n/a"),
    *("id", "uid", "email", "user-id", "customer-id", "distinct-id", "anonymous-id"),
    *("anonymous", "guest", "not-authenticated", "not-set"),
)
_PLACEHOLDERS = frozenset(
    word.replace("-", between) for word in PLACEHOLDERS for between in ("-", "_", " ", "")
)
#: A template that was not filled in, or an object that was printed: all of it in brackets.
IN_BRACKETS: Final = r"\{.*\}|\[.*\]|<.*>|\(.*\)|[$#]\{.*\}|%.*%|\*\|.*\|\*"
#: No digit but 0, such as the UUID of zeros, and -1.
ZEROS: Final = r"[0-]*|-1"
_IS_FORM = re.compile(f"(?s:{IN_BRACKETS}|{ZEROS})").fullmatch
_FORMS = frozenset("{[<($#%*0-")


def is_nobody(text: str) -> bool:
    """Whether ``text`` stands for no one customer: state under it would mix many of them."""
    if text.lower() in _PLACEHOLDERS or not text:
        return True
    return text[0] in _FORMS and _IS_FORM(text) is not None


def is_id(text: str) -> bool:
    """Whether ``text`` is an id, somebody's or nobody's."""
    return bool(text) and not _fault(text)


def id_text(value: Any, path: str) -> str | None:
    """An id as text: an integer's digits, a text without blanks around it; None for nothing.

    ``value`` is what JSON says. Raises ``Rejected`` for what is no id.
    """
    kind = type(value)
    if kind is str:
        text: str = value.strip(" ")
    elif kind is int:
        text = str(value)
    elif value is None or value == [] or value == {}:
        return None
    elif kind is float and value.is_integer() and abs(value) < EXACT_MAX:
        # Tools that know only floats write 48213 as 48213.0.
        text = str(int(value))
    else:
        raise Rejected(Reason.WRONG_TYPE, path, "an id is a text or a whole number")
    if not (len(text) <= SURELY_SHORT and text.isprintable()) and (fault := _fault(text)):
        raise Rejected(Reason.OUT_OF_RANGE, path, fault)
    return text or None


def thing_id_text(value: Any, path: str) -> str | None:
    """As `id_text`, for ids of orders, products, tickets and the like.

    NULs are left out: fields of a fixed width are filled up with them.
    """
    if type(value) is str and "\0" in value:
        value = value.replace("\0", "")
    return id_text(value, path)


def _fault(text: str) -> str:
    """What is wrong with an id's text; empty if nothing is."""
    if _BAD(text):
        return "an id has no control characters and no halves of surrogate pairs"
    if len(text) > SURELY_SHORT and len(text.encode()) > ID_BYTES_MAX:
        return f"an id has {ID_BYTES_MAX} bytes at most"
    return ""
