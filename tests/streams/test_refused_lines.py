"""Refused lines are kept beside their file, or where that is possible."""

from pathlib import Path

import orjson
import pytest

from models.events.rejection import Reason, Rejected
from streams.refused_lines import RefusedLines, refused_path

REJECTED = Rejected(Reason.BAD_JSON, "$", "no")


def numbers(path: Path) -> list[int]:
    return [orjson.loads(line)["refused"]["line"] for line in path.read_bytes().splitlines()]


def interrupted(refused: RefusedLines, line: int) -> None:
    """Refuse a line, and fail."""
    with refused:
        refused.add(b"x", line, REJECTED)
        raise KeyError


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("-", "stdin.refused.jsonl"),
        ("/dev/stdin", "stdin.refused.jsonl"),
        ("/dev/fd/63", "63.refused.jsonl"),
    ],
)
def test_what_is_no_file_has_its_refused_lines_in_the_working_folder(path: str, found: str) -> None:
    assert Path(found) == refused_path(path)


def test_those_of_a_file_are_beside_it_and_replace_those_of_before(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    path = refused_path(str(tmp_path / "a.jsonl"))
    for line in (1, 2):
        with RefusedLines(path) as refused:
            refused.add(b"x", line, REJECTED)
    assert tmp_path / "a.jsonl.refused.jsonl" == path
    assert [2] == numbers(path)


def test_a_file_is_made_only_for_a_line_and_only_when_all_of_it_is_there(tmp_path: Path) -> None:
    with RefusedLines(tmp_path / "none"):
        pass
    path = tmp_path / "some"
    with pytest.raises(KeyError):
        interrupted(RefusedLines(path), 1)
    assert [] == list(tmp_path.iterdir())


def test_lines_that_cannot_be_read_again_are_kept_whatever_happens(tmp_path: Path) -> None:
    path = tmp_path / "stdin.refused.jsonl"
    for line in (1, 2):
        with pytest.raises(KeyError):
            interrupted(RefusedLines(path, is_added_to=True), line)
    assert [1, 2] == numbers(path)
