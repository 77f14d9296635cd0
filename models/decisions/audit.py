"""Whether a decision adds up, from its receipt alone."""

from collections import Counter
from collections.abc import Iterator
from math import isclose

from models.decisions.trigger import NextBestAction, Priority, Ranked

#: A recomputed priority may differ by this much: absolute up to 1, relative above.
TOLERANCE = 1e-9


def recomputed(priority: Priority) -> float:
    """The priority once more, from its factors."""
    worth = priority.propensity * priority.context_weight * priority.value * priority.lever
    return worth - priority.cost


def ranked(decision: NextBestAction) -> tuple[Ranked, ...]:
    """The chosen action, if there is one, then those that it outranked."""
    if decision.action is None or decision.priority is None:
        return decision.outranked
    return (Ranked(decision.action, decision.priority), *decision.outranked)


def faults(decision: NextBestAction) -> Iterator[str]:
    """What does not add up, in words; yields nothing for a sound decision."""
    for action, priority in ((found.action, found.priority) for found in ranked(decision)):
        again, told = recomputed(priority), priority.priority
        if not isclose(again, told, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield f"{action}: the factors make {again:.12g}, the decision says {told:.12g}"
    if (decision.action is None) != (decision.priority is None):
        yield "an action without a priority, or a priority without an action"
    if decision.action is None and decision.outranked:
        yield f"nothing is done, although {decision.outranked[0].action} passed all gates"
    told_of = [found.action for found in ranked(decision)]
    told_of += [found.action for found in decision.suppressed]
    for action, times in Counter(told_of).items():
        if times > 1:
            yield f"{action} is told of {times} times: an action is chosen, outranked or rejected"
