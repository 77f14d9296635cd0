"""Event time never advances further than time has passed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.steady_clock import CATCH_UP_SHARE, SteadyClock

NOON_MS = 1_767_268_800_000


class Clocks:
    """A wall clock that may be set, and the time that really passes."""

    def __init__(self) -> None:
        self.wall_ms, self.real_ms = NOON_MS, 5_000
        self.steady = SteadyClock(self.wall_ms, self.real_ms)

    def after(self, passed_ms: int, *, jump_ms: int = 0) -> int:
        """What the steady clock shows this much later, with the wall clock set forward or back."""
        self.real_ms += passed_ms
        self.wall_ms += passed_ms + jump_ms
        return self.steady.now_ms(self.wall_ms, self.real_ms) - NOON_MS


def test_it_shows_the_wall_clock_as_long_as_nobody_sets_it() -> None:
    clocks = Clocks()
    assert [1_000, 1_000, 61_000] == [clocks.after(passed_ms) for passed_ms in (1_000, 0, 60_000)]


def test_jumps_in_small_steps_lead_no_further_than_a_large_one() -> None:
    steps, jump = Clocks(), Clocks()
    for _ in range(20):
        shown_ms = steps.after(1_000, jump_ms=480_000)
    assert shown_ms <= 20_000 * (1 + CATCH_UP_SHARE)
    assert shown_ms == jump.after(20_000, jump_ms=20 * 480_000)


def test_a_clock_that_was_behind_is_caught_up_slowly() -> None:
    clocks = Clocks()
    assert 1_010 == clocks.after(1_000, jump_ms=60_000)
    assert 3_600_000 + 60_000 > clocks.after(3_600_000) > 3_600_000 + 30_000
    assert 7_201_000 + 60_000 == clocks.after(3_600_000)


def test_a_clock_that_goes_back_is_followed_and_so_is_its_return() -> None:
    clocks = Clocks()
    assert -86_399_000 == clocks.after(1_000, jump_ms=-86_400_000)
    assert 2_000 == clocks.after(1_000, jump_ms=86_400_000)


def test_a_clock_ahead_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    clocks = Clocks()
    for jump_ms in (0, 480_000, 480_000, 0):
        clocks.after(1_000, jump_ms=jump_ms)
    (record,) = caplog.records
    assert "went forward by 480 s more than has passed" in record.getMessage()


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(-(10**9), 10**9)), max_size=50))
def test_it_is_never_ahead_of_the_wall_nor_of_what_has_passed(steps: list[tuple[int, int]]) -> None:
    clocks = Clocks()
    for passed_ms, jump_ms in steps:
        shown_ms = clocks.after(passed_ms, jump_ms=jump_ms)
        assert shown_ms <= clocks.wall_ms - NOON_MS
        assert shown_ms <= (clocks.real_ms - 5_000) * (1 + CATCH_UP_SHARE)
