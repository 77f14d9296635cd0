"""Killing workers changes nothing: not the state, not the triggers."""

import random
import signal
from pathlib import Path

import pytest

from agents.demo.shop import ShopConfig, simulate
from config.parameters import load_parameters
from config.topics import CUSTOMER_EVENTS, DEAD_LETTERS, RETENTION_TRIGGERS
from models.customer.profile import encode_profile
from models.customer.row import decode_row, encode_row
from models.decisions.trigger import Trigger
from models.events.dead_letter import decode_dead_letter
from models.events.rejection import Reason
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.kafka.deployment import Deployment, Worker, json_lines, replayed

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(420)]

EVENTS_MIN = 100_000
START_MS = 1_700_000_000_000


def applied(workers: list[Worker]) -> float:
    return sum(
        worker.metric("keepstream_events_total", fate=fate)
        for worker in workers
        for fate in ("applied", "duplicate", "late")
    )


def test_killed_workers_change_neither_state_nor_triggers(
    kafka: EmbeddedKafka, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    shop = ShopConfig(seed=11, customers=1_750, start_ms=START_MS, days=200)
    records = list(simulate(shop))
    assert len(records) >= EVENTS_MIN
    deployment = Deployment(kafka.bootstrap_servers, valkey.url, "kill.", tmp_path)
    try:
        # Small enough that a kill finds batches in every stage.
        first = deployment.start_worker()
        second = deployment.start_worker()
        deployment.wait("both workers are ready", lambda: first.is_ready() and second.is_ready())
        half = len(records) // 2
        deployment.publish(records[:half])
        share = random.Random(5).uniform(0.15, 0.45)
        deployment.wait(
            f"{share:.0%} are applied",
            lambda: applied(deployment.alive) >= share * len(records),
        )
        done = applied(deployment.alive)
        assert 0.1 * len(records) <= done <= 0.9 * len(records)
        first.stop(signal.SIGKILL)
        _assert_commits_are_durable(deployment)

        third = deployment.start_worker()
        deployment.publish(records[half:])
        deployment.wait("all is read", deployment.is_drained, timeout_s=180)
        deployment.wait("workers are ready", lambda: second.is_ready() and third.is_ready())
        reread = sum(w.metric("keepstream_reread_records_total") for w in deployment.alive)
        print(f"\n{len(records)} events, killed at {done:.0f}, {reread:.0f} records read again")
        assert reread >= 1
        _assert_exact(deployment, tmp_path, published=len(records))
        assert [0, 0] == [worker.stop() for worker in deployment.alive]
    finally:
        deployment.close()


def _assert_commits_are_durable(deployment: Deployment) -> None:
    """I1: what the group has committed is in the changelog."""
    committed = deployment.committed(CUSTOMER_EVENTS)
    folds = deployment.changelog()
    for partition, offset in committed.items():
        assert offset <= folds[partition].state.applied + 1


def _assert_exact(deployment: Deployment, directory: Path, *, published: int) -> None:
    parameters = load_parameters()
    log, models = directory / "log.jsonl", directory / "models"
    deployment.run("export", "--out", str(log), "--models", str(models))
    replay, outputs = replayed(log, models, parameters)

    # I2: the changelog's fold is the oracle's state, bit for bit, and so is what workers hold.
    expected = {customer: encode_row(row) for customer, row in replay.rows().items()}
    folds = deployment.changelog()
    stored = {customer: row for fold in folds.values() for customer, row in fold.packed.items()}
    assert expected.keys() == stored.keys()
    different = [c for c in expected if expected[c] != stored[c]]
    assert [] == [(c, decode_row(expected[c]), decode_row(stored[c])) for c in different[:1]]
    assert 0 == sum(fold.quarantined for fold in folds.values())
    profiles = {p.user_id: encode_profile(p) for p in replay.profiles()}
    live = {customer: deployment.live_customer(customer) for customer in profiles}
    assert profiles == live

    # I3: the same triggers, each id once or more.
    oracle = [output.id for output in outputs if isinstance(output, Trigger)]
    assert len(oracle) == len(set(oracle))
    emitted = [value for _, _, value in deployment.read(RETENTION_TRIGGERS)]
    ids = {decoded["id"] for decoded in map(_json, emitted)}
    assert set(oracle) == ids

    # I6: every input is in exactly one of applied, duplicate, late, dead letter.
    refused = {
        (letter.source.topic, letter.source.partition, letter.source.offset)
        for _, _, value in deployment.read(DEAD_LETTERS)
        if (letter := decode_dead_letter(value)).reason is not Reason.TOO_LATE and letter.source
    }
    passed_on = {
        (line["source"]["topic"], line["source"]["partition"], line["source"]["offset"])
        for line in json_lines(log)
        if "source" in line
    }
    assert not refused & passed_on
    assert published == len(refused) + len(passed_on)
    print(
        f"{len(expected)} customers, {len(ids)} triggers ({len(emitted)} emitted), "
        f"{replay.summary().model_version} model versions"
    )


def _json(content: bytes) -> dict[str, str]:
    import json

    decoded: dict[str, str] = json.loads(content)
    return decoded
