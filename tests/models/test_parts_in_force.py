"""Which parts began when, and who has yet to take them up."""

import msgspec
import pytest

from config.duration import DAY_MS
from models.parts_in_force import (
    NOTHING_AWAITED,
    TAKEN_UP_WITHIN_MS,
    InForce,
    awaited,
    begun_later,
    switched,
)
from tests.models.lines import START_MS

ON_AGAIN_MS = START_MS + 30 * DAY_MS


def on_off_on() -> tuple[InForce, ...]:
    """Tiers were off from record 10 to 20, risk began with record 20."""
    noted = switched((), 0, 0, ("pu", "ti"))
    noted = switched(noted, 10, START_MS, ("pu",))
    return switched(noted, 20, ON_AGAIN_MS, ("pu", "rk", "ti"))


@pytest.mark.parametrize(
    ("applied", "codes"),
    [
        pytest.param(5, {"rk", "ti"}, id="before it was off"),
        pytest.param(19, {"rk", "ti"}, id="while it was off"),
        pytest.param(20, set(), id="by the first record with it"),
    ],
)
def test_whoever_was_changed_last_before_a_part_began_takes_it_up(
    applied: int, codes: set[str]
) -> None:
    ahead = awaited(begun_later(on_off_on()), ON_AGAIN_MS)

    assert codes == ahead.codes_for(applied)
    assert (applied < ahead.before) == bool(codes)


def test_each_customer_has_a_time_of_their_own_within_a_day() -> None:
    ahead = awaited(begun_later(on_off_on()), ON_AGAIN_MS)
    times = {ahead.own_ms(f"user-{number}") for number in range(50)}

    assert 50 == len(times)
    assert ON_AGAIN_MS < min(times)
    assert max(times) <= ON_AGAIN_MS + TAKEN_UP_WITHIN_MS


def test_a_part_that_is_switched_off_again_is_taken_up_by_nobody() -> None:
    noted = switched(on_off_on(), 21, ON_AGAIN_MS + 1, ("pu",))

    assert NOTHING_AWAITED is awaited(begun_later(noted), ON_AGAIN_MS + 1)


def test_after_a_day_nobody_is_left() -> None:
    over_ms = ON_AGAIN_MS + TAKEN_UP_WITHIN_MS

    assert NOTHING_AWAITED is not awaited(begun_later(on_off_on()), over_ms)
    assert NOTHING_AWAITED is awaited(begun_later(on_off_on()), over_ms + 1)


def test_what_an_earlier_release_noted_was_taken_up_by_nobody() -> None:
    noted = msgspec.msgpack.encode([[0, 0, ["pu"]], [20, ON_AGAIN_MS, ["pu", "ti"]]])
    read = msgspec.msgpack.decode(noted, type=tuple[InForce, ...])

    assert {"ti": read[1]} == begun_later(read)
    assert NOTHING_AWAITED is awaited(begun_later(read), ON_AGAIN_MS)
