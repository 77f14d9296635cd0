"""An improvement is announced once to each customer who had a reason to leave that it removes."""

from collections.abc import Iterable
from typing import Any

import orjson
import pytest

from models.admission import admit
from models.customer.improvements import IMPROVEMENTS, RELEASED
from models.decisions.trigger import NextBestAction, Trigger
from models.engine import Effect
from models.events.event import Event
from models.events.rejection import Rejected
from models.events.times import iso
from models.learning.improvements import Improvements, ImprovementsLearner
from models.learning.lessons import Tally
from models.parameters import load_parameters
from models.replay import Replay
from tests.models.lines import (
    DAY_MS,
    PARAMETERS,
    PRIOR,
    Within,
    at,
    context,
    happened,
    line,
    lived,
    lived_with_effects,
    scene,
    waited,
    watermark,
)

ORDERS = [happened("Order Completed", at(day), order_id=f"o-{day}", revenue=50.0) for day in (0, 7)]
POOR = happened("Product Reviewed", at(9), rating=1)
RUDE = happened("Complaint Filed", at(9), ticket_id="t-1", type="staff")


def released(day: float, topic: str) -> bytes:
    said = {"type": "track", "event": RELEASED, "timestamp": iso(at(day))}
    return orjson.dumps({**said, "messageId": f"{topic}-{day}", "properties": {"topic": topic}})


def shop(**released_days: float) -> Within:
    """A shop that has made this improvement."""
    latest_ms = {kind: at(day) for kind, day in released_days.items()}
    return context(snapshot=PRIOR.replace(Improvements(latest_ms), version=1))


def told(effects: Iterable[Effect]) -> list[str]:
    triggers = [one for one in effects if isinstance(one, Trigger)]
    return [one.timestamp[:10] for one in triggers if one.kind == "improved-for-them"]


@pytest.mark.parametrize(
    ("events", "within", "days"),
    [
        # At the next check-in: a week's grid that begins with the first purchase day.
        ([*ORDERS, POOR], shop(product=10), ["2026-01-15"]),
        ([*ORDERS, RUDE], shop(service=10), ["2026-01-15"]),
        ([*ORDERS, RUDE], shop(product=10), []),
        # It was so already when they complained, or is yet to come.
        ([*ORDERS, POOR], shop(product=8), []),
        ([*ORDERS, POOR], shop(product=50), []),
        # Nothing was heard of them, or they are back.
        (ORDERS, shop(product=10, price=10, service=10), []),
        (
            [*ORDERS, POOR, happened("Order Completed", at(12), order_id="o-12", revenue=5.0)],
            shop(price=10),
            [],
        ),
        ([*ORDERS, POOR], context(), []),
    ],
)
def test_who_had_reason_to_leave_over_it_is_told_once(
    events: list[Event], within: Within, days: list[str]
) -> None:
    row, effects = lived_with_effects(events, within=within)
    _, more = waited(row, at(45), within=within)

    assert days == told([*effects, *more])


def test_a_second_improvement_is_news_again_and_the_first_is_not() -> None:
    row, effects = waited(lived([*ORDERS, POOR]), at(16), within=shop(product=10))
    again, nothing = waited(row, at(60), within=shop(product=10))
    _, more = waited(row, at(80), within=shop(product=50))

    assert (["2026-01-15"], [], ["2026-02-26"]) == (told(effects), told(nothing), told(more))
    assert at(10) == again.read(IMPROVEMENTS).told_ms


def test_whoever_left_over_the_product_is_told_of_it_and_gets_no_discount() -> None:
    row, effects = waited(lived([*ORDERS, POOR]), at(16), within=shop(product=10))
    [decided] = [one for one in effects if isinstance(one, NextBestAction)]

    assert "product-news" == decided.action
    assert 1.0 == scene(row, at(16), shop(product=10))["improved"]
    assert 6.0 == scene(row, at(16), shop(product=10))["improved_days"]
    assert 0.0 == scene(row, at(16))["improved"]


def test_an_improvement_is_nobody_s_and_is_told_by_the_reason_it_answers() -> None:
    event = admit(released(10, "product"), PARAMETERS, message_id="none", topic="support")
    [tally] = [one for one in lived_with_effects([event])[1] if isinstance(one, Tally)]

    assert not event.identified
    assert (("product", at(10) // DAY_MS, 1),) == tally.sums


def test_a_topic_that_nobody_leaves_over_is_refused() -> None:
    with pytest.raises(Rejected) as refused:
        admit(released(10, "confetti"), PARAMETERS, message_id="none", topic="support")

    assert "$.properties.topic" == refused.value.path


def test_the_latest_of_each_reason_counts_in_any_order() -> None:
    tallies = [
        Tally(at(day), IMPROVEMENTS.name, 365, ((kind, 0, 1),))
        for kind, day in (("product", 3), ("price", 1), ("product", 2))
    ]
    for order in (tallies, tallies[::-1]):
        learner = ImprovementsLearner(None, PARAMETERS)
        for tally in order:
            learner.learn(tally)
        assert {"product": at(3), "price": at(1)} == learner.draw(at(9)).latest_ms


def test_it_reaches_customers_of_other_rows_by_way_of_the_log() -> None:
    """An improvement belongs to no customer: the next snapshot has it, and the log names that
    snapshot.
    """
    replay = Replay(load_parameters(assignments=["learning.minimum_examples=1"]))
    lines: list[Any] = [
        *(
            line("Order Completed", at(day), properties={"order_id": f"o-{day}", "revenue": 50.0})
            for day in (0, 7)
        ),
        line("Product Reviewed", at(9), properties={"rating": 1}),
        released(10, "product"),
        *(watermark(at(day)) for day in range(11, 40)),
    ]
    outputs = [out for n, raw in enumerate(lines, 1) for out in replay.feed(raw, n)]

    # The first snapshot comes of the check-in before that.
    assert ["2026-01-22"] == told(outputs)  # type: ignore[arg-type]
