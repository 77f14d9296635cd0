"""The demo's shop sends at a rate that this machine's workers can follow."""

import pytest

from agents.trials.demo.pace import BEHIND_S, RATE_LEAST_PER_S, FollowedRate

#: Between looks at what the workers have done.
LOOK_S = 0.25


class Machine:
    """Workers with a fixed rate, polled now and then."""

    def __init__(self, most_per_s: float) -> None:
        self.rate = FollowedRate(most_per_s)
        self.behind = 0.0

    def run(self, seconds: float, *, does_per_s: float) -> list[float]:
        """How far behind they were at each poll, in seconds."""
        waits_s = []
        for _ in range(round(seconds / LOOK_S)):
            sends_per_s = 0.0 if self.rate.is_outrun(round(self.behind)) else self.rate.per_s
            self.behind = max(self.behind + (sends_per_s - does_per_s) * LOOK_S, 0.0)
            self.rate.seen(round(self.behind))
            waits_s.append(self.behind / does_per_s)
        return waits_s


@pytest.mark.parametrize("does_per_s", [900.0, 2_500.0])
def test_the_rate_comes_to_what_workers_do_and_leaves_them_hardly_behind(does_per_s: float) -> None:
    machine = Machine(most_per_s=4_000.0)
    machine.run(20, does_per_s=does_per_s)
    waits_s: list[float] = []
    sent_per_s = mean_rate(machine, 40, does_per_s=does_per_s, waits_s=waits_s)
    assert 2 * BEHIND_S > sorted(waits_s)[len(waits_s) * 99 // 100]
    assert 0.7 * does_per_s < sent_per_s < 1.1 * does_per_s


def mean_rate(machine: Machine, seconds: int, *, does_per_s: float, waits_s: list[float]) -> float:
    """The mean sending rate, second by second; appends how far behind they were."""
    sent_per_s = []
    for _ in range(seconds):
        waits_s += machine.run(1, does_per_s=does_per_s)
        sent_per_s.append(machine.rate.per_s)
    return sum(sent_per_s) / seconds


def test_workers_that_do_more_than_the_shop_sends_get_all_of_it() -> None:
    machine = Machine(most_per_s=1_000.0)
    machine.run(5, does_per_s=4_000.0)
    assert machine.rate.per_s == 1_000.0


def test_workers_that_stand_still_are_waited_for_and_then_followed_again() -> None:
    machine = Machine(most_per_s=2_000.0)
    machine.run(20, does_per_s=1_000.0)
    machine.run(3, does_per_s=0.001)
    assert machine.behind < 2 * 1_000
    assert RATE_LEAST_PER_S == machine.rate.per_s
    machine.run(20, does_per_s=1_000.0)
    assert 700 < mean_rate(machine, 20, does_per_s=1_000.0, waits_s=[])


def test_workers_that_do_next_to_nothing_are_waited_for() -> None:
    machine = Machine(most_per_s=4_000.0)
    machine.run(60, does_per_s=150.0)
    assert machine.rate.per_s == RATE_LEAST_PER_S
    assert machine.behind < 1.5 * RATE_LEAST_PER_S


def test_a_shop_smaller_than_the_least_rate_is_never_sent_faster_than_it_is() -> None:
    machine = Machine(most_per_s=40.0)
    machine.run(5, does_per_s=1.0)
    assert machine.rate.per_s == 40.0
