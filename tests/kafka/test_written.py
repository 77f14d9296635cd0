"""A real deployment's records and answers match docs/asyncapi.json and docs/openapi.json."""

import json
import urllib.request
from typing import Any

import jsonschema
import pytest

from config import topics
from tests.documents.test_documents import ASYNCAPI, OPENAPI
from tests.kafka.deployment import Deployment, orderly_shop
from tests.kafka.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.nightly]

TOKEN = "a-token-of-the-web-port"
#: Of each topic so many records are looked at.
LOOKED_AT_MAX = 300
DECIDED = (topics.RETENTION_TRIGGERS, topics.NEXT_BEST_ACTIONS)


def judges(topic: str) -> list[tuple[Any, Any]]:
    """For each kind of record on a topic, the validators of its value and its headers."""
    found = []
    for name in ASYNCAPI["channels"][topic]["messages"]:
        message = ASYNCAPI["components"]["messages"][name]
        found.append((judge(message["payload"]), judge(message.get("headers", {}))))
    return found


def judge(schema: dict[str, Any]) -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator({**schema, "components": ASYNCAPI["components"]})


def is_text(topic: str) -> bool:
    messages = ASYNCAPI["channels"][topic]["messages"]
    components = ASYNCAPI["components"]["messages"]
    return all("contentType" not in components[name] for name in messages)


def test_every_record_is_as_the_document_of_topics_says(deployment: Deployment) -> None:
    deployment.publish(orderly_shop(20, days=60))
    deployment.write(topics.CLICKSTREAM, 0, (b"x", b"no event"))
    worker = deployment.start_worker(KEEPSTREAM_WEB_TOKEN=TOKEN)
    deployment.wait("it is ready", worker.is_ready)
    deployment.wait("it is folded", lambda: deployment.is_committed(*topics.RAW_TOPICS))
    deployment.wait("it has decided", lambda: all(deployment.ends(one) for one in DECIDED))

    looked_at = {}
    for topic in filter(is_text, ASYNCAPI["channels"]):
        if topic in topics.ARCHIVE_TOPICS:
            continue
        kinds = judges(topic)
        records = deployment.records(topic)[:LOOKED_AT_MAX]
        for record in records:
            if record.value == b"no event":
                continue
            value = json.loads(record.value)
            headers = {name: content.decode() for name, content in record.headers}
            assert any(
                payload.is_valid(value) and stated.is_valid(headers) for payload, stated in kinds
            ), (topic, value)
        looked_at[topic] = len(records)
    # What is written only later, or where something fails.
    never = {topics.MODEL_SNAPSHOTS, topics.UNDELIVERED, topics.FEEDBACK, topics.SUPPORT}
    assert {topic for topic, count in looked_at.items() if not count} <= never
    answered_as_documented(worker, next(iter(customers_in(deployment))))


def customers_in(deployment: Deployment) -> set[str]:
    return {key.decode() for _, key, _ in deployment.read(topics.RETENTION_TRIGGERS) if key}


def answered_as_documented(worker: Worker, customer: str) -> None:
    """A worker's answers about customers match the schemas of the HTTP document."""
    for path, schema in (
        (f"/customers/{customer}", "profile"),
        ("/customers?top=5&show=segment,clv&by=net_365d", "CustomerList"),
        ("/health/ready", "Health"),
    ):
        request = urllib.request.Request(
            f"http://127.0.0.1:{worker.port}{path}", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = json.loads(answer.read())
        reference = {"$ref": f"#/components/schemas/{schema}", "components": OPENAPI["components"]}
        jsonschema.Draft202012Validator(reference).validate(content)
    assert 401 == worker.get(f"/customers/{customer}")[0]
