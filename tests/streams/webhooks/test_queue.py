"""The order of deliveries: in order for each customer, and no customer waits for another."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agents.webhooks.examples import ACTION, TRIGGER
from models.events.times import iso
from streams.graves import Fingerprints
from streams.webhooks.messages import message_of
from streams.webhooks.queue import Delivery, DeliveryQueue, LogPlace


def delivery(number: int, customer: str = "ada", not_before_ms: int = 0) -> Delivery:
    if not_before_ms:
        decided = msgspec.structs.replace(
            ACTION, id=f"{number}", user_id=customer, not_before=iso(not_before_ms)
        )
    else:
        decided = msgspec.structs.replace(TRIGGER, id=f"{number}", user_id=customer)
    return Delivery(message_of(decided, Fingerprints(), 0), LogPlace("t", 0, number), 0)


def taken(queue: DeliveryQueue, now_ms: int = 0) -> list[int]:
    found = []
    while (one := queue.take(now_ms)) is not None:
        found.append(one.place.offset)
    return found


def test_a_customers_next_waits_for_the_one_before_and_others_do_not() -> None:
    queue = DeliveryQueue()
    first, second, other = delivery(1), delivery(2), delivery(3, "bob")
    for one in (first, second, other):
        queue.add(one, 0)

    assert [1, 3] == taken(queue)
    queue.put_back(first, 500)
    queue.finish(other)
    assert [] == taken(queue, 499)
    assert 500 == queue.next_due_ms()
    assert [1] == taken(queue, 500)
    queue.finish(first)
    assert [2] == taken(queue, 500)
    queue.finish(second)
    assert 0 == len(queue)


def test_what_waits_for_quiet_hours_to_end_keeps_nothing_waiting() -> None:
    queue = DeliveryQueue()
    queue.add(delivery(1, not_before_ms=9_000), 0)
    queue.add(delivery(2, not_before_ms=8_000), 0)
    last = delivery(3)
    queue.add(last, 0)

    assert ([3], 8_000) == (taken(queue), queue.next_due_ms())
    queue.finish(last)
    assert [2] == taken(queue, 10_000)


def test_what_is_taken_out_leaves_the_others_as_they_were() -> None:
    queue = DeliveryQueue()
    for one in (delivery(1), delivery(2), delivery(3, "bob", 9_000), delivery(4, "bob")):
        queue.add(one, 0)

    gone = queue.remove(lambda one: one.place.offset in (1, 3))

    assert ([1, 3], [2, 4], 2) == ([one.place.offset for one in gone], taken(queue), len(queue))


def test_the_time_of_one_that_was_taken_out_is_nobody_elses() -> None:
    queue = DeliveryQueue()
    queue.add(delivery(1), 0)
    first = queue.take(0)
    assert first is not None
    queue.put_back(first, 500)
    assert [first] == queue.remove(lambda _: True)

    queue.add(delivery(2), 0)
    assert [2] == taken(queue)
    queue.add(delivery(3), 0)
    # While its customer's other one is being tried.
    assert [] == taken(queue, 500)


VERBS = st.sampled_from(["add", "add", "take", "take", "finish", "put back", "remove"])
STEPS = st.lists(st.tuples(VERBS, st.integers(0, 3), st.integers(0, 30)), max_size=60)


@given(STEPS)
def test_nothing_is_lost_and_a_customers_order_is_kept_whatever_happens(
    steps: list[tuple[str, int, int]],
) -> None:
    queue, now_ms, number = DeliveryQueue(), 0, 0
    busy: list[Delivery] = []
    there: set[int] = set()
    done: dict[str, list[int]] = {}
    for verb, customer, value in steps:
        now_ms += 1
        if verb == "add":
            number += 1
            queue.add(delivery(number, f"c{customer}"), now_ms)
            there.add(number)
        elif verb == "take" and (one := queue.take(now_ms)) is not None:
            assert all(one.message.whose != other.message.whose for other in busy)
            busy.append(one)
        elif verb == "finish" and busy:
            one = busy.pop(value % len(busy))
            queue.finish(one)
            there.remove(one.place.offset)
            done.setdefault(one.message.user_id, []).append(one.place.offset)
        elif verb == "put back" and busy:
            queue.put_back(busy.pop(value % len(busy)), now_ms + value)
        elif verb == "remove":
            there -= {
                one.place.offset
                for one in queue.remove(lambda one, n=value: one.place.offset % 7 == n % 7)
            }
        assert (there, len(there)) == ({one.place.offset for one in queue}, len(queue))
    for one in busy:
        queue.finish(one)
        done.setdefault(one.message.user_id, []).append(one.place.offset)
    while (last := queue.take(now_ms + 1_000)) is not None:
        queue.finish(last)
        done.setdefault(last.message.user_id, []).append(last.place.offset)
    assert 0 == len(queue)
    assert all(offsets == sorted(offsets) for offsets in done.values())
