"""Turns a record of a raw topic into an event for a customer's partition, or a dead letter.

Ingest does it, and an audit does it again.
"""

from msgspec import Struct

from config.parameters import Parameters
from config.topics import CUSTOMER_EVENTS, DEAD_LETTERS
from models.admission import admit_line
from models.events.dead_letter import dead_letter, encode_dead_letter
from models.events.event import Event, Source
from models.events.rejection import Rejected
from models.events.wire import decode_line, encode_log_event
from streams.kafka_clients import partition_for
from streams.outbox import Headers
from streams.record_batches import Record


class Outgoing(Struct, frozen=True, gc=False):
    """A record to write: an event for a customer's partition, or a dead letter."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: Headers = ()


def outgoing_of(
    topic: str, record: Record, generation: str | None, parameters: Parameters, partitions: int
) -> tuple[Outgoing, Event | Rejected]:
    """The record to write for ``record`` of raw ``topic`` (of this ``generation``: see `Source`),
    and the event in it or its refusal.
    """
    source = Source(topic, record.partition, record.offset, record.timestamp, generation)
    raw = record.value or b""
    try:
        line = decode_line(raw)
        event = admit_line(line, parameters, message_id=None, topic=topic, source=source)
        content = encode_log_event(event)
    except Rejected as rejected:
        letter = encode_dead_letter(dead_letter(rejected, raw, step="ingest", source=source))
        return Outgoing(DEAD_LETTERS, record.partition, None, letter), rejected
    key = event.customer.encode()
    partition = partition_for(key, partitions)
    return Outgoing(CUSTOMER_EVENTS, partition, key, content), event
