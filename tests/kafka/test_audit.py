"""`keepstream audit`: a deployment is compared with its own log while it works, and what somebody
changes is found.
"""

import json
from typing import Any

import msgspec
import pytest

from config.topics import (
    CLICKSTREAM,
    CUSTOMER_EVENTS,
    CUSTOMERS,
    DEAD_LETTERS,
    RETENTION_TRIGGERS,
)
from models.customer.engagement import ENGAGEMENT
from models.customer.row import decode_row, encode_row
from models.decisions.trigger import Trigger, decode_decision, encode_decision
from models.events.dead_letter import dead_letter, encode_dead_letter
from models.events.event import Source
from models.events.rejection import Reason, Rejected
from models.events.wire import LOG_FORMAT, iso
from streams.kafka_clients import partition_for
from tests.kafka.deployment import START_MS, Deployment, orderly_shop

pytestmark = [pytest.mark.kafka, pytest.mark.nightly, pytest.mark.timeout(300)]

#: An offset that no raw topic of a test reaches.
BEYOND = 10**9


def outcome(deployment: Deployment) -> dict[str, Any]:
    """What the command says, whether all is well or not."""
    said: dict[str, Any] = json.loads(deployment.run("audit", "--json", allowed={0, 1}))
    return said


def test_a_deployment_at_work_is_exact_and_what_somebody_changes_is_found(
    deployment: Deployment,
) -> None:
    records = orderly_shop(30, days=60)
    deployment.start_workers(1)
    deployment.publish(records)
    deployment.wait("half is folded", lambda: deployment.folded() > len(records) / 2)
    at_work = outcome(deployment)
    assert [True, [], []] == [at_work[key] for key in ("isExact", "differences", "broken")]

    deployment.wait("all is read", deployment.is_drained)
    at_rest = outcome(deployment)
    assert at_rest["isExact"]
    assert len(records) == at_rest["checked"]["rawRecords"]
    rows = {c: row for fold in deployment.changelog().values() for c, row in fold.packed.items()}
    assert len(rows) == at_rest["checked"]["customers"]
    triggers = deployment.read(RETENTION_TRIGGERS)
    assert 0 < len(triggers) == at_rest["checked"][RETENTION_TRIGGERS]
    # Nothing waits, so nothing but the views is left out.
    assert 2 == len(at_rest["unchecked"])

    (worker,) = deployment.workers
    assert 0 == worker.stop()
    expected = tamper(deployment, rows)
    differences = {d["words"]: d["examples"] for d in outcome(deployment)["differences"]}
    assert expected == {words: differences[words] for words in expected}
    (foreign,) = differences.keys() - expected.keys()
    assert foreign.startswith("the log names raw records that are not there")
    assert differences[foreign][0].startswith(f"{CLICKSTREAM}-0-{BEYOND}")


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
