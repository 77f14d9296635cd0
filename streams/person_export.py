"""Writes everything that is held about one person as JSON lines, for a request of access."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
from aiokafka import ConsumerRecord
from msgspec import Struct

from config.settings import Settings
from config.topics import (
    CUSTOMER_EVENTS,
    DEAD_LETTERS,
    DECISION_LEDGER,
    NEXT_BEST_ACTIONS,
    RAW_TOPICS,
    RETENTION_TRIGGERS,
)
from models.collecting.queries import hashed
from models.customer.churn import CHURN
from models.customer.registry import PARTS
from models.customer.row import Row
from models.events.dead_letter import WEBHOOK, DeadLetter
from models.events.foreign import UNREADABLE
from models.events.times import iso
from streams.dead_letters import decode_letter
from streams.kafka_clients import new_reader, running
from streams.person_lookup import KeptOfId
from streams.topic_scan import scan, spans_of

OnProgress = Callable[[int, int], object]
Write = Callable[[bytes], object]

#: The kind under which each topic's records are exported.
_KINDS: Final = {
    **dict.fromkeys(RAW_TOPICS, "published"),
    CUSTOMER_EVENTS: "log",
    DEAD_LETTERS: "dead-letter",
    RETENTION_TRIGGERS: "decision",
    NEXT_BEST_ACTIONS: "decision",
    DECISION_LEDGER: "ledger",
}
#: The fields that name somebody, in any spelling; and those in the properties.
_WHO: Final = frozenset({"userid", "anonymousid", "previousid"})
#: Shorter numbers are not taken for vendors' ids.
_NUMBER_LENGTH_MIN: Final = 6
_WHO_ELSE: Final = frozenset({"id", "person", "fromuserid"})


async def export_person(
    settings: Settings, person: dict[str, KeptOfId], write: Write, on_progress: OnProgress
) -> int:
    """Write everything that names one of the ids of ``person``, one JSON object a line; return the
    number of lines. ``on_progress(done, total)`` counts the records examined.
    """
    lines = 0
    for id_, kept in person.items():
        for line in of_row(id_, kept.row):
            write(_encoded(line))
            lines += 1
    async with running(new_reader(settings), settings) as reader:
        of_topics = {name: await spans_of(reader, name, settings) for name in _KINDS}
        spans = [span for of_topic in of_topics.values() for span in of_topic]
        done, total = 0, sum(span.end - span.begin for span in spans)
        for name, span in [(name, span) for name, some in of_topics.items() for span in some]:
            async for records in scan(reader, span, settings):
                for record in records:
                    if (content := _naming(name, record, person.keys())) is not None:
                        write(_encoded(_line(name, record, content)))
                        lines += 1
                done += len(records)
                on_progress(done, total)
    return lines


def of_row(id_: str, row: Row | None) -> Iterator[dict[str, Any]]:
    """What is kept under an id, and each label that waits for its outcome."""
    if row is None:
        return
    parts = {part.name: _readable(row.read(part)) for part in PARTS if row.has(part)}
    yield {"kind": "row", "id": id_, "latest": iso(row.latest_ms), "parts": parts}
    for point in row.read(CHURN).points:
        yield {"kind": "waiting-label", "id": id_, "content": _readable(point)}


def _readable(value: Any) -> Any:
    """A state with its field names."""
    if value is None or isinstance(value, str | bool | float):
        return value
    if isinstance(value, int):
        # An int from a subclass, such as a duration.
        return int(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): _readable(one) for key, one in value.items()}
    if isinstance(value, Iterable):
        return [_readable(one) for one in value]
    names = value.__struct_fields__ if isinstance(value, Struct) else _fields_of(value)
    return {name.lstrip("_"): _readable(getattr(value, name)) for name in names}


def _fields_of(state: object) -> list[str]:
    """The fields of a state that is no msgspec struct."""
    slots = [name for kind in type(state).__mro__ for name in getattr(kind, "__slots__", ())]
    return [name for name in (*slots, *getattr(state, "__dict__", ())) if hasattr(state, name)]


def _naming(name: str, record: ConsumerRecord, ids: Collection[str]) -> Any:
    """The content of a record that names one of ``ids``; of a dead letter, also what was sent."""
    value = record.value or b""
    if name != DEAD_LETTERS:
        content = _json(value)
        return content if names_one_of(content, ids) else None
    letter = decode_letter(value)
    if letter is None:
        return None
    if not is_of_one(letter, ids):
        return None
    raw = letter.content()
    return {"reason": str(letter.reason), "path": letter.path, "sent": _text(raw)}


def is_of_one(letter: DeadLetter, ids: Collection[str]) -> bool:
    """Whether the refused content names one of ``ids``, as far as non-events allow to tell."""
    raw = letter.content()
    sent = _json(raw)
    if sent is None:
        return _mentions(raw, ids)
    return _tells_of(sent, ids) if letter.step == WEBHOOK else names_one_of(sent, ids)


def _tells_of(content: Any, ids: Collection[str]) -> bool:
    """Whether a vendor's webhook names one of ``ids`` anywhere, as each vendor has its own fields.

    Ids that a mapping makes count, too: the hash of an address, or the vendor's name and number.
    """
    if isinstance(content, dict):
        return any(_tells_of(value, ids) for value in content.values())
    if isinstance(content, list):
        return any(_tells_of(value, ids) for value in content)
    if content is None or isinstance(content, bool):
        return False
    text = str(content)
    if text in ids or hashed(text) in ids:
        return True
    # A shorter number may just as well be a count or a status.
    return len(text) >= _NUMBER_LENGTH_MIN and any(id_.endswith(f"-{text}") for id_ in ids)


def names_one_of(content: Any, ids: Collection[str]) -> bool:
    """Whether a record's JSON is about one of ``ids``, or links one of them to another id."""
    if not isinstance(content, dict):
        return False
    properties = content.get("properties")
    within = properties if isinstance(properties, dict) else {}
    return any(_folded(key) in _WHO and str(value) in ids for key, value in content.items()) or any(
        _folded(key) in _WHO_ELSE and str(value) in ids for key, value in within.items()
    )


def _mentions(raw: bytes, ids: Collection[str]) -> bool:
    """For content that is no JSON: whether an id stands in it, and not as part of a longer one."""
    text = _text(raw)
    return any(re.search(rf"(?<![\w-]){re.escape(id_)}(?![\w-])", text) for id_ in ids)


def _folded(key: str) -> str:
    return key.replace("_", "").lower()


def _json(value: bytes) -> Any:
    try:
        return msgspec.json.decode(value)
    except UNREADABLE:
        return None


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _line(name: str, record: ConsumerRecord, content: Any) -> dict[str, Any]:
    return {
        "kind": _KINDS[name],
        "topic": name,
        "partition": record.partition,
        "offset": record.offset,
        "written": iso(record.timestamp),
        "content": content,
    }


def _encoded(line: dict[str, Any]) -> bytes:
    return msgspec.json.encode(line) + b"\n"
