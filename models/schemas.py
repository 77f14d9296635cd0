"""JSON Schema of everything that comes in and goes out, by name."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from models.answer import Score
from models.customer.profile import Profile
from models.decisions.trigger import NextBestAction, Trigger
from models.events.dead_letter import DeadLetter
from models.events.schema import (
    Schema,
    about_event,
    event_names,
    event_schema,
    score_line_schema,
)
from models.learning.snapshot import Snapshot

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class Document(NamedTuple):
    """A schema that can be asked for. ``kind``: event, control or output."""

    name: str
    kind: str
    about: str
    schema: Callable[[], Schema]


class _Model(Struct, rename="camel", tag="model", tag_field="type"):
    """A snapshot announced to a partition of `customer-events`: decisions after this record are
    made with it. `sha256` is that of the snapshot's bytes on `model-snapshots`.
    """

    version: int
    sha256: str


class _Clock(Struct, tag="clock", tag_field="type"):
    """The time that a partition of `customer-events` has reached: everything due by then runs."""

    timestamp: str


class _Watermark(Struct, tag="watermark", tag_field="type"):
    """A clock which also says that every event up to it has been delivered."""

    timestamp: str


def _of(kind: type[Struct]) -> Callable[[], Schema]:
    def schema() -> Schema:
        [found], parts = msgspec.json.schema_components([kind])
        own = parts.pop(found["$ref"].removeprefix("#/$defs/"))
        return {**own, "$defs": parts}

    return schema


def _snapshot() -> Schema:
    """Without what the trainer goes on from, which is nobody else's business."""
    fields = [f for f in msgspec.structs.fields(Snapshot) if f.type is not msgspec.Raw]
    shown: Any = msgspec.defstruct(
        "Snapshot",
        [(f.name, f.type) if f.required else (f.name, f.type, _default(f)) for f in fields],
        namespace={"__doc__": Snapshot.__doc__},
        rename="camel",
    )
    return _of(shown)()


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is msgspec.NODEFAULT:
        return field.default
    return msgspec.field(default_factory=field.default_factory)


_OTHERS = (
    Document("score-line", "control", "asks a replay for a score", score_line_schema),
    Document("clock", "control", "moves a partition's time", _of(_Clock)),
    Document("watermark", "control", "a clock with everything delivered", _of(_Watermark)),
    Document("model", "control", "announces a snapshot", _of(_Model)),
    Document("retention-trigger", "output", "on retention-triggers, and in Redis", _of(Trigger)),
    Document(
        "next-best-action", "output", "on next-best-actions, and in Redis", _of(NextBestAction)
    ),
    Document("profile", "output", "GET /customers/{id}, and in Redis", _of(Profile)),
    Document("dead-letter", "output", "on dead-letters", _of(DeadLetter)),
    Document("model-snapshot", "output", "on model-snapshots", _snapshot),
    Document("score", "output", "a line of a replay's scores.jsonl", _of(Score)),
)


def documents() -> list[Document]:
    """Every schema there is: events first, then control lines, then what comes out."""
    events = [
        Document(name, "event", about_event(name), partial(event_schema, name))
        for name in event_names()
    ]
    return [*events, *_OTHERS]


def document_schema(document: Document) -> Schema:
    """The whole schema, which stands by itself."""
    described = _described(document.schema())
    return {"$schema": DIALECT, **described, "title": document.name}


def slug(name: str) -> str:
    """The name as a file or a command line has it."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _described(part: Any) -> Any:
    """The schema with its descriptions in one line each, and fields named as they are sent."""
    if isinstance(part, list):
        return [_described(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    described = {name: _described(inner) for name, inner in part.items()}
    if isinstance(text := described.get("description"), str):
        words = " ".join(text.split())
        described["description"] = re.sub(
            r"``([^`]+)``", lambda m: f"`{_camel(m[1], part)}`", words
        )
    return described


def _camel(name: str, part: Schema) -> str:
    first, *rest = name.split("_")
    camel = first + "".join(word.capitalize() for word in rest)
    return camel if camel in part.get("properties", {}) else name
