"""What was decided for a customer lately, and what became of it."""

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from models.customer.fingerprint import fingerprint

DECISIONS_MAX = 24
#: Whether the customer is treated, or in the holdout that shows what would have happened anyway.
TREATED, CONTROL = "treated", "control"


class Outcome(StrEnum):
    """What came back about an action, from nothing to the last word."""

    NONE = "none"
    DELIVERED = "delivered"
    OPENED = "opened"
    CLICKED = "clicked"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    FAILED = "failed"


_ORDER = tuple(Outcome)


class Decided(Struct, frozen=True, array_like=True, gc=False):
    """An action decided for the customer; ``treated`` is False for the holdout."""

    id: int
    action: str
    channel: str
    at_ms: int
    treated: bool
    outcome: str = Outcome.NONE


def remembered(decisions: tuple[Decided, ...], new: Decided) -> tuple[Decided, ...]:
    """The latest decisions with one more.

    Of too many, the oldest goes of those whose action was decided again since: a cooldown is
    counted from an action's last time, however long ago that was.
    """
    kept = [*decisions, new]
    if len(kept) > DECISIONS_MAX:
        last = {decided.action: index for index, decided in enumerate(kept)}
        repeated = (index for index, decided in enumerate(kept) if last[decided.action] > index)
        del kept[next(repeated, 0)]
    return tuple(kept)


def with_outcome(
    decisions: tuple[Decided, ...], decision_id: str, outcome: Outcome
) -> tuple[Decided, ...] | None:
    """The decisions with this one's outcome recorded; None when it is not among them.

    A later stage replaces an earlier one whatever the order in which they are heard of.
    """
    wanted = fingerprint(decision_id)
    for index, decided in enumerate(decisions):
        if decided.id == wanted:
            heard = max(Outcome(decided.outcome), outcome, key=_ORDER.index)
            changed = replace(decided, outcome=str(heard))
            return (*decisions[:index], changed, *decisions[index + 1 :])
    return None
