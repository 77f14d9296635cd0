"""Price sensitivity: what it is made of, whom a discount wins nothing of, and what a sale says."""

from collections import Counter
from collections.abc import Iterable
from math import isnan
from typing import Any

import pytest
from msgspec import msgpack
from msgspec.structs import replace

from config.parameters import Parameters
from models.admission import decode_event
from models.customer.part import KEYS_MAX
from models.customer.price_state import PURCHASES_MAX, PriceParameters
from models.customer.prices import PRICE_DEPENDENT, PRICES, is_price_dependent, sensitivity
from models.customer.row import Row
from models.engine import Effect
from models.events.event import Event
from models.events.wire import encode_event
from models.learning.lessons import Tally
from models.learning.tallies import Tallies
from tests.models.lines import (
    DAY_MS,
    PARAMETERS,
    PRIOR,
    Within,
    at,
    context,
    happened,
    lived,
    lived_with_effects,
    scene,
)


def bought(day: float, *, paid: float = 60.0, off: float | None = None, **said: Any) -> Event:
    properties: dict[str, Any] = {"order_id": f"o-{day}", "revenue": paid, **said}
    if off is not None:
        properties["discount"] = off
    return happened("Order Completed", at(days=day), **properties)


def refunded(day: float, after: float) -> Event:
    return happened("Order Refunded", at(days=after), order_id=f"o-{day}")


#: So often that no purchase has lost weight: six within a few minutes of each other.
SIX = [n / 1_000 for n in range(6)]
FOR_LESS = [bought(day, off=20.0) for day in SIX]
IN_FULL = [bought(day, paid=80.0) for day in SIX]


def of(events: Iterable[Event], day: float = SIX[-1], within: Within | None = None) -> Any:
    return scene(lived(events), at(days=day), within).of(sensitivity)


@pytest.mark.parametrize(
    ("events", "share", "depth", "total"),
    [
        # (6 + 2 · 0.3) / 8 = 0.825; 20 of 80; 0.6 · 0.825 + 0.25 · 0.25 / 0.3
        (FOR_LESS, 0.825, 0.25, 0.70333),
        (IN_FULL, 0.075, 0.0, 0.045),
        ([bought(0, off=20.0)], 1.6 / 3, 0.25, 0.52833),
        # Below a twentieth off is no discount: 2 of 80.
        ([bought(0, paid=78.0, off=2.0)], 0.2, 0.0, 0.12),
        # A coupon makes a discounted purchase, however little it took off.
        ([bought(0, coupon="WELCOME")], 1.6 / 3, 0.0, 0.32),
    ],
)
def test_sensitivity_is_what_was_bought_for_less_how_much_and_what_was_looked_for(
    events: list[Event], share: float, depth: float, total: float
) -> None:
    found = of(events)

    assert (share, depth, total) == pytest.approx((found.share, found.depth, found.total), abs=1e-4)


SHIRT = {"product_id": "shirt", "price": 30.0}


@pytest.mark.parametrize(
    ("said", "coupon", "discount"),
    [
        # The coupon or the discount of a product is the order's: 20 of 80.
        ({"products": [SHIRT, {**SHIRT, "coupon": "MAY"}]}, "MAY", None),
        ({"products": [SHIRT, {**SHIRT, "discount": 20.0}]}, None, 20.0),
        ({"products": [{**SHIRT, "discount": "10.00", "quantity": 2}]}, None, 20.0),
        ({"items": [{"item_id": "shirt", "coupon": "MAY", "discount": 0}]}, "MAY", 0.0),
        # What the order says of itself counts.
        ({"products": [{**SHIRT, "coupon": "MAY"}], "coupon": "JUNE"}, "JUNE", None),
        ({"products": [{**SHIRT, "discount": 5.0}], "discount": 20.0}, None, 20.0),
        ({"products": [{**SHIRT, "discount": 5.0}], "discount": None}, None, 5.0),
        # Nothing that can be read, and nothing that is said.
        ({"products": [{**SHIRT, "coupon": {"code": 1}, "discount": "some"}]}, None, None),
        ({"products": [{**SHIRT, "coupon": "", "discount": None}]}, None, None),
        ({"products": []}, None, None),
    ],
)
def test_what_a_product_costs_less_the_order_costs_less(
    said: dict[str, Any], coupon: str | None, discount: float | None
) -> None:
    event = bought(0, **said)
    news = event.properties
    again = decode_event(encode_event(event), message_id="none").properties

    assert (coupon, discount) == (news.coupon or None, news.discount)
    assert {(None, None)} >= {(one.coupon, one.discount) for one in news.products}
    assert (news.coupon, news.discount, news.products) == (
        again.coupon,
        again.discount,
        again.products,
    )
    by_order = {name: said for name, said in (("coupon", coupon), ("discount", discount)) if said}
    assert of([bought(0, **by_order)]) == of([event])


def test_nothing_is_known_of_somebody_who_bought_nothing() -> None:
    row = lived([happened("Coupon Denied", at())])
    assert scene(row, at()).of(sensitivity) is None
    assert all(isnan(float(scene(row, at())[name])) for name in PRICES.facts)


@pytest.mark.parametrize(
    ("sorts", "hunts"),
    [
        ([{"type": "price", "value": "asc"}], True),
        ([{"type": "Price", "value": "Ascending"}], True),
        ([{"type": "price", "value": "desc"}], False),
        ([{"type": "rating", "value": "asc"}], False),
        ([], False),
    ],
)
def test_a_list_sorted_by_price_ascending_is_a_sign_of_hunting(
    sorts: list[dict[str, str]], hunts: bool
) -> None:
    found = of([*IN_FULL, happened("Product List Filtered", at(), sorts=sorts)])
    assert hunts == (found.hunt > 0)


def test_three_signs_of_hunting_are_nearly_two_thirds_and_halve_in_ninety_days() -> None:
    signs = [happened("Coupon Denied", at(), message=f"m-{n}") for n in range(3)]
    now, later = of([*IN_FULL, *signs], 0), of([*IN_FULL, *signs], 90)

    assert pytest.approx(1 - 2.718281828**-1.0, abs=1e-6) == now.hunt
    assert pytest.approx(1 - 2.718281828**-0.5, abs=1e-6) == later.hunt


@pytest.mark.parametrize(
    ("events", "day", "depends"),
    [
        (FOR_LESS, SIX[-1], True),
        (IN_FULL, SIX[-1], False),
        ([*FOR_LESS, bought(1, paid=80.0)], 1, False),
        # Two are too few to say so.
        (FOR_LESS[:2], SIX[-1], False),
        # A year later it is no longer so; nobody waits for an event to say it.
        (FOR_LESS, 364, True),
        (FOR_LESS, 366, False),
        # What was refunded was no purchase.
        ([*FOR_LESS, *(refunded(day, 1) for day in SIX)], 2, False),
    ],
)
def test_who_buys_for_less_only_depends_on_the_price(
    events: list[Event], day: float, depends: bool
) -> None:
    half_life_ms = 100_000 * DAY_MS
    section = replace(PARAMETERS.of(PriceParameters), half_life=half_life_ms)
    within = context(parameters=PARAMETERS.with_section(section))
    row = lived(events)

    assert depends == scene(row, at(days=day), within).of(is_price_dependent)


def after_a_sale(month: str) -> Within:
    """A shop where nearly all is bought for less in one month, and a fifth in the others."""
    sums = {f"purchases:{month}": 100, f"discounted:{month}": 90}
    for other in {"02", "03", "04", "05"} - {month}:
        sums |= {f"purchases:{other}": 225, f"discounted:{other}": 45}
    tallies = Tallies({PRICES.name: sums})
    return context(snapshot=PRIOR.replace(tallies))


def test_a_sale_for_all_makes_nobody_a_bargain_hunter() -> None:
    """Six orders of January: dependent, unless January is when everybody buys for less."""
    row = lived(bought(day, off=30.0) for day in SIX)
    present = at(days=SIX[-1])

    assert scene(row, present).of(is_price_dependent)
    assert scene(row, present, after_a_sale("02")).of(is_price_dependent)
    assert not scene(row, present, after_a_sale("01")).of(is_price_dependent)


def triggers(effects: list[Effect]) -> Counter[str]:
    return Counter(getattr(effect, "kind", "") for effect in effects)


def test_the_moment_comes_once_when_it_becomes_so() -> None:
    cool = [
        replace(rule, cooldown=0) if rule.name == PRICE_DEPENDENT else rule
        for rule in PARAMETERS.triggers.triggers
    ]
    parameters = replace(PARAMETERS, triggers=replace(PARAMETERS.triggers, triggers=tuple(cool)))
    events = [bought(day, off=40.0) for day in SIX]

    _, effects = lived_with_effects(events, within=context(parameters=parameters))

    assert 1 == triggers(effects)[PRICE_DEPENDENT]


def switched_off() -> Parameters:
    return PARAMETERS.with_section(replace(PARAMETERS.of(PriceParameters), enabled=False))


def test_switched_off_it_shuts_nothing() -> None:
    row = lived(FOR_LESS)
    within = context(parameters=switched_off())
    assert not scene(row, at(days=SIX[-1]), within).of(is_price_dependent)


def told(effects: list[Effect]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for effect in effects:
        if isinstance(effect, Tally) and effect.part == PRICES.name:
            for key, _day, amount in effect.sums:
                sums[key] += amount
    return +sums


def test_all_customers_sums_follow_what_becomes_of_an_order() -> None:
    news = [bought(0, off=20.0), bought(1, paid=80.0)]
    changed = happened("Order Updated", at(days=2), order_id="o-0", revenue=80.0, discount=0)

    assert {"purchases:01": 2, "discounted:01": 1} == told(lived_with_effects(news)[1])
    assert {"purchases:01": 2} == told(lived_with_effects([*news, changed])[1])
    assert {"purchases:01": 1} == told(lived_with_effects([*news, changed, refunded(0, 3)])[1])


def test_the_latest_orders_are_kept() -> None:
    row = lived(bought(day) for day in range(PURCHASES_MAX + 5))
    kept = row.read(PRICES).orders

    assert PURCHASES_MAX == len(kept)
    assert at(days=5) == kept[0].placed_at_ms


def discount_only(row: Row, day: float) -> float:
    return float(scene(row, at(days=day))["discount_only"])


@pytest.mark.parametrize("later", range(PURCHASES_MAX - 2, PURCHASES_MAX + 3))
def test_who_bought_at_full_price_within_a_year_is_known_however_often_they_buy(
    later: int,
) -> None:
    often = [bought(1 + n, off=20.0) for n in range(later)]
    full, late = bought(0.5), bought(0.75)
    row = lived([bought(0, off=20.0), full, *often])

    assert 0.0 == discount_only(row, 100)
    assert (0.0, 1.0) == (discount_only(row, 365.499), discount_only(row, 365.5))
    for order in ([*often, full], [*often, full, late], [full, *often, late]):
        last = 0.75 if late in order else 0.5
        assert (0.0, 1.0) == tuple(discount_only(lived(order), 365 + last + n) for n in (-0.001, 0))


def test_news_of_an_order_that_was_let_go_of_leaves_what_is_known_of_it() -> None:
    often = [bought(n, off=20.0) for n in range(PURCHASES_MAX + 3)]
    changed = happened("Order Updated", at(days=50), order_id="o-0", revenue=80.0)
    paid_anew = happened("Order Completed", at(days=51), order_id="o-1", revenue=80.0)

    assert 1.0 == discount_only(lived([*often, changed, refunded(1, 50.5), paid_anew]), 60)


def test_of_several_ids_the_latest_purchases_of_all_are_kept() -> None:
    ids = [lived([bought(0), *(bought(n + 1, off=20.0) for n in range(20))]).read(PRICES)]
    ids.append(lived([bought(n + 30, off=20.0) for n in range(20)]).read(PRICES))
    for states in (ids, ids[::-1]):
        one = PRICES.united(states, PARAMETERS)

        assert (PURCHASES_MAX, at()) == (len(one.orders), one.full_ms)


@pytest.mark.parametrize("version", [1, 2])
def test_a_row_of_before_is_read(version: int) -> None:
    found = PRICES.readers[version](
        msgpack.encode([[[at(), 7, at(), 0.25, True, True]], 1.0, at()])
    )

    assert (0.25, True, 0) == (found.orders[0].depth, found.orders[0].has_coupon, found.full_ms)


def test_there_are_few_enough_sums_for_metrics() -> None:
    told_of = PRICES.population
    assert told_of is not None
    assert len(told_of.keys(PARAMETERS)) <= KEYS_MAX
