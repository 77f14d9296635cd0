"""For keys that are known to hide nothing, the result equals that of a search."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.catalogue import KINDS
from models.events.properties import PropertyReader
from models.events.rejection import Rejected

READERS = {kind.name: kind.reader for kind in KINDS if kind.reader is not None}
#: Ways to write a name, and words with a name in them.
WAYS = (
    str,
    str.upper,
    str.title,
    lambda name: name.replace("_", " "),
    lambda name: name.replace("_", "-").title(),
    lambda name: name.title().replace("_", ""),
    lambda name: f"my_{name}",
    lambda name: f"{name} {{",
)
ELSEWHERE = ("currency_code", "Currency", "order_currency", "items", "data", "id", "value", "name")
texts = st.sampled_from(
    ("", " ", "x", "null", "EUR", "usd", "12", "1.5", "a{b", 'a"b', "order id", "12,50 €", "p-1")
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 2**64 - 1), st.floats(allow_nan=False), texts
)


def keys(names: tuple[str, ...]) -> st.SearchStrategy[str]:
    spelt = st.builds(lambda way, name: way(name), st.sampled_from(WAYS), st.sampled_from(names))
    return st.one_of(st.sampled_from(names), spelt, st.sampled_from(ELSEWHERE))


def objects(reader: PropertyReader) -> st.SearchStrategy[dict[str, Any]]:
    """Nearly the fields of the shape, under names that may mean them."""
    shape = reader._object
    outside = tuple(field.name for field in shape._fields) + tuple(shape._aliases)
    inside = tuple({field.name for _, inner in shape._lists for field in inner._fields}) or outside
    things = st.dictionaries(keys(inside), scalars | st.dictionaries(texts, texts, max_size=1))
    listed = st.lists(things, max_size=3)
    usual = st.dictionaries(st.sampled_from(inside), texts | st.floats(0, 99), max_size=4)
    lists = {
        field.name: listed | st.lists(usual, max_size=3)
        for field in shape._fields
        if field.name in shape._list_names
    }
    values = st.one_of(scalars, scalars, listed, things, st.lists(texts, max_size=2))
    return st.builds(
        lambda some, more: {**some, **more},
        st.dictionaries(keys(outside), values, max_size=6),
        st.fixed_dictionaries({}, optional=lists),
    )


def read(reader: PropertyReader, raw: bytes) -> str:
    # In Python's words, where 1 and 1.0 are not the same: nor are they in a row.
    try:
        return repr(reader.read(raw))
    except Rejected as rejected:
        return repr(rejected)


def searched(reader: PropertyReader, raw: bytes) -> str:
    """As `read`, without checking whether keys are known."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader._object._plain, "is_all", lambda *_: False)
        return read(reader, raw)


@given(data=st.data(), name=st.sampled_from(sorted(READERS)))
def test_what_is_read_is_what_a_search_reads(data: st.DataObject, name: str) -> None:
    reader = READERS[name]
    anything = objects(reader) | scalars | st.lists(scalars, max_size=1)
    raw = orjson.dumps(data.draw(anything, label="properties"))

    expected = searched(reader, raw)

    # The first time keys are judged, then they are known.
    assert expected == read(reader, raw) == read(reader, raw)
