"""An event as the engine sees it, and what parts declare for an event name."""

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
    """What a part declares for an event name.

    ``shape``: the properties that state needs; all others are dropped. ``topic`` and ``is_passive``
    (the customer did not do it) are only for names that `names` does not list. ``check`` raises
    ``Rejected`` for faults that types cannot express; ``rules`` state the same in JSON Schema,
    merged into the shape's schema. ``nobody`` returns the id under which an event without an
    identity is kept. ``value``: the amount of money of the event, in the currency of its
    properties, else in the shop's; ``code``: the property that is a code. ``instead``: the name and
    the properties of the event that this one really is, judged by its properties. ``has_traits``:
    its properties are under ``traits``, and unreadable ones do not refuse the event.
    ``is_never_late``: it counts however late it comes, because its part knows which events it has
    counted.
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
    """What an event name means, resolved once, when the event is decoded.

    ``number`` is the kind's index in the engine's table of routes; ``is_passive``: the customer did
    not do it. All unknown names share one kind, and all names that are nearly known share another.
    """

    name: str
    number: int
    is_known: bool
    topic: str
    is_passive: bool
    declared: EventType
    reader: PropertyReader | None


#: A whole number that every encoding used here can hold.
Whole = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Source(Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """The place on a raw topic that an event came from, and when the broker received it (Unix ms).

    ``generation`` distinguishes topics that had the same name at different times: a topic that was
    deleted and created again restarts its offsets. None if unknown.
    """

    topic: str
    partition: Whole
    offset: Whole
    received_at: Whole
    generation: str | None = None

    @property
    def message_id(self) -> str:
        """The message id for an event that has none."""
        place = f"{self.topic}-{self.partition}-{self.offset}"
        return place if self.generation is None else f"{place}-{self.generation}"


class Event(Struct, frozen=True, gc=False):
    """Something that happened, checked and typed.

    ``historical``: it is reported long after the fact, so its decisions are only rehearsed.
    ``consent``: the purposes that its context grants or denies; ``has_unread_consent``: its context
    or properties say more about consent, which could not be read. ``visitor``: the other id that it
    names, anonymous or from before an alias; ``previous``: the id from before an alias that names
    both. ``batched``: its sender sends in batches, so the hour of its time is meaningless.
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
