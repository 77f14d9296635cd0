"""Ids as real systems write them, and the texts that are sent in place of an unknown id.

An id is opaque. It is compared character by character, without Unicode normalization, so that the
systems on both sides recognize it.
"""

import re
from typing import Any, Final

from models.events.rejection import Reason, Rejected

#: Bytes in UTF-8: an id is a Kafka key, and part of Redis keys and addresses.
ID_BYTES_MAX: Final = 256
#: Characters that no id may contain, for regular expressions: control characters, line separators
#: and lone surrogates.
NEVER_IN_ID: Final = r"\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff"
_BAD = re.compile(f"[{NEVER_IN_ID}]").search
#: A text with at most this many characters never exceeds the limit in bytes.
SURELY_SHORT: Final = ID_BYTES_MAX // 4
#: Larger integers are not exact as floats.
EXACT_MAX: Final = 2**53
#: Sent by client libraries and databases instead of a missing id, in any case; a - may also be a
#: blank, _ or nothing. Quotes around them come from values that were printed twice.
NOTHINGS: Final = (
    *("true", "false", "null", "none", "nil", "nan", "undefined", "unknown", "n/a", "#n/a"),
    *("not-set", "not-available", "not-provided"),
)
#: Sent instead of an unknown customer's id; this includes the name of a field instead of its value.
PLACEHOLDERS: Final = (
    *NOTHINGS,
    *("id", "uid", "uuid", "guid", "email", "user", "user-id", "customer", "customer-id"),
    *("distinct-id", "anonymous-id", "visitor-id", "device-id", "session-id", "client-id"),
    *("contact-id", "profile-id", "external-id", "subscriber-id", "member-id", "account-id"),
    *("anon", "anonymous", "anonymous-user", "guest", "guest-user", "visitor"),
    *("redacted", "anonymized", "anonymised", "deleted", "deleted-user", "masked"),
    *("not-authenticated", "unauthenticated", "not-logged-in", "logged-out", "unidentified"),
)
QUOTES: Final = "\"'"
_NUMBER_SIGN: Final = "#"
#: Zero-width characters and byte-order marks, which copying and files leave at the ends.
_UNSEEN: Final = "\u200b\u200c\u200d\u2060\ufeff"
_BLANKS: Final = f" \t\r\n\u00a0{_UNSEEN}"


def _spellings(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(
        word.replace("-", between) for word in words for between in ("-", "_", " ", "")
    )


_NOTHINGS, _PLACEHOLDERS = _spellings(NOTHINGS), _spellings(PLACEHOLDERS)
#: The usual spellings of the words for nothing, for a fast lookup.
USUAL_NOTHINGS: Final = frozenset(
    as_is for word in _NOTHINGS for as_is in (word, word.upper(), word.capitalize(), word.title())
)
#: A template that was not filled in, or a printed object: text that is entirely in brackets.
IN_BRACKETS: Final = r"\{.*\}|\[.*\]|<.*>|\(.*\)|[$#]\{.*\}|%.*%|\*\|.*\|\*"
#: Only zeros, such as the all-zero UUID; -1, also as tools that know only floats write it; and text
#: that was masked character by character.
ZEROS: Final = r"[0-]*(\.0*)?|-1(\.0*)?|[*?._#]+"
_IS_FORM = re.compile(f"(?s:{IN_BRACKETS}|{ZEROS})").fullmatch
_FORMS = frozenset("{[<($#%*0-.?_")


def is_nobody(text: str) -> bool:
    """Whether ``text`` identifies no single customer: its state would mix many of them."""
    return _is_one_of(_PLACEHOLDERS, text)


def is_no_thing(text: str) -> bool:
    """Whether ``text`` identifies no single order, ticket or product: its state would mix many of
    them.
    """
    return _is_one_of(_NOTHINGS, text)


def is_word_for_nothing(text: str) -> bool:
    """Whether ``text`` is a word for a missing value; 0 is a value."""
    return text.strip().lower() in _NOTHINGS


def _is_one_of(words: frozenset[str], text: str) -> bool:
    if text[:1] in QUOTES:
        # Also true for an empty text, which stays empty.
        text = text.strip(QUOTES)
    if text.lower() in words or not text:
        return True
    return text[0] in _FORMS and _IS_FORM(text) is not None


def is_id(text: str) -> bool:
    """Whether ``text`` is valid as an id, even if it identifies nobody."""
    return bool(text) and not _fault(text)


def id_text(value: Any, path: str) -> str | None:
    """An id as text: the digits of an integer, or a text without surrounding blanks, visible or
    not; None if it is missing.

    ``value`` is a decoded JSON value. Raises ``Rejected`` for a value that is no id.
    """
    kind = type(value)
    if kind is str:
        text: str = value.strip()
        if (text and not text[0].isprintable()) or text[-1:] in _UNSEEN:
            text = text.strip(_BLANKS)
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


def customer_id_text(value: Any, path: str) -> str | None:
    """Like `id_text`, for a customer's id without which an event would be wrong. Also raises
    ``Rejected`` for an id that identifies nobody.
    """
    text = None if value is True or value is False else id_text(value, path)
    if text is not None and is_nobody(text):
        raise nobody(path)
    return text


def nobody(path: str) -> Rejected:
    """The refusal of an id at ``path`` that identifies nobody or that the operator blocks: it would
    merge many customers into one.
    """
    return Rejected(
        Reason.NO_IDENTITY,
        path,
        "an id that is no one customer's",
        f"fill in {path.rpartition('.')[2]} with an id of one customer, or leave out the event",
    )


def thing_id_text(value: Any, path: str) -> str | None:
    """Like `id_text`, for ids of orders, products, tickets and the like; None for an id that
    identifies none of them.

    NULs are removed, because fixed-width fields are padded with them. An object stands for its
    ``id``. A leading ``#`` is removed, because people write numbers that way.
    """
    if type(value) is dict and not isinstance(value.get("id"), dict):
        value = value.get("id", value)
    if type(value) is str and "\0" in value:
        value = value.replace("\0", "")
    text = None if value is True or value is False else id_text(value, path)
    if text is None or is_no_thing(text):
        return None
    return text[1:].lstrip() if text[0] == _NUMBER_SIGN and len(text) > 1 else text


def _fault(text: str) -> str:
    """The fault of an id's text; empty if there is none."""
    if _BAD(text):
        return "an id has no control characters and no halves of surrogate pairs"
    if len(text) > SURELY_SHORT and len(text.encode()) > ID_BYTES_MAX:
        return f"an id has {ID_BYTES_MAX} bytes at most"
    return ""
