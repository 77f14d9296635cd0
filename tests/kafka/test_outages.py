"""The broker or Redis fails, or the shop falls silent: the backlog is caught up with."""

import json
from collections.abc import Iterator
from pathlib import Path
from time import sleep, time

import msgspec
import pytest
import redis

from agents.trials.demo.shop import ShopRecord
from config.duration import DAY_MS
from config.topics import (
    CLICKSTREAM,
    CUSTOMER_EVENTS,
    NEXT_BEST_ACTIONS,
    RAW_TOPICS,
    RETENTION_TRIGGERS,
)
from models.decisions.trigger import (
    Decision,
    decode_decision,
    does_nothing,
)
from models.events.times import iso
from models.parameters import load_parameters
from models.replay import Replay
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.ports import HOST
from streams.embedded.valkey import EmbeddedValkey
from streams.kafka_clients import partition_for
from streams.store_keys import customer_key, trigger_stream
from streams.trigger_streams import KINDS_OF_ACTIONS
from tests.kafka.deployment import Deployment, orderly_shop
from tests.kafka.exactness import assert_exact, assert_replayed, stored_rows
from tests.kafka.proxy import Proxy
from tests.kafka.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900)]

OUTAGE_S = 5.0


@pytest.mark.nightly
def test_workers_outlive_a_broker_that_crashes(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    records = orderly_shop(320)
    half = len(records) // 2
    with (
        EmbeddedKafka(tmp_path / "kafka") as kafka,
        Deployment(
            kafka.bootstrap_servers, valkey.url, "crash.", tmp_path, max_batch_records=500
        ) as deployment,
    ):
        deployment.publish(records[:half])
        deployment.start_workers(2)
        deployment.wait("a tenth is folded", lambda: deployment.folded() > len(records) / 10)
        kafka.kill()
        sleep(OUTAGE_S)
        kafka.start()
        deployment.publish(records[half:])
        deployment.wait("all is read", lambda: deployment.is_drained_by(2))
        assert_exact(deployment, published=len(records))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A store for this test, to be killed."""
    with EmbeddedValkey(tmp_path / "valkey") as running:
        yield running


def test_folding_goes_on_without_redis_and_redis_gets_everything_later(
    kafka: EmbeddedKafka, store: EmbeddedValkey, tmp_path: Path
) -> None:
    records = orderly_shop(160)
    half = len(records) // 2
    servers = kafka.bootstrap_servers
    with Deployment(servers, store.url, "redis.", tmp_path, max_batch_records=500) as deployment:
        first, second = deployment.start_workers(2)
        deployment.publish(records[:half])
        deployment.wait("half is read", deployment.is_drained)
        delivered = set(_triggers(deployment))
        store.kill()

        deployment.publish(records[half:])
        deployment.wait("all is folded", lambda: _is_folded(deployment))
        assert not deployment.is_committed(RETENTION_TRIGGERS)
        # Waited for, as a worker on a busy machine may just be joining again.
        deployment.wait("it waits", lambda: 0 < sum(first.lag(RETENTION_TRIGGERS).values()))
        assert 0 == first.metric("keepstream_redis_up")
        deployment.wait("it is ready nevertheless", first.is_ready)
        # Whoever leaves does not wait for Redis, which comes back only later, and leaves what it
        # could not deliver to others.
        assert 0 == second.stop()
        deployment.start_workers(1)

        store.start()
        deployment.wait("all is read", deployment.is_drained)
        # They come after decisions, in the time that folding leaves.
        with redis.Redis.from_url(store.url) as client:
            keys = [customer_key(deployment.settings, one) for one in stored_rows(deployment)]
            deployment.wait("profiles are back", lambda: client.exists(*keys) == len(keys))
        assert_exact(deployment, published=len(records))
        missed = set(_triggers(deployment)) - delivered
        assert missed
        with redis.Redis.from_url(store.url) as client:
            assert missed == _streamed(client, deployment)
            customers = [f for fold in deployment.changelog().values() for f in fold.packed]
            deployment.wait("profiles are back", lambda: _are_shown(client, deployment, customers))
            client.flushall()
            deployment.wait("and once more", lambda: _are_shown(client, deployment, customers))


def test_a_store_that_hangs_half_way_through_an_answer_delays_deliveries_alone(
    kafka: EmbeddedKafka, store: EmbeddedValkey, tmp_path: Path
) -> None:
    records = orderly_shop(60)
    half = len(records) // 2
    servers = kafka.bootstrap_servers
    with (
        Proxy(lambda: store.ports[0]) as proxy,
        Deployment(servers, f"redis://{HOST}:{proxy.port}/0", "half.", tmp_path) as deployment,
    ):
        (worker,) = deployment.start_workers(1)
        deployment.publish(records[:half])
        deployment.wait("half is read", deployment.is_drained)
        proxy.break_off_answers(after_bytes=100)
        deployment.publish(records[half:])
        deployment.wait("an answer broke off", lambda: proxy.has_broken_off)
        deployment.wait("all is folded", lambda: _is_folded(deployment))
        deployment.wait("it is noticed", lambda: 0 == worker.metric("keepstream_redis_up"))
        deployment.wait("it is ready nevertheless", worker.is_ready)
        assert not deployment.is_committed(RETENTION_TRIGGERS, NEXT_BEST_ACTIONS)

        proxy.heal()
        deployment.wait("all is delivered", deployment.is_drained)
        assert_exact(deployment, published=len(records))
        with redis.Redis.from_url(store.url) as client:
            assert set(_triggers(deployment)) == _streamed(client, deployment)
            customers = [f for fold in deployment.changelog().values() for f in fold.packed]
            deployment.wait("profiles are there", lambda: _are_shown(client, deployment, customers))


def _is_folded(deployment: Deployment) -> bool:
    return deployment.is_committed(*RAW_TOPICS, CUSTOMER_EVENTS)


def _triggers(deployment: Deployment) -> dict[str, Decision]:
    """Every decision on Kafka that requires an action, by id."""
    found = [
        decode_decision(value)
        for topic in (RETENTION_TRIGGERS, NEXT_BEST_ACTIONS)
        for _, _, value in deployment.read(topic)
    ]
    return {decision.id: decision for decision in found if not does_nothing(decision)}


def _streamed(client: redis.Redis, deployment: Deployment) -> set[str]:
    """The ids in all Redis streams."""
    entries = [
        fields
        for kind in _kinds()
        for _, fields in client.xrange(trigger_stream(deployment.settings, kind))
    ]
    assert all(
        fields[b"id"].decode() == decode_decision(fields[b"trigger"]).id for fields in entries
    )
    return {fields[b"id"].decode() for fields in entries}


def _kinds() -> list[str]:
    named = [rule.name for rule in load_parameters().triggers.triggers]
    return [*named, *KINDS_OF_ACTIONS]


def _are_shown(client: redis.Redis, deployment: Deployment, customers: list[str]) -> bool:
    """Whether Redis has the profiles of all the worker's customers."""
    keys = [customer_key(deployment.settings, customer) for customer in customers]
    shown = dict(zip(customers, client.mget(keys), strict=True))
    return all(shown.values()) and shown == {c: deployment.live_customer(c) for c in customers}


CART_AFTER_S = 20
SILENT = (f"cart.idle={CART_AFTER_S}s", "time.disorder=1s")


@pytest.mark.nightly
def test_silence_fires_what_it_should_and_nothing_else(deployment: Deployment) -> None:
    """An idle shop: a day of events, and then none. Only the wall clock continues."""
    last_ms = int(time() * 1_000) - 30_000
    shop = orderly_shop(60, days=1, start_ms=last_ms - DAY_MS)
    # One cart is due while the first worker runs, the other while the second one does, which
    # never sees an event. And somebody's visit in every partition: the wall clock drives those
    # alone that were near it.
    visits = [_visit(f"visitor-{number}", last_ms) for number in range(20)]
    assert 4 == len({partition_for(visit.key or b"", 4) for visit in visits})
    records = sorted(
        [*shop, *visits, _cart("soon", last_ms)], key=lambda record: record.occurred_at_ms
    )
    arguments = [word for name in SILENT for word in ("--set", name)]
    deployment.publish(records)
    (first,) = deployment.start_workers(1, *arguments)
    deployment.wait("the first cart fires", lambda: "soon" in _abandoned(deployment))
    later = _cart("later", int(time() * 1_000))
    deployment.publish([later])
    deployment.wait("it has the second", lambda: deployment.folded() == len(records) + 1)
    assert 0 == first.stop()
    assert "later" not in _abandoned(deployment)
    (second,) = deployment.start_workers(1, *arguments)
    deployment.wait("the second cart fires", lambda: "later" in _abandoned(deployment))
    assert 0 == second.metric("keepstream_events_total")
    until_ms = _clock_ms(second) + 3_000
    deployment.wait("the clock goes on", lambda: _clock_ms(second) >= until_ms)
    assert 0 == second.stop()

    records.append(later)
    assert_exact(deployment, published=len(records), assignments=SILENT, is_live=False)
    exact = assert_replayed(deployment, assignments=SILENT)
    # Nothing but the events and the time: no broker, no records of the log.
    replay = Replay(load_parameters(assignments=SILENT))
    lines = [record.value for record in records]
    lines.append(json.dumps({"type": "watermark", "timestamp": exact.summary.clock}).encode())
    outputs = [
        output for number, line in enumerate(lines, 1) for output in replay.feed(line, number)
    ]
    expected = {o.id for o in outputs if isinstance(o, Decision)}
    assert expected == {trigger.id for trigger in exact.triggers}


def _cart(customer: str, at_ms: int) -> ShopRecord:
    properties = {"product_id": "p-1", "price": 20, "quantity": 1}
    return _click(customer, at_ms, type="track", event="Product Added", properties=properties)


def _visit(customer: str, at_ms: int) -> ShopRecord:
    return _click(customer, at_ms, type="page")


def _click(customer: str, at_ms: int, **fields: object) -> ShopRecord:
    event = {**fields, "userId": customer, "messageId": f"of-{customer}", "timestamp": iso(at_ms)}
    return ShopRecord(CLICKSTREAM, customer.encode(), msgspec.json.encode(event), at_ms)


def _abandoned(deployment: Deployment) -> set[str]:
    return {
        trigger.user_id
        for trigger in _triggers(deployment).values()
        if trigger.kind == "cart-abandoned"
    }


def _clock_ms(worker: Worker) -> float:
    """The lowest clock of all partitions."""
    clocks = [
        sample.value for sample in worker.samples("keepstream_partition_clock_timestamp_seconds")
    ]
    return min(clocks, default=0) * 1_000
