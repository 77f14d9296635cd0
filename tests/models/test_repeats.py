"""Repeated records are recognised by their source, whose offsets belong to one topic."""

import random

import pytest

from models.events.event import Source
from models.repeats import GENERATIONS_MAX, is_repeated


class Seen:
    """What a partition remembers about the sources of events."""

    def __init__(self, **sources: int) -> None:
        self.sources: dict[str, int] = {f"{name}-0": offset for name, offset in sources.items()}
        self.generations: dict[str, tuple[str, ...]] = {}

    def repeats(self, offset: int, generation: str | None = None, topic: str = "support") -> bool:
        source = Source(topic, 0, offset, 1, generation)
        return is_repeated(source, self.sources, self.generations)


@pytest.mark.parametrize("generation", [None, "one"])
def test_a_place_is_new_once(generation: str | None) -> None:
    seen = Seen()
    offsets = [0, 1, 1, 0, 2, 5, 4, 6]
    expected = [False, False, True, True, False, False, True, False]
    assert expected == [seen.repeats(offset, generation) for offset in offsets]


def test_offsets_of_another_topic_of_the_name_are_other_places() -> None:
    seen = Seen()
    assert not seen.repeats(9, "one")
    assert [False, False, True] == [seen.repeats(offset, "two") for offset in (0, 1, 1)]


def test_a_topic_before_is_still_known_and_so_is_the_present_one_after_it() -> None:
    """A worker that was cut off may still write events from the former topic."""
    seen = Seen()
    for offset, generation in [(9, "one"), (0, "two"), (3, "two")]:
        assert not seen.repeats(offset, generation)
    assert seen.repeats(9, "one")
    assert not seen.repeats(10, "one")
    assert seen.repeats(3, "two")
    assert not seen.repeats(4, "two")
    assert seen.repeats(10, "one")


def test_topics_and_generations_do_not_mix() -> None:
    seen = Seen()
    assert not seen.repeats(5, "one", "support")
    assert not seen.repeats(5, "two", "support")
    assert not seen.repeats(3, "one", "feedback")
    assert not seen.repeats(4, "two", "feedback")
    assert seen.repeats(5, "one", "support")


def test_what_an_earlier_release_remembered_holds_for_the_first_generation() -> None:
    """Ingest may pass records on just before an upgrade, and again after it."""
    seen = Seen(support=7)
    assert seen.repeats(7, "one")
    assert not seen.repeats(8, "one")
    assert not seen.repeats(0, "two")


def test_an_earlier_release_still_finds_the_offset_of_the_present_generation() -> None:
    seen = Seen()
    seen.repeats(7, "one")
    seen.repeats(2, "two")
    assert 2 == seen.sources["support-0"]


def test_few_generations_are_remembered() -> None:
    seen = Seen()
    chance = random.Random(5)
    for number in range(200):
        seen.repeats(number, f"g-{chance.randrange(40)}")
        assert GENERATIONS_MAX >= len(seen.sources)
        assert GENERATIONS_MAX >= len(seen.generations["support-0"])
        earlier = {f"support-0@{one}" for one in seen.generations["support-0"][1:]}
        assert {"support-0", *earlier} == seen.sources.keys()
