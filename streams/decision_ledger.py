"""Reads decisions back from the decision ledger."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from config.settings import Settings
from config.topics import DECISION_LEDGER
from models.decisions.trigger import (
    ActionWithdrawn,
    Decision,
    NextBestAction,
    Trigger,
    decode_decision,
)
from models.events.foreign import Foreign
from streams.kafka_clients import new_reader, running
from streams.topic_scan import scan, spans_of

OnProgress = Callable[[int, int], object]
#: How many of a customer's latest moments are returned.
LATEST_MAX = 3


class Found(NamedTuple):
    """The decisions of one moment: its triggers, and the action chosen for them.

    ``action`` is None if the ledger ends before it, or if a release wrote it that did not record
    decisions for nothing. ``withdrawal``: the withdrawal of an earlier decision, if one was made.
    """

    triggers: tuple[Trigger, ...]
    action: NextBestAction | None
    withdrawal: ActionWithdrawn | None = None


class Moments:
    """Groups decisions, taken in the order in which they were made, by their moments."""

    def __init__(self) -> None:
        self._fired: list[Trigger] = []

    def take(self, decision: Decision) -> list[Found]:
        """Take the next decision; return the moments that are complete with it."""
        is_next = isinstance(decision, ActionWithdrawn) or not self._is_of_same_moment(decision)
        complete = self.rest() if is_next else []
        match decision:
            case Trigger():
                self._fired.append(decision)
            case ActionWithdrawn():
                complete.append(Found((), None, decision))
            case NextBestAction():
                complete.append(Found(tuple(self._fired), decision))
                self._fired = []
        return complete

    def rest(self) -> list[Found]:
        """The last moment, if its action is missing."""
        fired, self._fired = self._fired, []
        return [Found(tuple(fired), None)] if fired else []

    def _is_of_same_moment(self, decision: Decision) -> bool:
        return all(
            (one.user_id, one.timestamp) == (decision.user_id, decision.timestamp)
            for one in self._fired
        )


class Question(NamedTuple):
    """Asks for one moment, at which ``decision`` was made, or for a ``customer``'s latest ones."""

    decision: str | None = None
    customer: str | None = None

    def asks_for(self, found: Found) -> bool:
        """Whether the moment is an answer."""
        decisions = [one for one in (*found.triggers, found.action, found.withdrawal) if one]
        if self.decision is not None:
            return any(one.id == self.decision for one in decisions)
        return any(one.user_id == self.customer for one in decisions)


class _Answers:
    """The answers among decisions: one for a decision, the latest ones for a customer."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._moments = Moments()
        self.found: deque[Found] = deque(maxlen=1 if question.decision is not None else LATEST_MAX)

    def take(self, decision: Decision) -> bool:
        """Take the next decision; return whether the search is over."""
        return self._add(self._moments.take(decision))

    def end(self) -> list[Found]:
        """All answers, once there are no more decisions."""
        if not self._is_answered:
            self._add(self._moments.rest())
        return list(self.found)

    @property
    def _is_answered(self) -> bool:
        return self._question.decision is not None and bool(self.found)

    def _add(self, complete: list[Found]) -> bool:
        for found in complete:
            if not self._is_answered and self._question.asks_for(found):
                self.found.append(found)
        return self._is_answered


def find_in_lines(lines: Iterable[bytes], question: Question) -> list[Found]:
    """The moments that are asked for, from a replay's triggers.jsonl.

    Raises ``Foreign`` for a line that is no decision.
    """
    answers = _Answers(question)
    for line in lines:
        if line and not line.isspace() and answers.take(decode_decision(line)):
            break
    return answers.end()


async def find_in_ledger(
    settings: Settings, question: Question, on_progress: OnProgress | None = None
) -> list[Found]:
    """The moments that are asked for, from the ledger.

    Records that are no decisions are skipped. Raises `TopicsError` and `BrokerUnreachable`.
    """
    async with running(new_reader(settings), settings) as reader:
        spans = await spans_of(reader, DECISION_LEDGER, settings)
        done, total = 0, sum(span.end - span.begin for span in spans)
        for span in spans:
            # All decisions of a customer, and so of a moment, are in one partition.
            answers = _Answers(question)
            async for records in scan(reader, span, settings):
                values = [record.value for record in records if record.value is not None]
                if any(map(answers.take, _decisions(values))):
                    break
                done += len(records)
                if on_progress is not None:
                    on_progress(done, total)
            if found := answers.end():
                return found
    return []


def _decisions(values: Sequence[bytes]) -> Iterable[Decision]:
    for value in values:
        try:
            yield decode_decision(value)
        except Foreign:
            continue
