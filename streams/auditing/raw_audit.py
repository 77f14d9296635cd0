"""Checks that each raw record became an event of the log, or a dead letter of ingest."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from aiokafka import ConsumerRecord
from msgspec.structs import replace

from config.parameters import Parameters
from models.events.dead_letter import DeadLetter
from models.events.event import NOTHING, Event
from models.events.rejection import Rejected
from models.events.wire import encode_log_event
from streams.auditing.positions import Places
from streams.auditing.report import Audit
from streams.auditing.spools import DROPPED, IN_LETTERS, IN_LOG, REFUSED, RawFates, digest_of
from streams.raw_records import Outgoing, outgoing_of
from streams.topic_identity import generation_of
from streams.topic_scan import Span

#: Yields the records of a topic's span, in batches.
Scan = Callable[[str, Span], AsyncIterator[Sequence[ConsumerRecord]]]


def digests_of(outgoing: Outgoing, found: Event | Rejected) -> tuple[bytes, bytes]:
    """The digest of what ingest makes of a raw record, and the digest that an older release gave.

    The older release did not write who a visitor became. For events with traits the second digest
    is of the record without them: the parameters of that day decided which classes they became.
    """
    if isinstance(found, Rejected):
        return REFUSED, REFUSED
    digest, earlier = digest_of(outgoing.value, outgoing.partition), REFUSED
    if found.kind.declared.has_traits:
        earlier = digest_without_traits(found, outgoing.partition)
    elif found.visitor is not None:
        content = encode_log_event(replace(found, visitor=None, previous=None))
        earlier = digest_of(content, outgoing.partition)
    return digest, earlier


def digest_without_traits(event: Event, partition: int) -> bytes:
    """The digest of an event's record without its traits."""
    return digest_of(encode_log_event(replace(event, properties=NOTHING)), partition)


class RawAudit:
    """Reads raw topics first, then takes dead letters; the fold marks in ``fates``, which are by
    (raw topic, partition), what the log has. `close` closes their files.
    """

    def __init__(
        self, parameters: Parameters, partitions: int, directory: Path, audit: Audit
    ) -> None:
        self._parameters = parameters
        self._partitions = partitions
        self._directory = directory
        self._audit = audit
        self._fates: dict[tuple[str, int], RawFates] = {}

    @property
    def fates(self) -> Mapping[tuple[str, int], RawFates]:
        return self._fates

    def close(self) -> None:
        for fates in self._fates.values():
            fates.close()

    async def read(self, topic: str, topic_id: str, spans: Sequence[Span], scan: Scan) -> None:
        """Note what ingest must make of each record of a raw topic."""
        generation = generation_of(topic_id)
        for span in spans:
            number = span.partition.partition
            fates = RawFates(self._directory, f"{topic}-{number}", span.begin, span.end, generation)
            self._fates[topic, number] = fates
            async for records in scan(topic, span):
                for record in records:
                    outgoing, found = outgoing_of(
                        topic, record, generation, self._parameters, self._partitions
                    )
                    fates.expect(record.offset, *digests_of(outgoing, found))
                self._audit.checked["rawRecords"] += len(records)

    def take_letter(self, letter: DeadLetter) -> None:
        """Mark the raw record that ingest refused with this letter."""
        source = letter.source
        if source is None:
            return
        fates = self._fates.get((source.topic, source.partition))
        if fates is not None and fates.has(source):
            fates.mark(source.offset, IN_LETTERS)

    def conclude(self, committed: Places, letters: Sequence[Span]) -> None:
        """Check that every raw record that ingest is done with is in the log or a dead letter."""
        waiting = unknown = 0
        cut = {span.partition.partition for span in letters if span.begin > 0}
        for (topic, number), fates in self._fates.items():
            next_offset = committed.get((topic, number), fates.begin)
            for offset, expected, marks in fates:
                if marks & (IN_LOG | IN_LETTERS):
                    self._judge(f"{topic}-{number} at {offset}", expected, marks)
                elif offset >= next_offset:
                    waiting += 1
                elif number in cut and expected == REFUSED:
                    unknown += 1
                else:
                    self._audit.differs(
                        "events",
                        "raw records are neither in the log nor among the dead letters",
                        f"{topic}-{number} at {offset}",
                    )
        if waiting:
            self._audit.unchecked.append(f"{waiting:,} raw records that are not taken yet")
        if unknown:
            self._audit.unchecked.append(
                f"{unknown:,} raw records that must be refused: older dead letters were deleted by "
                f"retention"
            )

    def _judge(self, where: str, expected: bytes, marks: int) -> None:
        if marks & IN_LOG and marks & IN_LETTERS:
            words = "raw records are in the log and among the dead letters"
        elif marks & DROPPED:
            words = "raw records were dropped as repeated, and never applied"
        elif marks & IN_LETTERS and expected != REFUSED:
            words = "raw records were refused that are sound with these parameters"
        else:
            return
        self._audit.differs("events", words, where)
