"""An event as the engine sees it, and what parts can declare for an event's name."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from models.events.properties import PropertyReader

Amount = Annotated[float, Meta(ge=0, le=1e12)]
Number = Annotated[float, Meta(ge=-1e12, le=1e12)]
Text = Annotated[str, Meta(min_length=1, max_length=256)]


class Nothing(Struct, frozen=True, gc=False):
    """No properties: state needs only the event's name and time."""


NOTHING = Nothing()


class EventType(Struct, frozen=True, kw_only=True):
    """What a part declares for an event's name.

    ``shape``: the properties that state needs; all others are dropped. ``topic`` and
    ``is_passive`` (the customer did not do it) are only for names that `names` does not know.
    ``check`` raises ``Rejected`` for what types cannot express; ``rules`` state the same in JSON
    Schema, merged into the shape's. ``nobody`` gives the id under which an event without an
    identity is kept. ``value``: the amount of money that the event is about, in the currency of
    its properties, else in the shop's; ``code``: the one of its properties that is a code.
    ``instead``: by what its properties say, the name and the properties of the event that it is.
    ``has_traits``: what it says is called traits, and costs the event nothing if it can't be read.
    ``is_never_late``: it counts however late it comes, since its part knows which it has counted.
    """

    shape: type[Struct] = Nothing
    topic: str | None = None
    is_passive: bool = False
    check: Callable[[Any], None] | None = None
    rules: Mapping[str, Any] = {}
    nobody: Callable[[Any], str] | None = None
    instead: Callable[[Any], tuple[str, dict[str, Any]] | None] | None = None
    value: Callable[[Any], float | None] | None = None
    code: Callable[[Any], str | None] | None = None
    has_traits: bool = False
    is_never_late: bool = False


class Kind(Struct, frozen=True, kw_only=True, eq=False):
    """What an event's name means, resolved once, when the event is decoded.

    ``number`` is the kind's index in the engine's table of routes; ``is_passive``: the customer did
    not do it. All unknown names share one kind, and all those that are nearly known another.
    """

    name: str
    number: int
    is_known: bool
    topic: str
    is_passive: bool
    declared: EventType
    reader: PropertyReader | None


#: A number that all of our encodings hold.
Whole = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Source(Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """Where on a raw topic an event came from, and when the broker took it (Unix ms).

    ``generation`` tells the topic from others that had its name before, or will: a topic that was
    deleted and created again counts its offsets anew. None where it is not known.
    """

    topic: str
    partition: Whole
    offset: Whole
    received_at: Whole
    generation: str | None = None

    @property
    def message_id(self) -> str:
        """The id of a message that has none of its own."""
        place = f"{self.topic}-{self.partition}-{self.offset}"
        return place if self.generation is None else f"{place}-{self.generation}"


class Event(Struct, frozen=True, gc=False):
    """Something that happened, checked and typed.

    ``historical``: it is told long after, so what it brings about is not decided aloud.
    ``consent``: the purposes that its context says are granted, or are not; ``has_unread_consent``:
    it says more of that, or its properties do, which is not understood. ``visitor``: the id
    that it names besides the user's, anonymous or from before an alias; ``previous``: the latter,
    of an alias that names both. ``batched``: its sender tells many at once, so that the hour of
    its time says nothing.
    """

    name: str
    kind: Kind
    customer: str
    message_id: str
    occurred_at_ms: int
    properties: Any = NOTHING
    channel: str | None = None
    source: Source | None = None
    identified: bool = True
    timezone: str | None = None
    historical: bool = False
    consent: tuple[tuple[str, bool], ...] = ()
    has_unread_consent: bool = False
    visitor: str | None = None
    previous: str | None = None
    batched: bool = False

    @property
    def named(self) -> Iterator[str]:
        """The ids that it names besides the user's."""
        return (id_ for id_ in (self.previous, self.visitor) if id_ is not None)
