"""What a profile, the traits of an `identify`, refuses: contact, by one channel or by all, or to be
followed.

Every tool has names of its own for it: ``email_opt_in``, ``HasOptedOutOfEmail``, ``do_not_call``,
``email_subscribe: unsubscribed``, ``email_marketing_consent: {state: not_subscribed}``. A name is
understood if all of its words are; names within a name are read as one. A name that may mean
something else, such as ``email: false`` or ``subscribed: false``, refuses nothing here.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from config.names import folded
from models.customer.consent_choices import Choice, choice_of
from models.customer.consent_purposes import CONTACT, Purpose
from models.events.leniency import is_nothing, read_json

#: How deep names may be within names, and how many letters they may have together.
_DEEP: Final = 4
_LETTERS_MAX: Final = 96

#: The words for each channel, in the order in which they are looked for. Postal mail is atomic: a
#: name that repeats it could else be read in hundreds of ways.
_CHANNELS: Final[Mapping[str, str]] = {
    "post": "(?>postal(?:mail)?)|directmail|letters?|post",
    "email": "bulkemails?|emails?|mails?|mailings?|newsletters?",
    "push": "(?:web|mobile|app|browser)?push",
    "sms": "sms|mms|texts?|mobile(?=marketing)",
    "phone": "telephones?|phones?|calls?|voice",
    "whatsapp": "whatsapp",
}
_TRACKING: Final = "tracking|track|analytics|statistics"
_PROFILING: Final = "profiling|profile|personali[sz](?:ation|e)"
_SELLING: Final = "marketing|market|promotions?|promotional|communications?|contacts?|disturb"
#: Words that change nothing.
_FILLING: Final = (
    "is|has|hs|gdpr|user|customer|buyer|subscriptions?|preferences?|settings?|notifications?"
    r"|messages?|permissions?|consents?|lists?|globally|global|all|any|everything|\$"
)
_words_of_channels: Final = re.compile(
    "|".join(f"(?P<{channel}>{words})" for channel, words in _CHANNELS.items())
).finditer
_WORDS: Final = "(?:" + "|".join((*_CHANNELS.values(), _SELLING, _TRACKING, _PROFILING)) + ")"
_ANY: Final = f"(?:{_WORDS}|{_FILLING})*"
#: A name whose no is a refusal; ``opt``: of marketing, even if it does not say so.
_yes_name: Final = re.compile(
    rf"(?P<before>{_ANY})(?:(?P<opt>opt(?:ed)?in)|subscribed?|subscriptions?|consent(?:ed)?"
    r"|accept(?:s|ed)?|allow(?:s|ed)?|enabled?|permission|can(?:send|receive|be)?|receives?|wants?)"
    r"(?:to|for)?"
    rf"(?P<after>{_ANY})(?:state|status|given|granted)?"
).fullmatch
#: A name whose yes is a refusal; ``since``: or its time.
_no_name: Final = re.compile(
    rf"(?P<before>{_ANY})(?:(?:opt(?:ed)?out|unsubscribed?)(?:of|from)?"
    rf"|(?:donot|dont|excluded?from)(?={_WORDS})|no(?=marketing|contact|promotion|newsletter))"
    rf"(?P<after>{_ANY})(?P<since>at|on|date|time)?"
).fullmatch
#: The name of a state, which only an unmistakable word makes a refusal.
_state_name: Final = re.compile(rf"(?P<before>{_ANY})(?:state|status)(?P<after>{_ANY})").fullmatch
#: A name that is a refusal with a no, although it does not ask for a choice.
_bare_name: Final = re.compile(
    rf"(?P<before>(?={_ANY}(?:marketing|promotion|newsletter|mailing)){_ANY})(?P<after>)"
).fullmatch
_sells: Final = re.compile(_SELLING).search
_tracks, _profiles = re.compile(_TRACKING).search, re.compile(_PROFILING).search
_OUT: Final = frozenset({"unsubscribed", "optedout", "optout", "donotcontact", "suppressed"})
#: Names, folded, that with a yes mean a no to all contact.
_NEVER: Final = frozenset({"dnc", "deceased", "suppressed", "blacklisted", "minor", "underage"})
#: In lower case. Most profiles have nothing of the kind, and this finds that out quickly.
_a_word_of_it: Final = re.compile(
    rb"opt|subscri|market|newsletter|mailing|consent|contact|not|dont|dnc|suppress|deceased"
    rb"|blacklist|minor|under[ _-]?age|promoti|exclude|track|profil|personali|allow|accept|can"
    rb"|enabl|permission|receive|want|stat"
).search
_NOTHING: Final = frozenset[str]()


def refused_in(content: bytes) -> frozenset[str]:
    """What a profile, as JSON, refuses: purposes, `CONTACT` for contact by any channel, and
    ``contact:CHANNEL`` for contact by one.
    """
    if not _a_word_of_it(content.lower()):
        return _NOTHING
    profile = read_json(content)
    if not isinstance(profile, dict):
        return _NOTHING
    said = _named(profile, "", _DEEP)
    return frozenset(refused for name, value in said for refused in _refused(name, value))


def _named(tree: Mapping[str, Any], within: str, deep: int) -> Iterator[tuple[str, Any]]:
    """The values by their folded names, with the names that they are within in front."""
    for key, value in tree.items():
        name = f"{within}{folded(key)}"
        if isinstance(value, dict) and deep:
            yield from _named(value, name, deep - 1)
        elif len(name) <= _LETTERS_MAX and not is_nothing(value):
            yield name, value


def _refused(name: str, value: Any) -> list[str]:
    choice = choice_of(value)
    if choice is Choice.REVOKED:
        return _by_a_no(name, value)
    if choice is Choice.GRANTED:
        if name.removeprefix("is") in _NEVER:
            return [CONTACT]
        found = _no_name(name)
    elif "opt" in name or "unsubscri" in name:
        found = _no_name(name) if _is_time(value) else None
        found = found if found is not None and found["since"] else None
    else:
        return []
    return (_meant(found) or [CONTACT]) if found is not None else []


def _by_a_no(name: str, value: Any) -> list[str]:
    """What is refused by a no under this name."""
    if (found := _yes_name(name)) is not None:
        return _meant(found) or ([CONTACT] if found["opt"] else [])
    if (found := _bare_name(name)) is not None:
        return _meant(found)
    is_out = isinstance(value, str) and folded(value) in _OUT
    found = _state_name(name) if is_out else None
    return _meant(found) if found is not None else []


def _meant(found: re.Match[str]) -> list[str]:
    """What the words around a choice say it is about; nothing if they do not say it."""
    words = f"{found['before']} {found['after']}"
    channels = [one.lastgroup for one in _words_of_channels(words)]
    if channels:
        return [f"{CONTACT}:{channel}" for channel in channels]
    if _tracks(words):
        # Whoever is not to be followed is not to be known by it, either.
        return [Purpose.ANALYTICS, Purpose.PERSONALISATION]
    if _profiles(words):
        return [Purpose.PERSONALISATION]
    return [CONTACT] if _sells(words) else []


def _is_time(value: Any) -> bool:
    """Whether it may be the time since when something is so."""
    if isinstance(value, str):
        return value.strip()[:1] in tuple("123456789")
    return isinstance(value, int | float) and value > 1
