"""What every event's name means, resolved when the event is decoded."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import Struct

from config.names import ALIASES, folded
from config.topics import CLICKSTREAM
from models.customer.registry import PARTS, RegistryError
from models.customer.timeline import code_of
from models.events.event import EventType, Kind, Nothing
from models.events.names import EVENT_TYPES, PASSIVE, TOPIC_BY_NAME
from models.events.properties import PropertyReader
from models.events.sounds import meant_by_sound
from models.events.spelling import Spellings

NAME_LENGTH_MAX: Final = 256
#: How many names in other spellings are cached: a stream may send millions.
_NAMES_MAX: Final = 4_096


def _declared() -> dict[str, EventType]:
    """The declaration of every name: its owner's shape, with the fields that other parts add."""
    declared = {name: kind for part in PARTS for name, kind in part.events.items()}
    for part in PARTS:
        for name, more in part.adds.items():
            known = declared.get(name, EventType())
            declared[name] = msgspec.structs.replace(known, shape=joined(known.shape, more))
    return declared


def joined(shape: type[Struct], more: type[Struct]) -> type[Struct]:
    """A shape with the fields of another one added. Each field is cleaned by the shape that it
    comes from, and dispensable if it is so there.
    """
    cleaners = [
        clean for one in (shape, more) if (clean := getattr(one, "__post_init__", None)) is not None
    ]

    def clean_all(self: Any) -> None:
        for clean in cleaners:
            clean(self)

    dispensable: frozenset[str] = frozenset().union(
        *(getattr(one, "dispensable", frozenset()) for one in (shape, more))
    )
    fields = [(f.name, f.type, f.default) for f in msgspec.structs.fields(more)]
    return msgspec.defstruct(
        shape.__name__,
        fields,
        bases=(shape,),
        namespace={
            "__post_init__": clean_all,
            "__doc__": shape.__doc__,
            "dispensable": dispensable,
        },
        frozen=True,
        omit_defaults=True,
    )


_DECLARED = _declared()
#: Where each known name is usually published; every raw topic accepts all of them.
TOPICS: dict[str, str] = {
    **TOPIC_BY_NAME,
    **{name: kind.topic for name, kind in _DECLARED.items() if kind.topic is not None},
}
#: The properties that the state needs from the events of each name.
SHAPES: dict[str, type[Struct]] = {
    name: kind.shape for name, kind in _DECLARED.items() if kind.shape is not Nothing
}


def _kind(number: int, name: str) -> Kind:
    declared = _DECLARED.get(name, EventType())
    has_shape = declared.shape is not Nothing
    return Kind(
        name=name,
        number=number,
        is_known=number > 1,
        topic=TOPICS.get(name, CLICKSTREAM),
        is_passive=name in PASSIVE or declared.is_passive,
        declared=declared,
        reader=PropertyReader(declared.shape) if has_shape else None,
    )


#: The kind of all unknown names.
UNKNOWN = _kind(0, "*")
#: The kind of names that are nearly a known one. Counting them as the known name, or as clicks,
#: would be a guess: they are kept in the log and count as nothing until somebody corrects them.
MISSPELT = msgspec.structs.replace(_kind(1, "?"), is_passive=True)
#: Every kind; a kind's number is its index here.
KINDS: tuple[Kind, ...] = (
    UNKNOWN,
    MISSPELT,
    *(
        _kind(number, name)
        for number, name in enumerate(
            dict.fromkeys((*TOPICS, *sorted(EVENT_TYPES - {"track"}))), start=2
        )
    ),
)
#: The kinds by their known names.
KIND_BY_NAME: Final = {kind.name: kind for kind in KINDS[2:]}


def _codes(names: Iterable[str]) -> dict[bytes, str]:
    """The names by the codes that rows store. Raises ``RegistryError`` if two names share one."""
    found: dict[bytes, str] = {}
    for name in names:
        if (other := found.setdefault(code_of(name), name)) != name:
            raise RegistryError(f"{name} and {other} have one code in rows: name one otherwise")
    return found


#: Every known name, by the code that rows store.
NAMES: Final = _codes(KIND_BY_NAME)
#: Every spelling of a name, folded, and the known name.
_MEANT: dict[str, str] = {
    **{folded(alias): name for alias, name in ALIASES.items()},
    **{folded(name): name for name in TOPICS},
}
#: Separators between words of names, besides those that folding removes: ``email.unsubscribed``,
#: ``order/completed``.
_BETWEEN_WORDS = re.compile(r"(?<=\w)[./:](?=\w)")
_SPELLINGS = Spellings({**ALIASES, **{name: name for name in TOPICS}})


def kind_of(name: str) -> Kind:
    """The kind of events with this name, however it is spelled."""
    kind = KIND_BY_NAME.get(name)
    if kind is not None:
        return kind
    return _kind_of_spelling(name) if len(name) <= NAME_LENGTH_MAX else UNKNOWN


def known_name(name: str) -> str | None:
    """The name by which Keepstream knows an event, however ``name`` is spelled; None for others."""
    if name in KIND_BY_NAME:
        return name
    meant = _MEANT.get(folded(name))
    return _MEANT.get(folded(_BETWEEN_WORDS.sub("", name))) if meant is None else meant


def nearest_known_name(name: str) -> str | None:
    """The known name that ``name`` probably stands for: a typo or two away, or another form of its
    verb. None for a known name, and for a different one.
    """
    return _nearest(name) if len(name) <= NAME_LENGTH_MAX else None


@lru_cache(_NAMES_MAX)
def _nearest(name: str) -> str | None:
    return None if known_name(name) is not None else _meant_by(name)


@lru_cache(_NAMES_MAX)
def _kind_of_spelling(name: str) -> Kind:
    meant = known_name(name)
    if meant is not None:
        return KIND_BY_NAME.get(meant, UNKNOWN)
    return UNKNOWN if _meant_by(name) is None else MISSPELT


def _meant_by(name: str) -> str | None:
    """The known name that this unknown one probably stands for."""
    return _SPELLINGS.nearest(name) or meant_by_sound(name)


def topic_of(event_type: str, name: str | None) -> str:
    """The topic to publish an event on; clickstream for unknown names."""
    return kind_of(name or "").topic if event_type.strip().lower() == "track" else CLICKSTREAM
