"""What a customer ran into that people leave for: decayed weights of price, product and service."""

from enum import StrEnum

from msgspec import Struct

from config.evidence import Evidence
from models.customer.decay import added
from models.customer.support import answer_of
from models.events import catalogue
from models.events.catalogue import Name, SurveyKind
from models.events.opinion import Cancellation, Review
from models.events.wire import Event


class Kind(StrEnum):
    """What evidence speaks for; of equals the first stands."""

    PRICE = "price"
    PRODUCT = "product"
    SERVICE = "service"


#: The events that may be evidence, whatever they weigh: no other touches this part of the state.
EVENTS = frozenset(
    {
        "Coupon Entered",
        "Coupon Denied",
        "Coupon Removed",
        "Payment Failed",
        "Invoice Overdue",
        "Product Reviewed",
        "Product Removed from Wishlist",
        "Order Refunded",
        "Order Cancelled",
        "Subscription Cancelled",
        "Ticket Opened",
        "Ticket Escalated",
        "Ticket Reopened",
        "Complaint Filed",
        "Survey Responded",
        "Live Chat Conversation Started",
    }
)


class Sign(Struct, frozen=True, array_like=True, gc=False):
    """What events of one name said for one kind: ``level`` as of ``at_ms``, when it last came."""

    kind: str
    name: str
    level: float
    at_ms: int


def record_evidence(signs: tuple[Sign, ...], event: Event, tuning: Evidence) -> tuple[Sign, ...]:
    """The signs, sorted by kind and name, after an event; arrival order doesn't matter.

    There are at most as many as there are kinds and names.
    """
    found = said_by(event, tuning)
    if not found:
        return signs
    known = {(sign.kind, sign.name): sign for sign in signs}
    at_ms = event.occurred_at_ms
    for kind, weight in found:
        key = str(kind), event.name
        before = known.get(key, Sign(*key, 0.0, at_ms))
        level = added(before.level, before.at_ms, weight, at_ms, tuning.half_life)
        known[key] = Sign(*key, level, max(before.at_ms, at_ms))
    return tuple(known[key] for key in sorted(known))


def said_by(event: Event, tuning: Evidence) -> list[tuple[Kind, float]]:
    """What an event speaks for, and how loudly: its own word for what it is about comes first,
    then its name. Good answers and ratings say nothing.
    """
    if not _is_complaint(event, tuning):
        return []
    kind = _kind_of(_word(event), tuning)
    if kind is not None and event.name in tuning.about:
        spoken = [(kind, tuning.about[event.name])]
    else:
        spoken = [(kind, table(kind, tuning).get(event.name, 0.0)) for kind in Kind]
    return [(kind, weight) for kind, weight in spoken if weight > 0]


def table(kind: Kind, tuning: Evidence) -> dict[str, float]:
    """The weights of the events whose name says that it is this kind."""
    weights: dict[str, float] = getattr(tuning, kind)
    return weights


def _is_complaint(event: Event, tuning: Evidence) -> bool:
    match event.properties:
        case catalogue.Survey(kind=SurveyKind.NPS, score=score):
            return score <= tuning.detractor
        case catalogue.Survey():
            return answer_of(event.properties, event.occurred_at_ms).share <= tuning.poor
        case Review():
            share = event.properties.share
            return share is not None and share <= tuning.poor
    return event.name != Name.PRODUCT_REVIEWED


def _word(event: Event) -> str | None:
    match event.properties:
        case catalogue.Ticket():
            return event.properties.category or event.properties.complaint
        case catalogue.Survey() | Cancellation():
            return event.properties.reason
    return None


def _kind_of(text: str | None, tuning: Evidence) -> Kind | None:
    """The kind that the shop's own word for it means: the whole of it, or else its first word that
    is known.
    """
    if not text:
        return None
    code = "".join(letter if letter.isalnum() else "_" for letter in text[:64].lower())
    for word in (code, *code.split("_")):
        known = tuning.words.get(word)
        if known is not None:
            return None if known == "none" else Kind(known)
    return None
