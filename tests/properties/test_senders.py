"""However a sender spells an event, it means the same; additional fields mean nothing."""

import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from models.admission import admit, decode_event
from models.catalogue import KINDS, TOPICS, kind_of, nearest_known_name, topic_of
from models.event_schema import event_names
from models.events.ids import ID_BYTES_MAX, is_id
from models.events.rejection import Rejected
from models.events.wire import decode_line, encode_event
from models.schemas import document_schema, documents
from tests.models.lines import PARAMETERS
from tests.models.schemas import LEAST, faults
from tests.properties.histories import histories

#: Texts with whatever a JSON text may hold, halves of surrogate pairs included.
texts = st.text(
    st.characters(codec=None) | st.sampled_from("\ud83d\ude00\0\x01\x7f\u2028 \n\\\"'ä"), max_size=9
)
numbers = st.floats() | st.integers() | st.sampled_from([10**400, -(10**25), 2**63])
junk = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
#: Names under which nobody reads anything, as they are or nearly.
unread = st.sampled_from(["traits", "integrations", "note", "weight", "extra", "Notes", "junk_id"])
#: All that may stand in the envelope of an event, and what often does.
ids = junk | st.sampled_from(
    ["ada", "null", "a b", "ada\n", 7, 0, True, [], {}, "ö" * 150, "x" * 256]
)
SCHEMAS = {
    document.name: document_schema(document)
    for document in documents()
    if document.name in event_names()
}


def written(value: Any) -> bytes:
    """As Python's own encoder writes it: with NaN, and with escapes of lone surrogates."""
    return json.dumps(value).encode()


def taken(raw: bytes) -> Any:
    """The event, or the place of its fault."""
    try:
        return admit(raw, PARAMETERS, message_id="m")
    except Rejected as rejected:
        return rejected.reason, rejected.path


@st.composite
def spellings(draw: st.DrawFn, name: str) -> str:
    """The name in any case, with other separators or none between its words, and around it."""
    between = st.sampled_from(["", " ", "_", "-", "  ", "\u00a0", " - "])
    cased = "".join(draw(st.sampled_from([one.lower(), one.upper()])) for one in name)
    words = cased.split()
    spelt = words[0] + "".join(draw(between) + word for word in words[1:])
    return draw(between) + spelt + draw(between)


@given(data=st.data(), name=st.sampled_from(sorted(TOPICS)))
def test_any_spelling_of_a_known_name_is_that_name(data: st.DataObject, name: str) -> None:
    spelt = data.draw(spellings(name))

    assert kind_of(name) is kind_of(spelt)
    assert TOPICS[name] == topic_of("track", spelt)
    said = {"type": "track", "userId": "ada", "timestamp": "2026-01-01T00:00:00Z"}
    said["properties"] = LEAST.get(name, {})
    assert taken(written({**said, "event": name})) == taken(written({**said, "event": spelt}))


@given(name=st.text(max_size=30) | st.text("abdegilnoprtuvw ", max_size=20))
def test_any_name_is_known_or_nearly_so_or_another(name: str) -> None:
    kind = kind_of(name)
    nearest = nearest_known_name(name)

    assert kind in KINDS
    assert nearest is None or (kind.is_passive and not kind.is_known)


@given(lines=histories(size_max=4), more=st.dictionaries(unread, junk, max_size=3))
def test_junk_that_nobody_reads_changes_nothing(lines: list[bytes], more: dict[str, Any]) -> None:
    for content in lines:
        said = orjson.loads(content)
        properties = {**said.get("properties", {}), **more}
        context = {**said.get("context", {}), **more}
        with_junk = written({**more, **said, "properties": properties, "context": context})
        assert decode_event(content, message_id="") == decode_event(with_junk, message_id="")


@given(lines=histories(size_max=4))
def test_what_is_read_leniently_is_read_alike(lines: list[bytes]) -> None:
    for content in lines:
        event = decode_event(content, message_id="")
        assert event == decode_event(b"\xef\xbb\xbf" + content, message_id="")
        # Traits are read from elsewhere, and what says nothing is nothing.
        if event.kind.reader is not None and not event.kind.declared.has_traits:
            raw = bytes(decode_line(content).properties)
            assert event.properties == event.kind.reader.read_again(raw)


@given(user=ids, visitor=ids, message=ids, context=ids, name=st.sampled_from(["page", "event"]))
def test_the_engine_takes_whatever_envelope_a_schema_takes(
    user: Any, visitor: Any, message: Any, context: Any, name: str
) -> None:
    said = {"type": "page"} if name == "page" else {"type": "track", "event": "Confetti Thrown"}
    said |= {"userId": user, "anonymousId": visitor, "messageId": message, "context": context}
    said["timestamp"] = "2026-01-01T00:00:00Z"
    found = taken(written(said))

    assert isinstance(found, tuple) or is_id(found.customer)
    if not faults(SCHEMAS[name], said) and not _is_long(user) and not _is_long(visitor):
        assert not isinstance(found, tuple)
        assert found == decode_event(encode_event(found), message_id="")


def _is_long(value: Any) -> bool:
    """Whether it has more bytes than an id may, which a schema can't express."""
    return isinstance(value, str) and len(value.encode("utf-8", "replace")) > ID_BYTES_MAX


@given(
    data=st.data(), name=st.sampled_from([kind.name for kind in KINDS if kind.reader is not None])
)
def test_the_engine_takes_whatever_properties_a_schema_takes(
    data: st.DataObject, name: str
) -> None:
    fields = kind_of(name).declared.shape.__struct_encode_fields__
    wrong = data.draw(st.dictionaries(st.sampled_from(fields), junk, max_size=2))
    said = {"type": "track", "event": name, "userId": "ada", "timestamp": "2026-01-01T00:00:00Z"}
    said["properties"] = {**LEAST.get(name, {}), **wrong}
    found = taken(written(said))

    if not faults(SCHEMAS[name], said):
        assert not isinstance(found, tuple)
        assert found == decode_event(encode_event(found), message_id="")
    elif isinstance(found, tuple):
        assert found[1].startswith("$.properties")
