"""For any input, what a process remembers of an event equals what it would read from the log."""

from hypothesis import given

from config.topics import CUSTOMER_EVENTS
from streams.own_events import OwnEvents
from tests.properties.histories import histories
from tests.properties.test_events import anything
from tests.streams.test_own_events import ingested, read


@given(content=anything)
def test_what_is_remembered_of_any_bytes_is_what_is_read(content: bytes) -> None:
    own = OwnEvents()
    written = ingested(content, own)

    remembered = own.read(written.value)

    if remembered is not None:
        assert CUSTOMER_EVENTS == written.topic
        # In Python's words, where 1 and 1.0 are not the same: nor are they in a row.
        assert repr(read(written.value)) == repr(remembered)
    assert 0 == len(own)


@given(lines=histories())
def test_lives_of_customers_are_remembered_as_they_are_read(lines: list[bytes]) -> None:
    own = OwnEvents()
    for content in lines:
        written = ingested(content, own, taken_ms=2**42)
        remembered = own.read(written.value)
        assert remembered is None or repr(read(written.value)) == repr(remembered)
