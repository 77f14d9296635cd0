"""What customers cost: costs on their way from the log to a snapshot, and whose cost is whose."""

from collections.abc import Iterable
from typing import Any

import orjson
import pytest

from models.admission import admit, decode_event
from models.customer.engagement import ENGAGEMENT
from models.engine import Fate
from models.events.event import Event
from models.events.rejection import Reason, Rejected
from models.events.times import iso
from models.events.wire import encode_event
from models.learning.acquisition import (
    CHANNELS_MAX,
    OTHER,
    AcquisitionCosts,
    AcquisitionLearner,
)
from models.learning.lessons import Cost, Observation, decode_lesson, encode_lesson
from models.learning.trainer import Trainer
from tests.models.lines import (
    PARAMETERS,
    at,
    context,
    happened,
    lived,
    lived_with_effects,
    of,
    step,
    waited,
)


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

    _, fate, effects = step(row, event, context())
    assert (Fate.DUPLICATE, []) == (fate, effects)
    assert event.customer == cost(at(2), "n", channel="search", amount=1).customer


def test_a_cost_is_no_sign_of_life() -> None:
    row = lived([cost(at(1), channel="search", amount=12.5)])

    assert ENGAGEMENT.empty == ENGAGEMENT.pack(of(row).engagement)
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
        assert "search" == of(row).engagement.first_channel


def spent(channel: str, amount_minor: int) -> Cost:
    return Cost(at(1), channel, amount_minor)


def won(channel: str | None) -> Observation:
    """A check-in: the first one tells the channel."""
    return Observation(
        timestamp_ms=at(8),
        recency_days=7.0,
        frequency=1,
        monetary_minor=3_000,
        gap_days=None,
        enters=(0, 7, 7),
        acquired=channel,
    )


def taught(lessons: Iterable[Cost | Observation]) -> AcquisitionLearner:
    learner = AcquisitionLearner(None, PARAMETERS)
    for lesson in lessons:
        learner.learn(lesson)
    return learner


def costs_minor(learner: AcquisitionLearner) -> dict[str, float]:
    return learner.draw(at(9)).by_channel_minor


def test_costs_are_shared_by_the_customers_of_their_channel() -> None:
    costs = [spent("search", 3_000), spent("search", 1_000), spent("letters", 500)]
    customers = [won("search"), won("search"), won("organic"), won(None), won("")]

    for lessons in ([*costs, *customers], [*customers, *costs]):
        assert {"search": 2_000.0} == costs_minor(taught(lessons))


def test_channels_are_bounded() -> None:
    names = [f"c{number}" for number in range(CHANNELS_MAX + 10)]
    learner = taught(lesson for name in names for lesson in (won(name), spent(name, 100)))
    channels = learner.state().channels

    assert CHANNELS_MAX + 1 == len(channels)
    assert 10 == channels[OTHER].acquired
    assert 100.0 == costs_minor(learner)[OTHER]


def test_a_snapshot_says_what_a_customer_of_each_channel_costs() -> None:
    trainer = Trainer(PARAMETERS)
    events = [happened("Order Completed", at(0.5), channel="search", revenue=30)]
    observed = [e for e in waited(lived(events), at(8))[1] if isinstance(e, Observation)]
    for number, lesson in enumerate([*observed, Cost(at(9), "search", 700, offset=9)]):
        assert trainer.learn(lesson), number
    assert not trainer.learn(Cost(at(9), "search", 700, offset=9))

    assert {"search": 700.0} == trainer.draw().of(AcquisitionCosts).by_channel_minor
