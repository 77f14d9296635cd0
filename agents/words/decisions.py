"""The reasons for decisions in words, from the receipts of a moment's triggers and action."""

from collections.abc import Iterator, Sequence

from models.customer.contacts import COOLDOWN_OVER
from models.customer.holdout import CONTROL
from models.customer.registry import MOMENTS
from models.decisions.audit import ranked, recomputed
from models.decisions.gates import TRUCE
from models.decisions.trigger import (
    ActionWithdrawn,
    Cause,
    NextBestAction,
    Priority,
    Suppressed,
    Trigger,
)
from models.decisions.withdrawal import BOUGHT

#: What each gate says about an action that it suppressed, by the gate's name in receipts.
GATES = {
    "answers": "is for none of these triggers",
    "eligibility": "its own condition does not hold",
    "reason": "answers another reason to leave",
    "consent": "the customer does not consent to it",
    "channel-opt-out": "the customer cannot be reached by its channel",
    "impersonal": "the customer has refused personalised decisions",
    "truce": "nothing is sold to somebody who waits for help",
    "price-dependence": "would only teach the customer to wait for discounts",
    "quiet-hours": "no time is left after the customer's quiet hours",
    "cooldown": "was decided for the customer lately",
    "contact-cap": "the customer gets no more contacts for now",
    "priority": "is worth no more than it costs, or nobody knows what",
}
#: The reasons for a truce, by their names in the gate's receipt.
TRUCES = {
    "complaint": "a complaint is open",
    "promise": "an answer is overdue",
    "solved": "a complaint was solved a short while ago",
    "answer": "a survey was answered poorly",
}
#: The reasons for withdrawing an action.
WITHDRAWN_BECAUSE = {**GATES, BOUGHT: "the customer has bought since"}
#: The reasons for a deadline, by the moment that it raised.
_MOMENTS = {**MOMENTS, COOLDOWN_OVER: "the cooldown that held a rule back is over"}


def moment_in_words(
    triggers: Sequence[Trigger],
    action: NextBestAction | None,
    withdrawal: ActionWithdrawn | None = None,
) -> Iterator[str]:
    """What fired and why, what is done about it, and why nothing else; or what was withdrawn."""
    if withdrawal is not None:
        cause = cause_in_words(withdrawal.cause)
        yield f"{withdrawal.user_id}, {withdrawal.timestamp}, because of {cause}"
        yield f"{withdrawal.action} is withdrawn ({withdrawal.id}): not to be carried out any more"
        yield f"  it was decided as {withdrawal.decision_id}, by {withdrawal.channel}"
        yield f"  {_gate(withdrawal.because, withdrawal.what, withdrawal.since)}"
        return
    first = triggers[0] if triggers else action
    if first is None:
        return
    yield f"{first.user_id}, {first.timestamp}, because of {cause_in_words(first.cause)}"
    for trigger in triggers:
        yield f"{trigger.kind} fired ({trigger.id})"
        for reason in trigger.reasons:
            yield f"  {reason.words}{_added(reason.contribution)}"
    if action is None:
        yield "no decision about it was kept"
        return
    yield from _chosen(action)
    for other in ranked(action):
        if other.action != action.action:
            yield f"not {other.action}: outranked"
            yield f"  {_sum(other.priority)}"
    for shut in action.suppressed:
        yield f"not {shut.action}: {_shut(shut)}"


def cause_in_words(cause: Cause) -> str:
    """The cause of a decision: an event, or a deadline that passed."""
    if cause.deadline is None:
        return f"event {cause.message_id}"
    moment = cause.deadline.rpartition(":")[0]
    words = _MOMENTS.get(moment)
    # The ledger may contain names of moments that no longer exist.
    return f"a deadline: {words} ({moment})" if words is not None else cause.text


def _chosen(action: NextBestAction) -> Iterator[str]:
    if action.action is None or action.priority is None:
        yield f"nothing is done ({action.id}): no action passed all gates"
        return
    yield f"{action.action} is chosen ({action.id})"
    yield f"  by {action.channel}, {action.owner} has until {action.due_at}"
    if action.not_before is not None:
        yield f"  not before {action.not_before}, when the customer's quiet hours end"
    yield f"  {_sum(action.priority)}"
    if action.group == CONTROL:
        yield "  not to be taken: the customer is in the control group"
    if action.contaminated is True:
        yield "  contaminated: the customer has decisions of both groups, leave out of comparisons"


def _sum(told: Priority) -> str:
    return (
        f"propensity {told.propensity:g} * weight {told.context_weight:g} * value {told.value:.12g}"
        f" * lever {told.lever:g} - cost {told.cost:g} = {recomputed(told):.12g}"
    )


def _shut(shut: Suppressed) -> str:
    return _gate(shut.by, shut.what, shut.since, shut.until)


def _gate(by: str, what: str | None, since: str | None, until: str | None = None) -> str:
    words = WITHDRAWN_BECAUSE.get(by, "rejected")
    details = (
        by,
        TRUCES.get(what, what) if by == TRUCE and what is not None else what,
        f"since {since}" if since else None,
        f"until {until}" if until else None,
    )
    return f"{words} ({', '.join(detail for detail in details if detail)})"


def _added(contribution: float | None) -> str:
    return f" ({contribution:+.2f})" if contribution is not None else ""
