"""What must not matter does not, for small shops at random in which everything happens: the weeks,
the currency, the names, the number of ids, how often the clock moves, and since when it is live.

No model is learnt: with one, a hash of the time decides what is learnt from.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from random import Random
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from config.duration import DAY_MS, HOUR_MS
from config.parameters import Parameters
from config.rules import ActionRule, TriggerRule
from config.segments import SegmentRule, Segments, announcing
from models.customer.calendar import CalendarParameters
from models.customer.consent import CONSENT
from models.customer.key_customers import KeyParameters
from models.customer.loyalty import LoyaltyParameters
from models.customer.margins import MarginParameters
from models.customer.profile import encode_profile
from models.customer.registry import PARTS
from models.decisions.trigger import NextBestAction, Trigger
from models.events.times import iso
from models.learning.tiers import TierParameters
from models.replay import Replay
from tests.company.company import PARAMETERS as COMPANY
from tests.examples import drawn
from tests.properties.random_shops import (
    AMOUNTS,
    CUSTOMERS,
    DAYS,
    Said,
    Shop,
    at,
    in_days,
    ms_of,
    time_of,
)

every_shop = given(seed=st.integers(0, 2**32))
#: An example is two replays of some hundred events.
few = drawn(times=0.1)
_SEGMENTS = {
    "new-customers": "orders == 1 and silent_days < 30",
    "loyal": "orders_365d >= 4",
    "vip-slipping": (
        '"loyal" in segments and net_365d >= 200 and silent_days >= 1.5 * typical_gap_days'
    ),
    "lost": 'customer_class == "lost"',
    "vips": 'tier == "vip" and class_days >= 10',
    "dear": "key_customer == 1 or relationship_level >= 3",
    "full-cart-left": "cart_value >= 50 and cart_idle_hours >= 24",
    "rich": "net_365d >= 500 and average_order >= 60",
}
#: Conditions on amounts, in the shop's currency.
_of_amounts = re.compile(r"(cart_value|net_365d|average_order|event_value) >= ([\d.]+)")


def shop(times: float = 1.0, currency: str = "EUR") -> Parameters:
    """A shop with everything switched on, whose amounts are so many times as large."""

    def more(text: str) -> str:
        return _of_amounts.sub(lambda found: f"{found[1]} >= {float(found[2]) * times}", text)

    def amounts(section: Any, *names: str) -> Any:
        found = {name: getattr(section, name) for name in names}
        return replace(
            section,
            **{
                name: tuple(times * one for one in value)
                if isinstance(value, tuple)
                else times * value
                for name, value in found.items()
            },
        )

    segments = Segments(
        tuple(
            SegmentRule(name=name, version=1, when=more(when), announce=True)
            for name, when in _SEGMENTS.items()
        )
    )
    rules: tuple[TriggerRule, ...] = (*COMPANY.triggers.triggers, *announcing(segments))
    actions: Iterable[ActionRule] = COMPANY.actions.actions
    parameters = replace(
        COMPANY,
        money=replace(COMPANY.money, currency=currency),
        rfm=amounts(COMPANY.rfm, "monetary"),
        value=amounts(COMPANY.value, "typical_order"),
        segments=segments,
        triggers=replace(
            COMPANY.triggers, triggers=tuple(replace(one, when=more(one.when)) for one in rules)
        ),
        actions=replace(
            COMPANY.actions,
            actions=tuple(
                replace(one, when=more(one.when), cost=times * one.cost) for one in actions
            ),
        ),
        learning=replace(COMPANY.learning, minimum_examples=10**9),
    )
    for part in PARTS:
        if part.has_switch:
            parameters = part.switched(parameters, on=True)
    loyalty = parameters.of(LoyaltyParameters)
    margins = replace(parameters.of(MarginParameters), by_category={"books": 0.5, "toys": 0.1})
    for section in (
        margins,
        replace(amounts(loyalty, "point_value"), rate=loyalty.rate / times),
        amounts(parameters.of(TierParameters), "average_order", "expected"),
        amounts(parameters.of(KeyParameters), "power"),
    ):
        parameters = parameters.with_section(section)
    return parameters


SHOP = shop()
#: Named days come on their dates.
WITHOUT_DAYS = SHOP.with_section(replace(SHOP.of(CalendarParameters), days={}))


class Told(NamedTuple):
    """The decisions (when, of whom, what, and what is done), profiles, and measures."""

    decisions: Counter[tuple[str, str, str, str | None]]
    profiles: dict[str, dict[str, Any]]
    measures: dict[str, float]
    replay: Replay


def told(log: Iterable[bytes], parameters: Parameters = SHOP) -> Told:
    replay = Replay(parameters)
    decisions: Counter[tuple[str, str, str, str | None]] = Counter()
    for number, raw in enumerate(log, 1):
        for one in replay.feed(raw, number):
            assert isinstance(one, Trigger | NextBestAction) or "withdrawn" in str(one.kind)
            action = getattr(one, "action", None)
            decisions[one.timestamp, one.user_id, one.kind, action] += 1
    profiles = {view.user_id: orjson.loads(encode_profile(view)) for view in replay.profiles()}
    return Told(decisions, profiles, replay.summary().measures, replay)


def log_of(seed: int) -> tuple[list[Said], int]:
    """A shop's events until a day that is drawn, and that day."""
    rng = Random(seed)
    end_ms = at(rng.randrange(60, DAYS + 60))
    events = Shop(rng, customers=CUSTOMERS[:2]).events()
    return [one for one in events if time_of(one) < end_ms], end_ms


def changed(value: Any, change: Callable[[str, Any], Any], name: str = "") -> Any:
    """``value`` with every text and number in it changed; ``name``: of the field."""
    if isinstance(value, dict):
        return {key: changed(one, change, key) for key, one in value.items()}
    if isinstance(value, list):
        return [changed(one, change, name) for one in value]
    return change(name, value)


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two values differ, but for the last digits of numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted({*one, *other})
        return [
            found
            for name in names
            for found in differences(one.get(name), other.get(name), f"{path}.{name}")
        ]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [found for n, (a, b) in pairs for found in differences(a, b, f"{path}[{n}]")]
    if isinstance(one, float) or isinstance(other, float):
        is_same = one == pytest.approx(other, rel=1e-9, abs=1e-9)
    else:
        is_same = one == other
    return [] if is_same else [f"{path}: {one} and {other}"]


def assert_alike(one: Told, other: Told, *but: str) -> None:
    """Both say the same, but for what has one of these texts in its name."""
    found = [
        *differences(one.profiles, other.profiles),
        *differences(one.measures, other.measures),
        *(f"{what} once" for what in (one.decisions - other.decisions).elements()),
        *(f"{what} other" for what in (other.decisions - one.decisions).elements()),
    ]
    assert [] == [one for one in found if not any(name in one for name in but)]


_is_time = re.compile(r"\d{4}-\d\d-\d\d(T.*)?").fullmatch
#: Which decision points are kept for labels is drawn by a hash of their time; calendar years, and
#: sums by calendar month, are others in other weeks.
OF_THE_CALENDAR = ("nextDeadlineAt", ".traits.", "month=", "cohort=", "lift_")


def later(by_ms: int) -> Callable[[str, Any], Any]:
    def change(_name: str, value: Any) -> Any:
        if not isinstance(value, str) or _is_time(value) is None:
            return value
        is_day = len(value) == len("2026-01-01")
        moved = iso(ms_of(f"{value}T00:00:00Z" if is_day else value) + by_ms)
        return moved[: len(value)] if is_day else moved

    return change


@every_shop
@few
def test_weeks_later_all_of_it_is_so_weeks_later(seed: int) -> None:
    events, end_ms = log_of(seed)
    by_ms = Random(seed).choice((1, 7, 30)) * 7 * DAY_MS
    one = told(in_days(events, end_ms), WITHOUT_DAYS)
    other = told(in_days(changed(events, later(by_ms)), end_ms + by_ms), WITHOUT_DAYS)

    earlier = later(-by_ms)
    back = Counter({(earlier("", at_), *rest): n for (at_, *rest), n in other.decisions.items()})
    assert_alike(
        one,
        other._replace(profiles=changed(other.profiles, earlier), decisions=back),
        *OF_THE_CALENDAR,
    )


def priced(times: float) -> Callable[[str, Any], Any]:
    def change(name: str, value: Any) -> Any:
        is_amount = name in AMOUNTS and isinstance(value, int | float)
        return round(value * times, 4) if is_amount else value

    return change


#: Amounts in the shop's currency; all others are in its smallest unit.
IN_MONEY = re.compile(
    "keepstream_(net_by_tier|lift_net|loyalty_liability|.*(spent|cost)[{$])"
).match


@pytest.mark.parametrize(("currency", "times"), [("JPY", 100.0), ("KWD", 0.1)])
@every_shop
@few
def test_in_a_currency_of_other_decimals_all_of_it_is_the_same(
    currency: str, times: float, seed: int
) -> None:
    """12.34 EUR, 1,234 JPY and 1.234 KWD are as many of the smallest unit."""
    events, end_ms = log_of(seed)
    one = told(in_days(events, end_ms))
    other = told(in_days(changed(events, priced(times)), end_ms), shop(times, currency))

    measures = {
        name: value / times if IN_MONEY(name) else value for name, value in other.measures.items()
    }
    assert_alike(one, other._replace(measures=measures))


def in_euros(event: Said) -> Said:
    """The event with the currency beside its amount, if it has one."""
    of = event.get("properties", {})
    is_of_money = AMOUNTS & of.keys() or any(AMOUNTS & one.keys() for one in of.get("products", ()))
    return {**event, "properties": {**of, "currency": "EUR"}} if is_of_money else event


def in_yen(event: Said) -> Said:
    """The same event in another currency, if it has an amount."""
    said = changed(event, priced(100.0))
    is_other = said.get("properties") != event.get("properties")
    return {**said, "properties": {**said["properties"], "currency": "JPY"}} if is_other else event


@every_shop
@few
def test_in_another_currency_at_its_rate_all_of_it_is_the_same(seed: int) -> None:
    events, end_ms = log_of(seed)
    rng = Random(seed)
    # News of one order may be in both currencies.
    events = [in_euros(one) for one in events]
    foreign = [in_yen(one) if rng.random() < 0.5 else one for one in events]
    rates = replace(SHOP.money, rates={"JPY": 0.01})
    other = told(in_days(foreign, end_ms), replace(SHOP, money=rates))

    assert_alike(told(in_days(events, end_ms)), other)


OTHERS = dict(zip(CUSTOMERS, ("zoe", "max", "ann", "bea"), strict=True))
#: What is due comes at a time of the day that follows from the customer's name.
SPREAD = ("nextDeadlineAt", "contact-due", "calendar-day", "calendar", "anniversary", "lastMoments")


@every_shop
@few
def test_by_other_names_the_same_is_so(seed: int) -> None:
    events, end_ms = log_of(seed)
    nobody = replace(SHOP, actions=replace(SHOP.actions, actions=()))
    one = told(in_days(events, end_ms), nobody)
    renamed = [
        {**event, "userId": OTHERS[event["userId"]]} if "userId" in event else event
        for event in events
    ]
    other = told(in_days(renamed, end_ms), nobody)

    names = {new: old for old, new in OTHERS.items()}
    profiles = {
        names.get(who, who): {**view, "userId": names.get(who, who)}
        for who, view in other.profiles.items()
    }
    decisions = Counter(
        {(at_, names[who], *rest): n for (at_, who, *rest), n in other.decisions.items()}
    )
    # A decision of nothing follows from whatever is due.
    found = other._replace(profiles=profiles, decisions=decisions)
    assert_alike(one, found, *SPREAD, "next-best-action")


def under_two_ids(events: Iterable[Said], seed: int) -> list[Said]:
    """Half of the events are of a visitor's id; all news of one thing come under one id."""
    found = []
    for event in events:
        of = event.get("properties", {})
        keys = ("order_id", "ticket_id", "invoice_id", "redemption_id")
        thing = next((of[key] for key in keys if key in of), event["messageId"])
        is_visitor = event["type"] != "identify" and Random(f"{seed} {thing}").random() < 0.5
        if is_visitor and "userId" in event:
            rest = {key: value for key, value in event.items() if key != "userId"}
            found.append({**rest, "anonymousId": f"{event['userId']}-2"})
        else:
            found.append(event)
    return found


@every_shop
@few
def test_under_two_ids_a_person_is_the_same(seed: int) -> None:
    events, end_ms = log_of(seed)
    first = {event["userId"]: event for event in reversed(events) if "userId" in event}
    hello = [
        {"type": "identify", "userId": who, "messageId": f"hello {who}"}
        | {"timestamp": event["timestamp"]}
        for who, event in first.items()
    ]
    linking = [{**one, "anonymousId": f"{one['userId']}-2"} for one in hello]
    one = told(in_days(sorted([*hello, *events], key=time_of), end_ms))
    two = under_two_ids(sorted([*linking, *events], key=time_of), seed)

    # That two ids are one person is a moment of its own.
    linked = ("identity", "next-best-action", ".acquisition")
    assert_alike(one, told(in_days(two, end_ms)), *linked)


@every_shop
@few
def test_how_often_the_clock_moves_makes_no_difference(seed: int) -> None:
    events, end_ms = log_of(seed)
    # What came of actions, and labels, count by what is known when the clock has passed them.
    but = ("lift_", "nextDeadlineAt")
    one = told(in_days(events, end_ms))

    for every_ms in (11 * HOUR_MS + 1, 90 * DAY_MS):
        assert_alike(one, told(in_days(events, end_ms, every_ms)), *but)


@every_shop
@few
def test_a_shop_that_goes_live_in_the_midst_is_as_if_it_always_had_been(seed: int) -> None:
    """Apart from what rules fired before: history is rehearsed."""
    events, end_ms = log_of(seed)
    nobody = replace(SHOP, actions=replace(SHOP.actions, actions=()))
    log = in_days(events, end_ms)
    place = Random(seed).randrange(len(log))
    live_at = orjson.loads(log[place])["timestamp"]
    live = orjson.dumps({"type": "live", "timestamp": live_at})
    one, replay = told(log, nobody), Replay(nobody, is_rehearsed=True)
    for number, raw in enumerate((*log[:place], live, *log[place:]), 1):
        replay.feed(raw, number)

    views = {view.user_id: orjson.loads(encode_profile(view)) for view in replay.profiles()}
    found = [*differences(one.profiles, views)]
    found += differences(one.measures, replay.summary().measures)
    assert [] == [what for what in found if ".last" not in what]


#: Measures that count customers by a value of their profile: the section and the field.
COUNTED = {
    "class": ("lifecycle", "customerClass"),
    "stage": ("lifecycle", "stage"),
    "tier": ("tier", "tier"),
    "risk": ("risk", "band"),
    "relationship": ("relationship", "name"),
}


@every_shop
@few
def test_metrics_count_what_profiles_say(seed: int) -> None:
    events, end_ms = log_of(seed)
    found = told(in_days(events, end_ms))
    rows = found.replay.rows()
    counted: Counter[tuple[str, str]] = Counter()
    members: Counter[str] = Counter()
    net: Counter[str] = Counter()
    for who in set(CUSTOMERS) & rows.keys():
        view, is_out = found.profiles[who], rows[who].read(CONSENT).is_left_out
        if is_out:
            continue
        for what, (section, field) in COUNTED.items():
            if view[section] is not None:
                counted[what, view[section][field]] += 1
        for segment in view["segments"]:
            members[segment["name"]] += 1
        if (loyalty := view["loyalty"]) is not None:
            net["active"] += max(loyalty["points"], 0)
            net["pending"] += loyalty["pending"]
        net["key"] += bool(view["keyCustomer"] and view["keyCustomer"]["isKey"])

    said = {
        (what, value): count
        for name, count in found.measures.items()
        if (named := re.fullmatch(r'keepstream_customers_by_(\w+)\{\w+="(\w+)"\}', name))
        and (what := named[1]) in COUNTED
        and (value := named[2]) != "visitors"
    }
    assert counted == Counter({key: round(n) for key, n in said.items() if n})
    for name in _SEGMENTS:
        assert members[name] == found.measures[f'keepstream_segment_members{{segment="{name}"}}']
    for state in ("active", "pending"):
        assert net[state] == found.measures[f'keepstream_loyalty_points{{state="{state}"}}']
    assert net["key"] == found.measures["keepstream_key_customers"]
