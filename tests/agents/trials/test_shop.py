"""The simulated shop: real enough to learn from, and without hints to why customers act."""

import hashlib
import subprocess
import sys
import tracemalloc
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import orjson
import pytest

from agents.trials.demo.mishaps import MALFORMED_KINDS, malform
from agents.trials.demo.shop import (
    ShopConfig,
    ShopRecord,
    estimate_events,
    simulate,
    start_before,
)
from config.duration import DAY_MS, MINUTE_MS
from config.topics import RAW_TOPICS
from models.admission import admit
from models.events.rejection import Reason, Rejected
from models.parameters import load_parameters

START_MS = 1_735_689_600_000
ORDERLY = {"shuffled": 0.0, "duplicates": 0.0, "late": 0.0, "malformed": 0.0}
ROOT = Path(__file__).parents[3]

SMALL = ShopConfig(seed=7, customers=40, start_ms=START_MS, days=60)

PRODUCT_KEYS = {"product_id", "price", "quantity", "category"}
ORDER_KEYS = {
    "order_id",
    "revenue",
    "tax",
    "shipping",
    "total",
    "currency",
    "products",
    "coupon",
    "discount",
}
MAIL_KEYS = {"email_id", "campaign_name"}
PROPERTIES_BY_NAME = {
    "identify": set(),
    "page": {"path"},
    "screen": {"path"},
    "Product Viewed": PRODUCT_KEYS,
    "Product Added": PRODUCT_KEYS,
    "Product Removed": PRODUCT_KEYS,
    "Cart Viewed": {"products"},
    "Checkout Started": {"products"},
    "Coupon Applied": {"order_id", "coupon_id", "discount"},
    "Order Completed": ORDER_KEYS,
    "Order Cancelled": ORDER_KEYS,
    "Order Refunded": {"order_id", "total", "currency"},
    "Ticket Opened": {"ticket_id", "category", "priority"},
    "Ticket Replied": {"ticket_id", "author"},
    "Ticket Solved": {"ticket_id", "resolution"},
    "Survey Responded": {
        "survey_id",
        "kind",
        "score",
        "ticket_id",
        "scale_min",
        "scale_max",
        "higher_is_better",
    },
    "Email Delivered": MAIL_KEYS,
    "Email Opened": MAIL_KEYS,
    "Email Link Clicked": MAIL_KEYS,
    "Unsubscribed": MAIL_KEYS,
}


def changed(config: ShopConfig, **changes: Any) -> ShopConfig:
    return msgspec.structs.replace(config, **changes)


def digest(records: Iterator[ShopRecord]) -> str:
    seen = hashlib.sha256()
    for record in records:
        seen.update(repr(record).encode())
    return seen.hexdigest()


def name_of(event: dict[str, Any]) -> str:
    return str(event.get("event") or event["type"])


@pytest.fixture(scope="module")
def orderly() -> list[tuple[ShopRecord, dict[str, Any]]]:
    """Half a year of 400 customers, with no delivery faults."""
    config = ShopConfig(seed=1, customers=400, start_ms=START_MS, **ORDERLY)
    return [(record, orjson.loads(record.value)) for record in simulate(config)]


@pytest.fixture(scope="module")
def purchases(orderly: list[tuple[ShopRecord, dict[str, Any]]]) -> dict[str, list[int]]:
    times = defaultdict(list)
    for record, event in orderly:
        if event.get("event") == "Order Completed":
            times[event["userId"]].append(record.occurred_at_ms)
    return times


def test_the_same_configuration_gives_the_same_bytes_in_another_process() -> None:
    program = (
        "import hashlib\n"
        "from agents.trials.demo.shop import ShopConfig, simulate\n"
        f"config = ShopConfig(seed=7, customers=40, start_ms={START_MS}, days=60)\n"
        "seen = hashlib.sha256()\n"
        "for record in simulate(config):\n"
        "    seen.update(repr(record).encode())\n"
        "print(seen.hexdigest())\n"
    )
    other = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert digest(simulate(SMALL)) == other.stdout.strip()


@pytest.mark.parametrize("days_later", [1, 3, 6, 7, 40])
def test_a_seed_is_the_same_shop_whenever_it_is_opened(days_later: int) -> None:
    def opened(now_ms: int) -> list[tuple[int, str, bytes | None]]:
        start_ms = start_before(now_ms, SMALL.days)
        assert now_ms - 8 * DAY_MS < start_ms + SMALL.days * DAY_MS <= now_ms
        shop = simulate(changed(SMALL, start_ms=start_ms))
        return [(one.occurred_at_ms - start_ms, one.topic, one.key) for one in shop]

    now_ms = START_MS + 400 * DAY_MS + 12_345
    assert opened(now_ms) == opened(now_ms + days_later * DAY_MS)


def test_another_seed_gives_another_stream() -> None:
    assert digest(simulate(SMALL)) != digest(simulate(changed(SMALL, seed=8)))


def test_mishaps_on_the_way_do_not_change_what_customers_do() -> None:
    intact = {record.value for record in simulate(changed(SMALL, **ORDERLY))}
    rough = changed(SMALL, shuffled=0.2, duplicates=0.2, late=0.2)
    assert intact == {record.value for record in simulate(changed(rough, malformed=0.0))}


def test_every_raw_topic_and_every_kind_of_event_occurs(
    orderly: list[tuple[ShopRecord, dict[str, Any]]],
) -> None:
    assert set(RAW_TOPICS) == {record.topic for record, _ in orderly}
    assert set(PROPERTIES_BY_NAME) == {name_of(event) for _, event in orderly}


def test_no_event_carries_more_than_a_real_shop_would_know(
    orderly: list[tuple[ShopRecord, dict[str, Any]]],
) -> None:
    envelope = {"type", "event", "name", "messageId", "userId", "timestamp", "context"}
    for _, event in orderly:
        assert set(event) <= envelope | {"properties", "traits"}
        assert set(event["context"]) == {"channel"}
        assert event.get("traits", {}) == {}
        properties = event.get("properties", {})
        assert set(properties) <= PROPERTIES_BY_NAME[name_of(event)]
        for product in properties.get("products", ()):
            assert set(product) == PRODUCT_KEYS


def test_without_mishaps_records_come_in_event_time_order_each_once(
    orderly: list[tuple[ShopRecord, dict[str, Any]]],
) -> None:
    times = [record.occurred_at_ms for record, _ in orderly]
    assert sorted(times) == times
    assert START_MS <= times[0] <= times[-1] < START_MS + 200 * DAY_MS
    assert len(orderly) == len({event["messageId"] for _, event in orderly})


def test_every_good_event_is_admitted_as_what_it_says(
    orderly: list[tuple[ShopRecord, dict[str, Any]]],
) -> None:
    parameters = load_parameters()
    for record, sent in orderly:
        event = admit(record.value, parameters, message_id="none", topic=record.topic)
        assert name_of(sent) == event.name
        assert record.occurred_at_ms == event.occurred_at_ms
        assert record.key == event.customer.encode()
        assert event.identified


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("broken_json", Reason.BAD_JSON),
        ("missing_timestamp", Reason.REQUIRED_MISSING),
        ("naive_timestamp", Reason.WRONG_TYPE),
        ("negative_revenue", Reason.OUT_OF_RANGE),
        ("wrong_type", Reason.WRONG_TYPE),
        ("unknown_event", Reason.UNKNOWN_EVENT),
        ("no_identity", Reason.NO_IDENTITY),
        ("impossible_nps", Reason.OUT_OF_RANGE),
    ],
)
def test_a_malformed_record_is_refused_for_its_one_fault(
    kind: str, reason: Reason, orderly: list[tuple[ShopRecord, dict[str, Any]]]
) -> None:
    parameters = load_parameters()
    by_name = {name_of(event): record for record, event in orderly}
    for record in by_name.values():
        bad = malform(kind, record, Random(1))
        with pytest.raises(Rejected) as refusal:
            admit(bad.value, parameters, message_id="none", topic=bad.topic)
        assert reason == refusal.value.reason


def test_malformed_records_come_on_top_in_their_share_and_in_every_kind() -> None:
    config = changed(SMALL, **ORDERLY)
    good = {record.value for record in simulate(config)}
    records = list(simulate(changed(config, malformed=0.05)))
    bad = [record for record in records if record.value not in good]
    assert len(records) == len(good) + len(bad)
    assert len(bad) / len(good) == pytest.approx(0.05, rel=0.4)
    assert len(bad) > 2 * len(MALFORMED_KINDS)
    assert any(record.key is None for record in bad)


def test_repeated_records_are_exact_and_within_ten_minutes() -> None:
    records = list(simulate(changed(SMALL, **{**ORDERLY, "duplicates": 0.1})))
    times = Counter(records)
    repeated = [record for record, count in times.items() if count == 2]
    assert {1, 2} == set(times.values())
    assert len(repeated) / len(times) == pytest.approx(0.1, rel=0.3)
    assert max(behind_ms(records)) <= 10 * MINUTE_MS


def test_swapped_records_are_less_than_a_minute_out_of_order() -> None:
    records = list(simulate(changed(SMALL, **{**ORDERLY, "shuffled": 0.05})))
    behind = [lag_ms for lag_ms in behind_ms(records) if lag_ms > 0]
    assert len(behind) / len(records) == pytest.approx(0.05, rel=0.3)
    assert max(behind) < MINUTE_MS


def test_late_records_are_four_to_ten_days_late() -> None:
    records = list(simulate(changed(SMALL, customers=200, **{**ORDERLY, "late": 0.02})))
    behind = [lag_ms for lag_ms in behind_ms(records) if lag_ms > 0]
    # None begins in the last days, where nothing would come after it: hence not the full share.
    assert len(behind) / len(records) == pytest.approx(0.018, rel=0.3)
    # A quiet hour before its release makes a record look less late than it is.
    assert min(behind) > 4 * DAY_MS - DAY_MS / 2
    assert max(behind) <= 10 * DAY_MS


def behind_ms(records: list[ShopRecord]) -> Iterator[int]:
    """How far each record is behind the latest before it; 0 for those in order."""
    latest_ms = 0
    for record in records:
        yield max(0, latest_ms - record.occurred_at_ms)
        latest_ms = max(latest_ms, record.occurred_at_ms)


def test_orders_add_up(orderly: list[tuple[ShopRecord, dict[str, Any]]]) -> None:
    orders = [e["properties"] for _, e in orderly if e.get("event") == "Order Completed"]
    for order in orders:
        lines = sum(line["price"] * line["quantity"] for line in order["products"])
        assert 1 <= len(order["products"]) <= 4
        assert order["revenue"] + order.get("discount", 0) == pytest.approx(lines)
        assert order["revenue"] > 0
        parts = order["revenue"] + order["tax"] + order["shipping"]
        assert order["total"] == pytest.approx(parts)
        assert order["currency"] == "EUR"
        assert ("coupon" in order) == ("discount" in order)
    assert len(orders) == len({order["order_id"] for order in orders})


def test_the_shop_has_something_to_react_to(
    orderly: list[tuple[ShopRecord, dict[str, Any]]],
) -> None:
    names = Counter(name_of(event) for _, event in orderly)
    tickets = {"Ticket Opened": set[str](), "Ticket Solved": set[str]()}
    low_scores = abandoned = 0
    cart_since: dict[str, int] = {}
    for record, event in orderly:
        name, customer = name_of(event), event["userId"]
        if name in tickets:
            tickets[name].add(event["properties"]["ticket_id"])
        if name == "Survey Responded" and event["properties"]["kind"] == "csat":
            low_scores += event["properties"]["score"] <= 2
        if name == "Product Added":
            begun_ms = cart_since.setdefault(customer, record.occurred_at_ms)
            if record.occurred_at_ms - begun_ms > DAY_MS:
                abandoned += 1
                cart_since[customer] = record.occurred_at_ms
        if name == "Order Completed":
            cart_since.pop(customer, None)
    assert 1500 < names["Order Completed"] < 2700
    assert 10 < len(orderly) / names["Order Completed"] < 16
    assert abandoned > 300
    assert low_scores > 5
    assert len(tickets["Ticket Opened"] - tickets["Ticket Solved"]) > 10


def test_about_half_of_the_customers_do_not_buy_in_the_next_four_weeks(
    purchases: dict[str, list[int]],
) -> None:
    for day in (60, 100, 140):
        silent = list(silent_next(purchases, START_MS + day * DAY_MS).values())
        assert 0.3 < sum(silent) / len(silent) < 0.65


def test_recency_predicts_silence(purchases: dict[str, list[int]]) -> None:
    cut_ms = START_MS + 140 * DAY_MS
    silent = silent_next(purchases, cut_ms)
    recency_ms = {
        customer: cut_ms - max(t for t in purchases[customer] if t <= cut_ms) for customer in silent
    }
    assert auc(silent, recency_ms) > 0.62


def test_some_customers_leave_for_good(purchases: dict[str, list[int]]) -> None:
    end_ms = START_MS + 200 * DAY_MS
    regulars = [times for times in purchases.values() if len(times) >= 4]
    gone = sum(
        end_ms - times[-1] > 5 * (times[-1] - times[0]) / (len(times) - 1) for times in regulars
    )
    # Who only paused would be silent for five of their own gaps once in e^5 = 148 times.
    assert gone / len(regulars) > 0.08


def test_visits_thin_out_before_they_stop(
    orderly: list[tuple[ShopRecord, dict[str, Any]]], purchases: dict[str, list[int]]
) -> None:
    cut_ms = START_MS + 140 * DAY_MS
    visited_ms: dict[str, int] = {}
    for record, event in orderly:
        if record.topic == "clickstream" and record.occurred_at_ms <= cut_ms:
            visited_ms[event["userId"]] = record.occurred_at_ms
    silent = silent_next(purchases, cut_ms)
    assert auc(silent, {c: cut_ms - visited_ms[c] for c in silent}) > 0.6


def test_an_unhappy_answer_is_followed_by_fewer_orders(
    orderly: list[tuple[ShopRecord, dict[str, Any]]], purchases: dict[str, list[int]]
) -> None:
    orders_after: dict[bool, list[int]] = {True: [], False: []}
    for record, event in orderly:
        if event.get("event") != "Survey Responded" or event["properties"]["kind"] != "csat":
            continue
        since_ms, until_ms = record.occurred_at_ms, record.occurred_at_ms + 45 * DAY_MS
        if until_ms < START_MS + 200 * DAY_MS:
            bought = sum(since_ms < t <= until_ms for t in purchases[event["userId"]])
            orders_after[event["properties"]["score"] <= 2].append(bought)
    unhappy, happy = orders_after[True], orders_after[False]
    assert sum(unhappy) / len(unhappy) < 0.8 * sum(happy) / len(happy)


def silent_next(purchases: dict[str, list[int]], cut_ms: int) -> dict[str, bool]:
    """Customers with a purchase before ``cut_ms`` who buy nothing in the 28 days after it."""
    return {
        customer: not any(cut_ms < t <= cut_ms + 28 * DAY_MS for t in times)
        for customer, times in purchases.items()
        if times[0] <= cut_ms
    }


def auc(is_positive: dict[str, bool], score: dict[str, int]) -> float:
    """The probability that a positive scores above a negative; ties count half."""
    negatives = sorted(score[c] for c, positive in is_positive.items() if not positive)
    positives = [score[c] for c, positive in is_positive.items() if positive]
    wins = sum(bisect_left(negatives, s) + bisect_right(negatives, s) for s in positives)
    return wins / 2 / len(positives) / len(negatives)


def test_memory_does_not_grow_with_days() -> None:
    def peak_bytes(days: int) -> int:
        config = ShopConfig(seed=3, customers=60, start_ms=START_MS, days=days)
        tracemalloc.start()
        try:
            for _ in simulate(config):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak_bytes(5)
    assert peak_bytes(400) < 1.5 * peak_bytes(50)


@pytest.mark.parametrize("days", [30, 100, 200])
def test_the_estimate_is_good_enough_for_a_progress_bar(days: int) -> None:
    config = ShopConfig(seed=5, customers=200, start_ms=START_MS, days=days)
    assert estimate_events(config) == pytest.approx(sum(1 for _ in simulate(config)), rel=0.5)


@pytest.mark.parametrize(
    "wrong",
    [{"customers": 0}, {"days": 0}, {"start_ms": -1}, {"late": 1.5}, {"malformed": -0.1}],
)
def test_an_impossible_configuration_names_the_value_to_change(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        changed(SMALL, **wrong)


def test_times_and_ids_are_in_wire_format(
    orderly: list[tuple[ShopRecord, dict[str, Any]]],
) -> None:
    record, event = orderly[0]
    assert event["type"] == "identify"
    assert record.key is not None
    assert event["userId"] == record.key.decode()
    assert event["userId"].startswith("c-")
    assert len("2025-01-01T00:00:00.000Z") == len(event["timestamp"])
    assert event["timestamp"].endswith("Z")
    assert [len(part) for part in event["messageId"].split("-")] == [8, 4, 4, 4, 12]
