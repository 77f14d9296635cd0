"""Reads decisions back from the decision ledger."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from config.settings import Settings
from config.topics import DECISION_LEDGER
from models.decisions.trigger import (
    ActionWithdrawn,
    Decision,
    NextBestAction,
    Trigger,
    decode_decision,
)
from streams.kafka_clients import new_reader, running
from streams.topic_scan import scan, spans_of

OnProgress = Callable[[int, int], object]


class Found(NamedTuple):
    """What was decided at one moment: its triggers, and what is done about them. ``action`` is None
    if the record ends before it, or was written by a release that did not decide for nothing.
    ``withdrawal``: that an earlier decision must not be carried out any more, if that is asked for.
    """

    triggers: tuple[Trigger, ...]
    action: NextBestAction | None
    withdrawal: ActionWithdrawn | None = None


class Search:
    """Looks through decisions, in the order in which they were made, for the one of an id."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._fired: list[Trigger] = []
        self._is_here = False
        self.found: Found | None = None

    def take(self, decision: Decision) -> bool:
        """Look at the next decision; return whether the search is over."""
        if isinstance(decision, ActionWithdrawn):
            if decision.id == self._wanted:
                self.found = Found((), None, decision)
            return self.found is not None
        if self._fired and not _is_same_moment(self._fired[0], decision):
            if self._is_here:
                return self._end(None)
            self._fired = []
        self._is_here |= decision.id == self._wanted
        if isinstance(decision, Trigger):
            self._fired.append(decision)
            return False
        if self._is_here:
            return self._end(decision)
        self._fired = []
        return False

    def end(self) -> Found | None:
        """What was found when there are no more decisions."""
        if self.found is None and self._is_here:
            self._end(None)
        return self.found

    def _end(self, action: NextBestAction | None) -> bool:
        self.found = Found(tuple(self._fired), action)
        return True


def _is_same_moment(one: Decision, other: Decision) -> bool:
    return (one.user_id, one.timestamp) == (other.user_id, other.timestamp)


def find_in_lines(lines: Iterable[bytes], wanted: str) -> Found | None:
    """The decisions of the moment at which ``wanted`` was decided, from a replay's triggers.jsonl.

    Raises ``msgspec.DecodeError`` for a line that is no decision.
    """
    search = Search(wanted)
    for line in lines:
        if line and not line.isspace() and search.take(decode_decision(line)):
            break
    return search.end()


async def find_in_ledger(
    settings: Settings, wanted: str, on_progress: OnProgress | None = None
) -> Found | None:
    """The decisions of the moment at which ``wanted`` was decided, from the ledger.

    Records that are no decisions are passed over. Raises `TopicsError` and `BrokerUnreachable`.
    """
    async with running(new_reader(settings), settings) as reader:
        spans = await spans_of(reader, DECISION_LEDGER, settings)
        done, total = 0, sum(span.end - span.begin for span in spans)
        for span in spans:
            # A moment is of one customer, and so within a partition.
            search = Search(wanted)
            async for records in scan(reader, span, settings):
                values = [record.value for record in records if record.value is not None]
                if any(map(search.take, _decisions(values))):
                    return search.end()
                done += len(records)
                if on_progress is not None:
                    on_progress(done, total)
            if (found := search.end()) is not None:
                return found
    return None


def _decisions(values: Sequence[bytes]) -> Iterable[Decision]:
    for value in values:
        try:
            yield decode_decision(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
