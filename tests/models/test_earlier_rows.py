"""Rows in earlier formats: read as they were written, and rewritten in the present one."""

from base64 import b64decode
from pathlib import Path

import orjson
import pytest

from config.duration import HOUR_MS
from models.comparison import has_content
from models.customer.cart import CART
from models.customer.engagement import ENGAGEMENT
from models.customer.purchases import PURCHASES
from models.customer.registry import PARTS, VERSIONS
from models.customer.risk import RISK
from models.customer.row import Row, decode_row, encode_row
from models.customer.row_formats import ROW_FORMAT, NewerRow, RowError
from models.customer.row_layout import check_row, next_due_ms_of, place_of, require_known
from tests.models.test_identity import bought_after_login
from tests.models.test_row import lively

#: As releases before format 4 wrote them: a row, and one of a person of several ids.
KEPT = orjson.loads(Path(__file__).with_name("earlier_rows.json").read_bytes())
ALONE, LINKED = b64decode(KEPT["format 2"]), b64decode(KEPT["format 3"])


def alone() -> Row:
    row = lively()
    # Earlier releases knew the latest complaint alone.
    del row.edit(RISK).complaints[:-1]
    # And nobody was new at the very millisecond at which that ends.
    row.set_due("stage", row.due("stage").due_ms - 1)
    return row


def linked() -> Row:
    row = bought_after_login()[0]
    for one in (row, *(sub.row for sub in row.ids.values())):
        # Earlier releases looked at a visit half an hour sooner.
        if due_ms := one.due("visit").due_ms:
            one.set_due("visit", due_ms - HOUR_MS // 2)
    return row


each = pytest.mark.parametrize(
    ("stored", "same"), [(ALONE, alone), (LINKED, linked)], ids=["format 2", "format 3"]
)


@each
def test_a_row_is_read_as_it_was_written(stored: bytes, same: object) -> None:
    assert callable(same)
    expected: Row = same()
    row = decode_row(stored)

    for part in PARTS:
        assert part.pack(expected.read(part)) == part.pack(row.read(part))
    assert expected.packed_timers() == row.packed_timers()
    assert expected.ids.keys() == row.ids.keys()
    assert expected.messages == row.messages
    head, place = check_row(stored, VERSIONS), place_of(stored)
    assert (expected.applied, expected.wakes_ms) == place == (head.applied, head.next_due_ms)
    assert expected.wakes_ms == next_due_ms_of(stored)
    require_known(stored, VERSIONS)


@each
def test_a_row_is_written_in_this_format_and_has_the_same_content(
    stored: bytes, same: object
) -> None:
    assert callable(same)
    written = encode_row(decode_row(stored))

    assert ROW_FORMAT == written[1] != stored[1]
    assert len(written) < len(stored)
    check_row(written, VERSIONS)
    assert written == encode_row(decode_row(written))
    for one in (stored, written):
        assert has_content(one, encode_row(same()))
        assert has_content(encode_row(same()), one)


def test_a_part_goes_to_the_others_when_it_is_changed() -> None:
    row = decode_row(ALONE)
    assert set() == row.packed_together().keys()
    for part in (PURCHASES, CART, ENGAGEMENT):
        row.edit(part)

    again = decode_row(encode_row(row))
    assert {PURCHASES.code} == again.packed_together().keys()
    assert row.packed().keys() == again.packed().keys() == lively().packed().keys()
    row.replace(PURCHASES, PURCHASES.state())
    assert not decode_row(encode_row(row)).has(PURCHASES)


@each
def test_no_byte_can_change_without_being_noticed(stored: bytes, same: object) -> None:
    del same
    found = []
    for place in range(len(stored)):
        damaged = stored[:place] + bytes([stored[place] ^ 1]) + stored[place + 1 :]
        try:
            check_row(damaged, VERSIONS)
        except RowError:
            continue
        found.append(place)
    assert [] == found


@each
def test_every_row_that_was_cut_short_is_refused(stored: bytes, same: object) -> None:
    del same
    for length in range(len(stored)):
        with pytest.raises(RowError):
            check_row(stored[:length], VERSIONS)
        with pytest.raises(RowError):
            decode_row(stored[:length])


@each
def test_a_part_of_a_newer_release_is_refused(stored: bytes, same: object) -> None:
    del same
    for check in (check_row, require_known):
        with pytest.raises(NewerRow, match=r"\(ca\).*upgrade this worker"):
            check(stored, {**VERSIONS, CART.code: 0})
