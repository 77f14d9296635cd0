"""A decision in one line, for reading while it scrolls by."""

from agents.words.decisions import WITHDRAWN_BECAUSE
from models.decisions.trigger import ActionWithdrawn, Decision, NextBestAction

_PARTS_SHOWN = 2


def in_words(trigger: Decision) -> str:
    """A decision in one line: when (in the shop's time), who, what and why."""
    return "  ".join((when(trigger), trigger.user_id, f"{words_of(trigger.kind)}: {why(trigger)}"))


def when(trigger: Decision) -> str:
    """Its time, to the minute."""
    return trigger.timestamp[:16].replace("T", " ")


def why(trigger: Decision) -> str:
    """The reasons of a trigger, or the action to carry out."""
    if isinstance(trigger, NextBestAction):
        if trigger.action is None or trigger.priority is None:
            return "nothing is done"
        worth = f"worth {trigger.priority.priority:.2f}"
        return f"{words_of(trigger.action)} by {trigger.channel}, {worth}, {trigger.group}"
    if isinstance(trigger, ActionWithdrawn):
        because = WITHDRAWN_BECAUSE.get(trigger.because, words_of(trigger.because))
        return f"{words_of(trigger.action)} by {trigger.channel}, {because}"
    facts = [reason.words for reason in trigger.reasons if reason.contribution is None]
    # A receipt has all parts of the score; a line has no room for them.
    moved = [reason.words for reason in trigger.reasons if reason.contribution is not None]
    return ", ".join(facts + moved[:_PARTS_SHOWN])


#: Words that are not written in lower case.
_SPELT = {"nps": "NPS", "csat": "CSAT", "ces": "CES", "vip": "VIP"}


def words_of(kind: str) -> str:
    """A name from the rules, such as ``cart-abandoned``, as words."""
    return " ".join(_SPELT.get(word, word) for word in kind.split("-"))
