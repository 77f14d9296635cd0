"""What mailers, forms and consent platforms send about consent, under the names they give it."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import force_setattr

from config.topics import FEEDBACK
from models.customer.consent_purposes import SERVICE, Purpose, purpose_called
from models.events.codes import code
from models.events.event import EventType
from models.events.rejection import Reason, Rejected

GRANTED, REVOKED = "Consent Granted", "Consent Revoked"
UNSUBSCRIBED, SPAM = "Unsubscribed", "Email Marked as Spam"
BOUNCED, DELIVERED, OPENED = "Email Bounced", "Email Delivered", "Email Opened"
SOFT_BOUNCED = "Email Soft Bounced"
CLICKED = "Email Link Clicked"
EMAIL: Final = "email"

#: What platforms call a channel. Any other code is the name of a channel of the shop's own.
_CHANNELS: Mapping[str, str] = {
    "e-mail": EMAIL,
    "mail": EMAIL,
    "emails": EMAIL,
    "text": "sms",
    "mms": "sms",
    "call": "phone",
    "telephone": "phone",
    "voice": "phone",
    "web_push": "push",
    "web-push": "push",
    "mobile_push": "push",
    "push_notification": "push",
    "letter": "post",
    "all": "",
    "any": "",
}
_SOFT = ("soft", "transient", "temporary", "deferr", "block", "full")


class ConsentNews(Struct, frozen=True, omit_defaults=True, gc=False):
    """What somebody agreed to or wants no more of: without a purpose everything that can be
    revoked, without a channel every channel. ``machine``: a scanner followed the link, nobody did.
    """

    purpose: str | None = None
    purposes: tuple[str, ...] | None = None
    channel: str | None = None
    list_id: str | None = None
    source: str | None = None
    # However it is written, it costs no no.
    machine: Any = None

    def __post_init__(self) -> None:
        force_setattr(self, "source", code(self.source))
        is_machine = str(self.machine).strip().casefold() in ("true", "1", "yes")
        force_setattr(self, "machine", True if is_machine else None)

    @property
    def named(self) -> tuple[str, ...]:
        """The purposes as the sender names them."""
        return (*([self.purpose] if self.purpose else []), *(self.purposes or ()))


class EmailBounce(Struct, frozen=True, omit_defaults=True, gc=False):
    """An e-mail that came back. One that does not say how counts as hard."""

    type: str | None = None
    bounce_type: str | None = None

    @property
    def is_soft(self) -> bool:
        """Whether another try may succeed."""
        said = f"{self.type or ''} {self.bounce_type or ''}".casefold()
        return any(word in said for word in _SOFT) and "hard" not in said


class Meaning(NamedTuple):
    """What an event's name says by itself; its properties may say more."""

    granted: bool
    purpose: str | None = None
    channel: str = ""
    has_lists: bool = True


_OUT = {
    channel: Meaning(granted=False, purpose=Purpose.MARKETING, channel=channel)
    for channel in (EMAIL, "sms", "push", "whatsapp")
}
_IN = {channel: meaning._replace(granted=True) for channel, meaning in _OUT.items()}
#: The names of what platforms send, besides the two that say everything in their properties.
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
    "Email Subscribed": _IN[EMAIL],
    "Email Opted In": _IN[EMAIL],
    "Subscribed to Email Marketing": _IN[EMAIL],
    "SMS Subscribed": _IN["sms"],
    "SMS Opted In": _IN["sms"],
    "Subscribed to SMS Marketing": _IN["sms"],
    "Push Subscribed": _IN["push"],
    "Push Opted In": _IN["push"],
    "WhatsApp Opted In": _IN["whatsapp"],
}
#: An e-mail arrived.
REACHED = frozenset({DELIVERED, OPENED, CLICKED})


def _check(news: ConsentNews) -> None:
    """A word that nobody understands must be heard of: it may be somebody's no."""
    for name in news.named:
        if purpose_called(name) is None:
            known = ", ".join((*Purpose, SERVICE))
            raise Rejected(Reason.OUT_OF_RANGE, "$.properties.purpose", f"one of {known}")
    if news.channel and code(news.channel.strip()) is None:
        raise Rejected(Reason.OUT_OF_RANGE, "$.properties.channel", "a word such as email or sms")


def channel_code(name: str | None) -> str:
    """A channel's one name; "" for none, and for all."""
    channel = folded_text(name or "")
    return _CHANNELS.get(channel, channel)


def folded_text(text: str) -> str:
    return text.strip().casefold()


_SAYS = EventType(shape=ConsentNews, topic=FEEDBACK, check=_check, code=lambda news: news.source)

_CAME_BACK = EventType(shape=EmailBounce, code=lambda bounce: bounce.bounce_type or bounce.type)
EVENTS: Mapping[str, EventType] = {
    **dict.fromkeys(MEANINGS, _SAYS),
    BOUNCED: _CAME_BACK,
    SOFT_BOUNCED: msgspec.structs.replace(_CAME_BACK, topic=FEEDBACK, is_passive=True),
}
