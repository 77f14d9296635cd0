"""How senders write a yes or a no: as a truth value, a number, a word, or an object of these.

A choice is told by one property or by several. Of several a no stands, then that a yes waits to be
confirmed: whoever has not confirmed an address has agreed to nothing yet.
"""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

from config.names import folded
from models.events.leniency import is_nothing


class Choice(StrEnum):
    """What was chosen. ``UNREAD``: something was, and nobody knows what: it may be a no."""

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
#: Values that are understood, for schemas, which cannot say in how many ways a word is written.
UNDERSTOOD: Final = (True, False, 0, 1, None, *_WORDS)
#: What a property has to say for a choice: a yes by its name, a no by its name, or whether a yes
#: was confirmed, which alone is none.
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
#: Where these are not understood they are about something else: a country, or what was agreed to.
_VAGUE: Final = frozenset({"state", "consent"})


_IS_NO: Final = (
    r'(?:false|0|"(?:false|no|n|off|0|denied|revoked|withdrawn|declined|refused|disabled)")'
)
_IS_YES: Final = r'(?:true|1|"(?:true|yes|y|on|1)")'
_IS_OUT: Final = r'"(?:unsubscribed|opted[ _-]?out|do[ _-]?not[ _-]?contact|suppressed)"'
#: What people answer to a text message who want no more of them.
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
    r"|do[ _-]?not[ _-]?(?:contact|e?mail|call|text|track|profile|disturb)|dnc"
    r"|(?:is[ _-]?)?(?:suppressed|blacklisted|deceased)"
)
_REPLY: Final = r"(?:message[ _-]?)?body|message|keyword|reply"
# All in small letters. Most events have no choice in them, which is found in no time.
_a_choice: Final = re.compile(
    rf'"\s*:\s*(?:{_IS_NO}|{_IS_YES}|{_IS_OUT}|{_IS_STOP})'.encode()
).search
#: Each choice with its name; which kind it is stands in its group.
_choices: Final = re.compile(
    rf'"([\w $-]{{1,64}})"\s*:\s*(?:({_IS_NO})|({_IS_YES})|({_IS_OUT})|{_IS_STOP})'.encode()
).finditer
_is_yes_name: Final = re.compile(_YES_NAME.encode()).fullmatch
_is_no_name: Final = re.compile(_NO_NAME.encode()).fullmatch
_is_out_name: Final = re.compile(rf".*(?:stat(?:us|e)|subscribe)|{_YES_NAME}".encode()).fullmatch
_is_reply: Final = re.compile(_REPLY.encode()).fullmatch
#: By the last group of `_choices`, which names make it a no.
_NO_BY_NAME: Final = {1: _is_reply, 2: _is_yes_name, 3: _is_no_name, 4: _is_out_name}
#: When somebody left says that they did.
_since: Final = re.compile(
    rb'"(?:unsubscribed|opted[ _-]?out)[ _-]?(?:at|on|date|time)"\s*:\s*"?[1-9]'
).search


def says_no(content: bytes) -> bool:
    """Whether there is a no in JSON that nobody reads: an unknown event's, or a profile's."""
    content = content.lower()
    if (b'"unsubscribed' in content or b'"opted' in content) and _since(content):
        return True
    if not _a_choice(content):
        return False
    # The last group that matched is the name alone where a text says stop.
    return any(_NO_BY_NAME[found.lastindex or 1](found[1]) for found in _choices(content))


#: What a profile says of somebody who wants no marketing at all, folded.
_NEVER: Final = frozenset(
    {
        *("donotcontact", "donotdisturb", "dnc", "optedout", "optout", "hasoptedout", "deceased"),
        *("unsubscribed", "isunsubscribed", "globalunsubscribe", "globallyunsubscribed"),
        *("unsubscribedfromall", "marketingoptout", "marketingoptedout", "optedoutofmarketing"),
        *("suppressed", "issuppressed", "blacklisted", "isblacklisted"),
    }
)


def wants_no_contact(fields: Mapping[str, Any]) -> bool:
    """Whether a profile's own fields say so, beyond doubt."""
    return any(
        folded(name) in _NEVER and not is_nothing(value) and choice_of(value) is Choice.GRANTED
        for name, value in fields.items()
    )


def choice_of(value: Any) -> Choice:
    """What ``value`` says, which is not nothing."""
    if isinstance(value, dict):
        return choice_in(value) or Choice.UNREAD
    if isinstance(value, bool | int | float) and value in (0, 1):
        return Choice.GRANTED if value else Choice.REVOKED
    return _WORDS.get(folded(value), Choice.UNREAD) if isinstance(value, str) else Choice.UNREAD


def choice_in(fields: Mapping[str, Any]) -> Choice | None:
    """What the fields say together; None if none of them says anything. Their names are folded
    first, so that they may be written in any way.
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
            # When it happened is as good as that it did.
            chosen = _OPPOSITE.get(chosen, Choice.REVOKED)
        elif name in CONFIRMED_FIELDS:
            if chosen is Choice.GRANTED:
                continue
            chosen = Choice.PENDING if chosen is Choice.REVOKED else chosen
        if chosen is not Choice.UNREAD or name not in _VAGUE:
            yield chosen
