"""Orders: exact windows, decayed sums, and news that arrives in any order."""

from itertools import permutations
from typing import Any

import pytest
from msgspec.structs import replace

from config.duration import DAY_MS
from models.customer.decay import added, decayed
from models.customer.purchases import (
    WINDOW_DAYS,
    PurchaseParameters,
    RfmView,
    gaps_days,
    window,
)
from models.customer.row import Row
from models.events.event import Event
from models.money import minor_units
from tests.models.lines import PARAMETERS, at, context, happened, lived, of, seen

HALF_LIVES_MS = PARAMETERS.of(PurchaseParameters).half_lives


def ordered(at_ms: int, order_id: str = "O-1", **said: Any) -> Event:
    amounts = said or {"revenue": 10.0}
    return happened("Order Completed", at_ms, order_id=order_id, **amounts)


def refunded(at_ms: int, order_id: str = "O-1", **said: Any) -> Event:
    return happened("Order Refunded", at_ms, order_id=order_id, **said)


def cancelled(at_ms: int, order_id: str = "O-1") -> Event:
    return happened("Order Cancelled", at_ms, order_id=order_id)


def updated(at_ms: int, order_id: str = "O-1", **said: Any) -> Event:
    return happened("Order Updated", at_ms, order_id=order_id, **said)


def rfm(row: Row, at_ms: int) -> RfmView:
    view: RfmView = seen(row, at_ms).rfm
    return view


@pytest.mark.parametrize("days", WINDOW_DAYS)
def test_a_window_is_open_at_its_far_end_and_closed_at_its_near_one(days: int) -> None:
    bought = of(lived([ordered(at())])).purchases

    assert (0, 0) == window(bought, at(ms=-1), days)
    assert (1, 1000) == window(bought, at(), days)
    assert (1, 1000) == window(bought, at(days=days, ms=-1), days)
    assert (0, 0) == window(bought, at(days=days), days)


def test_windows_count_each_purchase_by_its_own_time() -> None:
    row = lived([ordered(at(days=day), f"O-{day}") for day in (0, 300, 340, 364, 365)])

    assert [(3, 3000), (4, 4000), (4, 4000)] == [
        (w.orders, w.net_minor) for w in rfm(row, at(days=364) + DAY_MS).windows
    ]


@pytest.mark.parametrize(
    ("amounts", "net_minor"),
    [
        ({"revenue": 10.0, "subtotal": 20.0, "total": 30.0}, 1000),
        ({"subtotal": 20.0, "total": 30.0}, 2000),
        ({"total": 30.0}, 3000),
        ({"revenue": 0, "total": 30.0}, 0),
        ({"revenue": 0.29}, 29),
        ({"revenue": 1.005}, 100),
        ({"revenue": 19.99, "currency": "eur"}, 1999),
    ],
)
def test_revenue_is_preferred_to_subtotal_and_subtotal_to_total(
    amounts: dict[str, Any], net_minor: int
) -> None:
    view = rfm(lived([ordered(at(), **amounts)]), at(days=1))

    assert (1, net_minor) == (view.orders, view.net_minor)


@pytest.mark.parametrize(
    ("currency", "minor"), [("EUR", 1235), ("JPY", 12), ("XOF", 12), ("KWD", 12346)]
)
def test_minor_units_are_the_currencys_own(currency: str, minor: int) -> None:
    assert minor == minor_units(12.3456, currency)


# What is left of an order of 10 on day 1, by what is heard of it later.
NEWS: dict[str, tuple[list[Event], tuple[int, int]]] = {
    "nothing": ([], (1, 1000)),
    "a full refund": ([refunded(at(days=2))], (0, 0)),
    "a full refund of products without a price": (
        [refunded(at(days=2), products=[{"product_id": "P"}])],
        (0, 0),
    ),
    "a cancellation": ([cancelled(at(days=2))], (0, 0)),
    "a partial refund by total": ([refunded(at(days=2), total=4)], (1, 600)),
    "a partial refund by revenue": ([refunded(at(days=2), revenue=3, total=4)], (1, 700)),
    "a partial refund by products": (
        [refunded(at(days=2), products=[{"price": 1.5, "quantity": 2}, {"price": 1}])],
        (1, 600),
    ),
    "a refund of zero": ([refunded(at(days=2), total=0)], (1, 1000)),
    "two partial refunds": (
        [refunded(at(days=2), total=4), refunded(at(days=3), total=5)],
        (1, 100),
    ),
    "partial refunds of the whole": (
        [refunded(at(days=2), total=4), refunded(at(days=3), total=6)],
        (0, 0),
    ),
    "more refunded than was paid": ([refunded(at(days=2), total=40)], (0, 0)),
    "a higher price": ([updated(at(days=2), revenue=12)], (1, 1200)),
    "two updates": (
        [updated(at(days=2), revenue=12), updated(at(days=3), revenue=11)],
        (1, 1100),
    ),
    "an update and a partial refund": (
        [updated(at(days=2), revenue=12), refunded(at(days=3), total=2)],
        (1, 1000),
    ),
    "an update after a cancellation": (
        [cancelled(at(days=2)), updated(at(days=3), revenue=12)],
        (0, 0),
    ),
    "the order told again": ([ordered(at(days=2))], (1, 1000)),
    "the order told again for another price": ([ordered(at(days=2), revenue=7)], (1, 700)),
    "two prices of one moment": ([updated(at(days=1), revenue=12)], (1, 1200)),
}


@pytest.mark.parametrize(("news", "expected"), NEWS.values(), ids=NEWS.keys())
def test_an_order_is_what_is_known_of_it_in_whatever_order_the_news_comes(
    news: list[Event], expected: tuple[int, int]
) -> None:
    now_ms = at(days=10)
    views = [
        rfm(lived(arrivals), now_ms) for arrivals in permutations([ordered(at(days=1)), *news])
    ]

    for view in views:
        assert expected == (view.orders, view.net_minor)
        assert expected == (view.windows[0].orders, view.windows[0].net_minor)
        for level, half_life in zip(view.decayed, HALF_LIVES_MS, strict=True):
            left = 0.5 ** (9 * DAY_MS / half_life)
            assert pytest.approx(expected[0] * left, rel=1e-12, abs=1e-12) == level.orders
            assert pytest.approx(expected[1] * left, rel=1e-12, abs=1e-9) == level.net_minor


def test_a_free_order_counts_and_survives_a_partial_refund() -> None:
    row = lived([ordered(at(), revenue=0), refunded(at(days=1), total=5)])

    assert (1, 0) == (rfm(row, at(days=2)).orders, rfm(row, at(days=2)).net_minor)


def test_an_order_without_an_id_is_told_apart_by_its_message() -> None:
    first = happened("Order Completed", at(), message="m-1", revenue=1)
    second = happened("Order Completed", at(), message="m-2", revenue=1)

    assert 2 == rfm(lived([first, second]), at()).orders


def test_the_last_order_cancelled_gives_way_to_the_one_before() -> None:
    row = lived([ordered(at(days=1), "A"), ordered(at(days=5), "B"), cancelled(at(days=6), "B")])

    assert 9.0 == rfm(row, at(days=10)).recency_days


def test_everything_refunded_leaves_somebody_who_has_not_bought() -> None:
    view = rfm(lived([ordered(at()), refunded(at(days=1))]), at(days=2))

    assert (0, 0, None) == (view.orders, view.net_minor, view.last_order_at)
    assert (None, None, None) == (view.recency_days, view.recency_score, view.segment)


def test_a_refund_no_longer_finds_an_order_older_than_the_longest_window() -> None:
    within = lived([ordered(at()), refunded(at(days=365))])
    beyond = lived([ordered(at()), refunded(at(days=365, ms=1))])

    assert 0 == rfm(within, at(days=366)).orders
    assert 1 == rfm(beyond, at(days=366)).orders


def test_an_order_out_of_every_window_is_let_go_and_still_counts() -> None:
    clock_ms = at(days=400)
    row = lived([ordered(at(), "A")])
    row = lived([ordered(at(days=400), "B")], row=row, clock_ms=clock_ms)

    assert 1 == len(of(row).purchases.orders)
    assert (2, 2000) == (of(row).purchases.count, of(row).purchases.net_minor)
    row = lived([cancelled(at(days=400), "B")], row=row, clock_ms=clock_ms)
    assert at() == of(row).purchases.last_at_ms


def test_an_order_that_a_late_refund_can_still_reach_is_kept() -> None:
    latest_ms = at(days=365) + PARAMETERS.time.lateness
    row = lived([ordered(latest_ms, "B")], row=lived([ordered(at(), "A")]), clock_ms=latest_ms)

    assert 2 == len(of(row).purchases.orders)


def test_the_oldest_orders_make_room_and_totals_stay() -> None:
    few = replace(PARAMETERS, bounds=replace(PARAMETERS.bounds, orders=3))
    events = [ordered(at(days=number), f"O-{number}") for number in range(5)]
    bought = of(lived(events, within=context(parameters=few))).purchases

    assert [at(days=2), at(days=3), at(days=4)] == [o.placed_at_ms for o in bought.orders]
    assert (5, 5000) == (bought.count, bought.net_minor)
    assert at(days=1) == bought.retired_last_at_ms


def test_decay_halves_every_half_life_and_never_grows() -> None:
    assert 0.5 == decayed(1.0, 1000, 1000)
    assert 0.25 == decayed(1.0, 2000, 1000)
    assert 1.0 == decayed(1.0, 0, 1000)
    assert 1.0 == decayed(1.0, -(10**15), 1000)


def test_a_late_amount_counts_for_what_is_left_of_it() -> None:
    in_order = added(added(0.0, 0, 1.0, 1000, 500), 1000, 2.0, 3000, 500)
    late = added(added(0.0, 0, 2.0, 3000, 500), 3000, 1.0, 1000, 500)

    assert in_order == late == 2.0 + 1.0 / 16


@pytest.mark.parametrize(
    ("days", "gaps"),
    [
        ([], []),
        ([3], []),
        ([3, 3.5], []),
        ([3, 4.5], [1.0]),
        ([1, 8, 8.2, 11], [7.0, 3.0]),
        (list(range(0, 40, 2)), [2.0] * 12),
    ],
)
def test_gaps_are_between_days_with_a_purchase(days: list[float], gaps: list[float]) -> None:
    row = lived([ordered(at(days=day), f"O-{day}") for day in days])

    assert gaps == gaps_days(of(row).purchases)


def test_sums_of_absurd_amounts_fit_a_row() -> None:
    product = {"price": 1e12, "quantity": 1e12}
    refunds = [refunded(at(days=1, ms=n), products=[product] * 5) for n in range(3)]
    row = lived([ordered(at(), revenue=1e12), *refunds])

    assert 0 == of(row).purchases.net_minor
    assert of(row).purchases.orders[0].refunded_minor < 2**63
