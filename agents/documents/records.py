"""The records of each topic: the types of their values, and their keys and headers."""

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

from msgspec import Struct

from config import topics
from models.catalogue import TOPICS
from models.event_schema import Schema, event_names
from models.events.dead_letter import DeadLetter
from models.events.erasure_record import ErasureNotice
from models.events.event import Source
from models.events.line import Context
from models.events.link_record import LinkRecord
from streams.outputs import OUTPUTS
from streams.webhooks.undelivered import UndeliveredMessage

CUSTOMER_KEY: Final = "The customer's id."


class LogEvent(Struct, rename="camel", kw_only=True, omit_defaults=True):
    """An event as ingest writes it: the fields that state needs, and the raw record that it came
    from.
    """

    type: str
    event: str = ""
    message_id: str
    user_id: str = ""
    anonymous_id: str = ""
    previous_id: str = ""
    timestamp: str
    properties: dict[str, Any] = {}
    context: Context | None = None
    source: Source
    log_format: int


class WhoIsWho(Struct, rename="camel"):
    """What rows tell each other about linked ids: ``properties`` are those of `LinkSaid`.
    ``source``: the record of the log that caused it.
    """

    type: Literal["link", "unlink", "left", "graft", "forwarded", "release", "erase"]
    user_id: str
    timestamp: str
    properties: dict[str, Any]
    source: Source
    log_format: int


class RecordKind(NamedTuple):
    """One kind of record on a topic. ``content``: a type that is written as JSON, a document of
    `keepstream schema`, or None for bytes that only Keepstream reads, which ``about`` describes.
    ``may_be_null``: whether a null value (a tombstone) revokes the key's earlier record.
    """

    name: str
    key: str
    content: type[Struct] | str | None = None
    headers: Schema | None = None
    about: str = ""
    may_be_null: bool = False


def records() -> dict[str, list[RecordKind]]:
    """The kinds of records on each topic."""
    found: dict[str, list[RecordKind]] = {name: [] for name in topics.RAW_TOPICS}
    for name in event_names():
        topic = TOPICS.get(name, topics.CLICKSTREAM)
        found[topic].append(RecordKind(name, "The customer's id, or none.", name))
    for topic, kind in (*_by_output(), *_BESIDES):
        found.setdefault(topic, []).append(kind)
    return found


def _by_output() -> Iterator[tuple[str, RecordKind]]:
    for kind, output in OUTPUTS.items():
        content = WhoIsWho if kind is LinkRecord else kind
        keyed = CUSTOMER_KEY if output.is_partitioned or output.is_of_key else "None."
        headers = None if output.type_name is None else _DECISION_HEADERS
        yield output.topic, RecordKind(kind.__name__, keyed, content, headers)
        if output.ledger_key is not None:
            ledger = RecordKind(kind.__name__, "The decision's id.", kind)
            yield topics.DECISION_LEDGER, ledger


def _headers_of(names: dict[str, str], optional: tuple[str, ...] = ()) -> Schema:
    properties = {name: {"type": "string", "description": about} for name, about in names.items()}
    required = [name for name in names if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


_ATTRIBUTES: Final = {
    "ce_specversion": "1.0.",
    "ce_id": "The id; readers drop repeats by it.",
    "ce_source": "The producer.",
    "ce_type": "The kind, with its version.",
    "ce_subject": "The customer's id, or the fingerprint of one who was erased.",
    "ce_time": "When it was decided, in event time.",
    "content-type": "application/json.",
}
_DECISION_HEADERS: Final = _headers_of(
    {
        **_ATTRIBUTES,
        "ce_group": "treated or control.",
        "ce_causedat": "When the broker took the event that caused it, in ms since 1970.",
        "ce_contaminated": "true for customers with decisions of both groups.",
        "traceparent": "The trace of the event that caused it, if it is traced: W3C Trace Context.",
    },
    ("ce_group", "ce_causedat", "ce_contaminated", "traceparent"),
)
_NOTICE: Final = RecordKind(
    "ErasureNotice", "The fingerprint.", ErasureNotice, _headers_of(_ATTRIBUTES)
)
#: Records that are no effects of the fold.
_BESIDES: Final = (
    (topics.CUSTOMER_EVENTS, RecordKind("LogEvent", CUSTOMER_KEY, LogEvent)),
    (topics.CUSTOMER_EVENTS, RecordKind("clock", "None.", "clock")),
    (topics.CUSTOMER_EVENTS, RecordKind("live", "None.", "live")),
    (topics.CUSTOMER_EVENTS, RecordKind("model", "None.", "model")),
    (topics.RETENTION_TRIGGERS, _NOTICE),
    (topics.NEXT_BEST_ACTIONS, _NOTICE),
    (topics.DEAD_LETTERS, RecordKind("DeadLetter", "None.", DeadLetter)),
    (topics.MODEL_SNAPSHOTS, RecordKind("model-snapshot", "None.", "model-snapshot")),
    (
        topics.UNDELIVERED,
        RecordKind(
            "UndeliveredMessage",
            "Endpoint, topic, partition and offset.",
            UndeliveredMessage,
            may_be_null=True,
        ),
    ),
    (
        topics.CUSTOMERS,
        RecordKind(
            "row",
            "The customer's id; of anything else, after a zero byte, what it is.",
            about="A packed row, a partition's state, or a grave; null (a tombstone) for a deleted "
            "row. The checksum is in the headers.",
        ),
    ),
    (
        topics.CUSTOMER_ARCHIVE,
        RecordKind(
            "frame", "None.", about="Records of the log, each encrypted with its customer's key."
        ),
    ),
    (
        topics.CUSTOMER_KEYS,
        RecordKind(
            "key",
            "The customer's id, a zero byte, and since when.",
            about="The key of a customer or a partition; null once it is deleted.",
        ),
    ),
)
