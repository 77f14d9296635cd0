"""Ingest: raw topics in, checked events on `customer-events` out. No state."""

from collections import Counter
from time import monotonic

from config.parameters import Parameters
from config.settings import Settings
from config.topics import CUSTOMER_EVENTS, DEAD_LETTERS
from models.events.admission import admit
from models.events.dead_letter import dead_letter, encode_dead_letter
from models.events.rejection import Rejected
from models.events.wire import Source, encode_event
from streams.kafka_clients import partition_for
from streams.metrics import Metrics
from streams.outbox import Outbox
from streams.record_batches import Record, RecordBatch


class Ingest:
    """One raw topic's agent. A crash may repeat records; the fold drops them by their source."""

    def __init__(
        self,
        topic: str,
        outbox: Outbox,
        settings: Settings,
        parameters: Parameters,
        metrics: Metrics,
    ) -> None:
        self._topic = topic
        self._outbox = outbox
        self._settings = settings
        self._parameters = parameters
        self._metrics = metrics

    async def take(self, batch: RecordBatch) -> None:
        """Pass on every record of ``batch``: as an event, or as a dead letter."""
        started_s = monotonic()
        reasons: Counter[str] = Counter()
        for record in batch:
            try:
                self._admit(record)
            except Rejected as rejected:
                self._refuse(record, rejected)
                reasons[rejected.reason] += 1
        await self._outbox.flush()
        batch.ack()
        self._metrics.count_events({(self._topic, "dead_letter"): reasons.total()})
        self._metrics.count_dead_letters(reasons)
        self._metrics.observe_batch(self._topic, len(batch), monotonic() - started_s)

    def _admit(self, record: Record) -> None:
        event = admit(
            record.value or b"",
            self._parameters,
            message_id=f"{self._topic}-{record.partition}-{record.offset}",
            topic=self._topic,
            source=self._source(record),
        )
        key = event.customer.encode()
        partition = partition_for(key, self._settings.partitions)
        self._outbox.add(CUSTOMER_EVENTS, partition, key=key, value=encode_event(event))

    def _refuse(self, record: Record, rejected: Rejected) -> None:
        letter = dead_letter(
            rejected, record.value or b"", step="ingest", source=self._source(record)
        )
        self._outbox.add(
            DEAD_LETTERS, record.partition, key=record.key, value=encode_dead_letter(letter)
        )

    def _source(self, record: Record) -> Source:
        return Source(self._topic, record.partition, record.offset, record.timestamp)
