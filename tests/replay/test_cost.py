"""The cost of a change: the number of calls that one event takes.

An event costs calls and small objects, spread over hundreds of functions. How long they take
depends on the machine and its load; how many there are does not, so a change that adds a tenth is
seen on any machine. ``python -m tests.benchmarks.stages`` measures the time.
"""

from statistics import fmean

import orjson
import pytest

from agents.trials.demo.shop import ShopConfig, simulate
from models.customer.row import encode_row
from models.events.times import iso
from models.parameters import load_parameters
from models.replay import Replay
from tests.replay.calls import calls_of

SHOP = ShopConfig(seed=5, customers=40, start_ms=1_700_000_000_000, days=120)
#: So many ms of event time from one event to the next, where no days go by.
STEP_MS = 20
#: What there may be more of before it must be said here why.
SLACK = 0.10
#: What a customer takes as stored, in the mean.
BYTES = 2_529


def spread() -> list[bytes]:
    """A shop's events, at their own times: most of the work is caused by silence."""
    return [record.value for record in simulate(SHOP)]


def dense() -> list[bytes]:
    """The same events within minutes: nearly all of the work is caused by the events themselves."""
    found = []
    for number, content in enumerate(spread()):
        try:
            event = orjson.loads(content)
        except orjson.JSONDecodeError:
            continue
        event["timestamp"] = iso(SHOP.start_ms + number * STEP_MS)
        found.append(orjson.dumps(event))
    return found


@pytest.mark.parametrize(("log", "known"), [(spread, 554.5), (dense, 171.0)])
def test_an_event_takes_no_more_calls_than_before(log, known: float) -> None:  # type: ignore[no-untyped-def]
    """If it takes more for a good reason, raise the number; if it takes fewer, lower it.

    A third of it is for value and lifecycle (`make parts`), most of that at the ends of purchase
    days and at check-ins; and a twentieth for the snapshot of a day, of whatever size a shop is.
    """
    found = calls_of(log(), Replay(load_parameters()))

    assert found <= known * (1 + SLACK), f"{found:.1f} calls an event, {known} before"


def test_a_customer_takes_no_more_bytes_than_before() -> None:
    """Memory, the changelog and recovery time are paid by the byte. As with calls: raise the number
    for a good reason, and lower it when rows become smaller.
    """
    replay = Replay(load_parameters())
    for number, content in enumerate(spread(), 1):
        replay.feed(content, number)
    found = [len(encode_row(row)) for row in replay.rows().values()]

    assert len(found) > 30
    assert fmean(found) <= BYTES * 1.05, f"{fmean(found):,.0f} bytes a row, {BYTES:,} before"


@pytest.mark.parametrize("log", [spread, dense])
def test_that_ids_could_be_linked_costs_who_has_one_next_to_nothing(log) -> None:  # type: ignore[no-untyped-def]
    events = log()[:600]
    off = load_parameters(assignments=["identity.enabled=false"])
    linking, apart = (calls_of(events, Replay(one)) for one in (load_parameters(), off))

    assert apart <= linking <= 1.02 * apart, f"{linking:.1f} calls an event, {apart:.1f} without"


def test_an_order_takes_no_more_calls_after_a_thousand_others() -> None:
    """State is bounded. What is beyond the bounds is folded in portions, so that its cost is
    shared.
    """
    orders = [order(number) for number in range(1_400)]
    replay = Replay(load_parameters())
    for number, content in enumerate(orders[:150], 1):
        replay.feed(content, number)
    few = calls_of(orders[150:250], replay)
    for number, content in enumerate(orders[250:1_200], 1):
        replay.feed(content, number)

    assert calls_of(orders[1_200:], replay) < 1.3 * few


def order(number: int) -> bytes:
    properties = {"order_id": f"o-{number}", "revenue": 80.0, "currency": "EUR"}
    return orjson.dumps(
        {
            "type": "track",
            "event": "Order Completed",
            "messageId": f"m-{number}",
            "userId": "ada",
            "timestamp": iso(SHOP.start_ms + number * 300_000),
            "properties": properties,
        }
    )
