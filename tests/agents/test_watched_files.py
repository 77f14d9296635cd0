"""Files that are read again: when, and what applies when their new content can't be used."""

import logging
from pathlib import Path

import pytest

from agents.watched_files import WatchedFiles
from streams.exposition import exposed, new_registry
from streams.file_metrics import FileMetrics


class Refused(ValueError):
    """The error that these tests' reader raises."""


class Reader:
    """Reads numbers, and the file that the first line names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.numbers: list[int] = []
        self.count = 0
        self.registry = new_registry()
        self.watched = WatchedFiles(self.files, self.read, (Refused,), FileMetrics(self.registry))

    def files(self) -> list[Path]:
        return [self.path, self.path.with_name("other")]

    def read(self) -> None:
        self.count += 1
        text = self.path.read_text()
        try:
            self.numbers = [int(line) for line in text.split()]
        except ValueError:
            raise Refused(f"{self.path.name}: no numbers") from None
        if "13" in text:
            raise ZeroDivisionError

    def look(self, times: int = 1) -> "Reader":
        for _ in range(times):
            self.watched.look()
        return self

    @property
    def is_refused(self) -> bool:
        return b"keepstream_files_refused 1.0" in exposed(self.registry)


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    path = tmp_path / "file"
    path.write_text("1")
    return Reader(path)


def test_a_file_is_read_when_it_has_changed_and_rests(reader: Reader) -> None:
    assert 0 == reader.look(3).count
    reader.path.write_text("1\n2")
    assert 0 == reader.look().count
    # It is still being written.
    reader.path.write_text("1\n2\n3")
    assert 0 == reader.look().count
    assert [1, 2, 3] == reader.look().numbers
    assert 1 == reader.look(3).count


def test_a_file_that_is_named_by_another_counts_and_may_come_and_go(reader: Reader) -> None:
    other = reader.path.with_name("other")
    other.write_text("secret")
    assert 1 == reader.look(3).count
    other.unlink()
    assert 2 == reader.look(3).count
    # As Kubernetes replaces what it mounts: a link to another file of the same size.
    (reader.path.parent / "new").write_text("secret")
    other.symlink_to(reader.path.parent / "new")
    assert 3 == reader.look(3).count


def test_what_cannot_be_used_changes_nothing_and_is_told_once(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    reader.path.write_text("1 2")
    reader.look(2)
    with caplog.at_level(logging.ERROR):
        reader.path.write_text("one")
        reader.look(4)
        assert ([1, 2], True) == (reader.numbers, reader.is_refused)
        assert ["file: no numbers; what was read before holds until this is mended"] == [
            record.getMessage() for record in caplog.records
        ]
        # Again and again, for what mends it may be in a file that is not known.
        assert 1 + 3 + 1 == reader.look().count
    reader.path.write_text("3")
    assert ([3], False) == (reader.look(2).numbers, reader.is_refused)


def test_what_nobody_expected_ends_nothing(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    reader.path.write_text("13")
    with caplog.at_level(logging.ERROR):
        assert reader.look(2).is_refused
    assert "ZeroDivisionError" in caplog.text
    reader.path.write_text("14")
    assert ([14], False) == (reader.look(2).numbers, reader.is_refused)
