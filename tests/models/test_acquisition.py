"""What customers cost: costs on their way from the log to a snapshot, and whose cost is whose."""

from typing import Any

import orjson
import pytest

from models.customer.row import Row
from models.engine import Fate, step
from models.events.admission import admit
from models.events.rejection import Reason, Rejected
from models.events.wire import Event, decode_event, encode_event, iso
from models.learning.acquisition import CHANNELS_MAX, OTHER, Acquisition
from models.learning.examples import Cost, Observation, decode_lesson, encode_lesson
from models.learning.trainer import Trainer
from tests.models.lines import PARAMETERS, at, context, happened, lived, lived_with_effects, waited


def cost(at_ms: int, message: str = "m", **properties: Any) -> Event:
    said = {
        "type": "track",
        "event": "Campaign Cost",
        "messageId": message,
        "timestamp": iso(at_ms),
        "properties": properties,
    }
    return admit(orjson.dumps(said), PARAMETERS, message_id="none", topic="feedback")


def test_a_cost_needs_no_customer_and_reaches_the_trainer() -> None:
    event = cost(at(1), channel="Search, paid", amount=12.5, currency="eur")
    [effect] = lived_with_effects([event])[1]

    assert Cost(at(1), "Search, paid", 1_250) == effect
    assert decode_lesson(encode_lesson(effect)) == effect
    # In the log it is nobody's still, and the same when it is read again.
    assert not event.identified
    assert event == decode_event(encode_event(event), message_id="none")


def test_a_repeated_cost_counts_once() -> None:
    event = cost(at(1), channel="search", amount=12.5)
    row = lived([event])

    again = step(row, event, context())
    assert (Fate.DUPLICATE, []) == (again.fate, again.effects)
    assert event.customer == cost(at(2), "n", channel="search", amount=1).customer


def test_a_cost_is_no_sign_of_life() -> None:
    row = lived([cost(at(1), channel="search", amount=12.5)])

    assert Row().engagement == row.engagement
    assert not row.next_due_ms


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"amount": 5}, Reason.REQUIRED_MISSING),
        ({"channel": "search"}, Reason.REQUIRED_MISSING),
        ({"channel": "search", "amount": -1}, Reason.OUT_OF_RANGE),
        ({"channel": "search", "amount": 5, "currency": "USD"}, Reason.OUT_OF_RANGE),
    ],
)
def test_a_cost_that_cannot_be_used_is_refused(properties: Any, reason: Reason) -> None:
    with pytest.raises(Rejected) as refused:
        cost(at(1), **properties)
    assert reason == refused.value.reason


def test_the_channel_of_the_first_event_is_the_one_that_won_the_customer() -> None:
    events = [
        happened("Order Completed", at(0.5), channel="app", revenue=30),
        happened("page", at(0.2), channel="search"),
        happened("page", at(0.1)),
        happened("page", at(0.3), channel="letters"),
    ]
    for order in (events, events[::-1]):
        row, effects = waited(lived(order), at(30))
        first, second, *_ = [e.acquired for e in effects if isinstance(e, Observation)]
        assert ("search", None) == (first, second)
        assert "search" == row.engagement.first_channel


def test_costs_are_shared_by_the_customers_of_their_channel() -> None:
    acquisition = Acquisition()
    acquisition.spend("search", 3_000)
    acquisition.spend("search", 1_000)
    acquisition.spend("letters", 500)
    for channel in ("search", "search", "organic"):
        acquisition.win(channel)

    assert {"search": 2_000.0} == acquisition.costs_minor()


def test_channels_are_bounded() -> None:
    acquisition = Acquisition()
    for number in range(CHANNELS_MAX + 10):
        acquisition.win(f"c{number}")
        acquisition.spend(f"c{number}", 100)

    assert CHANNELS_MAX + 1 == len(acquisition.channels)
    assert 10 == acquisition.channels[OTHER].acquired
    assert 100.0 == acquisition.costs_minor()[OTHER]


def test_a_snapshot_says_what_a_customer_of_each_channel_costs() -> None:
    trainer = Trainer(PARAMETERS)
    events = [happened("Order Completed", at(0.5), channel="search", revenue=30)]
    observed = [e for e in waited(lived(events), at(8))[1] if isinstance(e, Observation)]
    for number, lesson in enumerate([*observed, Cost(at(9), "search", 700, offset=9)]):
        assert trainer.learn(lesson), number
    assert not trainer.learn(Cost(at(9), "search", 700, offset=9))

    assert {"search": 700.0} == trainer.draw().acquisition_cost_minor
