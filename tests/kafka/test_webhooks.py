"""Webhooks from a real broker to real receivers: none lost and each once, whoever is killed."""

import json
import signal
import sys
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import yaml

from agents.webhooks.examples import TRIGGER
from config.topics import NEXT_BEST_ACTIONS, RETENTION_TRIGGERS
from models.decisions.trigger import Decision, encode_decision
from streams.embedded.ports import free_ports
from streams.embedded.process import ServerProcess
from streams.kafka_clients import partition_for
from tests.kafka.deployment import Deployment
from tests.kafka.webhook_receiver import lines
from tests.kafka.worker import PRESENT, ROOT, Worker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

SECRET = "whsec_" + b64encode(b"a secret of a test, of 32 bytes.").decode()
QUICK = {
    "allow_http": True,
    "allow_private": True,
    "retry_first": "20ms",
    "retry_longest": "200ms",
    "rate": 10_000,
    "begin": "earliest",
}


class Receiver:
    """A receiver in a process of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self.path = folder / f"{name}.effects"
        self.process = ServerProcess(name, folder)

    def start(self, *statuses: int) -> None:
        module = [sys.executable, "-m", "tests.kafka.webhook_receiver"]
        arguments = [str(self.port), SECRET, str(self.path), *map(str, statuses)]
        self.process.start([*module, *arguments], cwd=ROOT)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def taken(self, verb: str = "effect") -> list[tuple[str, str]]:
        """Ids and customers, in the order in which they were taken."""
        found = [line.split() for line in lines(self.path)]
        return [(name, customer) for said, name, customer in found if said == verb]


class Deliverer(Worker):
    """`keepstream deliver`, as a process."""

    def __init__(self, deployment: Deployment, name: str = "deliver") -> None:
        super().__init__(
            ServerProcess(name, deployment.directory),
            {**deployment.environment, "KEEPSTREAM_ENDPOINTS": str(endpoints_file(deployment))},
            (),
            PRESENT,
            command="deliver",
        )


def endpoints_file(deployment: Deployment) -> Path:
    return deployment.directory / "endpoints.yaml"


def declare(deployment: Deployment, **endpoints: dict[str, object]) -> None:
    (deployment.directory / "secret").write_text(SECRET)
    entries = [
        {"name": name, **QUICK, **({} if "to" in values else {"secret_file": "secret"}), **values}
        for name, values in endpoints.items()
    ]
    endpoints_file(deployment).write_text(yaml.safe_dump({"endpoints": entries}))


@pytest.fixture
def place(hard_times: Deployment) -> Iterator[Deployment]:
    started: list[ServerProcess] = []
    hard_times.started = started  # type: ignore[attr-defined]
    yield hard_times
    for process in started:
        process.kill()


def started(place: Deployment, *processes: ServerProcess) -> None:
    place.started.extend(processes)  # type: ignore[attr-defined]


def receiver(place: Deployment, name: str, *statuses: int) -> Receiver:
    found = Receiver(name, place.directory)
    started(place, found.process)
    found.start(*statuses)
    return found


def deliverer(place: Deployment, name: str = "deliver") -> Deliverer:
    found = Deliverer(place, name)
    started(place, found.process)
    return found


def decide(place: Deployment, decisions: list[Decision]) -> None:
    """Write decisions where workers do."""
    by_partition = defaultdict(list)
    for decided in decisions:
        key = decided.user_id.encode()
        topic = RETENTION_TRIGGERS if decided.kind == TRIGGER.kind else NEXT_BEST_ACTIONS
        number = partition_for(key, place.settings.partitions)
        by_partition[topic, number].append((key, encode_decision(decided)))
    for (topic, number), written in by_partition.items():
        place.write(topic, number, *written)


def triggers(count: int, customers: int, *, since: int = 0) -> list[Decision]:
    return [
        msgspec.structs.replace(TRIGGER, id=f"t{n:06}", user_id=f"c{n % customers}")
        for n in range(since, since + count)
    ]


def ids(decisions: list[Decision]) -> list[tuple[str, str]]:
    return sorted((one.id, one.user_id) for one in decisions)


def is_ordered(taken: list[tuple[str, str]]) -> bool:
    by_customer = defaultdict(list)
    for name, customer in taken:
        by_customer[customer].append(name)
    return all(names == sorted(names) for names in by_customer.values())


def test_each_once_and_in_order_whoever_is_killed_and_a_dead_endpoint_holds_up_nobody(
    place: Deployment,
) -> None:
    crm = receiver(place, "crm", 500, 503, 429)
    (nobody,) = free_ports(1)
    declare(place, crm={"url": crm.url}, dead={"url": f"http://127.0.0.1:{nobody}/"})
    decisions = triggers(400, 40)
    decide(place, decisions)
    deliver = deliverer(place)
    place.wait("some were taken", lambda: len(crm.taken()) > 50)

    deliver.stop(signal.SIGKILL)
    crm.process.kill()
    more = triggers(200, 40, since=400)
    decide(place, more)
    crm.start()
    deliver.start()
    place.wait("some more were taken", lambda: len(crm.taken()) > 450)
    crm.process.kill()
    crm.start()
    place.wait("all were taken", lambda: len(crm.taken()) >= 600)

    assert ids(decisions + more) == sorted(crm.taken())
    assert is_ordered(crm.taken())
    place.wait("it is ready", deliver.is_ready)
    _, body = deliver.get("/health/ready")
    assert "dead fails, and is only probed" in json.loads(body)["delays"][0]
    assert 1 == deliver.metric("keepstream_webhook_breaker_open", endpoint="dead")
    assert 0 == deliver.stop()

    # What is committed is all of it: nothing is sent again.
    again = len(crm.taken("again"))
    deliver.start()
    place.wait("it is ready", deliver.is_ready)
    place.wait(
        "nothing is left",
        lambda: deliver.metric("keepstream_webhook_lag_records", endpoint="crm") == 0,
    )
    assert again == len(crm.taken("again"))
