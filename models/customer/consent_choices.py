"""How senders write a yes or a no: as a boolean, a number, a word, or an object of these.

One property or several state a choice. Of several, a no wins, and then a yes that waits to be
confirmed: without a confirmed address nothing is agreed to yet.
"""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

from config.names import folded
from models.events.leniency import is_nothing


class Choice(StrEnum):
    """What was chosen. ``UNREAD``: a choice that cannot be read, and that may be a no."""

    GRANTED = "granted"
    REVOKED = "revoked"
    PENDING = "pending"
    UNREAD = "unread"


#: The words of each choice, folded as names are.
_SPELT: Final[Mapping[Choice, str]] = {
    Choice.GRANTED: "true yes y on 1 granted grant given allowed allow accepted accept agreed "
    "approved optedin optin singleoptin confirmedoptin doubleoptin subscribed subscribe "
    "resubscribed active enabled confirmed verified success",
    Choice.REVOKED: "false no n off 0 denied deny revoked revoke withdrawn refused declined "
    "rejected removed disallowed optedout optout unsubscribed unsubscribe inactive disabled "
    "cancelled canceled blocked suppressed cleaned bounced complained expired notgranted "
    "notsubscribed nonsubscribed neversubscribed donotcontact",
    Choice.PENDING: "pending pendingconfirmation pendingoptin unconfirmed notconfirmed requested "
    "invited sent waiting unverified",
}
_WORDS: Final = {word: choice for choice, words in _SPELT.items() for word in words.split()}
_OPPOSITE: Final = {Choice.GRANTED: Choice.REVOKED, Choice.REVOKED: Choice.GRANTED}
#: The values that schemas list, because they cannot list every spelling of a word.
UNDERSTOOD: Final = (True, False, 0, 1, None, *_WORDS)
#: The properties that state a choice: names that mean a yes, names that mean a no, and names that
#: say whether a yes was confirmed, which alone is no choice.
YES_FIELDS: Final = (
    "granted",
    "consent",
    "consented",
    "subscribed",
    "is_subscribed",
    "opted_in",
    "opt_in",
    "allowed",
    "accepted",
    "status",
    "consent_status",
    "subscription_status",
    "state",
)
NO_FIELDS: Final = ("opted_out", "opt_out", "unsubscribed", "revoked", "withdrawn", "denied")
CONFIRMED_FIELDS: Final = ("confirmed", "double_opt_in")
CHOICE_FIELDS: Final = (*YES_FIELDS, *NO_FIELDS, *CONFIRMED_FIELDS)
#: If the value of one of these is not understood, it is about something else: a country, or what
#: was agreed to.
_VAGUE: Final = frozenset({"state", "consent"})


_IS_NO: Final = (
    r'(?:false|0|"(?:false|no|n|off|0|denied|revoked|withdrawn|declined|refused|disabled)")'
)
_IS_YES: Final = r'(?:true|1|"(?:true|yes|y|on|1)")'
_IS_OUT: Final = (
    r'"(?:(?:un|not[ _-]?)subscribed|opted[ _-]?out|do[ _-]?not[ _-]?contact|suppressed)"'
)
#: A reply to a text message that asks for no more of them.
_IS_STOP: Final = r'"\s*(?:stop|stop ?all|unsubscribe)\W{0,3}"'
#: What the name of a choice may have around it: ``marketing_opt_in``, ``hasOptedOutOfEmail``.
_AROUND: Final = r"[\w -]{0,40}"
_BY: Final = r"(?:e?mails?|sms|push|whatsapp|phone|marketing|newsletters?|notifications?|contact)"
_YES_NAME: Final = (
    r"(?:(?:is|has)[ _-]?)?(?:granted|consent(?:ed)?|subscribed)"
    rf"|{_AROUND}opt(?:ed)?[ _-]?in{_AROUND}|(?:{_AROUND}[ _-]|\$)?consent"
    r"|accepts?[ _-]?marketing|(?:e?mail[ _-])?marketing|mailing[ _-]?list"
    rf"|{_BY}|{_BY}[ _-]?(?:subscribed?|enabled|allowed|permission|consent)"
    rf"|(?:allows?|receives?|wants?)[ _-]?{_BY}|can[ _-]?(?:be[ _-]?)?contact(?:ed)?|contactable"
)
_NO_NAME: Final = (
    rf"{_AROUND}unsubscribed?{_AROUND}|{_AROUND}opt(?:ed)?[ _-]?out{_AROUND}"
    r"|do[ _-]?not[ _-]?(?:contact|(?:bulk[ _-]?)?e?mail|call|phone|text|sms|push|market|track"
    r"|profile|disturb)|dnc"
    r"|(?:is[ _-]?)?(?:suppressed|blacklisted|deceased)"
)
_REPLY: Final = r"(?:message[ _-]?)?body|message|keyword|reply"
# In lower case. Most events have no choice in them, and this pattern finds that out quickly.
_a_choice: Final = re.compile(
    rf'"\s*:\s*(?:{_IS_NO}|{_IS_YES}|{_IS_OUT}|{_IS_STOP})'.encode()
).search
#: Each choice with its name; the group that matched tells its kind.
_choices: Final = re.compile(
    rf'"([\w $-]{{1,64}})"\s*:\s*(?:({_IS_NO})|({_IS_YES})|({_IS_OUT})|{_IS_STOP})'.encode()
).finditer
_is_yes_name: Final = re.compile(_YES_NAME.encode()).fullmatch
_is_no_name: Final = re.compile(_NO_NAME.encode()).fullmatch
_is_out_name: Final = re.compile(rf".*(?:stat(?:us|e)|subscribe)|{_YES_NAME}".encode()).fullmatch
_is_reply: Final = re.compile(_REPLY.encode()).fullmatch
#: By the last group of `_choices` that matched, the test whether its name makes it a no.
_NO_BY_NAME: Final = {1: _is_reply, 2: _is_yes_name, 3: _is_no_name, 4: _is_out_name}
#: Whoever sends text messages must heed these.
_stop_in: Final = re.compile(
    (
        rf'"(?:{_REPLY}|text|content)"\s*:\s*"\s*(?:stop|stop ?all|unsubscribe|cancel|end|quit'
        r'|revoke|opt ?out)\W{0,3}"'
    ).encode()
).search
#: The time of an opt-out says that there was one.
_since: Final = re.compile(
    rb'"(?:unsubscribed|opted[ _-]?out)[ _-]?(?:at|on|date|time)"\s*:\s*"?[1-9]'
).search


def says_no(content: bytes) -> bool:
    """Whether JSON that is not otherwise read (an unknown event's, or a profile's) has a no."""
    content = content.lower()
    if (b'"unsubscribed' in content or b'"opted' in content) and _since(content):
        return True
    if not _a_choice(content):
        return False
    # In a reply that says stop, the last group that matched is the name alone.
    return any(_NO_BY_NAME[found.lastindex or 1](found[1]) for found in _choices(content))


def asks_to_stop(content: bytes) -> bool:
    """Whether JSON of a message that a customer sent has a text that asks for no more of them, in a
    word that carriers take for it.
    """
    return _stop_in(content.lower()) is not None


def choice_of(value: Any) -> Choice:
    """The choice that ``value``, which is not empty, states."""
    if isinstance(value, dict):
        return choice_in(value) or Choice.UNREAD
    if isinstance(value, bool | int | float) and value in (0, 1):
        return Choice.GRANTED if value else Choice.REVOKED
    return _WORDS.get(folded(value), Choice.UNREAD) if isinstance(value, str) else Choice.UNREAD


def choice_in(fields: Mapping[str, Any]) -> Choice | None:
    """The choice that the fields state together; None if they state none. Their names are folded
    first, so that any spelling is understood.
    """
    said = set(_said({folded(name): value for name, value in fields.items()}))
    return next((one for one in _STRONGEST_FIRST if one in said), None)


_STRONGEST_FIRST: Final = (Choice.REVOKED, Choice.UNREAD, Choice.PENDING, Choice.GRANTED)


def _said(values: Mapping[str, Any]) -> Iterator[Choice]:
    for name in CHOICE_FIELDS:
        value = values.get(folded(name))
        if is_nothing(value):
            continue
        chosen = choice_of(value)
        if name in NO_FIELDS:
            # The time of a revocation counts as a revocation.
            chosen = _OPPOSITE.get(chosen, Choice.REVOKED)
        elif name in CONFIRMED_FIELDS:
            if chosen is Choice.GRANTED:
                continue
            chosen = Choice.PENDING if chosen is Choice.REVOKED else chosen
        if chosen is not Choice.UNREAD or name not in _VAGUE:
            yield chosen
