"""A store that keeps its data soon has nothing on its disk of what was deleted in it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from redis import Redis

from agents.standing.services import STORE_OPTIONS
from agents.standing.upkeep import StoreFile
from streams.embedded.process import wait_until
from streams.embedded.valkey import EmbeddedValkey

MARK = b"canary"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path, keeps_data=True, options=STORE_OPTIONS) as valkey:
        yield valkey


def has_mark(folder: Path) -> bool:
    while True:
        try:
            files = [path for path in folder.rglob("*") if path.is_file()]
            return any(MARK in path.read_bytes() for path in files)
        except FileNotFoundError:
            # The store gave one of them another name meanwhile: only a whole look says something.
            continue


def written_anew(place: EmbeddedValkey, file: StoreFile) -> None:
    """Wait until its file is rewritten; a store that is busy with an earlier rewrite refuses, and
    is asked again.
    """

    def is_gone() -> bool:
        file.tend()
        return not has_mark(place.directory)

    wait_until(is_gone, "it is gone", 30, [place.process])


def test_what_was_deleted_is_not_in_the_file_once_that_is_written_anew(
    place: EmbeddedValkey,
) -> None:
    file = StoreFile(place.url)
    # At the start there is nothing yet that it would be rid of.
    file.tend()
    with closing(Redis.from_url(place.url)) as store:
        store.set("profile", MARK)
        for number in range(40):
            store.xadd("stream", {"whose": b"zoe %d" % number})
            entry = store.xadd("stream", {"whose": b"%b %d" % (MARK, number)})
            store.xdel("stream", entry)
        store.delete("profile")
        assert 40 == store.xlen("stream")
        wait_until(lambda: has_mark(place.directory), "it is written", 30, [place.process])

        file.tend()
        assert has_mark(place.directory), "it is due once a day, and at once"
        written_anew(place, StoreFile(place.url))
        # Nor in memory, of which replicas and dumps are made.
        assert MARK not in store.dump("stream")


def test_a_store_that_is_away_is_asked_again(place: EmbeddedValkey) -> None:
    file = StoreFile(place.url)
    with closing(Redis.from_url(place.url)) as store:
        store.set("profile", MARK)
        store.delete("profile")
    place.stop()
    file.tend()
    assert has_mark(place.directory)
    place.start()
    written_anew(place, file)
