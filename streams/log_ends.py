"""Knows where `customer-events` ends, to refuse lessons of records beyond the end.

The trainer recognises repeats by a lesson's place. A lesson with a place that does not exist yet
would make all true lessons before that place count as repeats.
"""

import logging
from asyncio import sleep
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic

from aiokafka.errors import KafkaError

from models.events.foreign import Foreign
from models.learning.lessons import Lesson
from streams.kafka_clients import END_RETRY_S, END_TRIES

log = logging.getLogger(__name__)

#: For this long after a place was not found, other places are looked for only once: whoever floods
#: the topic must not hold up the trainer.
DOUBTFUL_S = 60.0


class LogEnds:
    """Asks ``ends`` for the next offsets, by partition. It does so only for places beyond the ends
    it knows and beyond what this worker has ``read``: nearly all lessons are of its own records.
    """

    def __init__(
        self,
        ends: Callable[[], Awaitable[Mapping[int, int]]],
        read: Callable[[int], int] = lambda _: 0,
    ) -> None:
        self._ask = ends
        self._read = read
        self._ends: Mapping[int, int] = {}
        self._doubtful_until_s = 0.0

    async def require(self, lesson: Lesson) -> None:
        """Raise ``Foreign`` for a lesson of a record that the log does not have.

        While the broker doesn't say where the log ends, every lesson passes.
        """
        if await self._has(lesson.partition, lesson.offset):
            return
        self._doubtful_until_s = monotonic() + DOUBTFUL_S
        raise Foreign("not a lesson: its place in the log is still to come")

    async def _has(self, partition: int, offset: int) -> bool:
        if offset < self._ends.get(partition, 0) or offset < self._read(partition):
            return True
        tries = 1 if monotonic() < self._doubtful_until_s else END_TRIES
        for tries_left in reversed(range(tries)):
            try:
                self._ends = await self._ask()
            except (KafkaError, TimeoutError) as error:
                log.info("the broker did not say where the log ends (%r)", error)
                return True
            if offset < self._ends.get(partition, 0):
                return True
            if tries_left:
                await sleep(END_RETRY_S)
        return False
