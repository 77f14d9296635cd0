"""Rows in a scratch file stay as they were, use bounded space, and a full disk is reported."""

import os
import random
from pathlib import Path

import pytest

from streams.row_file import SLOT_BYTES, RowFile, RowFileError, packed_bytes_of


def test_it_holds_what_a_dictionary_holds(tmp_path: Path) -> None:
    """Whatever is written, overwritten, grows, shrinks and is deleted, in any order."""
    chance, rows = random.Random(7), RowFile(tmp_path)
    expected: dict[str, bytes] = {}
    for _ in range(5_000):
        customer = f"c-{chance.randrange(60)}"
        if chance.random() < 0.1:
            assert expected.pop(customer, None) == rows.pop(customer, None)
            continue
        expected[customer] = rows[customer] = chance.randbytes(chance.randrange(6_000))
        someone = f"c-{chance.randrange(60)}"
        assert expected.get(someone) == rows.get(someone)
        assert (len(expected), someone in expected) == (len(rows), someone in rows)
    assert expected == dict(rows)
    assert packed_bytes_of(expected) == packed_bytes_of(rows)


def test_rows_that_change_for_ever_take_bounded_room(tmp_path: Path) -> None:
    """A slot that a row has left is used again."""
    chance, rows, row_bytes_max = random.Random(7), RowFile(tmp_path), 20 * SLOT_BYTES
    for _ in range(20_000):
        rows[f"c-{chance.randrange(20)}"] = bytes(chance.randrange(1, row_bytes_max))
    # Each of twenty sizes may at some time have been everybody's.
    assert os.fstat(rows._file).st_size <= 20 * sum(range(1, 21)) * SLOT_BYTES


def test_nobody_else_finds_the_file_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    rows = RowFile(tmp_path)
    rows["ada"] = b"row"
    assert [] == list(tmp_path.iterdir())
    assert 0 == os.fstat(rows._file).st_mode & 0o077


def test_a_customer_who_is_not_there_is_missed(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        RowFile(tmp_path)["ada"]


def test_a_full_disk_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = RowFile(tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(RowFileError, match="No space left.*KEEPSTREAM_ROWS_DIR.*Nothing is lost"):
        rows["ada"] = b"row"


def test_a_write_that_stops_half_way_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a signal comes, or the disk is nearly full."""
    rows, write = RowFile(tmp_path), os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, content, at: write(file, content[:700], at))
    rows["ada"] = content = random.Random(7).randbytes(3_000)
    assert content == rows["ada"]


def test_a_directory_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RowFileError, match="KEEPSTREAM_ROWS_DIR"):
        RowFile(tmp_path / "gone")


def test_a_row_that_was_cut_short_is_told(tmp_path: Path) -> None:
    rows = RowFile(tmp_path)
    rows["ada"] = bytes(3_000)
    os.ftruncate(rows._file, 1_000)
    with pytest.raises(RowFileError, match="cut short"):
        rows["ada"]
