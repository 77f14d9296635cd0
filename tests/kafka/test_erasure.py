"""A customer is erased on a real deployment; the test searches everywhere for their data."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from click.testing import Result
from typer.testing import CliRunner

from agents.cli import app
from agents.trials.demo.shop import ShopRecord
from config.topics import (
    CLICKSTREAM,
    CUSTOMERS,
    DEAD_LETTERS,
    DECISION_LEDGER,
    RETENTION_TRIGGERS,
    SUPPORT,
    TRANSACTIONS,
)
from models.customer.registry import PARTS
from models.customer.row import decode_row
from streams.store_keys import customer_key, trigger_stream
from tests.kafka.deployment import Deployment
from tests.kafka.exactness import assert_exact, assert_replayed
from tests.kafka.test_persons import event
from tests.kafka.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

#: What names the person: their ids, and ids in the properties of their events.
CANARIES = ("canary-user", "canary-visitor", "canary-order", "canary-product")


ERASED_EVENTS = "keepstream_events_total"
DISCONTENT = {"kind": "nps", "score": 1, "scale_max": 10}


def shopping(first_minute: int) -> list[ShopRecord]:
    user, visitor = {"userId": "canary-user"}, {"anonymousId": "canary-visitor"}
    cart = {"product_id": "canary-product", "price": 30.0, "quantity": 1}
    bought = {"order_id": "canary-order", "revenue": 30.0}
    return [
        event("Product Added", first_minute, **visitor, **cart),
        event("Signed In", first_minute + 2, **user, **visitor),
        event("Order Completed", first_minute + 20, topic=TRANSACTIONS, **user, **bought),
        event("Ticket Opened", first_minute + 25, topic=SUPPORT, **user, ticket_id="canary-order"),
        event("Survey Responded", first_minute + 27, topic=SUPPORT, **user, **DISCONTENT),
    ]


def test_who_was_erased_is_nowhere_but_where_the_page_says(deployment: Deployment) -> None:
    rows_dir = deployment.directory / "rows"
    rows_dir.mkdir()
    worker = deployment.start_worker(KEEPSTREAM_ROWS_DIR=str(rows_dir))
    past = shopping(5)
    deployment.publish(
        [*past, event("Survey Responded", 31, topic=SUPPORT, userId="zoe", **DISCONTENT)]
    )

    with redis.Redis.from_url(deployment.settings.redis_url) as store:

        def has(customer: str) -> bool:
            return bool(store.exists(customer_key(deployment.settings, customer)))

        def delivered() -> list[str]:
            """The customers with decisions in streams."""
            keys = store.keys(trigger_stream(deployment.settings, "*"))
            entries = [fields for key in keys for _, fields in store.xrange(key)]
            return sorted({json.loads(one[b"trigger"])["userId"] for one in entries})

        deployment.wait("profiles", lambda: has("canary-user") and has("zoe"))
        deployment.wait("decisions", lambda: ["canary-user", "zoe"] == delivered())
        _assert_exported(deployment)
        assert b"canary-visitor" in _rows_of(worker)
        said = asked(deployment, "canary-visitor", "--because", "asked by letter")
        assert "told the workers to erase, as of " in said.stdout
        assert "Z: canary-user, canary-visitor\n" in said.stdout
        deployment.wait("no profile", lambda: not has("canary-user") and has("zoe"))
        _assert_told(deployment)
        # Once more, as it was and as a raw topic that is published again.
        deployment.publish(past)
        deployment.wait("all is done", deployment.is_drained)
        deployment.wait("one row", lambda: {"zoe"} == _customers(deployment))
        assert not has("canary-user")
        assert not has("canary-visitor")
        assert ["zoe"] == delivered()
        assert b"canary" not in _rows_of(worker)
    assert deployment.live_customer("canary-user") is None
    assert 5 == deployment.metric("keepstream_events_total", fate="erased")

    latest = {record.key: record.value for record in deployment.records(CUSTOMERS)}
    for key, value in latest.items():
        is_row = value is not None and key is not None and not key.startswith(b"\0")
        told = (value or b"") + (key or b"") + (b"".join(unpacked(value)) if is_row else b"")
        for canary in CANARIES:
            assert value is None or canary.encode() not in told
            assert canary not in worker.log_text()
    assert_exact(deployment, published=12)
    assert_replayed(deployment)

    _assert_read_back(deployment, past[2])


def _assert_read_back(deployment: Deployment, past: ShopRecord) -> None:
    """Rows and graves are what the log gives, also for a worker that reads them back."""
    assert [0] == [worker.stop() for worker in deployment.alive]
    again = deployment.run("rebuild", "--all", "--dry-run")
    assert deployment.settings.partitions == again.count(" 0 rows differ from the log")
    deployment.start_worker()
    deployment.publish([past])
    deployment.wait("it is erased", lambda: 1 == deployment.metric(ERASED_EVENTS, fate="erased"))
    assert {"zoe"} == _customers(deployment)


def _rows_of(worker: Worker) -> bytes:
    """The content of a worker's scratch files of rows on disk."""
    descriptors = Path(f"/proc/{worker.process.pid}/fd").iterdir()
    return b"".join(one.read_bytes() for one in descriptors if "/rows/" in str(one.readlink()))


def asked(deployment: Deployment, *arguments: str) -> Result:
    """The answer of `keepstream erase`; in this process, which is faster."""
    return CliRunner().invoke(app, ["erase", *arguments], env=deployment.environment)


def _assert_exported(deployment: Deployment) -> None:
    """Everything stored about a person is exported, under any of their ids, and nothing of
    others.
    """
    out = deployment.directory / "person.jsonl"
    for id_ in ("canary-user", "canary-visitor"):
        deployment.run("customers", "export", id_, "--out", str(out))
        lines = [json.loads(line) for line in out.read_bytes().splitlines()]
        kinds = Counter(line["kind"] for line in lines)
        assert kinds["row"] == 2
        assert kinds["published"] == 5
        assert kinds["decision"] == kinds["ledger"] > 0
        # The events, and what the two rows told each other of them.
        assert kinds["log"] > 5
        assert all("zoe" not in json.dumps(line) for line in lines)


def _assert_told(deployment: Deployment) -> None:
    """The report says how far the erasure is, what expires and what stays."""
    deployment.wait("is done", lambda: not asked(deployment, "status", "canary-user").exit_code)
    for id_ in ("canary-user", "canary-visitor"):
        words = asked(deployment, "status", id_).stdout
        for line in (
            f"{id_} is erased: what is dated up to ",
            "gone: the profile in Redis",
            "NOT a complete erasure: customer-events is kept for ever, in plain",
            "expires: customers, when the broker next compacts it",
        ):
            assert line in words
        for topic in (CLICKSTREAM, DEAD_LETTERS, RETENTION_TRIGGERS, DECISION_LEDGER):
            assert re.search(f"^expires by 20[0-9-]+: .*{topic}", words, re.MULTILINE)
    for arguments, why in {
        ("canary-user",): "is erased as of",
        ("nobody-here",): "nothing is held of 'nobody-here'",
        ("status", "nobody-here"): "none was erased",
        ("status", "zoe"): "is not erased",
    }.items():
        answer = asked(deployment, *arguments)
        assert (1, True) == (answer.exit_code, why in answer.stderr)


def unpacked(content: bytes) -> Iterator[bytes]:
    """The content of a row's parts, and of its ids' parts; stored, the large ones are
    compressed.
    """
    row = decode_row(content)
    yield from (part.pack(row.read(part)) for part in PARTS)
    for sub in row.ids.values():
        yield from unpacked(sub.packed)


def _customers(deployment: Deployment) -> set[str]:
    return {customer for fold in deployment.changelog().values() for customer in fold.packed}
