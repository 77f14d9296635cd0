"""Compares what another rule would fire with what the rule in force fires."""

from collections import Counter
from collections.abc import Iterable
from textwrap import dedent, indent
from typing import NamedTuple

from agents.words.decision_lines import words_of
from models.decisions.trigger import Decision, NextBestAction, Trigger

#: Firings shown, of those gained and of those lost.
SHOWN_MAX = 100


class Firing(NamedTuple):
    """A decision for a customer, and its time."""

    at: str
    customer: str
    what: str


class CountView(NamedTuple):
    """The number of decisions of one kind under the rules in force, and under the others."""

    what: str
    now: int
    then: int


class TrialView(NamedTuple):
    """Both runs side by side: the differences by kind of decision, then by customer, latest
    first.
    """

    counts: tuple[CountView, ...]
    gained: tuple[Firing, ...]
    lost: tuple[Firing, ...]
    gained_in_all: int
    lost_in_all: int


def compared(now: Iterable[Decision], then: Iterable[Decision]) -> TrialView:
    """The differences. Ids are ignored, because another version of a rule gives other ids."""
    before, after = Counter(_fired(now)), Counter(_fired(then))
    gained, lost = after - before, before - after
    whats = sorted({one.what for one in (*gained, *lost)})
    told = Counter(one.what for one in before.elements())
    told_then = Counter(one.what for one in after.elements())
    counts = tuple(CountView(what, told[what], told_then[what]) for what in whats)
    return TrialView(
        counts,
        _latest(gained),
        _latest(lost),
        gained.total(),
        lost.total(),
    )


def _fired(decisions: Iterable[Decision]) -> Iterable[Firing]:
    for one in decisions:
        if isinstance(one, Trigger):
            yield Firing(one.timestamp, one.user_id, words_of(one.kind))
        elif isinstance(one, NextBestAction) and one.action is not None:
            what = f"{words_of(one.action)} by {one.channel}"
            yield Firing(one.timestamp, one.user_id, what)


def _latest(fired: Counter[Firing]) -> tuple[Firing, ...]:
    return tuple(sorted(fired.elements(), reverse=True)[:SHOWN_MAX])


def rule_block(text: str, line: int) -> str:
    """The lines of the entry that begins at ``line``, counted from 1, without their indentation."""
    lines = text.splitlines()[line - 1 :]
    margin = len(lines[0]) - len(lines[0].lstrip())
    block = [lines[0]]
    for one in lines[1:]:
        depth = len(one) - len(one.lstrip())
        if one.strip() and depth <= margin:
            break
        block.append(one)
    while block and (not block[-1].strip() or block[-1].lstrip().startswith("#")):
        block.pop()
    return dedent("\n".join(block)) + "\n"


def rules_file(blocks: Iterable[str]) -> str:
    """A triggers file with these entries."""
    return "triggers:\n" + "\n".join(indent(dedent(one).strip("\n"), "  ") for one in blocks) + "\n"
