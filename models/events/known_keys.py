"""Decides from JSON keys alone whether decoded properties are complete.

Searching for a field under other spellings scans all of the JSON, field by field. Most shops always
send the same keys with an event, so the verdict on a set of keys is cached.
"""

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec

from models.events.foreign import UNREADABLE

#: The fields that must have a value for the keys to hide nothing, as their getters.
_Needed = tuple[Callable[[Any], Any], ...]
#: Limits of the cache for one shape: sets of keys, and characters in one set. A sender that invents
#: keys must not fill the memory.
_SETS_MAX: Final = 512
_LETTERS_MAX: Final = 1_024
_TREE: Final = msgspec.json.Decoder().decode
_ENCODE: Final = msgspec.json.Encoder().encode
#: An amount may be in the currency that an object in a list states.
_CURRENCY: Final = "currency"


class Spelling(NamedTuple):
    """A field with other spellings: its getter, and a search for these spellings in JSON."""

    value_in: Callable[[Any], Any]
    is_spelt_in: Callable[[bytes], object]


class KnownKeys:
    """The keys that objects may have without hiding anything.

    ``spellings``: the fields to look for; ``only``: all allowed keys, for shapes in which any other
    key may mean something; ``is_inside``: the objects are in a list of another object.
    """

    def __init__(
        self, spellings: Iterable[Spelling], only: frozenset[str] | None, *, is_inside: bool
    ) -> None:
        self._spellings = tuple(spellings)
        self._only = only
        self._is_inside = is_inside
        self._judged: dict[tuple[str, ...], _Needed | None] = {}

    def hide_nothing(self, keys: tuple[str, ...], objects: Iterable[Any]) -> bool:
        """Whether JSON with these keys holds no more than ``objects``, each decoded from such JSON.
        In doubt False.
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
            # Keys that are still in use are soon cached again.
            self._judged.clear()
        needed = self._judged[keys] = self._needed(keys)
        return needed

    def _needed(self, keys: tuple[str, ...]) -> _Needed | None:
        """The fields that must have a value; None if that can't be decided."""
        if self._only is not None and not self._only.issuperset(keys):
            return None
        if self._is_inside and any(_CURRENCY in key.lower() for key in keys):
            return None
        try:
            # Every value is taken for a text, because a currency is only searched for before a
            # text.
            written = _ENCODE(dict.fromkeys(keys, ""))
        except UnicodeEncodeError:
            return None
        return tuple(one.value_in for one in self._spellings if one.is_spelt_in(written))


class PlainObject:
    """Decides whether JSON of a shape has no objects but the shape's own, and whether its keys hide
    nothing.

    ``lists``: the fields that are lists of objects, each with its JSON name and the keys of its
    objects.
    """

    def __init__(self, keys: KnownKeys, lists: Mapping[str, tuple[str, KnownKeys]]) -> None:
        self._keys = keys
        self._lists = tuple(
            (attrgetter(name), said, inner) for name, (said, inner) in lists.items()
        )

    def is_all(self, properties: Any, raw: bytes) -> bool:
        """Whether ``properties`` is all that ``raw`` says. In doubt False."""
        try:
            tree = _TREE(raw)
        except UNREADABLE:
            return False
        if not self._keys.hide_nothing(tuple(tree), (properties,)):
            return False
        # Braces inside texts count as well: such JSON is searched in full.
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
