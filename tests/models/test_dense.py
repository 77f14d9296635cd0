"""Compressed parts: the same states in less space, and the bytes of earlier releases."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.comparison import has_content
from models.customer.dense import Dense, dictionary_of
from models.customer.part import Part
from models.customer.purchase_state import Purchases
from models.customer.purchases import PURCHASES
from models.customer.registry import PARTS
from models.customer.row import Row, decode_row, encode_row
from models.customer.row_formats import RowError
from tests.contract.lives import past_of

DENSE = [part for part in PARTS if part.dense_since]
#: Without the dictionary that it was written with, no row can be read.
DIGESTS = {
    "ca-3": ("c1d2a8a637bfa4f270010ac4756207fd7fbdfdfe388172f8f1bd8edcd8a13ab9"),
    "pu-3": ("edfbfcc80f9b56672f32f5c54d97059cf94a136b7f0bd1ba06bfc8ff881a882f"),
    "su-3": ("55287109f74539adde8b3ea26e07ac91792f139bcbea87fb39e32d0269a5813b"),
    "co-3": ("3c95a7841ef64718b2bd751a518d31a4be1a044b8a654d4d2f51448f5b7a43f9"),
    "pr-2": ("b91447795ca4429ba4ddad2683c7847a56ee17a499a62d536916cd8e673efb08"),
    "lo-2": ("569c087bad09d0fd4e360bd80908d021da36ea9df6f0a61caa617bb816dc7b90"),
    "la-3": ("6179a4c1bf261b08327d3caf68f63700e554b9f55e3154a8e64e88929f4ac47b"),
    "row-4": ("261c1864498bb52806ff003347944e7f09d55d437c59144ff9345f240621a27a"),
    "ev-2": ("3893b4fc5d2b268ff408cf6c47275f18997009ef96d0157e6868b2262db9d969"),
}


def compressed(part: Part[Any], state: Any) -> bytes:
    assert part.dense is not None
    return part.dense.compress(part.pack(state))


every_dense_part = pytest.mark.parametrize("part", DENSE, ids=repr)


def test_the_dictionary_of_a_version_never_changes() -> None:
    codes = {"row": 4, **{part.code: part.dense_since for part in DENSE}}
    found = {
        f"{code}-{version}": sha256(dictionary_of(code, version)).hexdigest()
        for code, version in codes.items()
    }
    assert DIGESTS == found


@every_dense_part
def test_a_state_is_read_back_as_it_was(part: Part[Any]) -> None:
    state = past_of(part, 0).row.read(part)
    assert part.pack(state) == part.pack(part.readers_apart[part.version](compressed(part, state)))


@every_dense_part
def test_a_real_state_takes_less_room(part: Part[Any]) -> None:
    states = [past_of(part, number).row.read(part) for number in range(3)]
    assert sum(len(compressed(part, state)) for state in states) < sum(
        len(part.pack(state)) for state in states
    )


@every_dense_part
def test_what_the_release_before_wrote_is_read_and_packed_anew(part: Part[Any]) -> None:
    """Whenever it is read: a change of another part leaves the old bytes alone."""
    row = past_of(part, 0).row
    # The release before may have known less of it.
    known_then = part.readers[part.dense_since - 1](part.pack(row.read(part)))
    row.replace(part, known_then)
    expected = encode_row(row)
    row.packed_together().pop(part.code, None)
    row._apart[part.code] = bytes([part.dense_since - 1]) + part.pack(row.read(part))
    written = encode_row(row)

    again = decode_row(written)
    assert part.pack(row.read(part)) == part.pack(again.read(part))
    assert written == encode_row(again)
    assert has_content(written, expected)
    again.edit(part)
    assert expected == encode_row(again)


def test_the_next_version_reads_this_one_and_keeps_its_dictionary() -> None:
    read, state = [], past_of(PURCHASES).row.read(PURCHASES)

    def of_the_version_before(content: bytes) -> Purchases:
        read.append(content)
        return PURCHASES.unpack(content)

    older = {**PURCHASES.older, PURCHASES.version: of_the_version_before}
    following = replace(PURCHASES, version=PURCHASES.version + 1, older=older)
    stored = compressed(PURCHASES, state)
    assert stored == compressed(following, state)
    for version, packed in ((PURCHASES.version, stored), (following.version, stored)):
        again = following.readers_apart[version](packed)
        assert PURCHASES.pack(state) == PURCHASES.pack(again)
    plain = following.readers_apart[PURCHASES.dense_since - 1](PURCHASES.pack(state))
    assert PURCHASES.pack(state) == PURCHASES.pack(plain)
    assert [PURCHASES.pack(state)] == read


@given(content=st.binary(max_size=200))
def test_what_was_not_compressed_is_no_state(content: bytes) -> None:
    row = Row()
    row._apart[PURCHASES.code] = bytes([PURCHASES.version]) + content
    with pytest.raises(RowError, match="the purchases of a row cannot be read"):
        row.read(PURCHASES)


def test_other_bytes_of_the_same_state_have_the_same_content() -> None:
    """Such as another version of the compression may write."""
    row = past_of(PURCHASES, 0).row
    expected = encode_row(row)
    plain = PURCHASES.pack(row.read(PURCHASES))
    stored = Dense(PURCHASES.code, PURCHASES.dense_since)
    other = b"\x60" + stored_block(plain)
    assert plain == stored.decompress(other) != stored.compress(plain)
    row._apart[PURCHASES.code] = bytes([PURCHASES.version]) + other

    assert has_content(encode_row(row), expected)


def stored_block(plain: bytes) -> bytes:
    """A frame's content, uncompressed: its size, then one raw block, which is the last."""
    size = len(plain)
    assert 256 <= size < 65_536
    return (size - 256).to_bytes(2, "little") + (size << 3 | 1).to_bytes(3, "little") + plain


def test_threads_compress_side_by_side() -> None:
    dense = Dense(PURCHASES.code, PURCHASES.dense_since)
    contents = [bytes([number % 7]) * 400 + b"%d" % number for number in range(2_000)]
    with ThreadPoolExecutor(4) as pool:
        assert contents == list(pool.map(dense.decompress, pool.map(dense.compress, contents)))
