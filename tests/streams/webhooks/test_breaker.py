"""A failing endpoint is tried with a growing back-off, and used again when it is back."""

import pytest

from streams.webhooks.breaker import FAILURES_MAX, PAUSE_MS_MAX, Breaker, delay_ms


def breaker() -> Breaker:
    return Breaker(1_000, 60_000, lambda: 1.0)


@pytest.mark.parametrize(
    ("failures", "chance", "expected"),
    [
        (1, 1.0, 1_000),
        (1, 0.0, 500),
        (2, 1.0, 2_000),
        (6, 1.0, 32_000),
        (7, 1.0, 60_000),
        (7, 0.0, 30_000),
        (1_000_000, 1.0, 60_000),
    ],
)
def test_each_delay_is_twice_the_last_up_to_a_ceiling_and_half_of_it_is_chance(
    failures: int, chance: float, expected: int
) -> None:
    assert expected == delay_ms(failures, 1_000, 60_000, lambda: chance)


def test_it_opens_after_failures_in_a_row_and_then_lets_one_through_at_a_time() -> None:
    found = breaker()
    for _ in range(FAILURES_MAX - 1):
        found.fail(0)
    assert (True, False) == (found.permits(0), found.is_open)

    found.fail(0)
    assert (False, True, 1_000) == (found.permits(999), found.permits(1_000), found.until_ms)
    found.begin()
    assert not found.permits(1_000)
    found.fail(1_000)
    assert (False, True) == (found.permits(2_999), found.permits(3_000))
    found.begin()
    found.succeed()
    assert (True, False) == (found.permits(3_000), found.is_open)


def test_a_success_in_between_starts_the_count_anew() -> None:
    found = breaker()
    for _ in range(3):
        for _ in range(FAILURES_MAX - 1):
            found.fail(0)
        found.succeed()
    assert not found.is_open


def test_a_probe_that_came_to_no_end_keeps_no_other_one_away() -> None:
    found = breaker()
    for _ in range(FAILURES_MAX):
        found.fail(0)
    found.begin()
    found.cancel()

    assert found.permits(1_000)


def test_an_endpoint_is_left_alone_for_as_long_as_it_asks_but_not_for_ever() -> None:
    found = breaker()
    found.pause(0, 5_000)
    assert (False, True) == (found.permits(4_999), found.permits(5_000))
    found.pause(0, 10**12)
    assert PAUSE_MS_MAX == found.until_ms
