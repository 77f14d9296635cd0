"""History goes through the log a day at a time, and each day is learnt before the next."""

from math import inf

from config.duration import DAY_MS, HOUR_MS, MINUTE_MS
from models.learning.day_ends import last_day_end_ms
from streams.pacing import NOT_OPEN, PATIENCE_S, Pace, PartitionStanding, Turn

DISORDER = 5 * MINUTE_MS
#: Midday of day 100; the day before it ended at `END`.
NOON = 100 * DAY_MS + 12 * HOUR_MS
END = last_day_end_ms(NOON)
NOW = 400 * DAY_MS
#: The last record that does not end day 100.
REST = END + DAY_MS + DISORDER - 1


class Shop:
    """The position of each partition, and the pace that requests it."""

    def __init__(self, **partitions: PartitionStanding) -> None:
        self.standings = {int(name[1:]): one for name, one in partitions.items()}
        self.pace = Pace(lambda: dict(self.standings), disorder_ms=DISORDER, lateness_ms=3 * DAY_MS)

    def turn(self, next_ms: float = NOON, now_s: float = 0.0, now_ms: int = NOW) -> Turn:
        return self.pace.turn(next_ms, now_ms, now_s)


def all_at(at_ms: int) -> PartitionStanding:
    return PartitionStanding(at_ms, at_ms)


def test_without_records_or_without_a_rehearsal_there_is_no_limit() -> None:
    assert Turn(inf) == Shop(p0=all_at(END)).turn(inf)
    assert Turn(inf) == Shop().turn()


def test_the_rest_of_a_day_goes_at_once_when_the_day_before_is_learnt() -> None:
    assert Turn(REST) == Shop(p0=all_at(END), p1=all_at(END + 1)).turn()


def test_what_ends_a_day_waits_until_every_partition_is_told_and_has_learnt() -> None:
    shop = Shop(p0=all_at(END - DAY_MS), p1=all_at(END - 1), p2=all_at(END))
    assert Turn(-1, END, (0, 1)) == shop.turn()
    assert Turn(-1, END, ()) == shop.turn()
    shop.standings = {0: all_at(END), 1: PartitionStanding(END, END - DAY_MS), 2: all_at(END)}
    assert Turn(-1, END, ()) == shop.turn()
    shop.standings[1] = all_at(END)
    assert Turn(REST) == shop.turn()


def test_a_day_ends_with_the_first_record_that_is_too_late_for_it() -> None:
    shop = Shop(p0=all_at(END - DAY_MS))
    assert Turn(END + DISORDER - 1) == shop.turn(END + DISORDER - 1)
    assert Turn(-1, END, (0,)) == shop.turn(END + DISORDER)


def test_a_gap_in_the_history_is_crossed_at_once() -> None:
    shop = Shop(p0=all_at(END - 90 * DAY_MS))
    assert Turn(-1, END, (0,)) == shop.turn()


def test_what_has_only_just_happened_moves_no_clock_that_is_far_behind() -> None:
    shop = Shop(p0=PartitionStanding(0, 0), p1=all_at(END - 200 * DAY_MS), p2=all_at(END - DAY_MS))
    assert (2,) == shop.turn(now_ms=NOON + 1).partitions
    shop.standings.pop(2)
    assert Turn(REST) == shop.turn(now_ms=NOON + 1)


def test_records_without_a_time_pass() -> None:
    shop = Shop(p0=all_at(END))
    assert 0 <= shop.turn(0).until_ms


def test_who_does_not_get_on_is_waited_for_only_so_long() -> None:
    shop = Shop(p0=PartitionStanding(END, END - DAY_MS))
    assert -1 == shop.turn(now_s=10.0).until_ms
    assert -1 == shop.turn(now_s=10.0 + 0.9 * PATIENCE_S).until_ms
    assert Turn(REST, END, (), (0,)) == shop.turn(now_s=10.0 + PATIENCE_S)


def test_who_was_waited_for_in_vain_is_waited_for_again_when_more_was_learnt() -> None:
    shop = Shop(p0=PartitionStanding(END - DAY_MS, END - 9 * DAY_MS))
    shop.turn()
    assert (0,) == shop.turn(now_s=PATIENCE_S).given_up
    # The ends of days are told to it all the same.
    assert Turn(REST + DAY_MS, END + DAY_MS, (0,)) == shop.turn(NOON + DAY_MS, PATIENCE_S + 1)
    shop.standings = {0: PartitionStanding(END, END - 8 * DAY_MS)}
    assert -1 == shop.turn(NOON + 2 * DAY_MS, PATIENCE_S + 2).until_ms


def test_who_was_waited_for_in_vain_keeps_nobody_else_from_being_waited_for() -> None:
    shop = Shop(p0=PartitionStanding(END, END - 9 * DAY_MS), p1=all_at(END))
    shop.turn()
    shop.turn(now_s=PATIENCE_S)
    shop.standings[1] = PartitionStanding(END, END - DAY_MS)
    assert -1 == shop.turn(now_s=PATIENCE_S + 1).until_ms
    assert (1,) == shop.turn(now_s=2 * PATIENCE_S + 1).given_up


def test_a_partition_that_is_not_open_is_waited_for_and_its_clock_left_alone() -> None:
    """It may be live, and then ingest must not move its clock."""
    shop = Shop(p0=NOT_OPEN, p1=all_at(END - DAY_MS))
    assert Turn(-1, END, (1,)) == shop.turn()
    shop.standings[1] = all_at(END)
    assert Turn(-1, END, ()) == shop.turn()
    # An event that has only just happened does not wait: other partitions may be live.
    assert Turn(REST) == shop.turn(now_ms=NOON + 1)
    del shop.standings[0]
    assert Turn(REST) == shop.turn()


def test_patience_begins_anew_with_each_step() -> None:
    shop = Shop(p0=PartitionStanding(END, END - 20 * DAY_MS))
    for second in range(10):
        shop.standings = {0: PartitionStanding(END, END - (20 - second) * DAY_MS)}
        assert -1 == shop.turn(now_s=float(second)).until_ms


def test_a_new_assignment_is_told_again() -> None:
    shop = Shop(p0=all_at(END - DAY_MS))
    assert (0,) == shop.turn().partitions
    shop.pace.clear()
    assert (0,) == shop.turn().partitions
