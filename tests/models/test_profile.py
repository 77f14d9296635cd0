"""What can be read about a customer: scores, segments and the profile."""

from itertools import product

import msgspec
import pytest
from msgspec.structs import replace

from config.parameters import Parameters
from models.customer.profile import encode_profile, profile
from models.customer.rfm import Segment, segment_of
from models.customer.row import Row, encode_row
from models.learning.population import Population
from models.learning.snapshot import prior_snapshot
from tests.models.lines import PARAMETERS, at, context, happened, lived, seen, waited

SCORES = range(1, 6)


@pytest.mark.parametrize(
    ("recency", "frequency", "monetary", "count", "segment"),
    [
        (5, 5, 5, 9, Segment.CHAMPIONS),
        (4, 4, 4, 9, Segment.CHAMPIONS),
        (5, 5, 5, 1, Segment.NEW),
        (4, 1, 1, 1, Segment.NEW),
        (5, 3, 3, 3, Segment.LOYAL),
        (4, 2, 5, 2, Segment.LOYAL),
        (3, 4, 4, 5, Segment.LOYAL),
        (5, 2, 3, 2, Segment.POTENTIAL),
        (3, 3, 4, 1, Segment.POTENTIAL),
        (3, 1, 1, 1, Segment.POTENTIAL),
        (2, 3, 3, 2, Segment.AT_RISK),
        (2, 5, 5, 9, Segment.AT_RISK),
        (2, 2, 3, 2, Segment.HIBERNATING),
        (1, 4, 4, 9, Segment.CANT_LOSE),
        (1, 3, 4, 9, Segment.LOST),
        (1, 1, 1, 1, Segment.LOST),
    ],
)
def test_a_segment_is_recency_against_worth(
    recency: int, frequency: int, monetary: int, count: int, segment: Segment
) -> None:
    assert segment is segment_of(recency, frequency, monetary, count)


def test_every_combination_of_scores_has_a_segment_and_every_segment_is_reached() -> None:
    reached = {
        segment_of(recency, frequency, monetary, count)
        for recency, frequency, monetary in product(SCORES, SCORES, SCORES)
        for count in (1, 2, 50)
    }

    assert set(Segment) == reached


# Days since the last order, orders in the last year and each one's worth: what the shipped cut
# points make of them.
@pytest.mark.parametrize(
    ("silent_days", "orders", "revenue", "scores", "segment"),
    [
        (1, 9, 100.0, (5, 5, 5), Segment.CHAMPIONS),
        (14, 1, 50.0, (5, 1, 1), Segment.NEW),
        (14.1, 2, 60.0, (4, 2, 3), Segment.POTENTIAL),
        (30, 4, 50.0, (4, 3, 3), Segment.LOYAL),
        (60, 2, 25.0, (3, 2, 1), Segment.POTENTIAL),
        (61, 5, 60.0, (2, 4, 4), Segment.AT_RISK),
        (120, 1, 51.0, (2, 1, 2), Segment.HIBERNATING),
        (121, 9, 100.0, (1, 5, 5), Segment.CANT_LOSE),
        (364, 1, 10.0, (1, 1, 1), Segment.LOST),
        (400, 1, 9999.0, (1, 1, 1), Segment.LOST),
    ],
)
def test_a_customers_scores_and_segment_follow_the_cut_points(
    silent_days: float,
    orders: int,
    revenue: float,
    scores: tuple[int, int, int],
    segment: Segment,
) -> None:
    row = lived(
        happened("Order Completed", at(minutes=-n), order_id=f"O-{n}", revenue=revenue)
        for n in range(orders)
    )
    view = seen(row, at(days=silent_days)).rfm

    assert scores == (view.recency_score, view.frequency_score, view.monetary_score)
    assert segment is view.segment


def test_the_cut_points_of_money_are_in_the_shops_currency() -> None:
    def cuts(currency: str) -> tuple[float, ...]:
        money = replace(PARAMETERS.money, currency=currency)
        parameters: Parameters = replace(PARAMETERS, money=money)
        return prior_snapshot(parameters).of(Population).monetary_minor_cuts

    assert (5_000.0, 10_000.0, 25_000.0, 50_000.0) == cuts("EUR")
    assert (50.0, 100.0, 250.0, 500.0) == cuts("JPY")
    assert (50_000.0, 100_000.0, 250_000.0, 500_000.0) == cuts("KWD")


def test_somebody_never_heard_of_is_described_all_the_same() -> None:
    view = seen(Row(), at())

    assert (0, None, None) == (view.rfm.orders, view.rfm.segment, view.engagement.last_seen_at)
    assert (None, {}) == (view.next_deadline_at, view.last_triggers)


def test_a_profile_as_others_read_it() -> None:
    row = lived(
        [
            happened("page", at(), channel="web"),
            happened("Product Added", at(minutes=1), product_id="P", price=12.5, quantity=2),
            happened("Ticket Opened", at(minutes=2), ticket_id="T", priority="high"),
            happened("Survey Responded", at(minutes=3), kind="csat", score=4),
        ]
    )
    row, _ = waited(row, at(hours=3))
    told = msgspec.json.decode(encode_profile(seen(row, at(hours=3))))

    assert ("ada", "2026-01-01T03:00:00.000Z", 0) == (
        told["userId"],
        told["asOf"],
        told["modelVersion"],
    )
    assert {"items": 1, "valueMinor": 2500, "touchedAt": "2026-01-01T00:01:00.000Z"} == told["cart"]
    assert {
        "openTickets": 1,
        "tickets": 1,
        "answerDueAt": "2026-01-01T08:02:00.000Z",
        "nps": None,
        "csat": {"score": 4.0, "at": "2026-01-01T00:03:00.000Z"},
        "ces": None,
    } == told["support"]
    assert "2026-01-01T08:02:00.000Z" == told["nextDeadlineAt"]
    assert {"cart-abandoned": "2026-01-01T01:01:00.000Z"} == told["lastTriggers"]
    assert ("web", 1, 4) == (
        told["engagement"]["lastChannel"],
        told["engagement"]["sessions"],
        told["engagement"]["interactions"],
    )


def test_reading_a_profile_changes_nothing() -> None:
    row = lived([happened("Order Completed", at(), revenue=5.0)])

    before, present = encode_row(row), context().present
    views = {encode_profile(profile("ada", row, at(days=9), present)) for _ in range(3)}

    assert 1 == len(views)
    assert before == encode_row(row)
