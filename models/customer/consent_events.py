"""What mailers, forms and consent platforms send about consent, under the names they give it."""

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, ClassVar, Final, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import force_setattr

from config.names import folded
from config.topics import FEEDBACK
from models.customer.consent_choices import (
    CHOICE_FIELDS,
    NO_FIELDS,
    UNDERSTOOD,
    YES_FIELDS,
    Choice,
    choice_in,
)
from models.customer.consent_purposes import PURPOSES, SERVICE, Purpose, purpose_called
from models.events.codes import CODE, code
from models.events.event import EventType
from models.events.leniency import is_nothing
from models.events.rejection import Reason, Rejected

GRANTED, REVOKED, CHANGED = "Consent Granted", "Consent Revoked", "Consent Changed"
UNSUBSCRIBED, SPAM = "Unsubscribed", "Email Marked as Spam"
BOUNCED, DELIVERED, OPENED = "Email Bounced", "Email Delivered", "Email Opened"
SOFT_BOUNCED = "Email Soft Bounced"
CLICKED = "Email Link Clicked"
EMAIL: Final = "email"
#: How many channels' codes are cached.
_CHANNELS_MAX: Final = 1_024

#: What platforms call a channel, folded. Any other code is the name of a channel of the shop's own.
_CHANNELS: Mapping[str, str] = {
    **dict.fromkeys((EMAIL, "mail", "emails"), EMAIL),
    **dict.fromkeys(("text", "texts", "textmessage", "textmessages", "mms"), "sms"),
    **dict.fromkeys(("call", "calls", "telephone", "voice"), "phone"),
    **dict.fromkeys(("webpush", "mobilepush", "browserpush", "apppush"), "push"),
    **dict.fromkeys(("pushnotification", "pushnotifications"), "push"),
    **dict.fromkeys(("letter", "letters", "directmail", "postalmail"), "post"),
    **dict.fromkeys(("marketingemail", "marketingemails", "emailmarketing", "newsletter"), EMAIL),
    **dict.fromkeys(("newsletters", "emailnewsletter", "promotionalemail"), EMAIL),
    **dict.fromkeys(("smsmarketing", "marketingsms", "textmarketing", "mobilemarketing"), "sms"),
    **dict.fromkeys(("phonecall", "phonecalls", "telemarketing"), "phone"),
    **dict.fromkeys(("whatsappmarketing", "whatsappmessage", "whatsappmessages"), "whatsapp"),
    "postal": "post",
    **dict.fromkeys(("all", "any", "allchannels", "everything"), ""),
}
_SOFT = ("soft", "transient", "temporary", "deferr", "block", "full")


class ConsentNews(Struct, frozen=True, omit_defaults=True, gc=False):
    """Consent that was given or revoked: without a purpose for everything that can be revoked,
    without a channel for every channel. ``machine``: a scanner followed the link, not a person. The
    event's name, and any of the other properties, such as ``granted`` or ``status``, say whether it
    is a yes, a no, or a yes that is not confirmed; a no wins.
    """

    #: ``Granted: false``, with a capital, is a no as well.
    in_any_case: ClassVar[bool] = True

    purpose: Any = None
    purposes: Any = None
    channel: Any = None
    channels: Any = None
    list_id: str | None = None
    source: str | None = None
    # Of any type, so that an odd value does not cost a no.
    machine: Any = None
    granted: Any = None
    consent: Any = None
    consented: Any = None
    subscribed: Any = None
    is_subscribed: Any = None
    opted_in: Any = None
    opt_in: Any = None
    allowed: Any = None
    accepted: Any = None
    status: Any = None
    consent_status: Any = None
    subscription_status: Any = None
    state: Any = None
    opted_out: Any = None
    opt_out: Any = None
    unsubscribed: Any = None
    revoked: Any = None
    withdrawn: Any = None
    denied: Any = None
    confirmed: Any = None
    double_opt_in: Any = None

    def __post_init__(self) -> None:
        force_setattr(self, "source", code(self.source))
        is_machine = str(self.machine).strip().casefold() in ("true", "1", "yes")
        force_setattr(self, "machine", True if is_machine else None)
        # The log carries the choice that was understood, in one property.
        said = choice_in({name: getattr(self, name) for name in CHOICE_FIELDS})
        for name in CHOICE_FIELDS:
            force_setattr(self, name, None)
        force_setattr(self, "granted", said)
        for one, several in (("purpose", "purposes"), ("channel", "channels")):
            names = _names(getattr(self, one), getattr(self, several))
            force_setattr(self, several, None)
            force_setattr(self, one, names[0] if names is not None and len(names) == 1 else names)

    @property
    def named(self) -> tuple[str, ...]:
        """The purposes as the sender names them."""
        return _together(self.purpose)

    @property
    def by_channels(self) -> tuple[str, ...]:
        """The channels as the sender names them."""
        return _together(self.channel)


def _names(*values: Any) -> tuple[str, ...] | None:
    """The names in texts and lists of texts; ``?``, which is no name, if anything else is there."""
    found: list[str] = []
    for value in values:
        for one in value if isinstance(value, list | tuple) else [value]:
            if is_nothing(one):
                continue
            if not isinstance(one, str):
                return ("?",)
            found += filter(None, map(str.strip, one.split(",")))
    return tuple(found) or None


def _together(names: Any) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())


class EmailBounce(Struct, frozen=True, omit_defaults=True, gc=False):
    """An e-mail that came back: a hard bounce unless it says otherwise."""

    type: str | None = None
    bounce_type: str | None = None
    in_any_case: ClassVar[bool] = True
    #: What mailers call the type.
    aliases: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("severity", "bounce_class", "bounce_category", "bounce_classification", "category"),
        "bounce_type",
    )

    @property
    def is_soft(self) -> bool:
        """Whether another try may succeed."""
        said = f"{self.type or ''} {self.bounce_type or ''}".casefold()
        return any(word in said for word in _SOFT) and "hard" not in said


class Meaning(NamedTuple):
    """What an event's name says by itself; its properties may say more. ``granted`` is None if only
    the properties say it.
    """

    granted: bool | None
    purpose: str | None = None
    channel: str = ""
    has_lists: bool = True


_OUT = {
    channel: Meaning(granted=False, purpose=Purpose.MARKETING, channel=channel)
    for channel in (EMAIL, "sms", "push", "whatsapp", "phone", "post")
}
_CHANGED = {channel: meaning._replace(granted=None) for channel, meaning in _OUT.items()}
_IN = {channel: meaning._replace(granted=True) for channel, meaning in _OUT.items()}
#: The events that platforms send, besides the two whose properties say everything.
MEANINGS: Mapping[str, Meaning] = {
    GRANTED: Meaning(granted=True),
    REVOKED: Meaning(granted=False),
    "Opted Out": Meaning(granted=False, purpose=Purpose.MARKETING),
    "Opted In": Meaning(granted=True, purpose=Purpose.MARKETING),
    UNSUBSCRIBED: _OUT[EMAIL],
    SPAM: _OUT[EMAIL]._replace(has_lists=False),
    "Marked Email as Spam": _OUT[EMAIL]._replace(has_lists=False),
    "Email Unsubscribed": _OUT[EMAIL],
    "Email Opted Out": _OUT[EMAIL],
    "Unsubscribed from List": _OUT[EMAIL],
    "Unsubscribed from Email Marketing": _OUT[EMAIL],
    "SMS Unsubscribed": _OUT["sms"],
    "SMS Opted Out": _OUT["sms"],
    "Unsubscribed from SMS Marketing": _OUT["sms"],
    "Push Unsubscribed": _OUT["push"],
    "Push Opted Out": _OUT["push"],
    "WhatsApp Unsubscribed": _OUT["whatsapp"],
    "WhatsApp Opted Out": _OUT["whatsapp"],
    "Phone Opted Out": _OUT["phone"],
    "Post Opted Out": _OUT["post"],
    "Email Subscribed": _IN[EMAIL],
    "Email Opted In": _IN[EMAIL],
    "Subscribed to Email Marketing": _IN[EMAIL],
    "SMS Subscribed": _IN["sms"],
    "SMS Opted In": _IN["sms"],
    "Subscribed to SMS Marketing": _IN["sms"],
    "Push Subscribed": _IN["push"],
    "Push Opted In": _IN["push"],
    "WhatsApp Opted In": _IN["whatsapp"],
    "Phone Opted In": _IN["phone"],
    "Post Opted In": _IN["post"],
    CHANGED: Meaning(granted=None),
    "Marketing Consent Changed": Meaning(granted=None, purpose=Purpose.MARKETING),
    "Email Subscription Changed": _CHANGED[EMAIL],
    "SMS Subscription Changed": _CHANGED["sms"],
    "Push Subscription Changed": _CHANGED["push"],
}
#: The events that show that an e-mail arrived.
REACHED = frozenset({DELIVERED, OPENED, CLICKED})


def _check(news: ConsentNews, meaning: Meaning) -> None:
    """Refuse a word that is not understood: it may be a no."""
    for name in news.named:
        if purpose_called(name) is None:
            known = ", ".join((*Purpose, SERVICE))
            raise Rejected(Reason.OUT_OF_RANGE, "$.properties.purpose", f"one of {known}")
    for name in news.by_channels:
        if folded(name) not in _CHANNELS and code(name) is None:
            raise Rejected(
                Reason.OUT_OF_RANGE, "$.properties.channel", "a word such as email or sms"
            )
    # An event that is a no by its name is one whatever its properties say.
    if meaning.granted is not False:
        _check_choice(news, meaning)


def _check_choice(news: ConsentNews, meaning: Meaning) -> None:
    if news.granted == Choice.UNREAD:
        raise Rejected(Reason.OUT_OF_RANGE, "$.properties.granted", "true, false or pending")
    if news.granted is None and meaning.granted is None:
        raise Rejected(
            Reason.REQUIRED_MISSING,
            "$.properties.granted",
            "true, false or pending",
            "say granted: true or false, with the purpose; several purposes with a choice each go "
            "into context.consent",
        )


@lru_cache(_CHANNELS_MAX)
def channel_code(name: str | None) -> str:
    """The one code of a channel; "" for no channel, which means all of them."""
    return _CHANNELS.get(folded(name or ""), folded_text(name or ""))


def folded_text(text: str) -> str:
    return text.strip().casefold()


def _some(one: Any) -> Any:
    return {"anyOf": [one, {"type": "array", "items": one}, {"type": "null"}]}


_PURPOSE: Final = _some({"enum": [*PURPOSES]})
_CHANNEL: Final = _some({"type": "string", "pattern": f"^{CODE}$"})
#: What `_check` requires, as a schema for the documented spelling.
_RULES: Mapping[str, Any] = {
    "allOf": [
        {
            "properties": {
                **dict.fromkeys(("purpose", "purposes"), _PURPOSE),
                **dict.fromkeys(("channel", "channels"), _CHANNEL),
            }
        }
    ]
}
#: What `_check_choice` requires besides.
_A_CHOICE: Mapping[str, Any] = {
    "allOf": [
        *_RULES["allOf"],
        {"properties": {name: {"enum": [*UNDERSTOOD]} for name in CHOICE_FIELDS}},
    ]
}
_SOME_CHOICE: Mapping[str, Any] = {
    **_A_CHOICE,
    "anyOf": [
        {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
        for name in (*YES_FIELDS, *NO_FIELDS)
    ],
}
_RULES_BY_WORD: Mapping[bool | None, Mapping[str, Any]] = {
    False: _RULES,
    True: _A_CHOICE,
    None: _SOME_CHOICE,
}


def _says(meaning: Meaning) -> EventType:
    return EventType(
        shape=ConsentNews,
        topic=FEEDBACK,
        check=partial(_check, meaning=meaning),
        rules=_RULES_BY_WORD[meaning.granted],
        code=lambda news: news.source,
    )


_CAME_BACK = EventType(shape=EmailBounce, code=lambda bounce: bounce.bounce_type or bounce.type)
EVENTS: Mapping[str, EventType] = {
    **{name: _says(meaning) for name, meaning in MEANINGS.items()},
    BOUNCED: _CAME_BACK,
    SOFT_BOUNCED: msgspec.structs.replace(_CAME_BACK, topic=FEEDBACK, is_passive=True),
}
