"""`keepstream doctor`, and other reports about models, on a live deployment."""

import itertools
import json
import re
import signal
from pathlib import Path
from time import sleep, time
from typing import Any

import msgspec
import pytest
import redis
from typer.testing import CliRunner

from agents.cli import app
from agents.trials.demo.shop import ShopConfig, ShopRecord, simulate
from config.duration import DAY_MS
from config.topics import (
    CUSTOMERS,
    FEEDBACK,
    MODEL_SNAPSHOTS,
    NEXT_BEST_ACTIONS,
    RETENTION_TRIGGERS,
    SUPPORT,
    topics,
)
from models.customer.profile import Profile
from models.customer.row_formats import ROW_FORMAT
from models.decisions.trigger import ACTION_WITHDRAWN, NEXT_BEST_ACTION
from models.events.times import iso
from models.partition_state import PartitionState, encode_state
from models.schemas import document_schema, documents
from streams import group_examination
from streams.changelog import STATE_KEY
from streams.embedded.ports import free_ports
from streams.embedded.valkey import EmbeddedValkey
from streams.state_examination import STATE_LOOK_BACK
from streams.store_keys import displaced_stream
from tests.kafka.deployment import Deployment
from tests.models.schemas import faults

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

DAYS = 60
#: A model early, so that a short log has one.
LEARNING = tuple(
    part
    for assignment in (
        "learning.minimum_examples=50",
        "churn.horizon_days=7",
        "churn.check_in_days=3",
    )
    for part in ("--set", assignment)
)


def shop_until_now() -> list[ShopRecord]:
    start_ms = int(time() * 1_000) - (DAYS + 1) * 86_400_000
    shop = ShopConfig(seed=3, customers=120, start_ms=start_ms, days=DAYS, malformed=0.01, late=0)
    return list(simulate(shop))


class Visit:
    """The doctor's report: the exit code, and the findings by check."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        result = CliRunner().invoke(app, ["doctor", "--json", *arguments], env=environment)
        self.code = result.exit_code
        assert self.code in (0, 1, 2), result.output
        self.answer: dict[str, Any] = json.loads(result.stdout)

    def said(self, check: str, level: str) -> list[str]:
        return [
            f"{found['words']} → {found['fix']}"
            for found in self.answer["findings"]
            if (found["check"], found["level"]) == (check, level)
        ]

    @property
    def problems(self) -> list[str]:
        return [f["check"] for f in self.answer["findings"] if f["level"] == "problem"]


def test_a_deployment_that_comes_to_life_and_loses_its_worker(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    before = Visit(deployment.environment, *LEARNING)
    assert (1, ["workers"]) == (before.code, before.problems)
    [words] = before.said("workers", "problem")
    assert "keepstream worker" in words
    assert before.said("redis", "ok")

    records = shop_until_now()
    # Most of it before a worker reads: on a busy machine the topics could be filled so slowly that
    # one seems to be silent, and what comes in it then is too late.
    parts = [int(share * len(records)) for share in (0, 0.6, 0.7, 0.8, 0.9, 1)]
    deployment.publish(records[: parts[1]])
    [worker] = deployment.start_workers(1, *LEARNING)
    deployment.wait("all is read", deployment.is_drained)
    # In parts: what a model says of the next can only be judged once it is there.
    for begin, end in itertools.pairwise(parts[1:]):
        deployment.publish(records[begin:end])
        deployment.wait("all is read", deployment.is_drained)
    deployment.wait("it learnt", lambda: deployment.metric("keepstream_model_version") >= 2)
    deployment.wait("profiles are shown", lambda: _are_profiles_shown(deployment))

    well = Visit(deployment.environment, *LEARNING)
    assert [] == [f for f in well.answer["findings"] if f["level"] == "problem"]
    assert (0, True) == (well.code, well.answer["isWell"])
    [model] = well.said("model", "ok")
    snapshot = well.answer["facts"]["snapshot"]
    assert f"snapshot {snapshot['version']} as of" in model
    assert deployment.ends(MODEL_SNAPSHOTS) == {0: snapshot["version"]}
    assert well.said("scores", "ok") or well.said("scores", "notice")
    # A shop of days gone by: nothing is wrong with its clocks, but silence waits for events.
    [clock] = well.said("clock", "notice")
    assert clock.startswith("partitions 0, 1, 2, 3 are up to 1 day")
    [letters] = well.said("dead letters", "notice")
    refused = deployment.metric("keepstream_dead_letters_total")
    assert letters.startswith(f"{refused:.0f} in the last hour: ")
    _customers_and_metrics_tell_of_decisions(deployment)

    def sleep_noted(wait_s: float) -> None:
        # It does wait: a group that is given no time to move on looks as if it stood still.
        waits.append(wait_s)
        sleep(wait_s)

    with monkeypatch.context() as patched:
        patched.setattr(group_examination, "sleep", sleep_noted)
        # What is delivered is committed a little later than it is done.
        deployment.wait("nothing is waited for", lambda: _is_told_at_once(deployment, waits))

    worker.stop(signal.SIGTERM)
    deployment.publish(records[:50])
    alone = Visit(deployment.environment, *LEARNING)
    assert (1, ["workers"]) == (alone.code, alone.problems)
    assert any("to be taken" in words for words in alone.said("lag", "notice"))


def _is_told_at_once(deployment: Deployment, waits: list[float]) -> bool:
    """Whether the doctor finds nothing wrong and nothing waiting."""
    waits.clear()
    shown = CliRunner().invoke(app, ["doctor", *LEARNING], env=deployment.environment)
    assert 0 == shown.exit_code, shown.output
    assert shown.stdout.splitlines()[-1].startswith("0 problems, ")
    # Shown by pytest -s.
    print(f"\n{shown.stdout}")  # noqa: T201
    return not waits


def _are_profiles_shown(deployment: Deployment) -> bool:
    facts = Visit(deployment.environment).answer["facts"]
    return bool(facts["store"]["has_profiles"])


def _customers_and_metrics_tell_of_decisions(deployment: Deployment) -> None:
    decided = [msgspec.json.decode(value) for _, _, value in deployment.read(NEXT_BEST_ACTIONS)]
    acted_on = [decision["userId"] for decision in decided if decision["action"] is not None]
    assert acted_on
    [schema] = [document for document in documents() if document.name == "profile"]
    for customer in acted_on[:5]:
        content = deployment.live_customer(customer)
        assert content is not None
        assert [] == faults(document_schema(schema), json.loads(content))
        view = msgspec.json.decode(content, type=Profile)
        assert view.decisions
        if view.rfm.orders:
            assert 0 < view.churn[0].probability < 1
        assert {"treated", "control"} >= {decision.group for decision in view.decisions}

    fates = ("treated", "control", "nothing")

    kinds = (NEXT_BEST_ACTION, ACTION_WITHDRAWN)

    def counted() -> float:
        return deployment.metric("keepstream_decisions_total", kind=kinds, fate=fates)

    # Decisions are durable first, and counted then.
    deployment.wait("all are counted", lambda: len(deployment.read(NEXT_BEST_ACTIONS)) == counted())
    fired = deployment.metric("keepstream_decisions_total", fate="fired")
    assert len(deployment.read(RETENTION_TRIGGERS)) == fired
    assert deployment.metric("keepstream_suppressed_actions_total") > 0
    for metric in ("examples", "log_loss", "auc", "calibration_error"):
        for scorer in ("champion", "baseline"):
            labels = {"horizon_days": "7", "kind": "all", "scorer": scorer}
            assert deployment.metric(f"keepstream_model_{metric}", **labels) > 0, (metric, scorer)
    [worker] = deployment.alive
    exposed = worker.get("/metrics")[1].decode()
    assert re.search(
        r'^keepstream_model_serves\{horizon_days="7",scorer="blend"\} [01]\.0$',
        exposed,
        re.MULTILINE,
    )
    _an_outcome_is_recorded(deployment)


def _an_outcome_is_recorded(deployment: Deployment) -> None:
    """The outcome of an action is stored with its customer, and counted."""
    decided = [msgspec.json.decode(value) for _, _, value in deployment.read(NEXT_BEST_ACTIONS)]
    # An outcome of a control decision, or of one that was withdrawn, is no success.
    *_, decision = [
        one
        for one in decided
        if (one["kind"], one["group"]) == (NEXT_BEST_ACTION, "treated") and one["action"]
    ]
    clicked = {
        "type": "track",
        "event": "Action Clicked",
        "messageId": "click-1",
        "userId": decision["userId"],
        "timestamp": iso(int(time() * 1_000)),
        "properties": {"decision_id": decision["id"]},
    }
    key = decision["userId"].encode()
    deployment.publish([ShopRecord(FEEDBACK, key, msgspec.json.encode(clicked), 0)])
    deployment.wait(
        "it is counted",
        lambda: deployment.metric("keepstream_action_outcomes_total", outcome="clicked") == 1,
    )
    content = deployment.live_customer(decision["userId"])
    assert content is not None
    view = msgspec.json.decode(content, type=Profile)
    outcomes = {found.at: found.outcome for found in view.decisions}
    assert "clicked" == outcomes[decision["timestamp"]]


def test_decisions_that_come_too_late_for_redis_are_told_by_kind(deployment: Deployment) -> None:
    deployment.start_worker(KEEPSTREAM_DELIVER_MAX_AGE="24h")
    now_ms = int(time() * 1_000)
    for number, at_ms in enumerate((now_ms - 3 * DAY_MS, now_ms - 60_000)):
        answer = {
            "type": "track",
            "event": "Survey Responded",
            "messageId": f"answer-{number}",
            "userId": f"c-{number}",
            "timestamp": iso(at_ms),
            "properties": {"kind": "nps", "score": 8, "scale_max": 10},
            "context": {"consent": {"DataSharing": False}},
        }
        key = f"c-{number}".encode()
        deployment.publish([ShopRecord(SUPPORT, key, msgspec.json.encode(answer), 0)])
    deployment.wait("both are told", lambda: len(deployment.read(RETENTION_TRIGGERS)) == 2)
    deployment.wait("all is read", deployment.is_drained)
    assert 1 == deployment.metric("keepstream_held_back_total", kind="nps-passive")
    # It costs no event, and is told of.
    assert 2 == deployment.metric("keepstream_unread_consents_total")

    visit = Visit({**deployment.environment, "KEEPSTREAM_DELIVER_MAX_AGE": "24h"})
    [words] = visit.said("deliveries", "notice")
    assert "1 decision came too late for Redis: 1 nps-passive; delivered: 1 nps-passive" in words
    [gates] = visit.said("gates", "ok")
    assert "an action was chosen at 0 of 2 moments" in gates


def test_topics_that_are_missing_are_named(deployment: Deployment) -> None:
    elsewhere = {**deployment.environment, "KEEPSTREAM_TOPIC_PREFIX": "nowhere-at-all."}
    visit = Visit(elsewhere)

    assert 1 == visit.code
    missing = visit.said("topics", "problem")
    assert len(topics(1, 1)) == len(missing)
    assert all("keepstream topics create" in words for words in missing)


def test_what_can_not_be_reached_is_not_seen_and_the_rest_is_looked_at(
    deployment: Deployment,
) -> None:
    closed = f"127.0.0.1:{free_ports(1)[0]}"
    no_broker = Visit(deployment.environment, "--bootstrap-servers", closed)
    assert (2, []) == (no_broker.code, no_broker.problems)
    assert no_broker.said("redis", "ok")
    [words] = no_broker.said("broker", "unseen")
    assert "start the broker" in words

    away = {"KEEPSTREAM_REDIS_URL": f"redis://:canary@{closed}/0"}
    no_store = Visit({**deployment.environment, **away})
    assert (1, ["workers"]) == (no_store.code, no_store.problems)
    [words] = no_store.said("redis", "unseen")
    assert "KEEPSTREAM_REDIS_URL" in words
    assert "canary" not in json.dumps(no_store.answer)


def test_what_another_release_wrote_is_refused_in_words(deployment: Deployment) -> None:
    for its_format, fix in (
        (1, "another KEEPSTREAM_TOPIC_PREFIX"),
        (ROW_FORMAT + 1, "upgrade this worker"),
    ):
        state = encode_state(PartitionState(format=its_format, applied=3))
        # The last one is the partition's state.
        deployment.write(CUSTOMERS, 1, *[(STATE_KEY, state)] * STATE_LOOK_BACK)
        refused = CliRunner().invoke(app, ["doctor"], env=deployment.environment)

        assert 2 == refused.exit_code, refused.output
        assert fix in refused.stderr
        assert 1 == len(refused.stderr.splitlines())


def test_a_store_that_forgets_by_itself_is_a_problem(
    deployment: Deployment, tmp_path: Path
) -> None:
    with EmbeddedValkey(tmp_path / "store") as store, redis.Redis.from_url(store.url) as client:
        client.config_set("maxmemory", 100_000_000)
        client.config_set("maxmemory-policy", "allkeys-lru")
        visit = Visit(deployment.environment, "--redis-url", store.url)
        [words] = visit.said("redis", "problem")
        assert "allkeys-lru" in words

        client.config_set("maxmemory-policy", "noeviction")
        assert not Visit(deployment.environment, "--redis-url", store.url).said("redis", "problem")

        stream = displaced_stream(deployment.settings)
        client.xadd(stream, {"id": "t-1"})
        [words] = Visit(deployment.environment, "--redis-url", store.url).said("redis", "problem")
        assert "1 decisions wait" in words
        client.set(stream, "somebody else's")
        assert not Visit(deployment.environment, "--redis-url", store.url).said("redis", "problem")

        client.config_set("maxmemory", 1_000)
        full = Visit(deployment.environment, "--redis-url", store.url)
        assert full.said("redis", "problem")
