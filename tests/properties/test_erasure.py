"""An erased customer does not come back, in any order of events, and however often they are
sent.
"""

from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from config.duration import DAY_MS, HOUR_MS, MINUTE_MS
from models.counted import held
from models.customer.identities import IDENTITIES
from models.events.erasure_record import DELETE_ONLY, ERASE_REQUESTED, SUPPRESS
from models.events.times import iso
from tests.models.lines import START_MS
from tests.models.persons import Deployment, said_by
from tests.properties.test_persons import PARTITIONS, USERS, VISITORS, stories, time_of

#: After everything that a story tells.
AFTER_MS = START_MS + 60 * DAY_MS


def _ask(at_ms: int, id_: str, mode: str = DELETE_ONLY) -> bytes:
    who = {"user": id_} if id_ in USERS else {"visitor": id_}
    return said_by(ERASE_REQUESTED, at_ms, **who, mode=mode)


def _disorderly(rng: Random, shop: Deployment, events: list[bytes]) -> None:
    """Publish events while partitions fold at different paces, and some of them die."""
    for event in events:
        shop.publish(event)
        for number in rng.sample(range(len(shop.logs)), len(shop.logs)):
            shop.fold(number, rng.choice((0, 1, 3)))
            if rng.random() < 0.2:
                shop.save(number)
            if rng.random() < 0.05:
                shop.die(number)


def _uncounted(shop: Deployment) -> dict[tuple[str, str], tuple[int, int]]:
    """Sums of the present class of customers that are not those of the rows: both numbers."""
    sums, rows = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for (part, key, _), amount in shop.sums().items():
        sums[part, key] += amount
    for user, row in shop.everybody():
        lane = shop.lanes[shop.home(user)]
        for tally in held(row, user, 1, lane.as_of_ms, lane.context):
            for key, _, amount in tally.sums:
                rows[tally.part, key] += amount
    said = {one for one in (*sums, *rows) if one[1].startswith(("class:", "tier:", "points"))}
    return {one: (sums[one], rows[one]) for one in said if sums[one] != rows[one]}


@given(seed=st.integers(0, 2**32), size=st.integers(1, 40))
def test_who_is_erased_is_not_counted(seed: int, size: int) -> None:
    rng = Random(seed)
    shop = Deployment(rng.choice(PARTITIONS))
    for event in stories(rng, size):
        note(event.decode())
        shop.tick(time_of(event))
        shop.tell(event)
    shop.tick(AFTER_MS)

    assert {} == _uncounted(shop)


#: Stories in which an id is erased while its row is on its way to its person, or back.
UNDER_WAY = (30, 32, 66, 67, 71, 97, 102, 117, 123, 135)


@pytest.mark.parametrize("seed", UNDER_WAY)
def test_who_is_erased_while_their_row_is_under_way_is_not_counted(seed: int) -> None:
    rng = Random(seed)
    shop = Deployment(rng.choice(PARTITIONS))
    at_ms = START_MS
    for event in stories(rng, 30):
        shop.publish(event)
        for lane in rng.sample(range(len(shop.logs)), len(shop.logs)):
            shop.fold(lane, rng.choice((0, 1, 3)))
        at_ms = max(at_ms, time_of(event))
        if rng.random() < 0.3:
            shop.clock(at_ms)
    shop.settle()
    shop.tick(AFTER_MS)

    assert {} == _uncounted(shop)


def _remains(shop: Deployment) -> dict[str, list[str]]:
    """What rows still contain of erased ids that were not named since, and of their persons."""
    erased = shop.erased()
    found: dict[str, list[str]] = {}
    for rows in shop.rows:
        for id_, row in rows.rows.items():
            state = row.read(IDENTITIES)
            if id_ in erased and (row.latest_ms or row.ids or state.claimed or state.person):
                found.setdefault(id_, []).append("its own row")
            for named in (*row.ids, *state.claimed, *state.claims, state.person):
                # Of a visitor's id others' claims stay.
                if named in erased and named in {*USERS} - {*VISITORS} and named != id_:
                    found.setdefault(named, []).append(f"named by {id_}")
    return found


@given(seed=st.integers(0, 2**32), size=st.integers(1, 25))
def test_nobody_comes_back_by_what_is_sent_again(seed: int, size: int) -> None:
    rng = Random(seed)
    shop = Deployment(rng.choice(PARTITIONS))
    told = list(stories(rng, size, erases=False))
    for event in told:
        note(event.decode())
    _disorderly(rng, shop, told)
    # While what rows tell each other is still on its way.
    asked = [_ask(AFTER_MS + n, id_) for n, id_ in enumerate(rng.sample((*USERS, *VISITORS), 2))]
    note(str(asked))
    _disorderly(rng, shop, asked)
    shop.settle()
    before = shop.erased()
    assert not _remains(shop)

    again = [*told, *asked]
    rng.shuffle(again)
    _disorderly(rng, shop, again)
    shop.settle()

    assert before == shop.erased()
    assert not _remains(shop)


@given(seed=st.integers(0, 2**32), size=st.integers(1, 25))
def test_with_a_person_all_their_ids_go(seed: int, size: int) -> None:
    rng = Random(seed)
    shop = Deployment(rng.choice(PARTITIONS))
    shop.tell(*stories(rng, size, erases=False))
    people = shop.people()
    if not people:
        return
    person = rng.choice(sorted(people))
    id_ = rng.choice(sorted(people[person]))
    shop.tell(_ask(AFTER_MS, id_, SUPPRESS))

    erased = shop.erased()
    if id_ == person or people[person] <= erased.keys():
        assert people[person] <= erased.keys()
    else:
        # An id that several share says nothing of who asks.
        assert {id_} == erased.keys()
    assert not _remains(shop)


@given(seed=st.integers(0, 2**32), size=st.integers(1, 15))
def test_who_comes_later_is_a_new_person(seed: int, size: int) -> None:
    rng = Random(seed)
    partitions = rng.choice(PARTITIONS)
    shop, fresh = Deployment(partitions), Deployment(partitions)
    past = list(stories(rng, size, erases=False))
    shop.tell(*past)
    shop.tell(*(_ask(AFTER_MS, id_) for id_ in (*USERS, *VISITORS)))
    for event in _moved(stories(rng, size, erases=False), AFTER_MS + DAY_MS):
        for one in (shop, fresh):
            one.tick(AFTER_MS + DAY_MS)
            one.tell(event)
        if rng.random() < 0.3:
            shop.tell(rng.choice(past))
    assert shop.people() == fresh.people()
    for id_ in fresh.people():
        assert fresh.whole(id_) == shop.whole(id_)


def _moved(events: Iterator[bytes], to_ms: int) -> Iterator[bytes]:
    """The events, an hour apart."""
    for number, event in enumerate(events):
        line: dict[str, Any] = orjson.loads(event)
        line["timestamp"] = iso(to_ms + number * (HOUR_MS + MINUTE_MS))
        line["messageId"] = f"later {number}"
        yield orjson.dumps(line)
