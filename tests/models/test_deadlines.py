"""Customers fall due in order, whatever is set, moved and removed in between."""

from hypothesis import given
from hypothesis import strategies as st

from config.duration import DAY_MS
from models.deadlines import Deadlines

HOUR_MS = DAY_MS // 24
CUSTOMERS = st.sampled_from([f"u{number}" for number in range(6)])
#: Hours from the first clock on; some are days ahead, and so not in the heap at first.
TIMES = st.integers(1, 24 * 6).map(lambda hours: hours * HOUR_MS)
ACTIONS = st.one_of(
    st.tuples(st.just("set"), CUSTOMERS, TIMES),
    st.tuples(st.just("remove"), CUSTOMERS, st.just(0)),
    st.tuples(st.just("clock"), st.just(""), TIMES),
)


def all_by(deadlines: Deadlines, clock_ms: int) -> list[tuple[int, str]]:
    found = []
    while (due := deadlines.pop_by(clock_ms)) is not None:
        found.append(due)
    return found


@given(st.dictionaries(CUSTOMERS, TIMES), st.lists(ACTIONS, max_size=40))
def test_everybody_falls_due_once_in_the_order_of_time_and_name(
    first: dict[str, int], actions: list[tuple[str, str, int]]
) -> None:
    deadlines = Deadlines([(due_ms, customer) for customer, due_ms in first.items()], 0)
    expected = dict(first)
    clock_ms = 0
    for action, customer, at_ms in [*actions, ("clock", "", 24 * 7 * HOUR_MS)]:
        if action == "set":
            deadlines.set(customer, at_ms)
            expected[customer] = min(at_ms, expected.get(customer, at_ms))
        elif action == "remove":
            deadlines.remove(customer)
            expected.pop(customer, None)
        else:
            clock_ms = max(clock_ms, at_ms)
            due = sorted((due_ms, one) for one, due_ms in expected.items() if due_ms <= clock_ms)
            if deadlines.is_none_by(clock_ms):
                assert [] == due
            assert due == all_by(deadlines, clock_ms)
            for _, one in due:
                del expected[one]

    assert {} == expected
    assert deadlines.is_none_by(clock_ms)


def test_no_deadline_is_none() -> None:
    deadlines = Deadlines([], 0)

    deadlines.set("ada", 0)

    assert deadlines.is_none_by(DAY_MS * 400)


def test_a_customer_who_fell_due_may_do_so_again() -> None:
    deadlines = Deadlines([(5, "ada")], 0)
    assert not deadlines.is_none_by(5)

    assert (5, "ada") == deadlines.pop_by(5)
    deadlines.set("ada", 5)

    assert (5, "ada") == deadlines.pop_by(5)
    assert deadlines.pop_by(5) is None
