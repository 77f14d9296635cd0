"""Every part, one line each. Engine, rows, rules, profile, schemas and metrics have no other list.

A part is listed after the parts that it reads.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from msgspec.structs import fields

from models.customer.acquisition import ACQUISITION
from models.customer.calendar import CALENDAR
from models.customer.cart import CART
from models.customer.channels import CHANNELS
from models.customer.churn import CHURN
from models.customer.consent import CONSENT
from models.customer.contacts import CONTACTS
from models.customer.engagement import ENGAGEMENT
from models.customer.evidence import EVIDENCE
from models.customer.funnel import FUNNEL
from models.customer.identities import IDENTITIES
from models.customer.improvements import IMPROVEMENTS
from models.customer.key_customers import KEY_CUSTOMERS
from models.customer.lifecycle import LIFECYCLE
from models.customer.lift import LIFT
from models.customer.loyalty import LOYALTY
from models.customer.margins import MARGINS
from models.customer.named_events import NAMED_EVENTS
from models.customer.part import EVERYTHING, INTERACTIONS, NAMED_BY_RULES, Fact, Part
from models.customer.prices import PRICES
from models.customer.purchases import PURCHASES
from models.customer.relationship import RELATIONSHIP
from models.customer.risk import RISK
from models.customer.satisfaction import SATISFACTION
from models.customer.segments import SEGMENTS
from models.customer.support import SUPPORT
from models.customer.tiers import TIERS
from models.customer.timeline import TIMELINE
from models.customer.traits import TRAITS_PART
from models.events.names import EVENT_TYPES, TOPIC_BY_NAME

PARTS: tuple[Part[Any], ...] = (
    ENGAGEMENT,
    CART,
    PURCHASES,
    SUPPORT,
    CONSENT,
    CONTACTS,
    ACQUISITION,
    PRICES,
    MARGINS,
    LOYALTY,
    SATISFACTION,
    NAMED_EVENTS,
    CHURN,
    EVIDENCE,
    IMPROVEMENTS,
    RISK,
    IDENTITIES,
    LIFECYCLE,
    FUNNEL,
    TIERS,
    CHANNELS,
    CALENDAR,
    KEY_CUSTOMERS,
    RELATIONSHIP,
    TRAITS_PART,
    LIFT,
    TIMELINE,
    # After every part that its conditions may name.
    SEGMENTS,
)


class RegistryError(ValueError):
    """The parts do not fit together; the message names the part and the fix."""


def check_parts(parts: Sequence[Part[Any]]) -> None:
    """Raise ``RegistryError`` when two parts claim one name, when a part names an event that does
    not exist, or when it reads what no part before it offers: then the order in which parts record
    would matter, or their readings would never end.
    """
    _check_claims(parts)
    _check_events(parts)
    offered: set[Any] = set()
    for part in parts:
        for reading in part.reads:
            if reading not in offered:
                raise RegistryError(_out_of_order(part, reading, parts))
        offered.update(part.offers)


def _check_claims(parts: Sequence[Part[Any]]) -> None:
    claimed: dict[tuple[str, str], str] = {}
    for part in parts:
        for what, name in _claims(part):
            if (what, name) in claimed:
                who = f"both {claimed[what, name]} and {part.name}"
                if claimed[what, name] == part.name:
                    who = f"{part.name} twice"
                raise RegistryError(f"{what} {name!r} belongs to {who}: name one of them otherwise")
            claimed[what, name] = part.name


def _claims(part: Part[Any]) -> list[tuple[str, str]]:
    """The names that only one part may have, and only once."""
    properties = [
        *((name, kind.shape) for name, kind in part.events.items()),
        *part.adds.items(),
    ]
    return [
        ("name", part.name),
        ("code", part.code),
        *(("timer", timer.code) for timer in part.timers),
        *(("moment", name) for name in part.moments),
        *(("fact", name) for name in part.facts),
        *(("section", section.name) for section in part.sections),
        *(("event", name) for name in part.events),
        *(
            (f"property of {name}", property_.encode_name)
            for name, shape in properties
            for property_ in fields(shape)
        ),
    ]


def _check_events(parts: Sequence[Part[Any]]) -> None:
    """Check that every event can be published, and that it will be recognised."""
    known = {*TOPIC_BY_NAME, *EVENT_TYPES, *INTERACTIONS, *EVERYTHING, *NAMED_BY_RULES}
    for part in parts:
        for name, kind in part.events.items():
            if name not in known and kind.topic is None:
                raise RegistryError(
                    f"{part.name} declares {name}, which has no topic: say where it is published"
                )
    known |= {name for part in parts for name in part.events}
    for part in parts:
        for name in (*part.listens, *part.adds):
            if name not in known:
                close = get_close_matches(name, known, n=1)
                fix = f"did you mean {close[0]}?" if close else "a part has to declare it"
                raise RegistryError(f"{part.name} knows of {name!r}, which is no event; {fix}")


def _out_of_order(part: Part[Any], reading: Any, parts: Sequence[Part[Any]]) -> str:
    who = f"{part.name} reads {reading.__name__}"
    for later in parts:
        if reading in later.offers:
            return (
                f"{who} of {later.name}, which is listed after it: list {part.name} after "
                f"{later.name}, unless {later.name} reads {part.name} too: such a cycle must go"
            )
    return f"{who}, which no part offers: add it to its part's offers"


check_parts(PARTS)

#: The version of each part that this release knows, by its code.
VERSIONS = {part.code: part.version for part in PARTS}
#: Every fact that rules may name, by the order of parts.
FACTS: dict[str, Fact] = {name: fact for part in PARTS for name, fact in part.facts.items()}
#: Whether a fact is a number, a text or a list of names.
FACT_KINDS: dict[str, type] = {
    name: list if fact.is_list else fact.kind for name, fact in FACTS.items()
}
#: Every moment at which rules are evaluated, in words, in the order of evaluation when one step
#: raises several.
MOMENTS: dict[str, str] = {name: words for part in PARTS for name, words in part.moments.items()}
