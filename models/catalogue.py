"""What every event's name means, resolved when the event is decoded."""

from typing import Any

import msgspec
from msgspec import Struct

from config.topics import CLICKSTREAM
from models.customer.registry import PARTS
from models.events.event import EventType, Kind, Nothing
from models.events.names import EVENT_TYPES, PASSIVE, TOPIC_BY_NAME


def _declared() -> dict[str, EventType]:
    """The declaration of every name: its owner's shape, with the fields that other parts add."""
    declared = {name: kind for part in PARTS for name, kind in part.events.items()}
    for part in PARTS:
        for name, more in part.adds.items():
            known = declared.get(name, EventType())
            declared[name] = msgspec.structs.replace(known, shape=joined(known.shape, more))
    return declared


def joined(shape: type[Struct], more: type[Struct]) -> type[Struct]:
    """A shape with the fields of another too, each cleaned by its own shape."""
    cleaners = [
        clean for one in (shape, more) if (clean := getattr(one, "__post_init__", None)) is not None
    ]

    def clean_all(self: Any) -> None:
        for clean in cleaners:
            clean(self)

    fields = [(f.name, f.type, f.default) for f in msgspec.structs.fields(more)]
    return msgspec.defstruct(
        shape.__name__,
        fields,
        bases=(shape,),
        namespace={"__post_init__": clean_all, "__doc__": shape.__doc__},
        frozen=True,
        omit_defaults=True,
    )


_DECLARED = _declared()
#: Where each known name is usually published; any raw topic takes any of them.
TOPICS: dict[str, str] = {
    **TOPIC_BY_NAME,
    **{name: kind.topic for name, kind in _DECLARED.items() if kind.topic is not None},
}
#: The properties that state needs of each name's events.
SHAPES: dict[str, type[Struct]] = {
    name: kind.shape for name, kind in _DECLARED.items() if kind.shape is not Nothing
}


def _kind(number: int, name: str) -> Kind:
    declared = _DECLARED.get(name, EventType())
    has_shape = declared.shape is not Nothing
    return Kind(
        name=name,
        number=number,
        topic=TOPICS.get(name, CLICKSTREAM),
        is_passive=name in PASSIVE or declared.is_passive,
        declared=declared,
        decoder=msgspec.json.Decoder(declared.shape) if has_shape else None,
    )


#: The kind of all unknown names.
UNKNOWN = _kind(0, "*")
#: Every kind; a kind's number is its index here.
KINDS: tuple[Kind, ...] = (
    UNKNOWN,
    *(
        _kind(number, name)
        for number, name in enumerate(
            dict.fromkeys((*TOPICS, *sorted(EVENT_TYPES - {"track"}))), start=1
        )
    ),
)
_BY_NAME = {kind.name: kind for kind in KINDS[1:]}


def kind_of(name: str) -> Kind:
    """The kind of events with this name."""
    return _BY_NAME.get(name, UNKNOWN)


def topic_of(event_type: str, name: str | None) -> str:
    """The topic to publish an event on; clickstream for unknown names."""
    return TOPICS.get(name or "", CLICKSTREAM) if event_type == "track" else CLICKSTREAM
