"""The newest dead letters, read again when more have arrived."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from config.settings import Settings
from config.topics import DEAD_LETTERS
from streams.dead_letters import StoredLetter, newest_letters
from streams.kafka_clients import BrokerUnreachable
from streams.topic_rates import TopicRates
from streams.topics import TopicsError

#: Records to read from each partition.
NEWEST = 200
READ_TIMEOUT_S = 12.0


class LettersRead(NamedTuple):
    """Dead letters that were not put back, or why they could not be read."""

    letters: Sequence[StoredLetter]
    problem: str = ""


class RecentLetters:
    """Keeps the last reading until the topic's rate shows new records."""

    def __init__(self, settings: Settings, rates: TopicRates) -> None:
        self._settings = settings
        self._rates = rates
        self._read: LettersRead | None = None
        self._at_records: int | None = None

    def expire(self) -> None:
        """Make the next read fetch what has just been written."""
        self._read = None

    async def latest(self) -> LettersRead:
        if self._rates.problem is not None:
            # Opening the page must not wait for a broker that does not answer.
            return LettersRead((), self._rates.problem)
        # Counted before the reading: records that arrive meanwhile are seen next time.
        records = self._rates.records(DEAD_LETTERS)
        if self._read is None or records is None or records != self._at_records:
            found = await self._newest()
            if found.problem:
                return found
            self._read, self._at_records = found, records
        return self._read

    async def _newest(self) -> LettersRead:
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                return LettersRead(await newest_letters(self._settings, NEWEST))
        except TimeoutError:
            return LettersRead((), "They could not be read in time.")
        except (BrokerUnreachable, TopicsError) as error:
            return LettersRead((), str(error))
