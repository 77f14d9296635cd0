"""Follows the decision ledger as it is written."""

from collections.abc import AsyncIterator, Mapping, Sequence

from aiokafka.errors import KafkaError

from config.settings import Settings
from config.topics import DECISION_LEDGER
from models.decisions.trigger import Decision, decode_decision
from models.events.foreign import Foreign
from streams.kafka_clients import BrokerUnreachable, new_reader, running
from streams.topic_scan import spans_of

POLL_MS = 500


async def follow_ledger(
    settings: Settings, newest: int
) -> AsyncIterator[Mapping[int, Sequence[Decision]]]:
    """The decisions in the ledger, by partition and in order, until the iterator is closed.

    It begins with about the ``newest`` decisions of each partition. A result is empty when nothing
    was written for half a second. Records that are no decisions are skipped. Raises `TopicsError`
    and `BrokerUnreachable`.
    """
    async with running(new_reader(settings), settings) as reader:
        spans = await spans_of(reader, DECISION_LEDGER, settings)
        reader.assign([span.partition for span in spans])
        for span in spans:
            reader.seek(span.partition, max(span.begin, span.end - newest))
        while True:
            try:
                found = await reader.getmany(timeout_ms=POLL_MS)
            except KafkaError as error:
                raise BrokerUnreachable(
                    f"{settings.bootstrap_servers} stopped answering ({type(error).__name__})"
                ) from None
            yield {
                place.partition: _decided([record.value for record in records])
                for place, records in found.items()
            }


def _decided(values: Sequence[bytes | None]) -> list[Decision]:
    decided = []
    for value in values:
        try:
            decided.append(decode_decision(value or b""))
        except Foreign:
            continue
    return decided
