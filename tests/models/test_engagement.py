"""Presence: intensity, sessions and the channel last used."""

from itertools import permutations

import pytest

from config.duration import DAY_MS
from models.customer.engagement import ENGAGEMENT, EngagementParameters
from models.events.event import Event
from tests.models.lines import MINUTE_MS, PARAMETERS, at, happened, lived, of, seen

TUNING = PARAMETERS.of(EngagementParameters)
GAP_MS = TUNING.session_gap


def page(at_ms: int, channel: str | None = None) -> Event:
    return happened("page", at_ms, channel=channel)


def sessions(*minutes: float) -> list[tuple[float, float]]:
    row = lived([page(at(minutes=minute)) for minute in minutes])
    return [
        ((start_ms - at()) / MINUTE_MS, (end_ms - at()) / MINUTE_MS)
        for start_ms, end_ms in of(row).engagement.sessions
    ]


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        ([5], [(5, 5)]),
        ([5, 20], [(5, 20)]),
        ([0, 29.999], [(0, 29.999)]),
        # Exactly the gap of silence ends a session.
        ([0, 30], [(0, 0), (30, 30)]),
        ([0, 29, 58], [(0, 58)]),
        ([0, 50], [(0, 0), (50, 50)]),
        # In between, within reach of both: one session after all.
        ([0, 50, 25], [(0, 50)]),
        # Within reach of one only.
        ([0, 60, 20], [(0, 20), (60, 60)]),
        ([0, 60, 30], [(0, 0), (30, 30), (60, 60)]),
        ([10, 20, 15], [(10, 20)]),
        ([60, 0], [(0, 0), (60, 60)]),
        ([20, 0], [(0, 20)]),
        ([0, 100, 50, 75, 25], [(0, 100)]),
    ],
)
def test_sessions_are_moments_no_further_apart_than_the_gap(
    minutes: list[float], expected: list[tuple[float, float]]
) -> None:
    for arrival in permutations(minutes):
        assert expected == sessions(*arrival)


def test_sessions_that_nothing_can_change_any_more_are_only_counted() -> None:
    row = lived([page(at(days=day)) for day in range(5)])
    settled_ms = at(days=3)
    clock_ms = settled_ms + PARAMETERS.time.lateness
    row = lived([page(at(days=5))], row=row, clock_ms=clock_ms)

    assert 3 == of(row).engagement.settled_sessions
    assert 6 == of(row).engagement.session_count


def test_a_session_that_the_latest_possible_event_would_bridge_is_kept() -> None:
    settled_ms = at(days=1)
    clock_ms = settled_ms + PARAMETERS.time.lateness
    reachable = settled_ms - GAP_MS + 1
    row = lived([page(at(days=4))], row=lived([page(reachable)]), clock_ms=clock_ms)
    row = lived([page(settled_ms)], row=row, clock_ms=clock_ms)

    assert 2 == of(row).engagement.session_count


@pytest.mark.parametrize(
    ("name", "weight"),
    [("page", 0.5), ("Checkout Started", 4.0), ("Confetti Thrown", 1.0)],
)
def test_intensity_halves_in_its_half_life(name: str, weight: float) -> None:
    row = lived([happened(name, at())])

    assert weight == seen(row, at()).engagement.intensity
    half_life_days = TUNING.half_life / DAY_MS
    assert weight / 2 == seen(row, at(days=half_life_days)).engagement.intensity


def test_a_profile_as_of_long_before_the_last_event_is_finite() -> None:
    row = lived([happened("Order Completed", at(days=365 * 500), revenue=5.0)])
    view = seen(row, at())

    assert 5.0 == view.engagement.intensity
    assert [1.0, 1.0, 1.0] == [level.orders for level in view.rfm.decayed]
    assert 0.0 == view.rfm.recency_days


def test_views_are_pages_screens_and_products() -> None:
    names = ["page", "screen", "Product Viewed", "Product Clicked", "Signed In"]
    row = lived([happened(name, at()) for name in names])

    assert (5, 3) == (of(row).engagement.interactions, of(row).engagement.views)
    assert 3.0 == seen(row, at()).engagement.recent_views


def test_the_last_channel_is_the_latest_by_event_time() -> None:
    events = [page(at(minutes=1), "web"), page(at(minutes=3), "app"), page(at(minutes=2), "store")]

    for arrival in permutations(events):
        assert "app" == seen(lived(arrival), at(days=1)).engagement.last_channel
    assert "app" == seen(lived([*events, page(at(minutes=9))]), at()).engagement.last_channel


def test_two_channels_of_one_moment_are_settled_the_same_way_in_either_order() -> None:
    web, app = page(at(), "web"), happened("screen", at(), channel="app")

    orders = [ENGAGEMENT.pack(of(lived(order)).engagement) for order in ([web, app], [app, web])]
    assert orders[0] == orders[1]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (happened("page", at()), True),
        (happened("Email Opened", at()), True),
        (happened("Email Delivered", at()), False),
        (happened("Order Refunded", at(), order_id="O"), False),
        (happened("identify", at()), False),
        (happened("Ticket Opened", at(), ticket_id="T"), True),
        (happened("Ticket Replied", at(), ticket_id="T", author="customer"), True),
        (happened("Ticket Replied", at(), ticket_id="T", author="agent"), False),
        (happened("Ticket Replied", at(), ticket_id="T"), False),
    ],
    ids=lambda value: value.name if isinstance(value, Event) else "",
)
def test_what_is_done_to_a_customer_is_no_sign_of_their_presence(
    event: Event, expected: bool
) -> None:
    assert int(expected) == of(lived([event])).engagement.interactions
