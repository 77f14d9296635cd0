"""The content of a row that follows from its events alone: the same, whoever the id belonged to in
between.

Decisions, labels, and the times of entering a segment belong to the person; who owns which id is
noted only where ids may be linked.
"""

from models.customer.calendar import CALENDAR, Reminders
from models.customer.channels import CHANNELS, ChannelPreference
from models.customer.funnel import FUNNEL
from models.customer.identities import IDENTITIES
from models.customer.key_customers import KEY_CUSTOMERS, KeyCustomer
from models.customer.lifecycle import LIFECYCLE, Lifecycle
from models.customer.registry import PARTS
from models.customer.relationship import RELATIONSHIP, Related
from models.customer.risk import RISK
from models.customer.risk_state import Risk
from models.customer.row import Row
from models.customer.tier_state import Tiered
from models.customer.tiers import TIERS
from models.identity import OF_THE_PERSON

_TIMERS_OF_THE_PERSON = {"cooldown", "label", "lift", "segments"}
_OF_EVENTS = [one for one in PARTS if one not in {*OF_THE_PERSON, IDENTITIES}]
#: State of the parts with looks that does not come from looks.
_SIGNS = ("points", "points_at_ms", "praised_ms", "shared_ms", "touches")


def parts_of_events(row: Row) -> dict[str, bytes]:
    """The parts by name, as bytes."""
    return {part.name: part.pack(row.read(part)) for part in _OF_EVENTS}


def timers_of_events(row: Row) -> dict[str, tuple[int, int]]:
    """By code, when each timer is due and which time was handled."""
    known = {code: (due.due_ms, due.handled_ms) for code, due in row.timers()}
    return {
        code: due for code, due in known.items() if any(due) and code not in _TIMERS_OF_THE_PERSON
    }


def without_looks(parts: dict[str, bytes]) -> dict[str, bytes]:
    """The same without the results of looks (class, stage, band, tier and others), and without the
    visits that have yet to be reported: if clocks differ, a late event may come before a look in
    one place and after it in the other.
    """
    stage, risk = LIFECYCLE.unpack(parts[LIFECYCLE.name]), RISK.unpack(parts[RISK.name])
    contacted = CALENDAR.unpack(parts[CALENDAR.name])
    key = KEY_CUSTOMERS.unpack(parts[KEY_CUSTOMERS.name])
    known = RELATIONSHIP.unpack(parts[RELATIONSHIP.name])
    related = Related(known.answered_ms, known.accepted_ms, known.referred_ms, known.reviews_ms)
    signs = Lifecycle(**{name: getattr(stage, name) for name in _SIGNS})
    return {
        **parts,
        LIFECYCLE.name: LIFECYCLE.pack(signs),
        RISK.name: RISK.pack(Risk(complained_ms=risk.complained_ms)),
        TIERS.name: TIERS.pack(Tiered()),
        CHANNELS.name: CHANNELS.pack(ChannelPreference()),
        CALENDAR.name: CALENDAR.pack(Reminders(contacted.contacted_ms)),
        RELATIONSHIP.name: RELATIONSHIP.pack(related),
        KEY_CUSTOMERS.name: KEY_CUSTOMERS.pack(KeyCustomer(key.credit)),
        FUNNEL.name: FUNNEL.empty,
    }


def without_cohort(parts: dict[str, bytes]) -> dict[str, bytes]:
    """The same without the channel of the customer's cohort, which is another one for visitors: who
    is a visitor is noted in the row of the id, and where ids may be linked.
    """
    stage = LIFECYCLE.unpack(parts[LIFECYCLE.name])
    stage.cohort = ""
    return {**parts, LIFECYCLE.name: LIFECYCLE.pack(stage)}
