"""Lines are read in constant memory, and a file that has no JSON lines is named as what it is."""

import gzip
from pathlib import Path

import pytest

from streams.json_lines import LINE_BYTES_MAX, InputError, JsonLines

EVENT = b'{"type":"page"}'


def test_an_endless_line_is_read_in_flat_memory(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl.gz"
    endless = b"x" * (8 * LINE_BYTES_MAX)
    path.write_bytes(gzip.compress(b"one\n" + endless + b"\ntwo\n" + endless))
    with JsonLines(str(path)) as lines:
        assert [3, LINE_BYTES_MAX + 1, 3, LINE_BYTES_MAX + 1] == [len(text) for text in lines]


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="can't read it"):
        JsonLines(str(tmp_path / name))


def test_a_folder_is_told_with_what_to_name_instead(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Is a directory\): name the files in it.*\*\.jsonl"):
        JsonLines(str(tmp_path))


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"id,day\n" + b"7,2026-03-01\n" * 4, "CSV: write each row as an event"),
        (b"id;day\n" + b"7;2026-03-01\n" * 4, "CSV"),
        (b"\xef\xbb\xbfid\tday\n" + b"7\t2026-03-01\n" * 4, "CSV"),
        (b"to whom\nit may\nconcern\nwe are\nsorry\n", "text"),
        (b"[" + EVENT + b"]", r"one JSON array: use `jq -c '\.\[\]' FILE"),
        (b"[\n  " + EVENT + b"\n]\n", "one JSON array"),
        (b'{\n  "type": "page"\n}\n', "JSON over many lines: use `jq -c"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"PK\x03\x04\x14\x00", "ZIP"),
        ("\ufeff{}".encode("utf-16-le"), "UTF-16: use `iconv"),
    ],
)
def test_what_is_no_json_lines_is_told_with_what_to_do(
    tmp_path: Path, content: bytes, words: str, is_compressed: bool
) -> None:
    path = tmp_path / "history"
    path.write_bytes(gzip.compress(content) if is_compressed else content)
    with pytest.raises(InputError, match=f"history: no JSON lines.*{words}"):
        JsonLines(str(path))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        EVENT,
        b"\xef\xbb\xbf" + EVENT,
        b"garbage\n" * 4,
        b"garbage\n" * 9 + EVENT,
        b"[1]\n" + EVENT,
        b"{\n",
        b"\n\n  " + EVENT,
    ],
)
def test_stray_lines_are_left_to_be_refused_one_by_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "history"
    path.write_bytes(content)
    with JsonLines(str(path)) as lines:
        assert content.splitlines() == list(lines)


@pytest.mark.parametrize("length", [2, 9, 11, 40])
def test_a_compressed_file_that_was_cut_off_is_damaged_and_not_empty(
    tmp_path: Path, length: int
) -> None:
    path = tmp_path / "history.gz"
    path.write_bytes(gzip.compress(EVENT * 100)[:length])
    with JsonLines(str(path)) as lines, pytest.raises(InputError, match="damaged at its beginning"):
        list(lines)


def test_what_only_begins_as_a_compressed_file_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "history.gz"
    path.write_bytes(b"\x1f\x8bgarbage")
    with JsonLines(str(path)) as lines, pytest.raises(InputError, match="damaged at its beginning"):
        list(lines)
