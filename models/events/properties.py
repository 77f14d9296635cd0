"""The properties of an event, read into the shape that a part declares.

The strict decoder comes first. Only what it refuses, and where it may have missed something, is
read again field by field: under other spellings, with ids as numbers and amounts as texts, and
without what state can do without. A shape names fields that it can do without even if they say
something that cannot be read in ``dispensable``; with ``in_any_case``, its fields of one word are
looked for in other capitals, too.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from math import isfinite
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.inspect import (
    EnumType,
    FloatType,
    ListType,
    StrType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

from config.names import folded
from models.events.foreign import UNREADABLE
from models.events.ids import SURELY_SHORT, customer_id_text, is_no_thing, is_nobody, thing_id_text
from models.events.leniency import is_nothing, plain, read_json, spelt
from models.events.numbers import number_in
from models.events.rejection import Reason, Rejected, rejected_by

_PATH: Final = "$.properties"
#: The first version of Segment's specification called a product's id so.
_OLD_PRODUCT_ID: Final = "id"
#: Not every larger integer is a float.
_HUGE: Final = 1e300


def is_id_field(name: str) -> bool:
    """Whether a property holds an id: it is called so."""
    return name.endswith("_id") or name == "sku"


def names_customer(shape: Type, name: str) -> bool:
    """Whether a property holds the id of another customer: its shape says so."""
    assert isinstance(shape, StructType)
    return name in getattr(shape.cls, "customers", ())


def text_of(kind: Type) -> StrType | None:
    """The type of a property's text; None if it is no text, or may be something else as well."""
    found = _sole(kind)
    return found if isinstance(found, StrType) else None


def is_amount(kind: Type) -> bool:
    """Whether a property is a number that is never below 0: an amount, a quantity."""
    found = _sole(kind)
    return isinstance(found, FloatType) and found.ge == 0


def is_number(kind: Type) -> bool:
    """Whether a property is a number, which may be below 0."""
    return isinstance(_sole(kind), FloatType)


def items_of(kind: Type) -> StructType | None:
    """The type of the objects in a property's list; None if it is no such list."""
    found = _sole(kind)
    item = found.item_type if isinstance(found, VarTupleType | ListType) else None
    return item if isinstance(item, StructType) else None


def _sole(kind: Type) -> Type:
    """The type that a property has unless it is null."""
    if isinstance(kind, UnionType):
        kinds = [one for one in kind.types if not isinstance(one, msgspec.inspect.NoneType)]
        return kinds[0] if len(kinds) == 1 else kind
    return kind


class PropertyReader:
    """Reads the properties of one shape."""

    def __init__(self, shape: type[Struct]) -> None:
        self._shape = shape
        self._decode = msgspec.json.Decoder(shape).decode
        self._object = _Object(type_info(shape))

    def read(self, raw: bytes) -> Any:
        """The properties in ``raw``, a JSON value. Raises ``Rejected``."""
        try:
            properties = self._decode(b"{}" if raw == b"null" else raw)
        except UNREADABLE:
            return self.read_again(raw)
        return properties if self._object.is_sound(properties, raw) else self.read_again(raw)

    def read_again(self, raw: bytes) -> Any:
        """As `read`, leniently from the first."""
        values = self._object.values(read_json(raw), _PATH)
        try:
            return msgspec.convert(values, self._shape)
        except msgspec.ValidationError as error:
            raise rejected_by(error, within=_PATH) from None


class _Field(NamedTuple):
    name: str
    read: Callable[[Any, str], Any]


class _Object:
    """The fields of a shape, or of the objects in one of its lists."""

    def __init__(self, shape: Type) -> None:
        assert isinstance(shape, StructType)
        whose = [one.name for one in shape.fields if names_customer(shape, one.encode_name)]
        self._fields = tuple(
            _Field(one.encode_name, customer_id_text if one.name in whose else _reader(one))
            for one in shape.fields
        )
        self._names = {folded(field.name): field.name for field in self._fields}
        self._dispensable: frozenset[str] = getattr(shape.cls, "dispensable", frozenset())
        self._list_names = {one.encode_name for one in shape.fields if items_of(one.type)}
        self._has_product = "product_id" in self._names.values()
        texts = [one for one in shape.fields if text_of(one.type) is not None]
        ids = [one for one in texts if is_id_field(one.encode_name) or one.name in whose]
        self._customers, self._names_customers = _values_of(whose), bool(whose)
        self._ids = _values_of([one.name for one in ids])
        self._texts = _values_of([one.name for one in texts if one not in ids])
        self._spellings = tuple(
            (attrgetter(one.name), _spelling(one.encode_name))
            for one in shape.fields
            if "_" in one.encode_name or getattr(shape.cls, "in_any_case", False)
        )
        self._lists = tuple(
            (attrgetter(one.name), _Object(item))
            for one in shape.fields
            if (item := items_of(one.type)) is not None
        )

    def is_sound(self, properties: Any, raw: bytes) -> bool:
        """Whether what was decoded of ``raw`` is all there is to read in it, and texts are as they
        should be. It may be cautious.
        """
        for value in self._ids(properties):
            if value is not None and (
                " " in value
                or len(value) > SURELY_SHORT
                or not value.isprintable()
                or is_no_thing(value)
            ):
                return False
        for value in self._texts(properties):
            # Less than "!": empty, or it begins with a blank.
            if value is not None and value < "!":
                return False
        for value_in, is_spelt_in in self._spellings:
            if value_in(properties) is None and is_spelt_in(raw):
                return False
        for items_in, inner in self._lists:
            for item in items_in(properties) or ():
                if not inner.is_sound(item, raw):
                    return False
        return not self._names_customers or not any(map(is_nobody, self._customers(properties)))

    def values(self, tree: Any, path: str) -> dict[str, Any]:
        """What the shape can be made of. Raises ``Rejected``."""
        if is_nothing(tree):
            return {}
        if not isinstance(tree, dict):
            raise Rejected(Reason.WRONG_TYPE, path, "an object")
        given = spelt(tree, self._names)
        if self._has_product and not is_nothing(old := tree.get(_OLD_PRODUCT_ID)):
            given.setdefault("product_id", old)
        # An empty list of things is one, as the strict decoder has it.
        found: dict[str, Any] = {name: [] for name in self._list_names if tree.get(name) == []}
        for name, read in self._fields:
            if name in given and (value := self._read(name, read, given[name], path)) is not None:
                found[name] = value
        return found

    def _read(self, name: str, read: Callable[[Any, str], Any], value: Any, path: str) -> Any:
        """A field's value; None for one that cannot be read and that state can do without."""
        try:
            return read(value, f"{path}.{name}")
        except Rejected:
            if name in self._dispensable:
                return None
            raise


def _values_of(names: Sequence[str]) -> Callable[[Any], Sequence[Any]]:
    """Gives the values of these attributes."""
    if len(names) > 1:
        return attrgetter(*names)
    if names:
        one = attrgetter(names[0])
        return lambda properties: (one(properties),)
    return lambda _: ()


def _spelling(name: str) -> Callable[[bytes], object]:
    """Finds a field's name in JSON, in whichever other way it is written: as it is, the strict
    decoder has read it, and what the objects in a list have under it is none of the list's owner.
    """
    pattern = "[ _-]*".join(name.split("_"))
    if name == "product_id":
        pattern = f"{pattern}|{_OLD_PRODUCT_ID}"
    return re.compile(f'"(?!(?-i:{name})")(?:{pattern})"'.encode(), re.IGNORECASE).search


def _reader(field: msgspec.inspect.Field) -> Callable[[Any, str], Any]:
    """Reads a field's value as its type wants it; None leaves it out. Raises ``Rejected``."""
    text, item = text_of(field.type), items_of(field.type)
    if text is not None and is_id_field(field.encode_name):
        return thing_id_text
    if text is not None:
        return partial(_text, length_max=text.max_length, is_needed=field.required)
    if item is not None:
        return partial(_items, _Object(item))
    if is_amount(field.type):
        return partial(_number, is_signed=False, such_as="25.00")
    if is_number(field.type):
        return partial(_number, is_signed=True, such_as="4 or 6.5")
    if isinstance(_sole(field.type), UnionType):
        return _either
    return _code if isinstance(_sole(field.type), EnumType) else _as_it_is


def _text(value: Any, path: str, *, length_max: int | None, is_needed: bool) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    fits = isinstance(value, str) and (length_max is None or len(value) <= length_max)
    if fits or (is_needed and isinstance(value, str)):
        return plain(value)
    if is_needed:
        raise Rejected(Reason.WRONG_TYPE, path, "a text")
    return None


def _items(item: _Object, value: Any, path: str) -> list[dict[str, Any]]:
    if isinstance(value, dict) and all(map(str.isdecimal, value)):
        # As PHP writes a list that has a gap.
        value = [*value.values()]
    if not isinstance(value, list):
        raise Rejected(Reason.WRONG_TYPE, path, "a list of objects")
    return [item.values(one, f"{path}[{number}]") for number, one in enumerate(value)]


def _number(value: Any, path: str, *, is_signed: bool, such_as: str) -> Any:
    if isinstance(value, str):
        number = number_in(value)
        if number is None or ("-" in value and not is_signed):
            raise Rejected(Reason.WRONG_TYPE, path, f"a number, such as {such_as}")
        return number
    return _as_it_is(value, path)


def _code(value: Any, _path: str) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _either(value: Any, _path: str) -> Any:
    """A number or a text; what is too large for a number is neither."""
    if isinstance(value, int | float):
        return value if abs(value) < _HUGE else None
    return plain(value) if isinstance(value, str) else value


def _as_it_is(value: Any, path: str) -> Any:
    if isinstance(value, float) and not isfinite(value):
        raise Rejected(Reason.OUT_OF_RANGE, path, "no finite number")
    return plain(value) if isinstance(value, str) else value
