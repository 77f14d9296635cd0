"""Which id belongs to whom does not depend on the number of partitions, crashes or repeats."""

from collections.abc import Iterator
from datetime import datetime
from random import Random
from typing import Any

import orjson
from hypothesis import given, note
from hypothesis import strategies as st
from msgspec import to_builtins

from config.duration import HOUR_MS, MINUTE_MS
from config.parameters import Parameters
from models.customer.loyalty import LOYALTY
from models.events.erasure_record import ERASE_REQUESTED, MODES
from tests.contract.parts import alike
from tests.models.events_alone import without_cohort, without_looks
from tests.models.lines import START_MS
from tests.models.persons import APART, LINKING, Deployment, said_by

#: One name is taken for both.
USERS, VISITORS = ("ada", "bob", "cleo", "both"), ("anon-1", "anon-2", "tablet", "both")
PARTITIONS = (1, 2, 4)


def _who(rng: Random) -> dict[str, str]:
    """A visitor, a user, or a user who also names a visitor."""
    user, visitor = rng.choice(USERS), rng.choice(VISITORS)
    return rng.choice(
        (
            {"visitor": visitor},
            {"visitor": visitor},
            {"user": user},
            {"user": user, "visitor": visitor},
        )
    )


def _event(rng: Random, at_ms: int, *, merges: bool, erases: bool) -> bytes:
    chance = rng.random()
    if erases and rng.random() < 0.08:
        who = rng.choice(({"user": rng.choice(USERS)}, {"visitor": rng.choice(VISITORS)}))
        return said_by(ERASE_REQUESTED, at_ms, **who, mode=rng.choice(MODES))
    if chance < 0.12:
        id_ = rng.choice((*VISITORS, *USERS[1:]))
        return said_by("Customer Split", at_ms, user="ada", id=id_)
    if merges and chance < 0.18:
        user, other = rng.sample(USERS, 2)
        return said_by("Customer Merged", at_ms, user=user, from_user_id=other)
    if chance > 0.94:
        # Of our own messages, which may name a device.
        device = {"visitor": rng.choice(VISITORS)} if rng.random() < 0.5 else {}
        return said_by("Email Opened", at_ms, user=rng.choice(USERS), **device)
    if chance > 0.88:
        user, other = rng.sample((*USERS, *VISITORS[:-1]), 2)
        return said_by("alias", at_ms, user=user, previous=other)
    who, name = _who(rng), rng.choice(("page", "identify", "Product Added", "Order Completed"))
    if name == "Product Added":
        return said_by(name, at_ms, **who, product_id=rng.choice("pq"), price=5.0, quantity=1)
    if name == "Order Completed":
        return said_by(name, at_ms, **who, order_id=f"o{at_ms}", revenue=9.0)
    return said_by(name, at_ms, **who, channel=rng.choice(("web", "app")))


def stories(rng: Random, size: int, *, merges: bool = True, erases: bool = True) -> Iterator[bytes]:
    """Events in nearly the order of time, some of them twice."""
    at_ms, told = START_MS, list[bytes]()
    for _ in range(size):
        at_ms += rng.choice((MINUTE_MS, 20 * MINUTE_MS, 5 * HOUR_MS))
        late_ms = rng.choice((0, 0, 30 * MINUTE_MS))
        event = _event(rng, at_ms - late_ms, merges=merges, erases=erases)
        told.append(event)
        yield event
        if rng.random() < 0.1:
            yield rng.choice(told)


def _settled(story: list[bytes], partitions: int, parameters: Parameters = LINKING) -> Deployment:
    """Each event, followed by all records that it causes, with the same clock everywhere."""
    shop = Deployment(partitions, parameters)
    for event in story:
        note(event.decode())
        # Deadlines before what partitions tell each other, wherever they are.
        shop.tick(time_of(event))
        shop.tell(event)
    return shop


def time_of(event: bytes) -> int:
    moment = datetime.fromisoformat(orjson.loads(event)["timestamp"])
    return round(moment.timestamp() * 1_000)


def _everything(shop: Deployment) -> dict[str, Any]:
    """The person of every id, and the state of each by itself and as a person."""
    ids = [id_ for rows in shop.rows for id_ in rows.rows]
    return {
        "people": shop.people(),
        "erased": shop.erased(),
        "ids": {id_: shop.whole(id_) for id_ in ids},
        "persons": {id_: shop.profile(id_) for id_, _ in shop.everybody()},
        "fired": sorted(shop.fired()),
        "sums": shop.sums(),
        "refused": len(shop.refused),
    }


@given(seed=st.integers(0, 2**32), size=st.integers(1, 25))
def test_the_number_of_partitions_makes_no_difference(seed: int, size: int) -> None:
    story = list(stories(Random(seed), size))

    one, *others = (_everything(_settled(story, partitions)) for partitions in PARTITIONS)

    for other in others:
        for what, found in other.items():
            assert one[what] == found


@given(seed=st.integers(0, 2**32), size=st.integers(1, 30))
def test_what_an_id_has_come_to_is_as_if_nobody_had_ever_been_linked(seed: int, size: int) -> None:
    rng = Random(seed)
    shop, alone = Deployment(rng.choice(PARTITIONS)), Deployment(1, APART)
    for event in stories(rng, size, merges=False, erases=False):
        note(event.decode())
        # What rows tell each other is folded whenever it is.
        shop.publish(event)
        for number in rng.sample(range(len(shop.logs)), len(shop.logs)):
            shop.fold(number, rng.choice((0, 1, 3)))
        alone.tell(event)
    shop.settle()
    for id_ in alone.rows[0].rows:
        one, other = _of_events(alone, id_), _of_events(shop, id_)
        messages = one.pop("messages"), other.pop("messages")
        # Those of events that would be late are dropped when a timer runs, whosever it is.
        assert max(messages, key=len).endswith(min(messages, key=len))
        assert one == other


def _of_events(shop: Deployment, id_: str) -> dict[str, Any]:
    """State that does not depend on when the clock reached a time, which differs by partition."""
    return {**_parts(without_looks(shop.whole(id_))), "timers": None}


@given(seed=st.integers(0, 2**32), size=st.integers(1, 25))
def test_by_the_same_clock_so_is_where_it_stood_when_it_was_looked_at(seed: int, size: int) -> None:
    rng = Random(seed)
    story = list(stories(rng, size, merges=False, erases=False))
    shop, alone = _settled(story, rng.choice(PARTITIONS)), _settled(story, 1, APART)
    for id_ in alone.rows[0].rows:
        one, other = alone.whole(id_), shop.whole(id_)
        assert one["timers"] == other["timers"]
        messages = one.pop("messages"), other.pop("messages")
        assert max(messages, key=len).endswith(min(messages, key=len))
        assert without_cohort(_parts(one)) == without_cohort(_parts(other))


def _parts(whole: dict[str, Any]) -> dict[str, Any]:
    """Without the times at which sums were last reported."""
    loyalty = LOYALTY.unpack(whole["loyalty"])
    loyalty.told_at_ms = 0
    return {**whole, "loyalty": LOYALTY.pack(loyalty)}


@given(seed=st.integers(0, 2**32), size=st.integers(1, 25))
def test_a_crash_at_any_record_makes_no_difference(seed: int, size: int) -> None:
    rng = Random(seed)
    partitions = rng.choice(PARTITIONS)
    sound, broken = Deployment(partitions), Deployment(partitions)
    for event in stories(rng, size):
        note(event.decode())
        for shop in (sound, broken):
            shop.publish(event)
        sound.settle()
        # What was folded since the state was saved is folded again, and told again.
        for number in range(partitions):
            if rng.random() < 0.5:
                broken.save(number)
        broken.settle()
        if rng.random() < 0.3:
            broken.die(rng.randrange(partitions))
            broken.settle()
    assert sound.people() == broken.people()
    assert sound.erased() == broken.erased()
    for id_ in [id_ for rows in sound.rows for id_ in rows.rows]:
        assert sound.whole(id_) == broken.whole(id_)
        if id_ in sound.people():
            assert alike(to_builtins(sound.profile(id_)), to_builtins(broken.profile(id_)))
    assert sound.sums() == broken.sums()


@given(seed=st.integers(0, 2**32), size=st.integers(1, 30))
def test_when_rows_are_packed_makes_no_difference(seed: int, size: int) -> None:
    rng = Random(seed)
    partitions = rng.choice(PARTITIONS)
    live, packed = Deployment(partitions), Deployment(partitions)
    for event in stories(rng, size):
        note(event.decode())
        is_time = rng.random() < 0.2
        for shop in (live, packed):
            shop.tell(event)
            if is_time:
                shop.tick(time_of(event))
        for rows in packed.rows:
            # As after a batch: what is asked for next is read anew.
            rows.rows.clear()
    for one, other in zip(live.rows, packed.rows, strict=True):
        assert one.stored == other.stored
