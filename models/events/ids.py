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
#: What client libraries and databases send where there is no id, in any case; where a - is, there
#: may be a blank, _ or nothing. Quotes around it are of a value that was printed twice.
NOTHINGS: Final = (
    *("true", "false", "null", "none", "nil", "nan", "undefined", "unknown", "n/a", "#n/a"),
    *("not-set", "not-available", "not-provided"),
)
#: What they send where they do not know who it is: the name of a field instead of its value, too.
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
#: Blanks of no width and byte-order marks, which copying and files leave at the ends.
_UNSEEN: Final = "\u200b\u200c\u200d\u2060\ufeff"
_BLANKS: Final = f" \t\r\n\u00a0{_UNSEEN}"


def _spellings(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(
        word.replace("-", between) for word in words for between in ("-", "_", " ", "")
    )


_NOTHINGS, _PLACEHOLDERS = _spellings(NOTHINGS), _spellings(PLACEHOLDERS)
#: The words for nothing as they are mostly written, to be found at no cost.
USUAL_NOTHINGS: Final = frozenset(
    as_is for word in _NOTHINGS for as_is in (word, word.upper(), word.capitalize(), word.title())
)
#: A template that was not filled in, or an object that was printed: all of it in brackets.
IN_BRACKETS: Final = r"\{.*\}|\[.*\]|<.*>|\(.*\)|[$#]\{.*\}|%.*%|\*\|.*\|\*"
#: No digit but 0, such as the UUID of zeros, and -1, also as tools that know only floats write it;
#: and what was masked, letter by letter.
ZEROS: Final = r"[0-]*(\.0*)?|-1(\.0*)?|[*?._#]+"
_IS_FORM = re.compile(f"(?s:{IN_BRACKETS}|{ZEROS})").fullmatch
_FORMS = frozenset("{[<($#%*0-.?_")


def is_nobody(text: str) -> bool:
    """Whether ``text`` stands for no one customer: state under it would mix many of them."""
    return _is_one_of(_PLACEHOLDERS, text)


def is_no_thing(text: str) -> bool:
    """Whether ``text`` stands for no one order, ticket or product: it would mix many of them."""
    return _is_one_of(_NOTHINGS, text)


def is_word_for_nothing(text: str) -> bool:
    """Whether ``text`` is a word that stands where there is no value; 0 is a value."""
    return text.strip().lower() in _NOTHINGS


def _is_one_of(words: frozenset[str], text: str) -> bool:
    if text[:1] in QUOTES:
        # An empty text, too.
        text = text.strip(QUOTES)
    if text.lower() in words or not text:
        return True
    return text[0] in _FORMS and _IS_FORM(text) is not None


def is_id(text: str) -> bool:
    """Whether ``text`` is an id, somebody's or nobody's."""
    return bool(text) and not _fault(text)


def id_text(value: Any, path: str) -> str | None:
    """An id as text: an integer's digits, a text without blanks around it, whether they can be seen
    or not; None for nothing.

    ``value`` is what JSON says. Raises ``Rejected`` for what is no id.
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
    """As `id_text`, for the id of a customer in an event that would be wrong without it. Raises
    ``Rejected`` for what stands for nobody, too.
    """
    text = None if value is True or value is False else id_text(value, path)
    if text is not None and is_nobody(text):
        raise nobody(path)
    return text


def nobody(path: str) -> Rejected:
    """For an id at ``path`` that stands for nobody, or that the operator blocks: it would make one
    of many.
    """
    return Rejected(
        Reason.NO_IDENTITY,
        path,
        "an id that is no one customer's",
        f"fill in {path.rpartition('.')[2]} with an id of one customer, or leave out the event",
    )


def thing_id_text(value: Any, path: str) -> str | None:
    """As `id_text`, for ids of orders, products, tickets and the like; None for what stands for
    none of them.

    NULs are left out: fields of a fixed width are filled up with them. Of an object it is its own
    ``id``, and a ``#`` before it is how people write it.
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
    """What is wrong with an id's text; empty if nothing is."""
    if _BAD(text):
        return "an id has no control characters and no halves of surrogate pairs"
    if len(text) > SURELY_SHORT and len(text.encode()) > ID_BYTES_MAX:
        return f"an id has {ID_BYTES_MAX} bytes at most"
    return ""
