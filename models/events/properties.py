"""Reads the properties of an event into the shape that a part declares.

The strict decoder comes first. Only what it refuses, or where it may have missed something, is
read again field by field: other spellings are found, ids may be numbers and amounts texts, and
fields that state can do without are dropped if unreadable. A shape controls this with class
variables:

- ``dispensable``: fields that are dropped if they can't be read
- ``in_any_case``: its one-word fields are also found in other capitalizations
- ``aliases``: other names of its fields; ``holders``: objects that senders wrap its fields in;
  the first one found is used
- ``itself``: fields that are the ``id`` of an object that has another field, before any alias
- ``as_is``: fields that are mostly missing, so that a cheap hint is checked before the spelling
- ``is_exact``: a missing value has a meaning here, so a word for nothing is refused
- ``is_absolute``: a minus before an amount is ignored
- ``likely``: returns the field that an unknown name and its value mean, usually None
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.inspect import (
    BoolType,
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
from models.events.ids import (
    SURELY_SHORT,
    USUAL_NOTHINGS,
    customer_id_text,
    is_no_thing,
    is_nobody,
    thing_id_text,
)
from models.events.known_keys import KnownKeys, PlainObject, Spelling
from models.events.leniency import is_nothing, read_json, spelt
from models.events.priced import currency_among, without_marks
from models.events.rejection import Reason, Rejected, rejected_by
from models.events.values import (
    AmountReading,
    as_it_is_value,
    code_value,
    currency_value,
    either_value,
    number_value,
    text_value,
    truth_value,
)

_PATH: Final = "$.properties"
_ENCODE: Final = msgspec.json.Encoder().encode
#: The most levels of objects in which senders wrap an event's fields.
_DEEP: Final = 3
#: The name of a product's id in the first version of Segment's specification.
_OLD_PRODUCT_ID: Final = "id"
_CURRENCY: Final = "currency"
_PRODUCT_ID: Final = "product_id"
#: A number that is not of money.
_QUANTITY: Final = "quantity"
#: Fields that most events lack, each with texts that must occur in the lower-case JSON if the field
#: is there in another spelling. Finding them is many times faster than finding the spelling.
_HINTS: Final[Mapping[str, tuple[bytes, ...]]] = {
    # In another currency, an amount has another value.
    _CURRENCY: (b"currency",),
    # A total that is found in their place includes taxes and shipping.
    "revenue": (b"revenue",),
    "subtotal": (b"subtotal",),
    "products": (b"items", b"content"),
    "test": (b"test", b"sandbox", b"environment"),
    "live": (b"livemode", b"live_mode"),
    "ended": (b"cancel", b"void", b"draft"),
    # The strict decoder has already read this exact spelling.
    "status": (b'"status"',),
    "order_status": (b"orderstatus",),
    "financial_status": (b"financialstatus",),
    "payment_status": (b"paymentstatus",),
    "state": (b'"state"',),
    "order_state": (b"orderstate",),
    "payment_state": (b"paymentstate",),
}
#: Many customers look at the same products.
_IDS_REMEMBERED_MAX: Final = 16_384
#: The fields that identify an object as a product, rather than as a container of products.
_NAMES_OF_PRODUCTS: Final = frozenset({_PRODUCT_ID, "sku", "name"})


#: Matches any currency field with a value, since it may concern an amount.
_currency_in_text: Final = re.compile(rb'currency[^":]{0,24}"\s*:\s*["\[{]', re.IGNORECASE).search


_thousands_in: Final = re.compile(rb"\.[0-9]{3}[^0-9]").search


_keys_in: Final = re.compile(rb'"([^"]*)"\s*:').findall


def is_id_field(name: str) -> bool:
    """Whether a property holds an id, judged by its name."""
    return name.endswith("_id") or name == "sku"


def names_customer(shape: Type, name: str) -> bool:
    """Whether a property holds the id of another customer, as declared by its shape."""
    assert isinstance(shape, StructType)
    return name in getattr(shape.cls, "customers", ())


def text_of(kind: Type) -> StrType | None:
    """The type of a text property; None if it is no text, or may be something else as well."""
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
    """The type of the objects in a list property; None if it is no list of objects."""
    found = _sole(kind)
    item = found.item_type if isinstance(found, VarTupleType | ListType) else None
    return item if isinstance(item, StructType) else None


def _sole(kind: Type) -> Type:
    """The type of a property apart from null."""
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
        if raw == b"null":
            raw = b"{}"
        try:
            properties = self._decode(raw)
        except UNREADABLE:
            return self.read_again(raw)
        return properties if self._object.is_sound(properties, raw) else self.read_again(raw)

    def read_written(self, raw: bytes) -> Any:
        """Like `read`, but faster for JSON that Keepstream itself may have written, in which each
        field has exactly its own name.
        """
        try:
            properties = self._decode(raw)
        except UNREADABLE:
            return self.read(raw)
        if _ENCODE(properties) == raw and self._object.are_texts_sound(properties):
            return properties
        return self.read(raw)

    def read_again(self, raw: bytes) -> Any:
        """Like `read`, without the strict attempt."""
        values = without_marks(self._object.values(read_json(raw), _PATH))
        try:
            return msgspec.convert(values, self._shape)
        except msgspec.ValidationError as error:
            raise rejected_by(error, within=_PATH) from None

    def check_decimals(self, raw: bytes, currency: str) -> None:
        """Refuse an amount whose dot may separate thousands, because ``currency``, in which it is
        unless it says otherwise, has no decimals. Raises ``Rejected``.
        """
        if _thousands_in(raw) is not None:
            without_marks(self._object.values(read_json(raw), _PATH), currency)


class _Field(NamedTuple):
    name: str
    read: Callable[[Any, str], Any]


class _Object:
    """The fields of a shape, or of the objects in one of its lists."""

    def __init__(self, shape: Type, *, has_currency: bool = False, is_inside: bool = False) -> None:
        assert isinstance(shape, StructType)
        self._keeps_currency = any(one.encode_name == _CURRENCY for one in shape.fields)
        has_currency = has_currency or self._keeps_currency
        whose = [one.name for one in shape.fields if names_customer(shape, one.encode_name)]
        amounts = AmountReading(
            is_exact=getattr(shape.cls, "is_exact", False),
            is_absolute=getattr(shape.cls, "is_absolute", False),
            has_currency=has_currency,
        )
        self._is_in_any_case = getattr(shape.cls, "in_any_case", False)
        as_is: frozenset[str] = getattr(shape.cls, "as_is", frozenset())
        self._fields = tuple(
            _Field(
                one.encode_name,
                customer_id_text if one.name in whose else _reader(one, amounts),
            )
            for one in shape.fields
        )
        self._names = {folded(field.name): field.name for field in self._fields}
        aliases: Mapping[str, str] = getattr(shape.cls, "aliases", {})
        self._aliases = {folded(alias): name for alias, name in aliases.items()}
        itself: Mapping[str, str] = getattr(shape.cls, "itself", {})
        self._itself = {name: folded(mark) for name, mark in itself.items()}
        self._holders: tuple[str, ...] = getattr(shape.cls, "holders", ())
        self._likely: Callable[[str, Any], str | None] | None = getattr(shape.cls, "likely", None)
        self._dispensable: frozenset[str] = getattr(shape.cls, "dispensable", frozenset())
        self._types = {one.encode_name: one.type for one in msgspec.structs.fields(shape.cls)}
        self._list_names = {one.encode_name for one in shape.fields if items_of(one.type)}
        self.has_product = _PRODUCT_ID in self._names.values()
        texts = [one for one in shape.fields if text_of(one.type) is not None]
        ids = [one for one in texts if is_id_field(one.encode_name) or one.name in whose]
        self._customers = tuple(attrgetter(name) for name in whose)
        self._ids = tuple(attrgetter(one.name) for one in ids)
        self._texts = tuple(
            attrgetter(one.name) for one in texts if one not in ids and one.encode_name not in as_is
        )
        hinted = {_CURRENCY, *as_is, *aliases.values()}
        looked_for = [
            one
            for one in shape.fields
            if self._is_in_any_case
            or ("_" in one.encode_name and one.encode_name not in as_is)
            or (one.encode_name in _HINTS and one.encode_name in hinted)
        ]
        spellings = {
            one.encode_name: Spelling(attrgetter(one.name), self._spelling(one.encode_name))
            for one in looked_for
        }
        self._hinted = tuple(
            (hint, *spellings[name]) for name in spellings for hint in _HINTS.get(name, ())
        )
        self._spellings = tuple(spellings[name] for name in spellings if name not in _HINTS)
        lists = {
            one.name: (one.encode_name, _Object(item, has_currency=has_currency, is_inside=True))
            for one in shape.fields
            if (item := items_of(one.type)) is not None
        }
        self._lists = tuple((attrgetter(name), inner) for name, (_, inner) in lists.items())
        self._with_texts: tuple[tuple[Callable[[Any], Any], _Object], ...] = tuple(
            one for one in self._lists if one[1]._ids or one[1]._texts or one[1]._with_texts
        )
        self._known = {field.name.encode() for field in self._fields}
        self._known_inside = set[bytes]().union(*(inner._known for _, inner in self._lists))
        only = None if self._likely is None else frozenset(field.name for field in self._fields)
        self._keys = KnownKeys(spellings.values(), only, is_inside=is_inside)
        self._plain = PlainObject(
            self._keys, {name: (said, inner._keys) for name, (said, inner) in lists.items()}
        )

    def is_sound(self, properties: Any, raw: bytes) -> bool:
        """Whether the decoded properties are all there is to read in ``raw``, and their texts are
        valid. In doubt False.
        """
        if not self.are_texts_sound(properties):
            return False
        return self._plain.is_all(properties, raw) or self._is_all(properties, raw)

    def _is_all(self, properties: Any, raw: bytes) -> bool:
        """Whether no missing field occurs in another spelling anywhere in ``raw``."""
        if self._likely is not None and self._says_more(properties, raw):
            return False
        for value_in, is_spelt_in in self._spellings:
            if value_in(properties) is None and is_spelt_in(raw):
                return False
        if self._hinted and self._lacks_what_is_there(properties, raw):
            return False
        for items_in, inner in self._lists:
            for item in items_in(properties) or ():
                if not inner._is_all(item, raw):
                    return False
        return True

    def _says_more(self, properties: Any, raw: bytes) -> bool:
        """Whether the JSON has an unknown name."""
        others = set(_keys_in(raw)) - self._known
        has_lists = any(items_in(properties) for items_in, _ in self._lists)
        return bool(others - self._known_inside) if has_lists else bool(others)

    def are_texts_sound(self, properties: Any) -> bool:
        """Whether texts are valid, also in objects in lists."""
        for value_in in self._ids:
            value = value_in(properties)
            if value is not None and not _is_sound_id(value):
                return False
        for value_in in self._texts:
            value = value_in(properties)
            # A text below "!" is empty or begins with a blank.
            if value is not None and (value < "!" or value in USUAL_NOTHINGS):
                return False
        for value_in in self._customers:
            if is_nobody(value_in(properties)):
                return False
        for items_in, inner in self._with_texts:
            for item in items_in(properties) or ():
                if not inner.are_texts_sound(item):
                    return False
        return True

    def _lacks_what_is_there(self, properties: Any, raw: bytes) -> bool:
        """Whether a field that most events lack occurs in another spelling."""
        small = raw.lower()
        for hint, value_in, is_spelt_in in self._hinted:
            if hint in small and value_in(properties) is None and is_spelt_in(raw):
                return True
        return False

    def values(self, tree: Any, path: str) -> dict[str, Any]:
        """The values for the shape. Raises ``Rejected``."""
        if is_nothing(tree):
            return {}
        if not isinstance(tree, dict):
            raise Rejected(Reason.WRONG_TYPE, path, "an object")
        given = self._given(tree)
        # An empty list stays an empty list, as in the strict decoder.
        found: dict[str, Any] = {name: [] for name in self._list_names if tree.get(name) == []}
        for name, read in self._fields:
            if name in given and (value := self._read(name, read, given[name], path)) is not None:
                found[name] = value
        return found

    def names_product(self, value: Any) -> bool:
        """Whether ``value`` is an object that identifies a product."""
        return isinstance(value, dict) and not _NAMES_OF_PRODUCTS.isdisjoint(self._given(value))

    def _given(self, tree: Mapping[str, Any], deep: int = _DEEP) -> dict[str, Any]:
        """The values by field name, wherever they are."""
        given = self._given_at(tree)
        if self._holders:
            inner = {folded(key): value for key, value in tree.items()}
            for holder in self._holders:
                if deep and isinstance(held := inner.get(holder), dict):
                    given = {**self._given(held, deep - 1), **given}
        if self._keeps_currency and _CURRENCY not in given:
            code = currency_among(tree)
            if code is not None:
                given[_CURRENCY] = code
        return given

    def _given_at(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        given = spelt(tree, self._names)
        if self._aliases:
            said = {folded(key): value for key, value in tree.items()}
            for name, mark in self._itself.items():
                if name not in given and mark in said and not is_nothing(said.get("id")):
                    given[name] = said["id"]
            for alias, name in self._aliases.items():
                if name not in given and not is_nothing(value := said.get(alias)):
                    given[name] = value
        # The id of an object that lists products is its own, such as a cart's.
        is_product = self.has_product and self._list_names.isdisjoint(given)
        if is_product and not is_nothing(old := tree.get(_OLD_PRODUCT_ID)):
            given.setdefault(_PRODUCT_ID, old)
        if self._likely is not None:
            self._add_likely(given, tree)
        return given

    def _add_likely(self, given: dict[str, Any], tree: Mapping[str, Any]) -> None:
        """Add values under unknown names that probably mean a field."""
        assert self._likely is not None
        for name, value in tree.items():
            key = folded(name)
            is_known = key in self._names or key in self._aliases
            is_known = is_known or (key in self._holders and isinstance(value, dict))
            if is_known or is_nothing(value):
                continue
            if (meant := self._likely(key, value)) is not None:
                given.setdefault(meant, value)

    def _read(self, name: str, read: Callable[[Any, str], Any], value: Any, path: str) -> Any:
        """A field's value; None for a dispensable one that can't be read."""
        if name not in self._dispensable:
            return read(value, f"{path}.{name}")
        try:
            found = read(value, f"{path}.{name}")
            msgspec.convert(without_marks(found), self._types[name])
        except (Rejected, msgspec.ValidationError):
            return None
        return found

    def _spelling(self, name: str) -> Callable[[bytes], object]:
        """A search for a field's name in JSON in any other spelling. The exact name is excluded,
        because the strict decoder has read it; in objects of a list, it is a field of those and not
        of the list's owner.
        """
        if name == _CURRENCY:
            return _currency_in_text
        others = [alias for alias, meant in self._aliases.items() if meant == name]
        if name == _PRODUCT_ID:
            others.append(_OLD_PRODUCT_ID)
        if name in (_PRODUCT_ID, "order_id") or self._is_in_any_case:
            others += self._holders
        ways = "|".join(["[ _-]*".join(name.split("_")), *map(_with_gaps, others)])
        pattern = f'"(?!(?-i:{name})")(?:{ways})"'
        return re.compile(pattern.encode(), re.IGNORECASE).search


@lru_cache(_IDS_REMEMBERED_MAX)
def _is_sound_id(value: str) -> bool:
    """Whether the lenient reader would accept the id of a thing unchanged."""
    return (
        # Below "$" are the empty text, a leading blank, and a leading # that is not part of the id.
        value >= "$"
        and " " not in value
        and len(value) <= SURELY_SHORT
        and value.isprintable()
        and not is_no_thing(value)
    )


def _with_gaps(alias: str) -> str:
    """A pattern for every spelling of a folded name."""
    return "[ _-]*".join(map(re.escape, alias))


def _reader(field: msgspec.inspect.Field, amounts: AmountReading) -> Callable[[Any, str], Any]:
    """The reader for a field's type. It returns None to leave the field out, or raises
    ``Rejected``.
    """
    text, item = text_of(field.type), items_of(field.type)
    if field.encode_name == _CURRENCY:
        return currency_value
    if text is not None and is_id_field(field.encode_name):
        return thing_id_text
    if text is not None:
        return partial(text_value, length_max=text.max_length, is_needed=field.required)
    if item is not None:
        return partial(_items, _Object(item, has_currency=amounts.has_currency))
    if field.encode_name == _QUANTITY:
        amounts = amounts._replace(has_currency=False)
    if is_amount(field.type):
        return partial(number_value, is_signed=False, amounts=amounts, such_as="25.00")
    if is_number(field.type):
        return partial(number_value, is_signed=True, amounts=amounts, such_as="4 or 6.5")
    if isinstance(_sole(field.type), BoolType):
        return truth_value
    if isinstance(kind := _sole(field.type), UnionType):
        has_fractions = any(isinstance(one, FloatType) for one in kind.types)
        return partial(either_value, is_whole=not has_fractions)
    return code_value if isinstance(_sole(field.type), EnumType) else as_it_is_value


def _items(item: _Object, value: Any, path: str) -> list[dict[str, Any]]:
    found = _listed(item, value)
    if found is None:
        raise Rejected(Reason.WRONG_TYPE, path, "a list of objects")
    return [
        item.values(one, f"{path}[{number}]") for number, one in enumerate(found) if one is not None
    ]


def _listed(item: _Object, value: Any) -> list[Any] | None:
    """The objects in ``value``, in any form that senders use; None if it is no list."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        # JSON inside a JSON text, as tag managers write it.
        try:
            value = read_json(value.encode("utf-8", "surrogatepass"))
        except Rejected:
            return None
    if isinstance(value, dict):
        rest = [*value.values()]
        # A list with gaps as PHP writes it, or a map of products by id.
        if all(map(str.isdecimal, value)) or all(map(item.names_product, rest)):
            return rest
        return [value] if item.names_product(value) else None
    if isinstance(value, list) and item.has_product:
        return [{_PRODUCT_ID: one} if isinstance(one, str | int) else one for one in value]
    return value if isinstance(value, list) else None
