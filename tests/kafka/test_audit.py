"""`keepstream audit`: a deployment is compared with its own log while it works, and what somebody
changes is found.
"""

import json
import signal
from typing import Any

import msgspec
import pytest
import redis

from config.topics import (
    CLICKSTREAM,
    CUSTOMER_EVENTS,
    CUSTOMERS,
    DEAD_LETTERS,
    MODEL_SNAPSHOTS,
    RETENTION_TRIGGERS,
)
from models.customer.engagement import ENGAGEMENT
from models.customer.row import decode_row, encode_row
from models.customer.row_layout import place_of
from models.decisions.trigger import Trigger, decode_decision, encode_decision
from models.events.dead_letter import dead_letter, encode_dead_letter
from models.events.event import Source
from models.events.line import LOG_FORMAT
from models.events.rejection import Reason, Rejected
from models.events.times import iso
from models.learning.snapshot import decode_snapshot, encode_snapshot
from streams.kafka_clients import partition_for
from streams.log_records import model_record
from streams.store_keys import customer_key, trigger_stream
from tests.kafka.deployment import START_MS, Deployment, orderly_shop

pytestmark = [pytest.mark.kafka, pytest.mark.nightly, pytest.mark.timeout(300)]

UNDELIVERED = "decisions that were delivered are not in their streams: deleted there, or lost"
#: An offset that no raw topic of a test reaches.
BEYOND = 10**9


def outcome(deployment: Deployment) -> dict[str, Any]:
    """What the command says, whether all is well or not."""
    said: dict[str, Any] = json.loads(deployment.run("audit", "--json", allowed={0, 1}))
    return said


def test_a_deployment_at_work_is_exact_and_what_somebody_changes_is_found(
    deployment: Deployment,
) -> None:
    records = orderly_shop(30, days=120)
    deployment.start_workers(1)
    deployment.publish(records)
    deployment.wait("half is folded", lambda: deployment.folded() > len(records) / 2)
    at_work = outcome(deployment)
    assert [True, [], []] == [at_work[key] for key in ("isExact", "differences", "broken")]

    deployment.wait("all is read", deployment.is_drained)
    deployment.wait("Redis has it all", lambda: is_shown(deployment))
    at_rest = outcome(deployment)
    assert at_rest["isExact"]
    assert len(records) == at_rest["checked"]["rawRecords"]
    rows = {c: row for fold in deployment.changelog().values() for c, row in fold.packed.items()}
    assert len(rows) == at_rest["checked"]["customers"]
    triggers = deployment.read(RETENTION_TRIGGERS)
    assert 0 < len(triggers) == at_rest["checked"][RETENTION_TRIGGERS]
    assert 0 < at_rest["checked"]["snapshots"]
    assert 0 < at_rest["checked"]["delivered"]
    assert len(rows) == at_rest["checked"]["profiles"]
    # Nothing waits but the lessons of the last days.
    (unlearnt,) = at_rest["unchecked"]
    assert "lessons after the last snapshot" in unlearnt

    (worker,) = deployment.workers
    assert 0 == worker.stop()
    expected = tamper(deployment, rows) | forge_model(deployment)
    in_store, deleted = tamper_store(deployment)
    expected |= in_store
    differences = {d["words"]: d["examples"] for d in outcome(deployment)["differences"]}
    assert expected == {words: differences[words] for words in expected}
    # What was deleted, and what `tamper` put between those that were delivered.
    undelivered = " ".join(differences.pop(UNDELIVERED))
    assert deleted in undelivered
    assert "0" * 32 in undelivered
    (foreign,) = differences.keys() - expected.keys()
    assert foreign.startswith("the log names raw records that are not there")
    assert differences[foreign][0].startswith(f"{CLICKSTREAM}-0-{BEYOND}")


def test_parts_that_are_switched_off_and_on_again_by_killed_workers_are_exact(
    deployment: Deployment,
) -> None:
    records, off = orderly_shop(20, days=90), ("tiers.enabled=false", "lifecycle.enabled=false")
    third = len(records) // 3
    turns = ((records[:third], ()), (records[third : 2 * third], off), (records[2 * third :], ()))
    for events, switches in turns:
        (worker,) = deployment.start_workers(1, *(f"--set={one}" for one in switches))
        deployment.publish(events)
        deployment.wait("all is read", deployment.is_drained)
        worker.stop(signal.SIGKILL)

    assert outcome(deployment)["isExact"]
    for fold in deployment.changelog().values():
        switched = [one.since for one in fold.state.in_force]
        assert len(turns) == len(switched)
        assert all(place_of(row).applied >= switched[-1] for row in fold.packed.values())


def is_shown(deployment: Deployment) -> bool:
    """Whether every customer's profile is of their latest row, and all decisions are delivered."""
    said = outcome(deployment)
    return said["isExact"] and not any("Redis" in words for words in said["unchecked"])


def tamper_store(deployment: Deployment) -> tuple[dict[str, list[str]], str]:
    """Redis as somebody might edit it: a profile, a decision that is gone, and an invented one."""
    with redis.Redis.from_url(deployment.settings.redis_url) as store:
        key = min(store.keys(customer_key(deployment.settings, "*")))
        profile = json.loads(store.get(key))
        store.set(key, json.dumps({**profile, "nextDeadlineAt": None}))
        pattern = trigger_stream(deployment.settings, "*")
        stream = max(store.keys(pattern), key=store.xlen)
        # Not the first: of what is gone at the beginning nothing can be said.
        entry_id, fields = store.xrange(stream)[-1]
        store.xdel(stream, entry_id)
        store.xadd(stream, {**fields, b"id": b"f" * 32})
    customer, as_of = profile["userId"], profile["asOf"]
    return {
        "profiles in Redis are not what the rows give": [
            f"{customer}, as of {as_of} with model {profile['modelVersion']}"
        ],
        "streams in Redis have decisions that are on no topic": [f"{stream.decode()} {'f' * 32}"],
    }, fields[b"id"].decode()


def forge_model(deployment: Deployment) -> dict[str, list[str]]:
    """A snapshot that goes on from the trainer's last in all that can be seen, and is announced."""
    *_, (_, _, content) = deployment.read(MODEL_SNAPSHOTS)
    last = decode_snapshot(content)
    learnt = {**msgspec.json.decode(last.trainer), "previous": last.sha256}
    forged = last.replace(version=last.version + 1, trainer=msgspec.json.encode(learnt))
    stored, sha256 = encode_snapshot(forged)
    deployment.write(MODEL_SNAPSHOTS, 0, (str(forged.version).encode(), stored))
    deployment.write(CUSTOMER_EVENTS, 0, (None, model_record(forged.version, sha256)))
    words = "the log names snapshots that the trainer did not draw: the lessons do not give them"
    return {words: [f"model {forged.version} ({sha256[:12]})"]}


def tamper(deployment: Deployment, rows: dict[str, bytes]) -> dict[str, list[str]]:
    """A row as somebody might mend it by hand, a decision that nobody made, one that says something
    else, an event that nobody published, and a refusal of what was sound; what is to be found.
    """
    customer, packed = next(iter(rows.items()))
    row = decode_row(packed)
    row.edit(ENGAGEMENT).views += 1
    home = partition_for(customer.encode(), 4)
    deployment.write(CUSTOMERS, home, (customer.encode(), encode_row(row)))

    number, key, value = deployment.read(RETENTION_TRIGGERS)[0]
    trigger = decode_decision(value)
    assert isinstance(trigger, Trigger)
    invented = encode_decision(msgspec.structs.replace(trigger, id="0" * 32))
    altered = encode_decision(msgspec.structs.replace(trigger, value_at_stake=1e9))
    deployment.write(RETENTION_TRIGGERS, number, (key, invented), (key, altered))

    page = {"type": "page", "userId": "u", "timestamp": iso(START_MS), "logFormat": LOG_FORMAT}
    source = {"topic": CLICKSTREAM, "partition": 0, "offset": BEYOND, "receivedAt": 1}
    line = json.dumps({**page, "source": source}).encode()
    deployment.write(CUSTOMER_EVENTS, home, (b"u", line))

    refused = Source(CLICKSTREAM, 0, 0, 1)
    letter = dead_letter(Rejected(Reason.BAD_JSON, "$", ""), b"", step="ingest", source=refused)
    deployment.write(DEAD_LETTERS, home, (None, encode_dead_letter(letter)))
    return {
        "customers have another row than the log gives": [f"{customer} (engagement)"],
        "what was written does not follow from the log": [f"{RETENTION_TRIGGERS} {'0' * 32}"],
        "what was written says something else than the log gives": [
            f"{RETENTION_TRIGGERS} {trigger.id}"
        ],
        "raw records are in the log and among the dead letters": [f"{CLICKSTREAM}-0 at 0"],
    }
