"""However long ago something was told: told again, it moves neither money nor points."""

from typing import Any

import pytest
from msgspec.structs import replace

from config.duration import MINUTE_MS
from models import engine
from models.admission import decode_event
from models.customer.loyalty import LOYALTY, LoyaltyParameters
from models.customer.row import Row
from models.engine import Effect, Fate
from models.events.event import Event
from models.learning.lessons import Cost
from tests.models.lines import PARAMETERS, at, context, happened, line, of, seen

LOYAL = PARAMETERS.with_section(replace(PARAMETERS.of(LoyaltyParameters), enabled=True))
#: Of which a queue of hundreds remembers only the last.
FORGETFUL = context(
    parameters=replace(LOYAL, bounds=replace(LOYAL.bounds, messages=8)), clock_ms=at(days=1)
)


def queue(length: int) -> list[Event]:
    """What a client had not sent yet: a page view a minute, and what costs money on the way."""
    said: dict[int, tuple[str, dict[str, Any]]] = {
        1: ("Order Completed", {"order_id": "A", "revenue": 100}),
        3: ("Order Completed", {"revenue": 30}),
        5: ("Order Refunded", {"order_id": "A", "total": 20}),
        7: ("Order Refunded", {"order_id": "A", "total": 20, "refund_id": "R-1"}),
        9: ("Points Redeemed", {"points": 10}),
        11: ("Points Redeemed", {"points": 10, "redemption_id": "P-1"}),
        13: ("Points Adjusted", {"points": 50, "reason": "sorry"}),
        15: ("Points Adjusted", {"points": -5}),
        17: ("Order Cancelled", {"order_id": "B"}),
        19: ("Order Completed", {"order_id": "B", "revenue": 40}),
    }
    return [
        happened(name, at(days=1) + number * MINUTE_MS, message=f"m-{number}", **properties)
        for number in range(length)
        for name, properties in [said.get(number, ("page", {}))]
    ]


def account(row: Row) -> tuple[Any, ...]:
    bought, view = of(row).purchases, seen(row, at(days=60), FORGETFUL).loyalty
    lots, debits = row.read(LOYALTY).lots, row.read(LOYALTY).debits
    return bought.count, bought.net_minor, bought.days, bought.orders, view, lots, debits


def cost(number: int) -> Event:
    raw = line(
        "Campaign Cost",
        at(days=1, minutes=number % 7),
        message=f"c-{number}",
        properties={"channel": "web", "amount": 5.0},
    )
    return decode_event(raw, message_id="none")


@pytest.mark.parametrize("times", [1, 5])
def test_a_long_queue_that_is_sent_again_moves_nothing(times: int) -> None:
    row, events = Row(), queue(100)
    for event in events:
        engine.step(row, event, FORGETFUL.present, FORGETFUL.plan)
    before = account(row)

    fates = [
        engine.step(row, event, FORGETFUL.present, FORGETFUL.plan)[0] for event in events * times
    ]

    assert (3, 13_000) == before[:2]
    assert [Fate.APPLIED] * len(fates) == fates
    assert repr(before) == repr(account(row))


def test_a_queue_of_what_a_client_library_keeps_is_known_whole() -> None:
    within = context(clock_ms=at(days=1))
    row, events = Row(), queue(PARAMETERS.bounds.messages)
    first = [engine.step(row, event, within.present, within.plan)[0] for event in events]
    again = [engine.step(row, event, within.present, within.plan)[0] for event in events]

    assert PARAMETERS.bounds.messages >= 100
    assert ({Fate.APPLIED}, {Fate.DUPLICATE}) == (set(first), set(again))


def test_the_costs_of_campaigns_are_counted_once() -> None:
    costs = [cost(number) for number in range(40)]
    row = Row()

    def told(events: list[Event]) -> int:
        effects: list[Effect] = []
        for event in events:
            effects += engine.step(row, event, FORGETFUL.present, FORGETFUL.plan)[1]
        return len([effect for effect in effects if isinstance(effect, Cost)])

    assert 40 == told(costs)
    assert 0 == told(costs)
