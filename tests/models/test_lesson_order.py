"""The order of a day's lessons is the same on every processor."""

import os
import subprocess
import sys
from binascii import b2a_base64
from math import nextafter
from random import Random

import pytest

from models.learning.feature_names import NAMES, pack, rounded, unpack
from models.learning.lesson_order import in_order, lesson_of
from models.learning.lessons import Example, Forecast, Lesson, Observation
from tests.house.repository import ROOT

AT_MS = 1_700_000_000_000
#: What NumPy, BLAS and the C library may use of the processor.
OLDER_PROCESSOR = {
    "OPENBLAS_CORETYPE": "Prescott",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4",
}


def text(values: list[float]) -> str:
    return b2a_base64(pack(tuple(values)), newline=False).decode()


def example(number: int, digit: float = 0.0) -> Example:
    """A lesson in which all that follows from fits and logarithms is off by ``digit`` of itself."""
    chance = Random(number)
    features = [float(chance.randrange(9)) for _ in NAMES]
    features[NAMES.index("bgnbd")] = chance.gauss(0.0, 3.0) * (1.0 + digit)
    features[NAMES.index("recency")] = chance.uniform(0.0, 6.0) * (1.0 + digit)
    forecast = Forecast(chance.uniform(0.0, 9_000.0) * (1.0 + digit), None, 2_500.0, (0.5,))
    return Example(
        AT_MS,
        28.0,
        "check-in",
        chance.random() < 0.5,
        text(features),
        said=b2a_base64(bytes([number % 256, int(digit * 1e9) % 256]), newline=False).decode(),
        spent_minor=0,
        forecast=forecast,
        offset=number,
    )


def observation(number: int, digit: float = 0.0) -> Observation:
    chance = Random(number)
    features = [chance.uniform(0.0, 6.0) * (1.0 + digit) for _ in NAMES]
    return Observation(
        AT_MS,
        float(number % 400),
        number % 7,
        1_000 + number,
        chance.uniform(1.0, 60.0) * (1.0 + digit),
        (number % 7, number % 30, 400),
        features=text(features),
        gap_residuals=(chance.gauss(0.0, 1.0) * (1.0 + digit),),
        offset=number,
    )


def order(lessons: list[Lesson]) -> list[int]:
    """The offsets of the lessons in the order of learning."""
    ordered = sorted((in_order(lesson), lesson.offset) for lesson in lessons)
    return [offset for _, offset in ordered]


@pytest.mark.parametrize("lesson", [example, observation])
@pytest.mark.parametrize("digit", [1e-15, -3e-12, 2e-9])
def test_other_last_digits_change_no_order(lesson: type[Lesson], digit: float) -> None:
    usual = [lesson(number) for number in range(500)]

    found = order([lesson(number, digit) for number in range(500)])

    assert order(usual) == found
    assert found != sorted(found)


def test_what_is_exact_changes_the_order() -> None:
    usual = order([example(number) for number in range(100)])
    other = [example(number) for number in range(100)]
    for lesson in other:
        lesson.spent_minor += 1

    assert usual != order(other)


def test_a_lesson_comes_back_without_its_position() -> None:
    lesson = example(7)

    found = lesson_of(in_order(lesson))

    assert 7 == lesson.offset
    lesson.offset = 0
    assert lesson == found


def test_features_are_rounded_to_three_digits() -> None:
    chance = Random(1)
    for _ in range(200):
        values = [chance.choice([-1, 1]) * 10 ** chance.uniform(-8, 30) for _ in NAMES]

        found = unpack(rounded(pack(tuple(values))))

        assert values == pytest.approx(found, rel=5e-4)


@pytest.mark.parametrize("value", [1.0, -1.0, 0.5, 3.0, 1e-3])
def test_a_number_that_is_nearly_whole_is_rounded_like_it(value: float) -> None:
    exact, below, above = (
        rounded(pack((one,) * len(NAMES)))
        for one in (value, nextafter(value, -10.0), nextafter(value, 10.0))
    )

    assert exact == below == above


def test_a_story_ends_alike_on_an_older_processor() -> None:
    """One whose scores differed in the third digit when the order followed from all digits."""
    story = "tests/replay/test_stories.py::test_a_story_ends_as_expected[relationship]"

    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", story],
        cwd=ROOT,
        env={**os.environ, **OLDER_PROCESSOR},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "1 passed" in found.stdout, found.stdout[-2_000:]
