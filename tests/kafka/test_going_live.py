"""From a file of history to live triggers: every command on the way, on a real broker."""

import json
from collections.abc import Callable
from pathlib import Path
from time import time

import pytest

from agents.trials.demo.shop import ShopConfig, ShopRecord, simulate
from config.duration import DAY_MS, HOUR_MS
from config.topics import (
    CLICKSTREAM,
    DEAD_LETTERS,
    MODEL_SNAPSHOTS,
    NEXT_BEST_ACTIONS,
    RETENTION_TRIGGERS,
    TRANSACTIONS,
)
from models.events.times import iso
from models.learning.churn_models import ChurnScoring
from models.learning.snapshot import Snapshot, decode_snapshot, encode_snapshot
from models.learning.trainer import Trainer
from models.parameters import load_parameters
from models.replay import Replay
from streams.kafka_clients import partition_for
from tests.kafka.deployment import Deployment, json_lines

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

DAYS = 40


def history(path: Path, now_ms: int) -> int:
    """A file of forty days up to yesterday; returns the number of its lines."""
    lines = [record.value for record in shop_until_yesterday(now_ms, days=DAYS, customers=40)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return len(lines)


def shop_until_yesterday(now_ms: int, *, days: int, customers: int) -> list[ShopRecord]:
    start_ms = now_ms - (days + 1) * DAY_MS
    shop = ShopConfig(
        seed=5, customers=customers, start_ms=start_ms, days=days, late=0, malformed=0
    )
    return list(simulate(shop))


def event(name: str, at_ms: int, message: str, **properties: object) -> str:
    said = {
        "type": "track",
        "event": name,
        "userId": "live-1",
        "messageId": message,
        "timestamp": iso(at_ms),
        "properties": properties,
    }
    return json.dumps(said) + "\n"


def findings(deployment: Deployment) -> dict[str, str]:
    said = json.loads(deployment.run("doctor", "--json"))
    return {found["check"]: found["words"] for found in said["findings"]}


@pytest.mark.nightly
def test_a_file_of_history_is_rehearsed_then_the_shop_goes_live(
    deployment: Deployment, tmp_path: Path
) -> None:
    now_ms = int(time() * 1_000)
    file, news = tmp_path / "history.jsonl", tmp_path / "news.jsonl"
    lines = history(file, now_ms)
    # One live event before the import must cost nothing.
    news.write_text(event("Product Viewed", now_ms, "first", product_id="P"))
    deployment.start_worker(is_live=False)
    deployment.run("publish", str(news))
    deployment.wait("the live event is folded", lambda: deployment.folded() == 1)
    deployment.run("publish", str(file))
    deployment.wait("history is folded", lambda: deployment.folded() == lines + 1)
    deployment.wait("all is committed", deployment.is_drained)

    said = findings(deployment)["live"]
    assert said.startswith("rehearsing: ")
    assert [] == deployment.read(RETENTION_TRIGGERS) + deployment.read(NEXT_BEST_ACTIONS)
    assert [] == deployment.read(DEAD_LETTERS)
    assert 0 == deployment.metric("keepstream_events_total", fate="late")
    held = deployment.metric("keepstream_decisions_total", fate="rehearsed")
    assert held > 0

    live = deployment.run("live")
    deployment.wait("the live records are folded", deployment.is_drained)
    held_by_now = deployment.metric("keepstream_decisions_total", fate="rehearsed")
    assert held_by_now >= held
    assert f"{held_by_now:,.0f} decisions were held" in live
    assert findings(deployment)["live"].startswith(
        "every partition publishes its decisions; of history "
    )
    assert deployment.run("live").startswith("live already")

    at_ms = int(time() * 1_000)
    survey = {"kind": "nps", "score": 2, "scale_max": 10}
    news.write_text(event("Survey Responded", at_ms, "second", **survey))
    deployment.run("publish", str(news))
    deployment.wait("the first live decision", lambda: bool(deployment.read(RETENTION_TRIGGERS)))
    deployment.wait("all is committed", deployment.is_drained)
    told = [json.loads(value) for _, _, value in deployment.read(RETENTION_TRIGGERS)]
    assert {"live-1"} == {trigger["userId"] for trigger in told}
    assert all(trigger["timestamp"] >= iso(now_ms - HOUR_MS) for trigger in told)

    log, models, out = tmp_path / "log.jsonl", tmp_path / "models", tmp_path / "out"
    deployment.run("export", "--out", str(log), "--models", str(models))
    deployment.run("replay", str(log), "--models", str(models), "--out", str(out))
    again = json_lines(out / "triggers.jsonl")
    assert [t["id"] for t in told] == [t["id"] for t in again if t["type"] == "retention-trigger"]
    summary = json.loads((out / "summary.json").read_bytes())
    assert held == sum(summary["rehearsed"].values()) - _rehearsed_by_going_live(deployment, held)


@pytest.mark.nightly
def test_going_live_counts_what_it_holds_back_itself(deployment: Deployment) -> None:
    """A cart abandoned two hours ago is due an hour ago, before the partition was live."""
    at_ms = int(time() * 1_000) - 2 * HOUR_MS
    cart = event("Product Added", at_ms, "cart", product_id="P", price=60).encode()
    deployment.publish([ShopRecord(CLICKSTREAM, b"live-1", cart, at_ms)])
    deployment.start_worker(is_live=False)
    deployment.wait("the cart is folded", lambda: deployment.folded() == 1)
    deployment.wait("all is committed", deployment.is_drained)
    assert "rehearsing: 0 decisions held" in deployment.run("doctor", "--json")

    assert deployment.run("live").strip().endswith("; 1 decision was held")
    live = "every partition publishes its decisions; of history 1 decision was held"
    assert live == findings(deployment)["live"]


def test_an_import_learns_bit_for_bit_what_a_replay_of_its_file_learns(
    deployment: Deployment,
) -> None:
    few = "learning.minimum_examples=20"
    lines = shop_until_yesterday(int(time() * 1_000), days=50, customers=40)
    deployment.publish(lines)
    deployment.start_worker("--set", few, is_live=False)
    deployment.wait("history is folded", lambda: deployment.folded() == len(lines))
    deployment.wait("all is committed", deployment.is_drained)

    replayed: list[bytes] = []

    class Kept(Trainer):
        def draw(self, consumed: int = 0) -> Snapshot:
            snapshot = super().draw(consumed)
            replayed.append(decided_with(snapshot))
            return snapshot

    parameters = load_parameters(assignments=[few])
    replay = Replay(parameters, trainer=Kept(parameters, partitions=1), is_rehearsed=True)
    for number, record in enumerate(lines, 1):
        replay.feed(record.value, number)

    live = [decode_snapshot(value) for _, _, value in deployment.read(MODEL_SNAPSHOTS)]
    assert "28" in live[-1].of(ChurnScoring).models
    assert replayed == [decided_with(snapshot) for snapshot in live]


def decided_with(snapshot: Snapshot) -> bytes:
    """A snapshot's bytes without the trainer's state, which contains the positions of its
    lessons.
    """
    return encode_snapshot(snapshot.replace(trainer=b"null"))[0]


ORDERS: dict[str, Callable[[ShopRecord], object]] = {
    "orders before the clicks": lambda record: record.topic != TRANSACTIONS,
    "clicks before the orders": lambda record: record.topic != CLICKSTREAM,
    "one partition after the other": lambda record: partition_for(record.key or b"", 4),
    "all topics by time": lambda record: record.occurred_at_ms,
}


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(order, marks=[pytest.mark.nightly] if number else [])
        for number, order in enumerate(ORDERS)
    ],
)
def test_history_after_an_event_of_now_is_taken_in_in_any_order(
    deployment: Deployment, tmp_path: Path, order: str
) -> None:
    """Each part is folded to its end before the next one is published."""
    now_ms = int(time() * 1_000)
    news = tmp_path / "news.jsonl"
    news.write_text(event("Product Viewed", now_ms, "first", product_id="P"))
    deployment.start_worker(is_live=False)
    deployment.run("publish", str(news))
    deployment.wait("the live event is folded", lambda: deployment.folded() == 1)
    records = shop_until_yesterday(now_ms, days=8, customers=15)
    places = sorted({ORDERS[order](record) for record in records})  # type: ignore[type-var]
    published = 1
    for part in [places] if len(places) > 4 else [[place] for place in places]:
        published += deployment.publish(r for r in records if ORDERS[order](r) in part)
        deployment.wait("it is folded", lambda: deployment.folded() == published)  # noqa: B023

    assert 0 == deployment.metric("keepstream_events_total", fate="late")
    assert [] == deployment.read(DEAD_LETTERS)


def _rehearsed_by_going_live(deployment: Deployment, held: float) -> float:
    """Deadlines between the last event and the live record are rehearsed, too."""
    return deployment.metric("keepstream_decisions_total", fate="rehearsed") - held
