"""Orders: exact windows, decayed sums, and news that arrives in any order."""

from itertools import permutations
from typing import Any

import pytest
from msgspec import msgpack
from msgspec.structs import replace

from config.duration import DAY_MS, HOUR_MS
from models import engine
from models.customer.decay import added, decayed
from models.customer.order_records import times
from models.customer.purchase_state import WINDOW_DAYS, PurchaseParameters
from models.customer.purchase_windows import bought_within, gaps_days, window
from models.customer.purchase_words import RfmView
from models.customer.purchases import PURCHASES
from models.customer.row import Row, encode_row
from models.events.event import Event
from models.events.rejection import Reason, Rejected
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
    "a refund of products whose price nobody told": (
        [refunded(at(days=2), products=[{"product_id": "P"}])],
        (1, 1000),
    ),
    "a refund of no products, as some senders write a full one": (
        [refunded(at(days=2), products=[])],
        (0, 0),
    ),
    "a cancellation": ([cancelled(at(days=2))], (0, 0)),
    "a partial refund by total": ([refunded(at(days=2), total=4)], (1, 600)),
    "a partial refund by amount": ([refunded(at(days=2), amount=4)], (1, 600)),
    "a partial refund by its own amount": ([refunded(at(days=2), refund_amount=4)], (1, 600)),
    "a partial refund by value": ([refunded(at(days=2), value=4)], (1, 600)),
    "a partial refund by total, of a value": ([refunded(at(days=2), total=4, value=9)], (1, 600)),
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
        (1, 1200),
    ),
    "a payment after a cancellation": (
        [cancelled(at(days=2)), ordered(at(days=3), revenue=9)],
        (1, 900),
    ),
    "a cancellation after a second payment": (
        [cancelled(at(days=2)), ordered(at(days=3)), cancelled(at(days=4))],
        (0, 0),
    ),
    "a cancellation of the moment of a payment": (
        [ordered(at(days=3)), cancelled(at(days=3))],
        (0, 0),
    ),
    "an update after a full refund": (
        [refunded(at(days=2)), updated(at(days=3), revenue=12)],
        (0, 0),
    ),
    "a payment after a full refund": (
        [refunded(at(days=2)), ordered(at(days=3), revenue=12)],
        (1, 1200),
    ),
    "what was paid first given back, and paid anew": (
        [cancelled(at(days=2)), refunded(at(days=2.5), total=10), ordered(at(days=3))],
        (1, 1000),
    ),
    "a refund told twice by its id": (
        [
            refunded(at(days=2), refund_id="R-1", total=4),
            refunded(at(days=3), refund_id="R-1", total=4),
        ],
        (1, 600),
    ),
    "two refunds of one moment and amount, by their ids": (
        [
            refunded(at(days=2), refund_id="R-1", total=4),
            refunded(at(days=2), refund_id=2, total=4),
        ],
        (1, 200),
    ),
    "a refund of one moment and amount, told again by another system": (
        [
            refunded(at(days=2), total=4),
            refunded(at(days=2), total=4, coupon="told by another system"),
        ],
        (1, 600),
    ),
    "a refund told with its id and without": (
        [refunded(at(days=2), refund_id="R-1", total=4), refunded(at(days=2), total=4)],
        (1, 600),
    ),
    "two refunds by their ids, one of them told without": (
        [
            refunded(at(days=2), refund_id="R-1", total=4),
            refunded(at(days=2), refund_id="R-2", total=4),
            refunded(at(days=2), total=4),
        ],
        (1, 200),
    ),
    "a refund told again with the shop's currency": (
        [
            refunded(at(days=2), total=4),
            refunded(at(days=2), total=4, currency=PARAMETERS.money.currency),
        ],
        (1, 600),
    ),
    "a refund with an id and another without, at another time": (
        [refunded(at(days=2), refund_id="R-1", total=4), refunded(at(days=2.1), total=4)],
        (1, 200),
    ),
    "a refund with an id and another without, of another amount": (
        [refunded(at(days=2), refund_id="R-1", total=4), refunded(at(days=2), total=3)],
        (1, 300),
    ),
    "a refund of products told with its id and without": (
        [
            ordered(
                at(days=1.5), revenue=10, products=[{"product_id": "a", "price": 2, "quantity": 3}]
            ),
            *(
                refunded(at(days=2), products=[{"product_id": "a", "quantity": 1}], **its)
                for its in ({"refund_id": "R-1"}, {})
            ),
        ],
        (1, 800),
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


def test_more_refunds_than_are_remembered_told_with_and_without_their_ids_count_once() -> None:
    refunds = [
        refunded(at(days=2, hours=number), total=0.01, **its)
        for number in range(80)
        for its in ({"refund_id": f"R-{number}"}, {})
    ]

    view = rfm(lived([ordered(at(days=1)), *refunds]), at(days=10))

    assert 1000 - 80 == view.net_minor


BASKET: dict[str, Any] = {
    "revenue": 120,
    "products": [
        {"product_id": "a", "price": 100, "quantity": 1},
        {"product_id": "b", "sku": "b-blue", "price": "10", "quantity": 2},
        {"product_id": "c", "variant": "red"},
    ],
}
#: What is left of the basket once these are given back, and refunds that nobody knows the worth of.
GIVEN_BACK: dict[str, tuple[list[dict[str, Any]], tuple[int, int]]] = {
    "one of two": ([{"product_id": "b", "quantity": 1}], (11_000, 0)),
    "one, without saying how many": ([{"product_id": "b"}], (11_000, 0)),
    "by its sku": ([{"sku": "b-blue", "quantity": 2}], (10_000, 0)),
    "by both": ([{"product_id": "b", "sku": "b-blue"}], (11_000, 0)),
    "more than there were": ([{"product_id": "b", "quantity": 5}], (10_000, 0)),
    "the same twice": ([{"product_id": "b"}, {"product_id": "b"}], (10_000, 0)),
    "some with a price, some without": (
        [{"product_id": "a", "price": 90}, {"product_id": "b"}],
        (2_000, 0),
    ),
    "all": ([{"product_id": "a"}, {"product_id": "b", "quantity": 2}], (0, 0)),
    "one that has no price": ([{"product_id": "c", "variant": "red"}], (12_000, 1)),
    "one that is not of the order": ([{"product_id": "z"}, {"product_id": "b"}], (11_000, 1)),
    "one that has no name": ([{"quantity": 1}], (12_000, 1)),
}


@pytest.mark.parametrize(("products", "expected"), GIVEN_BACK.values(), ids=GIVEN_BACK.keys())
def test_products_that_are_given_back_are_worth_what_the_order_says(
    products: list[dict[str, Any]], expected: tuple[int, int]
) -> None:
    news = [ordered(at(), **BASKET), refunded(at(days=4), products=products)]

    for arrivals in permutations([*news, updated(at(days=1), revenue=120)]):
        view = rfm(lived(arrivals), at(days=10))
        assert expected == (view.net_minor, view.unpriced_refunds)


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


def test_a_refund_of_long_ago_still_takes_its_money_back() -> None:
    """In part, then wholly, and each once however often it is sent."""
    clock_ms = at(days=800)
    row = lived([ordered(at(), "A")])
    row = lived([ordered(at(days=799), "B")], row=row, clock_ms=clock_ms)
    given_back = [refunded(at(days=799, hours=hour), "A", total=4) for hour in (1, 1, 2)]
    repeat = happened(
        "Order Refunded", at(days=799, hours=2), message="again", order_id="A", total=4
    )
    row = lived([given_back[0], given_back[2], repeat], row=row, clock_ms=clock_ms)

    assert (2, 1200) == (of(row).purchases.count, of(row).purchases.net_minor)
    row = lived([refunded(at(days=799, hours=3), "A")], row=row, clock_ms=clock_ms)
    assert (1, 1000) == (of(row).purchases.count, of(row).purchases.net_minor)


def test_an_order_out_of_every_window_is_packed_and_still_counts() -> None:
    clock_ms = at(days=400)
    row = lived([ordered(at(), "A")])
    row = lived([ordered(at(days=400), "B")], row=row, clock_ms=clock_ms)

    assert 1 == len(of(row).purchases.orders)
    assert [at()] == times(of(row).purchases.records)
    assert (2, 2000) == (of(row).purchases.count, of(row).purchases.net_minor)
    row = lived([cancelled(at(days=400), "B")], row=row, clock_ms=clock_ms)
    assert at() == of(row).purchases.last_at_ms


def test_an_order_that_a_late_refund_can_still_reach_is_kept() -> None:
    latest_ms = at(days=365) + PARAMETERS.time.lateness
    row = lived([ordered(latest_ms, "B")], row=lived([ordered(at(), "A")]), clock_ms=latest_ms)

    assert 2 == len(of(row).purchases.orders)


FEW = replace(PARAMETERS, bounds=replace(PARAMETERS.bounds, orders=6, order_records=4))


def often(count: int) -> list[Event]:
    """Orders of rising amounts every ten hours."""
    return [
        ordered(at(hours=10 * number), f"O-{number}", revenue=number + 1) for number in range(count)
    ]


def test_windows_are_exact_beyond_the_bounds_of_orders() -> None:
    """To the millisecond as far back as there are records, and to the day before that."""
    events = often(40)
    row = lived(events, within=context(parameters=FEW))
    bought, now_ms = of(row).purchases, at(hours=390)

    assert (3, 4) == (len(bought.orders), len(times(bought.records)))
    assert (40, 82_000) == (bought.count, bought.net_minor)
    assert (40, 82_000) == window(bought, now_ms, 30)
    assert (3, 100 * (38 + 39 + 40)) == window(bought, now_ms, 1)
    for hours in range(1, 70):
        expected = [e for e in events if e.occurred_at_ms > now_ms - hours * HOUR_MS]
        net_minor = sum(round(100 * e.properties.revenue) for e in expected)
        assert (len(expected), net_minor) == bought_within(bought, now_ms - hours * HOUR_MS, now_ms)
    for day in range(1, 13):
        expected = [e for e in events if e.occurred_at_ms >= at(days=day)]
        assert len(expected) == bought_within(bought, at(days=day, ms=-1), now_ms)[0]


def test_a_refund_finds_an_order_that_is_a_record_and_is_refused_for_one_that_is_a_sum() -> None:
    within = context(parameters=FEW)
    row = lived(often(40), within=within)
    late = at(hours=391)

    found = lived([refunded(late, "O-34")], row=row, within=within)
    assert (39, 82_000 - 3_500) == (of(found).purchases.count, of(found).purchases.net_minor)
    before = encode_row(row)
    for event in (refunded(late, "O-1", total=1), cancelled(late, "O-1")):
        with pytest.raises(Rejected) as refused:
            engine.step(row, event, within.present, within.plan)
        assert (Reason.TOO_LATE, "$.properties.order_id") == (
            refused.value.reason,
            refused.value.path,
        )
        assert before == encode_row(row)


def test_purchase_days_outlive_orders() -> None:
    within = context(parameters=FEW)
    bought = of(lived(often(40), within=within)).purchases

    assert tuple(range(at() // DAY_MS, at(hours=391) // DAY_MS + 1)) == bought.days
    assert 0 == bought.earlier_days


@pytest.mark.parametrize("gap_days", [365, 400])
def test_the_last_twelve_gaps_are_kept_however_long(gap_days: int) -> None:
    row = Row()
    for year in range(20):
        placed_ms = at(days=gap_days * year)
        row = lived([ordered(placed_ms, f"O-{year}")], row=row, clock_ms=placed_ms)
    bought = of(row).purchases

    assert [float(gap_days)] * 12 == gaps_days(bought)
    assert (13, 7) == (len(bought.days), bought.earlier_days)


#: Hours of orders, and the days (from the first) of the occasions that they are.
SITTINGS: dict[str, tuple[list[float], list[int]]] = {
    "two orders in the evening": ([20, 23], [0]),
    "either side of midnight": ([23.5, 24.5], [0]),
    "a sitting apart": ([20, 26], [0, 1]),
    "less than a sitting apart": ([20, 25.9], [0]),
    "one after another through the night": ([20, 25, 30, 35], [0]),
    "a sitting again on the day after": ([23, 25, 40], [0, 1]),
    "morning and evening": ([8, 20], [0]),
    "around the clock": ([float(hour) for hour in range(72)], [0, 1, 2]),
}


@pytest.mark.parametrize(("hours", "days"), SITTINGS.values(), ids=SITTINGS.keys())
def test_orders_of_one_sitting_are_one_occasion_in_any_order_of_arrival(
    hours: list[float], days: list[int]
) -> None:
    events = [ordered(at(hours=hour), f"O-{hour}") for hour in hours]
    arrivals = permutations(events) if len(events) < 5 else [events, events[::-1]]

    for some in arrivals:
        bought = of(lived(some)).purchases
        assert [at(days=day) // DAY_MS for day in days] == list(bought.days)
        assert len(hours) == bought.count


def test_a_sitting_without_its_first_order_begins_with_the_next() -> None:
    events = [ordered(at(hours=23), "A"), ordered(at(hours=25), "B"), cancelled(at(hours=26), "A")]

    for some in permutations(events):
        assert (at(days=1) // DAY_MS,) == of(lived(some)).purchases.days


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


def stored_by_version_1() -> bytes:
    """An order in version 1, one with a refund, one cancelled, and one that is gone."""
    orders = [
        [1, at(days=10), 1_000, at(days=10), 0, False, 0],
        [2, at(days=20), 2_000, at(days=20), 500, False, at(days=21)],
        [3, at(days=30), 3_000, at(days=30), 0, True, at(days=31)],
    ]
    days = [at(days=day) // DAY_MS for day in (10, 20)]
    levels = [[1.5, 1.6, 1.7], [1.0, 2.0, 3.0], at(days=20)]
    return msgpack.encode([orders, 3, 2_600, at(), at(), *levels, 1, days])


def test_purchases_of_version_1_are_read_and_go_on() -> None:
    state = PURCHASES.older[1](stored_by_version_1())
    row = Row()
    row._states[PURCHASES.code] = state
    row.edit(PURCHASES)

    assert (3, 2_600, at(days=20)) == (state.count, state.net_minor, state.last_at_ms)
    assert [True, True, False] == [order.is_purchase for order in state.orders]
    assert [1_000, 1_500, 0] == [order.net_minor for order in state.orders]
    assert (2, 1) == (len(state.days), state.earlier_days)
    row = lived([ordered(at(days=40), "new")], row=row)
    bought = of(row).purchases
    assert (4, 3_600, 3, 1) == (
        bought.count,
        bought.net_minor,
        len(bought.days),
        bought.earlier_days,
    )
