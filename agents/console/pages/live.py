"""The live page: each moment with a decision, in one sentence."""

from collections.abc import Sequence
from typing import NamedTuple

from agents.console.pages.figures import listed, money
from agents.words.decision_lines import words_of
from agents.words.decisions import WITHDRAWN_BECAUSE
from models.customer.holdout import CONTROL
from models.customer.words import counted
from models.decisions.trigger import ActionWithdrawn, NextBestAction, ReasonCode
from streams.decision_ledger import Found

#: The outcomes of a moment, by which the page can be filtered.
TONES = {
    "action": "Actions",
    "control": "Control group",
    "nothing": "Nothing done",
    "withdrawn": "Withdrawn",
}
#: The gate of an action that answers other triggers; not mentioned in the sentence.
ANSWERS = "answers"
_GATES_TOLD, _FACTS_TOLD = 2, 3


class SignView(NamedTuple):
    """A trigger that fired, and the facts behind it."""

    kind: str
    facts: str


class LiveEntry(NamedTuple):
    """One moment. ``id``: the id of one of its decisions; ``outcome``: what is done; ``because``:
    if nothing is done, why; ``tone``: one of `TONES`.
    """

    id: str
    at: str
    customer: str
    signs: tuple[SignView, ...]
    outcome: str
    because: str
    tone: str


def entry_of(found: Found, currency: str) -> LiveEntry | None:
    """The moment as an entry; None for one without a decision."""
    if found.withdrawal is not None:
        return _withdrawn(found.withdrawal)
    first = found.action or (found.triggers[0] if found.triggers else None)
    if first is None:
        return None
    signs = tuple(SignView(words_of(one.kind), _facts(one.reasons)) for one in found.triggers)
    if not signs and found.action is not None:
        named = listed([words_of(name) for name in found.action.triggers])
        signs = (SignView(named, _facts(found.action.reasons)),)
    outcome, because, tone = _outcome(found.action, currency)
    return LiveEntry(first.id, first.timestamp, first.user_id, signs, outcome, because, tone)


def _facts(reasons: Sequence[ReasonCode]) -> str:
    """The first few facts; the receipt has all of them."""
    facts = [reason.words for reason in reasons if reason.contribution is None]
    return ", ".join(facts[:_FACTS_TOLD])


def _withdrawn(news: ActionWithdrawn) -> LiveEntry:
    because = WITHDRAWN_BECAUSE.get(news.because, words_of(news.because))
    outcome = f"{words_of(news.action)} by {news.channel} is withdrawn"
    return LiveEntry(news.id, news.timestamp, news.user_id, (), outcome, because, "withdrawn")


def _outcome(action: NextBestAction | None, currency: str) -> tuple[str, str, str]:
    if action is None:
        return "no decision about it was kept", "", "nothing"
    if action.action is None or action.priority is None:
        return "nothing is done", why_nothing(action), "nothing"
    worth = money(action.priority.priority, currency)
    words = f"{words_of(action.action)} by {action.channel}, worth {worth}"
    if action.group == CONTROL:
        return words, "not carried out: the customer is in the control group", "control"
    return words, "", "action"


def why_nothing(action: NextBestAction) -> str:
    """The gates that suppressed the possible actions: the first ones, in the order of the gates."""
    by_gate: dict[str, list[str]] = {}
    for shut in action.suppressed:
        if shut.by != ANSWERS:
            by_gate.setdefault(shut.by, []).append(words_of(shut.action))
    if not by_gate:
        return "no action is for it"
    told = [f"{listed(names)} by {words_of(gate)}" for gate, names in by_gate.items()]
    more = len(told) - _GATES_TOLD
    rest = f", and {counted(more, 'more gate')}" if more > 0 else ""
    return f"kept back: {'; '.join(told[:_GATES_TOLD])}{rest}"
