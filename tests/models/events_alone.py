"""What of a row is made of its events alone: the same, whoever's the id was meanwhile.

What was decided and labels are the person's. Class and stage, band and tier are found when somebody
is looked at, at times that decision points set and as those scores say that there are then; an id
that has left is looked at anew.
"""

from msgspec.structs import asdict

from models.customer.lifecycle import LIFECYCLE, Lifecycle
from models.customer.registry import PARTS
from models.customer.risk import RISK, Risk
from models.customer.row import Row
from models.customer.tiers import TIERS
from models.identity import OF_THE_PERSON

_LOOKS = {timer.code for part in (LIFECYCLE, RISK) for timer in part.timers}
_TIMERS_OF_OTHERS = {"cooldown", "label", *_LOOKS}
_OF_EVENTS = [one for one in PARTS if one not in {*OF_THE_PERSON, LIFECYCLE, RISK, TIERS}]
_SIGNS = ("points", "points_at_ms", "praised_ms", "shared_ms", "touches")


def parts_of_events(row: Row) -> dict[str, bytes]:
    """The parts by name, as bytes."""
    parts = {part.name: part.pack(row.read(part)) for part in _OF_EVENTS}
    stage = asdict(row.read(LIFECYCLE))
    signs = {name: stage[name] for name in _SIGNS}
    parts[LIFECYCLE.name] = LIFECYCLE.pack(Lifecycle(**signs))
    parts[RISK.name] = RISK.pack(Risk(complained_ms=row.read(RISK).complained_ms))
    return parts


def timers_of_events(row: Row) -> dict[str, tuple[int, int]]:
    """Of the timers by code, when they are due and which time was dealt with."""
    known = {code: (due.due_ms, due.handled_ms) for code, due in row.timers()}
    return {code: due for code, due in known.items() if any(due) and code not in _TIMERS_OF_OTHERS}
