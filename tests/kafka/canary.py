"""A person with unmistakable values in every kind of event, and the places to search for these."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import redis
from aiokafka import ConsumerRecord
from aiokafka.record import MemoryRecords
from msgspec import inspect

from agents.trials.demo.shop import ShopRecord
from config.topics import FEEDBACK
from models.catalogue import KIND_BY_NAME, topic_of
from models.customer.identities import MERGED, SPLIT
from models.events.erasure_record import ERASE_REQUESTED
from models.events.event import Kind
from models.events.names import EVENT_TYPES
from models.events.times import iso
from tests.kafka.deployment import START_MS

USER, VISITOR = "canary-user", "canary-visitor"
#: Everything that belongs to the person contains this, and nothing else does.
MARK = b"canary"
_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
#: Events about whose id is whose are published separately.
_ACTS = {MERGED, SPLIT, ERASE_REQUESTED, "alias"}
#: Values for fields that accept only some words.
_KNOWN: dict[str, Any] = {
    "currency": "EUR",
    "channel": "email",
    "kind": "nps",
    "score": 1,
    "scale_min": 0,
    "scale_max": 10,
    "purpose": "marketing",
    "purposes": "marketing",
    "channels": "email",
    "granted": True,
    "sender": "customer",
    "priority": "high",
}
_FREE = {
    "email": "canary@example.com",
    "name": "Canary Bird",
    "phone": "+49 30 canary",
    "text": "where is my canary, says the canary",
    "comment": "canary",
}


def every_kind() -> list[Kind]:
    """Each kind of event that a customer can do or experience."""
    kinds = {kind.name: kind for kind in KIND_BY_NAME.values()}
    return [
        kind
        for name, kind in kinds.items()
        if name not in _ACTS and kind.declared.nobody is None and kind.is_known
    ]


def life(first_ms: int = START_MS) -> Iterator[ShopRecord]:
    """Every kind of event, as a visitor and as a user, an hour apart; and events that are
    refused.
    """
    at_ms = first_ms
    for kind in every_kind():
        at_ms += _HOUR_MS
        properties = {**_filled(kind.declared.shape), **_FREE}
        for number, who in enumerate(({"anonymousId": VISITOR}, {"userId": USER})):
            said = {**who, "messageId": f"canary-{kind.name}-{number}"}
            yield _record(kind.name, at_ms + number, said, properties)
        if kind.name == "identify":
            both = {"userId": USER, "anonymousId": VISITOR, "messageId": "canary-both"}
            yield _record("identify", at_ms + 5, both, {})
    # An unknown event, a refused one, one that is too late, and bytes that are no event.
    whose = {"userId": USER, "messageId": "canary-unknown"}
    yield _record("Canary Fed", at_ms, whose, _FREE)
    bad = {"userId": USER, "messageId": "canary-bad"}
    yield _record("Order Completed", at_ms, bad, {"order_id": "canary-order", "revenue": "canary"})
    late = {"userId": USER, "messageId": "canary-late"}
    yield _record("page", at_ms - 400 * _HOUR_MS, late, _FREE)
    yield ShopRecord(FEEDBACK, USER.encode(), b'{"userId": "canary-user", no json', at_ms)


def cart_left_alone(at_ms: int) -> Iterator[ShopRecord]:
    """An abandoned cart, which causes a decision an hour later."""
    said = {"userId": USER, "messageId": f"canary-cart-{at_ms}"}
    cart = {"product_id": "canary-product", "price": 30.0, "quantity": 2, "name": "Canary food"}
    yield _record("Product Added", at_ms, said, cart)


def of_somebody_else(number: int, at_ms: int, partitions: int = 16) -> Iterator[ShopRecord]:
    """Events of one customer in every partition, so that segments are closed, and clocks
    advance.
    """
    for who in range(partitions):
        # New customers, so that keys are written, too.
        said = {"userId": f"zoe-{number}-{who}", "messageId": f"zoe-{number}-{who}"}
        yield _record("page", at_ms, said, {})
        order = {"order_id": f"zoe-{number}-{who}", "revenue": 9.0}
        said = {**said, "messageId": f"zoe-order-{number}-{who}"}
        yield _record("Order Completed", at_ms, said, order)
        said = {**said, "messageId": f"zoe-survey-{number}-{who}"}
        survey = {"kind": "nps", "score": 1, "scale_max": 10}
        yield _record("Survey Responded", at_ms, said, survey)
        yield _record("Email Opened", at_ms, {**said, "messageId": f"zoe-mail-{number}-{who}"}, {})


def _record(name: str, at_ms: int, said: dict[str, str], properties: dict[str, Any]) -> ShopRecord:
    is_type = name in EVENT_TYPES
    event = {
        **({"type": name} if is_type else {"type": "track", "event": name}),
        **said,
        "timestamp": iso(at_ms),
        "properties": properties,
    }
    if "userId" in said and said["userId"] == USER:
        event["traits"] = _FREE
        page = {"url": "https://canary/", "title": "canary"}
        event["context"] = {"ip": "canary", "channel": "web", "page": page, "traits": _FREE}
    key = said.get("userId") or said["anonymousId"]
    topic = topic_of(event["type"], event.get("event"))
    return ShopRecord(topic, key.encode(), json.dumps(event).encode(), at_ms)


def _filled(shape: Any) -> dict[str, Any]:
    found = inspect.type_info(shape)
    return _value(found) if isinstance(found, inspect.StructType) else {}


def _value(found: inspect.Type, name: str = "") -> Any:
    if name in _KNOWN:
        return _KNOWN[name]
    match found:
        case inspect.Metadata():
            return _value(found.type, name)
        case inspect.UnionType():
            kinds = [one for one in found.types if not isinstance(one, inspect.NoneType)]
            return _value(kinds[0], name)
        case inspect.StructType():
            return {field.encode_name: _value(field.type, field.name) for field in found.fields}
        case inspect.ListType() | inspect.CollectionType() | inspect.VarTupleType():
            return [_value(found.item_type, name)]
        case inspect.LiteralType():
            return found.values[0]
        case inspect.BoolType():
            return True
        case inspect.IntType() | inspect.FloatType():
            return 5
        case _:
            return f"canary-{name}"


# Where it may be


def told_by(record: ConsumerRecord) -> bytes:
    """The content of a record: its key, value and headers."""
    headers = [part for name, value in record.headers for part in (name.encode(), value or b"")]
    return b"\n".join([record.key or b"", record.value or b"", *headers])


def in_segments(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """The content of each record on a broker's disk, also in segments that wait to be deleted."""
    for path in sorted(folder.rglob("*")):
        if not (path.is_file() and ".log" in path.name and path.parent != folder):
            continue
        batches = MemoryRecords(_read(path))
        while (batch := batches.next_batch()) is not None:
            for record in batch:
                headers = [part for name, value in record.headers for part in (name, value)]
                parts = [record.key, record.value, *headers]
                texts = (p.encode() if isinstance(p, str) else p or b"" for p in parts)
                yield path, b"\n".join(texts)


def in_store(url: str) -> Iterator[tuple[str, bytes]]:
    """Every key of a store, of any type, with its content."""
    with redis.Redis.from_url(url) as store:
        for key in store.scan_iter(count=1_000):
            match store.type(key):
                case b"string":
                    held: Any = store.get(key)
                case b"stream":
                    held = [store.xrange(key), store.xinfo_groups(key)]
                case b"hash":
                    held = store.hgetall(key)
                case b"list":
                    held = store.lrange(key, 0, -1)
                case b"set":
                    held = store.smembers(key)
                case b"zset":
                    held = store.zrange(key, 0, -1, withscores=True)
                case other:
                    raise AssertionError(f"{key!r} is a {other!r}: nobody looks into it here")
            yield key.decode(), key + b"\n" + repr(held).encode()


def in_files(folders: Iterable[Path]) -> Iterator[tuple[Path, bytes]]:
    """All files, with their bytes."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield path, _read(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        # It was deleted between being listed and being read.
        return b""
