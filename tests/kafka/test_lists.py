"""Customers and lists of them, requested from either of two real workers, also after one died."""

import json
import signal
import urllib.error
import urllib.request
from functools import partial
from typing import Any

import pytest
import redis

from config.topics import CUSTOMER_EVENTS
from streams.kafka_clients import partition_for
from streams.store_keys import segment_key
from tests.kafka.deployment import Deployment, orderly_shop
from tests.kafka.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]


class _Unfollowed(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def first_answer(worker: Worker, path: str) -> tuple[int, str | None]:
    """Status and Location, without following it."""
    try:
        url = f"http://127.0.0.1:{worker.port}{path}"
        with urllib.request.build_opener(_Unfollowed).open(url, timeout=10) as answer:
            return answer.status, None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Location"]


def listed(worker: Worker, query: str = "") -> tuple[int, dict[str, Any]]:
    status, body = worker.get(f"/customers?{query}")
    return status, json.loads(body or b"{}")


def segments(worker: Worker) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(worker.get("/segments")[1])["segments"]
    return found


def sets(deployment: Deployment, name: str) -> set[str]:
    """The members of a segment in the store."""
    with redis.Redis.from_url(deployment.settings.redis_url) as store:
        members: Any = store.smembers(segment_key(deployment.settings, name))
        return {member.decode() for member in members}


def _is_followed(deployment: Deployment, name: str, members: set[str]) -> bool:
    return sets(deployment, name) == members


def test_every_worker_answers_for_all_and_names_what_died(hard_times: Deployment) -> None:
    deployment = hard_times
    deployment.publish(orderly_shop(12, days=5))
    workers = deployment.start_workers(2)
    deployment.wait("all is folded", deployment.is_drained)
    names = "by=net_365d&top=1000&show=orders"
    deployment.wait("both know both", lambda: [listed(w)[0] for w in workers] == [200, 200])

    (_, said), (_, other) = (listed(worker, names) for worker in workers)
    assert said["customers"] == other["customers"]
    customers = [one["userId"] for one in said["customers"]]
    assert len(customers) == said["matched"] == deployment.metric("keepstream_table_customers") > 9

    numbers = {c: partition_for(c.encode(), deployment.settings.partitions) for c in customers}
    owned = [set(worker.lag(CUSTOMER_EVENTS)) for worker in workers]
    assert all(owned)
    for customer, number in numbers.items():
        owner, another = workers if number in owned[0] else workers[::-1]
        path = f"/customers/{customer}"
        there = f"http://127.0.0.1:{owner.port}{path}"
        assert [(200, None), (307, there)] == [first_answer(w, path) for w in (owner, another)]
        assert customer == json.loads(another.get(path)[1])["userId"]

    page = deployment.run(
        "customers", "list", "--by", "net_365d", "--top", "3", "--format", "csv",
        "--url", f"http://127.0.0.1:{workers[1].port}",
    )  # fmt: skip
    assert customers[:3] == [line.split(",")[0] for line in page.splitlines()[1:]]

    members = {one["name"]: one["members"] for one in segments(workers[1])}
    for name, count in members.items():
        listing = json.loads(workers[0].get(f"/segments/{name}?top=1000")[1])
        found = {one["userId"] for one in listing["customers"]}
        assert count == len(found)
        followed = partial(_is_followed, deployment, name, found)
        deployment.wait(f"the set of {name}", followed)
    assert members["new-customers"] > 0

    # Until the others miss it, its partitions have no other owner.
    workers[0].stop(signal.SIGKILL)
    status, rest = listed(workers[1], names)
    assert 503 == status
    assert owned[0] == {one["partition"] for one in rest["unanswered"]}
    assert [c for c in customers if numbers[c] in owned[1]] == [
        one["userId"] for one in rest["customers"]
    ]
    deployment.run(
        "customers", "list", "--url", f"http://127.0.0.1:{workers[1].port}", allowed=(1,)
    )
    deployment.wait("they have an owner", lambda: listed(workers[1])[0] == 200)
    assert said["customers"] == listed(workers[1], names)[1]["customers"]
