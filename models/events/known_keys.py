"""Whether properties say nothing but what was read of them, by their keys alone.

A search for a field under other spellings goes through all of the JSON, field by field. Most shops
send each event with the same keys every time, so that the verdict on them is remembered.
"""

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec

from models.events.foreign import UNREADABLE

#: What must be there of an object for its keys to hide nothing: each gives a value.
_Needed = tuple[Callable[[Any], Any], ...]
#: How many different sets of keys are remembered of one shape, and how many letters in one: who
#: makes up keys must not fill the memory.
_SETS_MAX: Final = 512
_LETTERS_MAX: Final = 1_024
_TREE: Final = msgspec.json.Decoder().decode
_ENCODE: Final = msgspec.json.Encoder().encode
#: An amount may be of the currency that an object in a list says.
_CURRENCY: Final = "currency"


class Spelling(NamedTuple):
    """A field that may be written in another way: its value, and whether it is in JSON so."""

    value_in: Callable[[Any], Any]
    is_spelt_in: Callable[[bytes], object]


class KnownKeys:
    """The keys that objects may have without hiding anything.

    ``spellings``: the fields that are looked for; ``only``: all keys that there may be, where any
    other may mean something; ``is_inside``: the objects are in another's list.
    """

    def __init__(
        self, spellings: Iterable[Spelling], only: frozenset[str] | None, *, is_inside: bool
    ) -> None:
        self._spellings = tuple(spellings)
        self._only = only
        self._is_inside = is_inside
        self._judged: dict[tuple[str, ...], _Needed | None] = {}

    def hide_nothing(self, keys: tuple[str, ...], objects: Iterable[Any]) -> bool:
        """Whether JSON with these keys says no more than ``objects``, each of which was read of
        such. It may be cautious.
        """
        try:
            needed = self._judged[keys]
        except KeyError:
            needed = self._judge(keys)
        if needed is None:
            return False
        for value_in in needed:
            for one in objects:
                if value_in(one) is None:
                    return False
        return True

    def _judge(self, keys: tuple[str, ...]) -> _Needed | None:
        if sum(map(len, keys)) > _LETTERS_MAX:
            return None
        if len(self._judged) >= _SETS_MAX:
            # Those that come again are soon known again.
            self._judged.clear()
        needed = self._judged[keys] = self._needed(keys)
        return needed

    def _needed(self, keys: tuple[str, ...]) -> _Needed | None:
        """What must be there; None if nobody can tell."""
        if self._only is not None and not self._only.issuperset(keys):
            return None
        if self._is_inside and any(_CURRENCY in key.lower() for key in keys):
            return None
        try:
            # As if each had a text: a currency is only looked for before one.
            written = _ENCODE(dict.fromkeys(keys, ""))
        except UnicodeEncodeError:
            return None
        return tuple(one.value_in for one in self._spellings if one.is_spelt_in(written))


class PlainObject:
    """Tells of a shape's JSON whether it has no other objects in it than the shape has, and its
    keys hide nothing.

    ``lists``: the fields that are lists of objects, each with its name in JSON and their keys.
    """

    def __init__(self, keys: KnownKeys, lists: Mapping[str, tuple[str, KnownKeys]]) -> None:
        self._keys = keys
        self._lists = tuple(
            (attrgetter(name), said, inner) for name, (said, inner) in lists.items()
        )

    def is_all(self, properties: Any, raw: bytes) -> bool:
        """Whether ``properties`` is all that ``raw`` says. It may be cautious."""
        try:
            tree = _TREE(raw)
        except UNREADABLE:
            return False
        if not self._keys.hide_nothing(tuple(tree), (properties,)):
            return False
        # In a text, too: whoever has one in it is searched.
        others = raw.count(b"{") - 1
        if not others:
            return True
        for items_in, said, inner in self._lists:
            if items := items_in(properties):
                others -= len(items)
                for keys in {*map(tuple, tree.get(said, ()))}:
                    if not inner.hide_nothing(keys, items):
                        return False
        return not others
