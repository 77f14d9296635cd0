"""Positions with holes: what is committed and read back equals what was done, in any order."""

from hypothesis import given
from hypothesis import strategies as st

from streams.webhooks.window import (
    WINDOW_RECORDS,
    OffsetWindow,
    OpenPosition,
    decode_position,
    encode_metadata,
)

#: What a broker takes as a commit's metadata, unless told otherwise.
METADATA_BYTES_MAX = 4_096
BEGIN = 1_000


@given(
    done=st.sets(st.integers(0, 200)), read=st.integers(0, 200), topic_id=st.text("abc", max_size=3)
)
def test_who_goes_on_from_a_commit_takes_what_was_open_and_nothing_else(
    done: set[int], read: int, topic_id: str
) -> None:
    window = OffsetWindow(OpenPosition(BEGIN))
    offsets = range(BEGIN, BEGIN + read)
    assert [True] * read == [window.admit(offset) for offset in offsets]
    finished = {BEGIN + place for place in done} & set(offsets)
    for offset in finished:
        window.finish(offset)

    position = window.position()
    found = decode_position(position.offset, encode_metadata(position, topic_id), topic_id)

    assert found == position
    again = OffsetWindow(found)
    taken = {offset for offset in range(found.offset, BEGIN + read) if again.admit(offset)}
    assert set(offsets) - finished == taken


@given(st.sets(st.integers(1, WINDOW_RECORDS - 1)))
def test_any_commit_fits(places: set[int]) -> None:
    done = frozenset(BEGIN + place for place in places)

    assert len(encode_metadata(OpenPosition(BEGIN, done), "i" * 22)) < METADATA_BYTES_MAX


def test_a_full_window_of_holes_fits_and_is_read_back_whole() -> None:
    window = OffsetWindow(OpenPosition(0))
    offset = 0
    while not window.is_full:
        window.admit(offset)
        if offset % 3:
            window.finish(offset)
        offset += 1

    metadata = encode_metadata(window.position(), "i" * 22)
    assert (WINDOW_RECORDS, True) == (offset, len(metadata) < METADATA_BYTES_MAX)
    assert window.position() == decode_position(0, metadata, "i" * 22)


def test_what_was_committed_of_another_topic_of_this_name_counts_for_nothing() -> None:
    metadata = encode_metadata(OpenPosition(5, frozenset({7})), "old")

    assert decode_position(5, metadata, "new") is None
    # A broker that knows no ids says nothing of it.
    assert OpenPosition(5, frozenset({7})) == decode_position(5, metadata, "")


def test_what_an_operators_tools_committed_is_a_plain_position() -> None:
    for metadata in ("", "by hand", "1 x not-base64!", "1 x " + "QUJD", "2 x y"):
        assert OpenPosition(5) == decode_position(5, metadata, "x")


def test_offsets_that_the_log_has_lost_are_no_holes() -> None:
    window = OffsetWindow(OpenPosition(5))
    window.admit(90)
    assert OpenPosition(90) == window.position()
    window.finish(90)
    assert OpenPosition(91) == window.position()
