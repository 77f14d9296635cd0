"""Results of looks have a memory: a preferred channel stays until another was ahead for two weeks,
a key customer has two limits, and a contact is due so long after the last. An event that is days
late may come after the look. Within the minutes between two looks, neither order nor repeats make a
difference, to the last byte of the row; nor do restarts.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from config.duration import DAY_MS, HOUR_MS, DurationMs
from models.admission import decode_event
from models.customer.profile import encode_profile
from models.customer.row import decode_row
from models.events.event import Source
from models.events.wire import decode_line, encode_event
from models.partition import Partition
from models.partition_state import PartitionState, decode_state, encode_state
from models.plan import plan_for
from models.replay import Replay
from tests.examples import drawn
from tests.models.lines import MINUTE_MS, PRIOR, SHIPPED, START_MS, line, watermark
from tests.properties.histories import CUSTOMERS, StoredRows, clock_record, no_models
from tests.properties.test_customers import FOUND_AT_LOOKS, assert_alike, encoded

DAYS = 150
#: What comes within so long is told in any order. Their own minutes of the hour, at which what is
#: due on a day comes, are after it.
BURST_MS = 8 * MINUTE_MS
#: No model is learnt, so that the same one is in force everywhere.
PARAMETERS = replace(
    SHIPPED, learning=replace(SHIPPED.learning, snapshot_every=DurationMs(1_000 * DAY_MS))
)
PLAN = plan_for(PARAMETERS)
#: What is compared, whole.
SECTIONS = ("lifecycle", "tier", "risk", "channels", "calendar", "keyCustomer", "relationship")

#: Events of a customer that are near each other.
Burst = list[bytes]


def bursts(rng: Random) -> Iterator[tuple[int, Burst]]:
    """When the customer comes, and what they do then, in the order of time."""
    habits = {
        customer: (rng.choice((2, 4, 9)), rng.choice((10.0, 60.0, 150.0)), rng.randrange(DAYS))
        for customer in CUSTOMERS
    }
    for day in range(DAYS):
        for hour, customer in enumerate(CUSTOMERS, 8):
            every, spends, moved_on_day = habits[customer]
            if day % every == 0:
                begin_ms = START_MS + day * DAY_MS + hour * HOUR_MS
                channel = "web" if day < moved_on_day else "app"
                yield begin_ms, [*_burst(rng, customer, begin_ms, channel, spends)]


def _burst(
    rng: Random, customer: str, begin_ms: int, channel: str, spends: float
) -> Iterator[bytes]:
    number = begin_ms // MINUTE_MS
    said: list[tuple[str, dict[str, Any]]] = [
        (rng.choice(("page", "Product Viewed", "Products Searched")), {})
        for _ in range(rng.randrange(3))
    ]
    if rng.random() < 0.7:
        said.append(("Order Completed", {"order_id": f"{customer}-{number}", "revenue": spends}))
    if rng.random() < 0.1:
        said.append(("Order Refunded", {"order_id": f"{customer}-{number}"}))
    if rng.random() < 0.3:
        score = rng.choice((2, 9, 10, 10))
        said.append(("Survey Responded", {"kind": "nps", "score": score, "survey_id": f"{number}"}))
    if rng.random() < 0.1:
        said.append(("Credit Assessed", {"score": rng.choice((20, 90, 90))}))
    if rng.random() < 0.1:
        said.append(("Action Delivered", {"decision_id": f"d-{number}"}))
    for name, properties in said:
        at_ms = begin_ms + rng.randrange(BURST_MS)
        message = f"{customer} {at_ms} {name}"
        yield line(
            name, at_ms, customer=customer, message=message, channel=channel, properties=properties
        )


def told(log: list[bytes]) -> Replay:
    """Everything in this order, with a clock from watermarks only."""
    replay = Replay(PARAMETERS)
    for number, raw in enumerate(log, 1):
        replay.feed(raw, number)
    return replay


def in_order(bursts: list[tuple[int, Burst]]) -> list[bytes]:
    """The bursts, each followed by the clock an hour later."""
    log: list[bytes] = []
    for begin_ms, burst in bursts:
        log += [*burst, watermark(begin_ms + HOUR_MS // 2)]
    return [*log, watermark(START_MS + (DAYS + 8) * DAY_MS)]


def views(replay: Replay) -> dict[str, dict[str, Any]]:
    return {view.user_id: orjson.loads(encode_profile(view)) for view in replay.profiles()}


@given(seed=st.integers(0, 2**32))
@drawn(times=0.2)
def test_within_minutes_neither_order_nor_repeats_change_what_is_remembered(seed: int) -> None:
    rng = Random(seed)
    orderly = [(begin_ms, sorted(burst, key=_when)) for begin_ms, burst in bursts(rng)]
    mixed = [
        (begin_ms, rng.sample([*burst, *burst[:1]], len(burst) + bool(burst)))
        for begin_ms, burst in orderly
    ]
    one, other = views(told(in_order(orderly))), views(told(in_order(mixed)))

    for customer in CUSTOMERS:
        for section in SECTIONS:
            assert_alike(one[customer][section], other[customer][section])


def test_what_is_compared_is_there() -> None:
    """A changed preference, present and former key customers, and due contacts."""
    found: Counter[str] = Counter()
    for seed in range(6):
        for view in views(told(in_order([*bursts(Random(seed))]))).values():
            key, calendar = view["keyCustomer"] or {}, view["calendar"] or {}
            found += Counter(
                {
                    "shifted": int(bool(view["channels"]["before"])),
                    "is key": int(key.get("isKey") is True),
                    "was key": int(key.get("isKey") is False and bool(key.get("since"))),
                    "will be due": int(bool(calendar.get("dueAt"))),
                    "is due": int(bool(calendar.get("dueSince"))),
                }
            )

    assert {"shifted", "is key", "was key", "will be due", "is due"} == set(found)


def _when(raw: bytes) -> str:
    found: str = orjson.loads(raw)["timestamp"]
    return found


def _ms(raw: bytes) -> int:
    return round(datetime.fromisoformat(_when(raw)).timestamp() * 1_000)


@given(seed=st.integers(0, 2**32))
@drawn(times=0.2)
def test_a_worker_that_restarts_remembers_what_a_replay_does(seed: int) -> None:
    rng = Random(seed)
    log = in_order([*bursts(rng)])
    stored, state = dict[str, bytes](), encode_state(PartitionState())
    offset = 0
    for part in _cut(log, rng):
        rows = StoredRows(stored)
        partition = Partition(0, rows, PRIOR, PLAN, no_models, decode_state(state))
        for raw in part:
            partition.apply(offset, decode_line(_as_in_the_log(raw, offset)))
            offset += 1
        stored, state = rows.stored, encode_state(partition.state)
    live = {customer: decode_row(content) for customer, content in stored.items()}

    assert encoded(told(log).rows()) == encoded(live)


def _cut(log: list[bytes], rng: Random) -> Iterator[list[bytes]]:
    places = sorted(rng.sample(range(len(log)), 5))
    yield from (log[begin:end] for begin, end in pairwise([0, *places, len(log)]))


def _as_in_the_log(raw: bytes, offset: int) -> bytes:
    at_ms = _ms(raw)
    if orjson.loads(raw)["type"] == "watermark":
        return clock_record(at_ms, "watermark")
    source = Source(topic="clickstream", partition=0, offset=offset, received_at=at_ms)
    return encode_event(decode_event(raw, message_id="", source=source))


def a_life(rng: Random) -> list[tuple[int, bytes]]:
    """A year and a half of one customer, on the edge of being lost, with returned orders."""
    said: list[tuple[int, bytes]] = []
    day = 0.0
    for number in range(30):
        day += rng.choice((1, 5, 7, 30, 60, 89.9, 90, 90.1, 91, 100, 120))
        if day > 500:
            break
        at_ms = START_MS + round((int(day) + rng.random()) * DAY_MS)
        order = {"order_id": f"o-{number}", "revenue": rng.choice((10.0, 100.0, 300.0))}
        told_ms = [(at_ms, "Order Completed", order)]
        if rng.random() < 0.25:
            end = rng.choice(("Order Refunded", "Order Cancelled"))
            back_ms = at_ms + round(rng.random() * 40 * DAY_MS)
            told_ms.append((back_ms, end, {"order_id": f"o-{number}"}))
        if rng.random() < 0.3:
            score = {"kind": "nps", "score": rng.choice((3, 10))}
            told_ms.append((at_ms + DAY_MS, "Survey Responded", score))
        said += [
            (moment_ms, line(name, moment_ms, channel="web", properties=properties))
            for moment_ms, name, properties in told_ms
        ]
    return sorted(said)


def _come(said: list[tuple[int, bytes]], late_ms: Callable[[], int]) -> Replay:
    """The result if each event is this late, and there was a look in between."""
    coming = sorted((at_ms + late_ms(), raw) for at_ms, raw in said)
    log = [one for comes_ms, raw in coming for one in (watermark(comes_ms), raw)]
    return told([*log, watermark(said[-1][0] + 12 * DAY_MS)])


@pytest.mark.parametrize("seed", [*range(10), 13, 26, 43, 53, 62])
def test_whoever_is_heard_of_days_late_ends_as_who_they_are(seed: int) -> None:
    """A look finds them lost, or gone, before an order comes that was placed in time."""
    rng = Random(seed)
    said = a_life(rng)
    one = _come(said, lambda: 0)
    other = _come(said, lambda: rng.choice((0, rng.randrange(70 * HOUR_MS))))

    for of_orderly, of_late in zip(views(one).values(), views(other).values(), strict=True):
        for section, known in FOUND_AT_LOOKS.items():
            first, second = of_orderly[section] or {}, of_late[section] or {}
            assert {n: first.get(n) for n in known} == {n: second.get(n) for n in known}
    counted = ("by_class", "by_stage", "by_tier{", "by_relationship", "churn_episodes")
    assert _counts(one, counted) == _counts(other, counted)


def _counts(replay: Replay, names: tuple[str, ...]) -> list[tuple[str, float]]:
    measures = replay.summary().measures.items()
    return [(name, value) for name, value in measures if any(one in name for one in names)]
