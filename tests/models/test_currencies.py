"""Other currencies than the shop's: amounts are converted at the rate of their day, or refused."""

from itertools import permutations
from typing import Any

import orjson
import pytest
from msgspec import msgpack

from config.parameters import ParameterError, Parameters
from models import engine
from models.admission import admit, decode_event
from models.customer.purchases import PURCHASES
from models.customer.registry import FACTS
from models.customer.row import Row
from models.decisions.decide import reasons
from models.events.event import Event
from models.events.rejection import Reason, Rejected
from models.events.wire import encode_event
from models.learning.lessons import Cost
from models.parameters import load_parameters
from tests.models.lines import (
    at,
    context,
    happened,
    line,
    lived,
    lived_with_effects,
    of,
    scene,
    seen,
)

RATES = (
    'money.rates.USD={"2026-01-01" = 0.92, "2026-01-03" = 0.5}',
    "money.rates.JPY=0.006",
    "money.rates.KWD=3.0",
)


def shop(*assignments: str) -> Parameters:
    return load_parameters(None, assignments)


SHOP = shop(*RATES)


def ordered(at_ms: int, order_id: str = "O-1", **said: Any) -> Event:
    return happened("Order Completed", at_ms, order_id=order_id, **said)


def refunded(at_ms: int, **said: Any) -> Event:
    return happened("Order Refunded", at_ms, order_id="O-1", **said)


def net_minor(events: list[Event], parameters: Parameters = SHOP) -> int:
    net: int = of(lived(events, within=context(parameters=parameters))).purchases.net_minor
    return net


@pytest.mark.parametrize(
    ("amount", "currency", "day", "expected"),
    [
        (10, None, 0, 1000),
        (10, "", 0, 1000),
        (10, "  ", 0, 1000),
        (10, "eur", 0, 1000),
        (10, " EUR ", 0, 1000),
        (10, "USD", 0, 920),
        (10, " usd", 1.99, 920),
        (10, "USD", 2, 500),
        (10, "USD", 40, 500),
        (1000, "JPY", 0, 600),
        (1.234, "KWD", 0, 370),
    ],
)
def test_an_order_counts_at_the_rate_of_its_day(
    amount: float, currency: str | None, day: float, expected: int
) -> None:
    said = {} if currency is None else {"currency": currency}

    assert expected == net_minor([ordered(at(days=day), revenue=amount, **said)])


@pytest.mark.parametrize(
    ("own", "rate", "amount", "expected"),
    [
        ("JPY", "EUR=165.0", 1.99, 328),
        ("KWD", "EUR=0.333", 100.0, 33_300),
        ("KWD", "JPY=0.0021", 1_000, 2_100),
    ],
)
def test_both_currencies_have_their_own_minor_units(
    own: str, rate: str, amount: float, expected: int
) -> None:
    parameters = shop(f"money.currency={own}", f"money.rates.{rate}")
    event = ordered(at(), revenue=amount, currency=rate[:3])

    assert expected == net_minor([event], parameters)


# What is left of an order of 100 USD on day 0, which are 92.00 in the shop's currency.
NEWS: dict[str, tuple[list[Event], int]] = {
    "some given back, in the order's currency unless another is named": (
        [refunded(at(days=5), total=50)],
        4_600,
    ),
    "in the order's currency by name": ([refunded(at(days=5), total=50, currency="USD")], 4_600),
    "in the shop's": ([refunded(at(days=5), total=50, currency="EUR")], 4_200),
    "all, though the rate is another by then": ([refunded(at(days=5), total=100)], 0),
    "in a third, at the rate of the order's day": (
        [refunded(at(days=5), total=1_000, currency="JPY")],
        8_600,
    ),
    "a price in the shop's own, later": (
        [happened("Order Updated", at(days=5), order_id="O-1", revenue=90, currency="EUR")],
        9_000,
    ),
    "a price of no currency, later: that of the order": (
        [happened("Order Updated", at(days=5), order_id="O-1", revenue=90)],
        8_280,
    ),
    "a price of no currency after one in another": (
        [
            happened("Order Updated", at(days=4), order_id="O-1", revenue=95, currency="EUR"),
            happened("Order Updated", at(days=5), order_id="O-1", revenue=90),
        ],
        9_000,
    ),
    "two prices of one moment, of which the higher stands, in the currency that the other names": (
        [
            happened("Order Updated", at(days=4), order_id="O-1", revenue=95, currency="JPY"),
            happened("Order Updated", at(days=4), order_id="O-1", revenue=9_000),
        ],
        5_400,
    ),
    "two of no currency, and some given back": (
        [
            happened("Order Updated", at(days=4), order_id="O-1", revenue=95),
            happened("Order Updated", at(days=5), order_id="O-1", revenue=90),
            refunded(at(days=6), total=40),
        ],
        4_600,
    ),
    "another price in its currency, later: its day is the order's": (
        [happened("Order Updated", at(days=5), order_id="O-1", revenue=50, currency="USD")],
        4_600,
    ),
    "placed a day earlier than it was heard of": (
        [happened("Order Updated", at(days=0.5), order_id="O-1", revenue=1, currency="EUR")],
        100,
    ),
}


@pytest.mark.parametrize(("news", "expected"), NEWS.values(), ids=NEWS.keys())
def test_news_of_an_order_in_another_currency_in_any_order_of_arrival(
    news: list[Event], expected: int
) -> None:
    order = ordered(at(), revenue=100, currency="USD")

    for arrivals in permutations([order, *news]):
        assert expected == net_minor(list(arrivals))


@pytest.mark.parametrize(("news", "expected"), NEWS.values(), ids=NEWS.keys())
def test_news_of_an_order_that_several_ids_have_is_that_of_one(
    news: list[Event], expected: int
) -> None:
    order = ordered(at(), revenue=100, currency="USD")
    for apart in range(len(news) + 1):
        ids = [
            of(lived(events, within=context(parameters=SHOP))).purchases
            for events in (news[:apart], [order, *news[apart:]])
        ]
        for states in (ids, ids[::-1]):
            assert expected == PURCHASES.united(states, SHOP).net_minor


def test_a_row_of_before_is_read_and_its_price_has_the_currency_it_came_with() -> None:
    row = lived([ordered(at(), revenue=100, currency="USD")], within=context(parameters=SHOP))
    fields = msgpack.decode(PURCHASES.pack(row.read(PURCHASES)))
    (order,) = fields[0]
    del order[-1][-1]
    row.replace(PURCHASES, PURCHASES.readers[3](msgpack.encode(fields)))
    later = happened("Order Updated", at(days=5), order_id="O-1", revenue=50)

    assert 4_600 == of(lived([later], row=row, within=context(parameters=SHOP))).purchases.net_minor


def test_a_rate_that_changes_later_leaves_what_is_known_of_an_order() -> None:
    """Also when more is heard of it."""
    row = lived([ordered(at(), revenue=100, currency="USD")], within=context(parameters=SHOP))
    later = context(parameters=shop("money.rates.USD=0.1"))
    row = lived([refunded(at(days=1), total=50)], row=row, within=later)

    assert 4_600 == of(row).purchases.net_minor


def test_the_log_keeps_the_original_amount_and_currency() -> None:
    event = ordered(at(), revenue=100, currency="usd")
    written = orjson.loads(encode_event(event))["properties"]

    assert (100, "usd") == (written["revenue"], written["currency"])


def admitted(name: str, parameters: Parameters, at_ms: int, **said: Any) -> Event:
    return admit(line(name, at_ms, properties=said), parameters, message_id="m")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Order Completed", {"revenue": 5}),
        ("Order Updated", {"order_id": "O", "total": 5}),
        ("Order Refunded", {"order_id": "O", "total": 5}),
        ("Order Refunded", {"order_id": "O", "products": [{"product_id": "P", "price": 5}]}),
        ("Campaign Cost", {"channel": "web", "amount": 5}),
    ],
)
@pytest.mark.parametrize("currency", ["GBP", "£", "euro", "978", "kr", "XXX", "USD"])
def test_an_amount_without_a_rate_is_refused_with_the_two_ways_out(
    name: str, said: dict[str, Any], currency: str
) -> None:
    """The dollar has no rate yet on that day."""
    with pytest.raises(Rejected) as refused:
        admitted(name, SHOP, at(days=-1), **said, currency=currency)

    assert Reason.OUT_OF_RANGE is refused.value.reason
    assert "$.properties.currency" == refused.value.path
    known = {"£": "GBP"}.get(currency, currency)
    if known not in ("GBP", "USD"):
        assert "give it a code such as EUR" == refused.value.fix
        return
    assert f"--set money.currency={known} " in refused.value.fix
    assert f"--set money.rates.{known}=" in refused.value.fix


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Order Cancelled", {"order_id": "O", "total": 5}),
        ("Order Refunded", {"order_id": "O"}),
        ("Order Refunded", {"order_id": "O", "products": [{"product_id": "P"}]}),
    ],
)
def test_a_currency_without_an_amount_costs_nothing(name: str, said: dict[str, Any]) -> None:
    assert name == admitted(name, SHOP, at(), **said, currency="GBP").name


def test_an_order_whose_rate_was_taken_away_since_is_refused_and_not_counted_as_nothing() -> None:
    within = context(parameters=shop())
    with pytest.raises(Rejected) as refused:
        engine.step(Row(), ordered(at(), revenue=5, currency="USD"), within.present, within.plan)

    assert "$.properties.currency" == refused.value.path


def test_costs_of_campaigns_are_converted_too() -> None:
    said = {"channel": "web", "amount": 10, "currency": "usd"}
    event = decode_event(line("Campaign Cost", at(), properties=said), message_id="m")
    _, effects = lived_with_effects([event], within=context(parameters=SHOP))

    assert [920] == [effect.amount_minor for effect in effects if isinstance(effect, Cost)]


def test_the_profile_tells_amounts_in_the_shops_currency() -> None:
    within = context(parameters=SHOP)
    row = lived([ordered(at(), revenue=100, currency="USD")], within=within)

    assert 9_200 == seen(row, at(days=1), within).rfm.net_minor


@pytest.mark.parametrize(
    ("assignment", "fault"),
    [
        ("money.rates.USD=0", "money.rates.USD must be more than 0"),
        ("money.rates.USD=-1", "money.rates.USD must be more than 0"),
        ("money.rates.USD=nan", "finite"),
        ("money.rates.usd=1", "money.rates.usd: a currency is an ISO 4217 code"),
        ("money.rates.EUR=1", "money.rates.EUR: this is the shop's own currency"),
        ("money.rates.USD={}", "money.rates.USD has no rate"),
        ('money.rates.USD={"1 Feb" = 1.0}', "'1 Feb' is no date"),
        ('money.rates.USD={"2026-01-01" = 0.0}', "money.rates.USD must be more than 0"),
        ("money.rates.USD=much", "money.rates"),
    ],
)
def test_a_rate_that_cannot_be_used_is_refused_at_start(assignment: str, fault: str) -> None:
    with pytest.raises(ParameterError) as refused:
        shop(assignment)

    assert fault in str(refused.value)


#: A customer who spent 1,234.5 units and has as much in the cart, in words.
AMOUNTS_SAID = {
    "EUR": ("spent 1234.50 in a year", "1234.50 an order", "worth 1234.50"),
    "JPY": ("spent 1234 in a year", "1234 an order", "worth 1234"),
    "KWD": ("spent 1234.500 in a year", "1234.500 an order", "worth 1234.500"),
}


@pytest.mark.parametrize(("currency", "expected"), AMOUNTS_SAID.items())
def test_receipts_say_amounts_with_the_decimals_of_the_currency(
    currency: str, expected: tuple[str, ...]
) -> None:
    amount = 1234 if currency == "JPY" else 1234.5
    within = context(parameters=shop(f"money.currency={currency}"))
    cart = happened("Product Added", at(2), product_id="p", price=amount, quantity=1)
    row = lived([ordered(at(), revenue=amount), cart], within=within)

    told = reasons(scene(row, at(3), within), ("net_365d", "average_order", "cart_value"))
    assert list(expected) == [one.words for one in told]


def test_every_fact_of_an_amount_is_said_as_one() -> None:
    """Amounts are what a scene converts from minor units."""
    said = {name for name, fact in FACTS.items() if fact.is_money}
    amounts = {"cart_value", "event_value", "average_order", "value_at_stake", "clv"}

    assert said == amounts | {"expected_spend", "net_30d", "net_90d", "net_365d"}
