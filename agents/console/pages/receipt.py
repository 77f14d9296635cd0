"""A decision's receipt: its reasons, the alternatives, its value, and its outcome."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from agents.console.pages.figures import (
    Bar,
    day_and_time,
    diverging,
    from_left,
    listed,
    money,
    percent,
)
from agents.console.pages.live import ANSWERS
from agents.words.decision_lines import words_of
from agents.words.decisions import GATES, TRUCES, WITHDRAWN_BECAUSE, cause_in_words
from models.customer.contacts import Outcome
from models.customer.holdout import CONTROL
from models.decisions.audit import faults, ranked, recomputed
from models.decisions.gates import REASON
from models.decisions.trigger import (
    ActionWithdrawn,
    ChurnReceipt,
    NextBestAction,
    Priority,
    ReasonCode,
    Suppressed,
    Trigger,
)
from models.money import digits
from streams.decision_ledger import Found

_OUTCOMES = {
    Outcome.NONE: "Nothing has been heard of it yet",
    Outcome.CONTAMINATED: "Somebody carried it out, though the customer is in the control group",
    Outcome.WITHDRAWN: "Withdrawn before its delivery was heard of",
    Outcome.DELIVERED: "Delivered",
    Outcome.OPENED: "Opened",
    Outcome.CLICKED: "Clicked",
    Outcome.ACCEPTED: "Accepted",
    Outcome.REJECTED: "Rejected by the customer",
    Outcome.FAILED: "Could not be delivered",
}
#: Who made a score, by its source on receipts.
_SOURCES = {
    "prior": "the shipped formula: no model has been learnt yet",
    "champion": "the model that serves",
    "baseline": "the formula, which is the better one for now",
}


#: The words for a gate's detail that is not clear by itself.
_WHAT = {REASON: "the customer's reason is: {}"}


class FiredView(NamedTuple):
    """A trigger that fired, and the facts it fired on."""

    kind: str
    id: str
    facts: tuple[str, ...]


class ScoreView(NamedTuple):
    """The churn score at the decision. ``bars``: what each group of facts adds to its log odds;
    ``scorers``: the score of every scorer.
    """

    share: str
    width: float
    words: str
    source: str
    bars: tuple[Bar, ...]
    scorers: tuple[Bar, ...]


class FactorView(NamedTuple):
    """One factor of a priority."""

    name: str
    figure: str


class CandidateView(NamedTuple):
    """An action that passed all gates. ``sum``: the formula of its priority, so that readers can
    recompute it.
    """

    action: str
    is_chosen: bool
    bar: Bar
    factors: tuple[FactorView, ...]
    sum: str


class GateView(NamedTuple):
    """A gate, and the actions that it suppressed, each with details."""

    gate: str
    words: str
    actions: tuple[tuple[str, str], ...]


class StepView(NamedTuple):
    """A later step of a decision; ``at`` is empty if its time is unknown."""

    at: str
    words: str


class Receipt(NamedTuple):
    """Everything about one moment. ``lead``: the reason, in a sentence; ``others``: actions for
    other triggers; ``faults``: numbers that do not add up, normally none.
    """

    title: str
    lead: str
    at: str
    customer: str
    tone: str
    group: str | None
    fired: tuple[FiredView, ...]
    score: ScoreView | None
    stake: str
    leaving: tuple[str, tuple[str, ...]] | None
    candidates: tuple[CandidateView, ...]
    shut: tuple[GateView, ...]
    others: tuple[str, ...]
    steps: tuple[StepView, ...]
    details: tuple[tuple[str, str], ...]
    faults: tuple[str, ...]


def receipt_of(
    found: Found, currency: str, decisions: Sequence[Any], withdrawal: ActionWithdrawn | None = None
) -> Receipt:
    """The receipt of a moment with a trigger or an action. ``decisions``: those in the customer's
    profile, with their outcomes; ``withdrawal``: the withdrawal of the action, if there is one.
    """
    action = found.action
    first = action or found.triggers[0]
    score_of = next((t for t in found.triggers if _parts(t.reasons)), first)
    return Receipt(
        title=_title(found),
        lead=_lead(found),
        at=first.timestamp,
        customer=first.user_id,
        tone=_tone(action),
        group=first.group,
        fired=tuple(_fired(trigger) for trigger in found.triggers),
        score=_score(score_of.churn, score_of.reasons) if score_of.churn is not None else None,
        stake=money(first.value_at_stake, currency),
        leaving=_leaving(first),
        candidates=_candidates(action, currency) if action is not None else (),
        shut=_shut(action.suppressed) if action is not None else (),
        others=tuple(
            words_of(one.action)
            for one in (action.suppressed if action is not None else ())
            if one.by == ANSWERS
        ),
        steps=tuple(_steps(action, decisions, withdrawal)) if action is not None else (),
        details=tuple(_details(found)),
        faults=tuple(faults(action)) if action is not None else (),
    )


def _title(found: Found) -> str:
    action = found.action
    if action is None:
        return words_of(found.triggers[0].kind).capitalize()
    if action.action is None:
        return f"Nothing is done about {listed([words_of(name) for name in action.triggers])}"
    return f"{words_of(action.action).capitalize()} by {action.channel}"


def _lead(found: Found) -> str:
    """The trigger, in a sentence."""
    told = found.triggers or ((found.action,) if found.action is not None else ())
    parts = []
    for one in told:
        names = [one.kind] if isinstance(one, Trigger) else one.triggers
        named = listed([words_of(name) for name in names]).capitalize()
        facts = ", ".join(r.words for r in one.reasons if r.contribution is None)
        parts.append(f"{named}: {facts}." if facts else f"{named}.")
    return " ".join(parts)


def _tone(action: NextBestAction | None) -> str:
    if action is None or action.action is None:
        return "nothing"
    return "control" if action.group == CONTROL else "action"


def _fired(trigger: Trigger) -> FiredView:
    facts = tuple(reason.words for reason in trigger.reasons if reason.contribution is None)
    return FiredView(words_of(trigger.kind), trigger.id, facts)


def _parts(reasons: Sequence[ReasonCode]) -> list[tuple[str, float]]:
    """The parts that the score is the sum of, largest first."""
    parts = [(r.words, r.contribution) for r in reasons if r.contribution is not None]
    return sorted(parts, key=lambda part: -abs(part[1]))


def _score(churn: ChurnReceipt, reasons: Sequence[ReasonCode]) -> ScoreView:
    scorers = [
        (name, share, "chosen" if name == churn.scorer else "plain")
        for name, share in churn.scores.items()
    ]
    return ScoreView(
        percent(churn.probability),
        round(churn.probability * 100, 2),
        f"likely not to buy within {churn.horizon_days:g} days",
        _source(churn),
        diverging(_parts(reasons)),
        tuple(
            bar._replace(figure=percent(share), width=round(share * 100, 2))
            for bar, (_, share, _) in zip(from_left(scorers), scorers, strict=True)
        ),
    )


def _source(churn: ChurnReceipt) -> str:
    words = _SOURCES.get(churn.source, churn.source)
    named = f"{words} ({churn.scorer})" if churn.scorer is not None else words
    return f"{named}, version {churn.model_version}" if churn.model_version else named


def _leaving(first: Trigger | NextBestAction) -> tuple[str, tuple[str, ...]] | None:
    reason = first.churn_reason
    return (str(reason.kind), tuple(reason.evidence)) if reason is not None else None


def _candidates(action: NextBestAction, currency: str) -> tuple[CandidateView, ...]:
    passed = ranked(action)
    values = [
        (words_of(one.action), one.priority.priority, "chosen" if not place else "plain")
        for place, one in enumerate(passed)
    ]
    return tuple(
        CandidateView(
            words_of(one.action),
            one.action == action.action,
            bar,
            _factors(one.priority, currency),
            money(recomputed(one.priority), currency),
        )
        for one, bar in zip(passed, from_left(values), strict=True)
    )


def _factors(told: Priority, currency: str) -> tuple[FactorView, ...]:
    return (
        FactorView("propensity", percent(told.propensity)),
        FactorView("weight", f"{told.context_weight:g}"),
        FactorView("value", digits(told.value, currency)),
        FactorView("lever", f"{told.lever:g}"),
        FactorView("cost", digits(told.cost, currency)),
    )


def _shut(suppressed: Sequence[Suppressed]) -> tuple[GateView, ...]:
    by_gate: dict[str, list[tuple[str, str]]] = {}
    for one in suppressed:
        if one.by != ANSWERS:
            by_gate.setdefault(one.by, []).append((words_of(one.action), _detail(one)))
    return tuple(
        GateView(words_of(gate), GATES.get(gate, "rejected"), tuple(actions))
        for gate, actions in by_gate.items()
    )


def _detail(one: Suppressed) -> str:
    details = (
        _WHAT.get(one.by, "{}").format(TRUCES.get(one.what, one.what)) if one.what else None,
        f"since {day_and_time(one.since)}" if one.since else None,
        f"until {day_and_time(one.until)}" if one.until else None,
    )
    return ", ".join(detail for detail in details if detail)


def _steps(
    action: NextBestAction, decisions: Sequence[Any], withdrawal: ActionWithdrawn | None
) -> list[StepView]:
    steps = [StepView(action.timestamp, "Decided")]
    if action.action is None:
        return [StepView(action.timestamp, "Decided that nothing is done")]
    if action.group == CONTROL:
        steps.append(StepView("", "Not to be carried out: the customer is in the control group"))
    if action.not_before is not None:
        steps.append(StepView(action.not_before, "Not before the customer's quiet hours end"))
    if withdrawal is not None:
        words = WITHDRAWN_BECAUSE.get(withdrawal.because, words_of(withdrawal.because))
        steps.append(StepView(withdrawal.timestamp, f"Withdrawn: {words}"))
    heard = {(one.action, one.at): Outcome(one.outcome) for one in decisions}
    outcome = heard.get((action.action, action.timestamp))
    if outcome is None:
        steps.append(
            StepView("", "What became of it is not known: the profile has later ones only")
        )
    elif not (outcome is Outcome.NONE and action.group == CONTROL):
        steps.append(StepView("", _OUTCOMES[outcome]))
    if action.due_at is not None:
        steps.append(StepView(action.due_at, "To be done by then"))
    return steps


def _details(found: Found) -> list[tuple[str, str]]:
    """The technical details: cause, versions, ids, and the gates that were evaluated."""
    first = found.action or found.triggers[0]
    details = [("Cause", cause_in_words(first.cause)), ("Model version", str(first.model_version))]
    details += [
        (f"Trigger {one.kind}", f"{one.id}, rule version {one.rule_version}")
        for one in found.triggers
    ]
    if (action := found.action) is not None:
        details.append(("Decision", f"{action.id}, catalogue version {action.catalogue_version}"))
        if action.owner is not None:
            details.append(("Owner", action.owner))
        details.append(("Gates that were asked", ", ".join(action.gates)))
    return details
