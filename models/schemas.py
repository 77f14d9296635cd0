"""JSON Schema of every input and output, by name."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from models.answer import Score
from models.customer.profile import Profile
from models.decisions.trigger import ActionWithdrawn, NextBestAction, Trigger
from models.event_schema import (
    Schema,
    about_event,
    event_names,
    event_schema,
    score_line_schema,
)
from models.events.dead_letter import DeadLetter
from models.events.erasure_record import ErasureNotice
from models.events.line import LOG_FORMAT
from models.learning.registry import LEARNERS

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class Document(NamedTuple):
    """A named schema. ``kind``: event, control or output."""

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
    log_format: int = LOG_FORMAT


class _Clock(Struct, rename="camel", tag="clock", tag_field="type"):
    """The time that a partition of `customer-events` has reached: everything due by then runs."""

    timestamp: str
    log_format: int = LOG_FORMAT


class _Live(Struct, rename="camel", tag="live", tag_field="type"):
    """From here on a partition of `customer-events` is live and writes triggers; what came before
    was a rehearsal. In a plain log it applies to all customers.
    """

    timestamp: str
    log_format: int = LOG_FORMAT


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
    """Without the trainer's state, which only the trainer reads."""
    drawn = msgspec.defstruct(
        "Drawn",
        [(one.name, one.drawn) for one in LEARNERS if one.drawn is not None],
        namespace={"__doc__": "What each learner knows of all customers together."},
    )
    shown = msgspec.defstruct(
        "Snapshot",
        [("format", int), ("version", int), ("created_at_ms", int), ("drawn", drawn)],
        namespace={"__doc__": "Everything customers share, as of a moment of event time."},
        rename="camel",
    )
    return _of(shown)()


_OTHERS = (
    Document("score-line", "control", "asks a replay for a score", score_line_schema),
    Document("clock", "control", "moves a partition's time", _of(_Clock)),
    Document("live", "control", "ends a partition's rehearsal", _of(_Live)),
    Document("watermark", "control", "a clock with everything delivered", _of(_Watermark)),
    Document("model", "control", "announces a snapshot", _of(_Model)),
    Document("retention-trigger", "output", "on retention-triggers, and in Redis", _of(Trigger)),
    Document(
        "next-best-action", "output", "on next-best-actions, and in Redis", _of(NextBestAction)
    ),
    Document(
        "action-withdrawn", "output", "on next-best-actions, and in Redis", _of(ActionWithdrawn)
    ),
    Document("erased", "output", "on retention-triggers and next-best-actions", _of(ErasureNotice)),
    Document("profile", "output", "GET /customers/{id}, and in Redis", _of(Profile)),
    Document("dead-letter", "output", "on dead-letters", _of(DeadLetter)),
    Document("model-snapshot", "output", "on model-snapshots", _snapshot),
    Document("score", "output", "a line of a replay's scores.jsonl", _of(Score)),
)


def documents() -> list[Document]:
    """Every schema: events first, then control lines, then outputs."""
    events = [
        Document(name, "event", about_event(name), partial(event_schema, name))
        for name in event_names()
    ]
    return [*events, *_OTHERS]


def document_schema(document: Document) -> Schema:
    """The schema, complete in itself."""
    return {"$schema": DIALECT, **described(document.schema()), "title": document.name}


def slug(name: str) -> str:
    """The name in lower case with dashes, for file names and the command line."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def described(part: Any) -> Any:
    """The schema with one-line descriptions, and fields named as in JSON."""
    if isinstance(part, list):
        return [described(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    found = {name: described(inner) for name, inner in part.items()}
    if isinstance(text := found.get("description"), str):
        words = " ".join(text.split())
        found["description"] = re.sub(r"``([^`]+)``", lambda m: f"`{_camel(m[1], part)}`", words)
    return found


def _camel(name: str, part: Schema) -> str:
    first, *rest = name.split("_")
    camel = first + "".join(word.capitalize() for word in rest)
    return camel if camel in part.get("properties", {}) else name
