"""What counts as a complaint, and what about: the names of events, and the shop's own words."""

import difflib
import re
from collections.abc import Iterator
from typing import Literal

from config.limits import NotNegative, Positive, PositiveMs
from config.parameters import Section
from models.customer.churn_reason import EvidenceKind

REVIEWED, CANCELLED = "Product Reviewed", "Subscription Cancelled"
#: The events that may be evidence; this part of the state listens to no others.
NAMES = frozenset(
    {
        "Coupon Entered",
        "Coupon Denied",
        "Coupon Removed",
        "Payment Failed",
        "Invoice Overdue",
        REVIEWED,
        "Product Removed from Wishlist",
        "Order Refunded",
        "Order Cancelled",
        CANCELLED,
        "Ticket Opened",
        "Ticket Escalated",
        "Ticket Reopened",
        "Complaint Filed",
        "Survey Responded",
        "Live Chat Conversation Started",
    }
)


class EvidenceParameters(Section, frozen=True):
    """``price``, ``product`` and ``service``: weights by event name; ``about``: weights of events
    whose kind follows from their own text, which ``words`` maps to a kind. ``poor``: an answer or
    a rating up to this share of its scale is a complaint; an NPS is one if it is a detractor's.
    """

    section = "evidence"
    open_tables = ("words", "price", "product", "service", "about")
    half_life: PositiveMs
    least: Positive
    at_risk: float
    late_ticket: NotNegative
    poor: float
    price: dict[str, NotNegative]
    product: dict[str, NotNegative]
    service: dict[str, NotNegative]
    about: dict[str, NotNegative]
    words: dict[str, Literal["price", "product", "service", "none"]]

    def problems(self) -> Iterator[str]:
        """Event names that cannot be evidence, and words that cannot match any text."""
        for name in sorted({*self.price, *self.product, *self.service, *self.about} - NAMES):
            close = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.5)
            fix = f"did you mean {close[0]}?" if close else f"known: {', '.join(sorted(NAMES))}"
            yield f"evidence: {name!r} is no event that may be evidence; {fix}"
        for word in self.words:
            if not re.fullmatch(r"\w+", word) or word.lower() != word:
                yield (
                    f"evidence.words: {word!r} is compared with what is written in lower case "
                    f"with _ for all but letters and digits; write it so"
                )

    def weights_of(self, kind: EvidenceKind) -> dict[str, float]:
        """The weights, by name, of events that count for this kind."""
        weights: dict[str, float] = getattr(self, kind)
        return weights


def kind_of(text: str | None, tuning: EvidenceParameters) -> EvidenceKind | None:
    """The kind of a text in the shop's own words: that of the whole text, else of its first known
    word.
    """
    if not text:
        return None
    whole = "".join(letter if letter.isalnum() else "_" for letter in text[:64].lower())
    for word in (whole, *whole.split("_")):
        known = tuning.words.get(word)
        if known is not None:
            return None if known == "none" else EvidenceKind(known)
    return None
