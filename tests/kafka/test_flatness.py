"""A rising series is distinguished from one that goes up and down."""

from xml.etree import ElementTree

import pytest

from tests.kafka.flatness import Series, plot

TIMES = [float(second) for second in range(0, 600, 5)]


def series(*values: float) -> Series:
    return Series("memory", "MB", TIMES, values)


@pytest.mark.parametrize(
    ("values", "is_flat"),
    [
        ([200.0] * len(TIMES), True),
        ([200.0 + 20 * (number % 3) for number in range(len(TIMES))], True),
        # Only at first, while caches fill.
        ([min(200.0, 5 * at_s) for at_s in TIMES], True),
        ([200.0 + at_s / 4 for at_s in TIMES], False),
        ([200.0 + at_s / 4 + 30 * (number % 2) for number, at_s in enumerate(TIMES)], False),
    ],
)
def test_what_rises_is_not_flat(values: list[float], is_flat: bool) -> None:
    assert is_flat == series(*values).is_flat


def test_a_plot_shows_every_series_and_every_fault() -> None:
    flat = series(*[200.0] * len(TIMES))
    drawn = ElementTree.fromstring(plot([flat, flat], {"a worker is killed": [10.0, 20.0]}))
    names = [element.tag.rpartition("}")[2] for element in drawn.iter()]
    assert (2, 2) == (names.count("polyline"), names.count("title"))
