"""Webhooks from a real broker to real receivers: none lost and each once, whatever is killed."""

import asyncio
import json
import signal
import subprocess
import sys
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import yaml
from typer.testing import CliRunner

from agents.cli import app
from agents.webhooks.examples import ACTION, TRIGGER
from config.topics import NEXT_BEST_ACTIONS, RETENTION_TRIGGERS, UNDELIVERED
from models.decisions.trigger import Decision, encode_decision
from models.events.erasure_record import ErasureNotice, encode_notice
from streams.embedded.ports import free_ports
from streams.embedded.process import ServerProcess
from streams.graves import Fingerprints
from streams.kafka_clients import partition_for
from streams.webhooks.undelivered import unsettled
from tests.house.documents import README, blocks
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
        """Ids and customers, in the order in which they were accepted."""
        found = [line.split() for line in lines(self.path)]
        return [(name, customer) for said, name, customer in found if said == verb]


class Deliverer(Worker):
    """`keepstream deliver`, as a process."""

    def __init__(self, deployment: Deployment, name: str = "deliver", **environment: str) -> None:
        super().__init__(
            ServerProcess(name, deployment.directory),
            {
                **deployment.environment,
                "KEEPSTREAM_ENDPOINTS": str(endpoints_file(deployment)),
                **environment,
            },
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
    """Write decisions to the workers' topics."""
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
    # Metrics are drawn up now and then.
    place.wait(
        "so do the metrics",
        lambda: deliver.metric("keepstream_webhook_breaker_open", endpoint="dead") == 1,
    )
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


def erase(place: Deployment, customer: str) -> None:
    """Write an erasure notice to the workers' topics."""
    notice = ErasureNotice(
        id="e1",
        fingerprint=Fingerprints().of(customer).hex(),
        timestamp="2999-01-01T00:00:00.000Z",
        mode="DELETE_ONLY",
        was_known=True,
    )
    number = partition_for(customer.encode(), place.settings.partitions)
    for topic in (RETENTION_TRIGGERS, NEXT_BEST_ACTIONS):
        place.write(topic, number, (notice.fingerprint.encode(), encode_notice(notice)))


def test_what_was_refused_is_kept_and_retried_and_nothing_of_who_was_erased(
    place: Deployment,
) -> None:
    crm = receiver(place, "crm", 422, 400, 404)
    declare(place, crm={"url": crm.url, "erased": True, "concurrency": 1})
    names = ("ada", "bob", "eve")
    refused = [msgspec.structs.replace(TRIGGER, id=f"r-{who}", user_id=who) for who in names]
    night = msgspec.structs.replace(
        ACTION, id="night", user_id="ada", due_at=None, not_before="2999-01-01T00:00:00.000Z"
    )
    decide(place, [*refused, night])
    deliver = deliverer(place)
    fates = "keepstream_webhook_messages_total"
    place.wait("all were refused", lambda: deliver.metric(fates, fate="undelivered") == 3)

    kept = asyncio.run(unsettled(place.settings, "crm"))
    assert {"r-ada", "r-bob", "r-eve"} == {one.id for one in kept}
    assert {"422", "400", "404"} == {one.reason for one in kept}
    # By its place in the log: nothing of the customer is kept.
    written = b"".join((key or b"") + value for _, key, value in place.read(UNDELIVERED))
    assert not any(who in written.replace(b"r-" + who, b"") for who in (b"ada", b"bob", b"eve"))
    assert [] == asyncio.run(unsettled(place.settings, "other"))
    asked = ("doctor", "--json", "--deliverer", f"http://127.0.0.1:{deliver.port}")
    looked = json.loads(CliRunner().invoke(app, asked, env=place.environment).stdout)
    [endpoint] = looked["facts"]["endpoints"]
    assert ("crm", 1, 3, False) == tuple(
        endpoint[fact] for fact in ("name", "deliverers", "undelivered", "is_open")
    )
    words = [found["words"] for found in looked["findings"] if found["check"] == "endpoints"]
    assert ["3 messages for crm were set aside"] == words

    erase(place, "ada")
    place.wait("it is told", lambda: deliver.metric(fates, fate="delivered") == 2)
    # What waited for the morning is gone, too.
    assert 1 == deliver.metric(fates, fate="erased")

    said = place.run("undelivered", "retry", "--endpoints", str(endpoints_file(place)))
    assert ("2 of crm: delivered" in said, "1 of crm: erased" in said) == (True, True)
    assert {"r-bob", "r-eve"} == {name for name, _ in crm.taken() if name.startswith("r-")}
    assert "nothing is undelivered" in place.run("undelivered", "list")
    assert 0 == deliver.stop()


def test_the_file_and_its_secrets_are_read_again(place: Deployment) -> None:
    crm, late = receiver(place, "crm"), receiver(place, "late")
    declare(place, crm={"url": crm.url})
    secret = place.directory / "secret"
    secret.write_text("whsec_" + b64encode(b"another secret, of 32 bytes here").decode())
    first = triggers(5, 5)
    decide(place, first)
    deliver = deliverer(place)
    fates = "keepstream_webhook_messages_total"
    place.wait("none is taken", lambda: deliver.metric(fates, fate="undelivered") == 5)

    good = endpoints_file(place).read_text()
    endpoints_file(place).write_text(good + "  oops\n")
    secret.write_text(SECRET)
    place.wait("it is refused", lambda: deliver.metric("keepstream_files_refused") == 1)
    assert 0 == len(crm.taken())
    declare(place, crm={"url": crm.url}, late={"url": late.url})
    place.wait("it is read", lambda: deliver.metric("keepstream_files_refused") == 0)
    more = triggers(5, 5, since=5)
    decide(place, more)
    # The new one begins at the beginning, the other where it was.
    place.wait("both took them", lambda: len(late.taken()) == 10 and len(crm.taken()) == 5)
    assert (ids(more), ids(first + more)) == (sorted(crm.taken()), sorted(late.taken()))

    declare(place, late={"url": late.url})
    standing = "keepstream_webhook_lag_records"
    place.wait(
        "it is gone",
        lambda: {"late"} == {one.labels["endpoint"] for one in deliver.samples(standing)},
    )
    last = triggers(5, 5, since=10)
    decide(place, last)
    place.wait("one took them", lambda: len(late.taken()) == 15)
    assert ids(more) == sorted(crm.taken())
    assert 0 == deliver.stop()


@pytest.mark.nightly
@pytest.mark.timeout(1_200)
def test_each_once_and_none_lost_through_many_deaths(place: Deployment) -> None:
    crm = receiver(place, "crm")
    declare(place, crm={"url": crm.url, "erased": True})
    two = [deliverer(place, f"deliver-{number}") for number in range(2)]
    decisions: list[Decision] = []
    for turn in range(20):
        more = triggers(500, 60, since=500 * turn)
        decide(place, more)
        decisions += more
        due = len(decisions) - 300
        place.wait("most were taken", lambda due=due: len(crm.taken()) >= due)  # type: ignore[misc]
        victim = two[turn % 2]
        if turn % 3 == 2:
            crm.process.kill()
            crm.start()
        elif turn % 5 == 4:
            assert 0 == victim.stop()
            victim.start()
        else:
            victim.stop(signal.SIGKILL)
            victim.start()

    place.wait("all were taken", lambda: len(crm.taken()) >= len(decisions))
    assert ids(decisions) == sorted(crm.taken())
    assert is_ordered(crm.taken())
    place.wait("both are ready", lambda: all(one.is_ready() for one in two))
    assert [0, 0] == [one.stop() for one in two]


@pytest.mark.nightly
@pytest.mark.parametrize("is_delivering", [True, False], ids=["delivering", "away"])
def test_a_topic_that_was_created_anew_is_read_from_its_beginning(
    place: Deployment, is_delivering: bool
) -> None:
    crm = receiver(place, "crm")
    declare(place, crm={"url": crm.url})
    deliver = deliverer(place)
    decide(place, triggers(20, 20))
    place.wait("all were taken", lambda: len(crm.taken()) >= 20)
    if not is_delivering:
        assert 0 == deliver.stop()

    place.create_anew(RETENTION_TRIGGERS)
    decide(place, triggers(5, 5, since=100))
    if not is_delivering:
        deliver.start()
    place.wait("those of the new one were taken", lambda: len(crm.taken()) >= 25)
    assert 0 == deliver.stop()


HEADING = "## Decisions to your own program"


def test_the_receiver_that_is_shown_takes_what_the_readmes_endpoint_is_sent(
    place: Deployment,
) -> None:
    (port,) = free_ports(1)
    shown = README.read_text().partition(HEADING)[2]
    page = (ROOT / "docs/webhooks.md").read_text()
    [receives] = [block for block in blocks(page) if block.language == "python"]
    found = {block.language: block.text for block in [*reversed(blocks(shown)), receives]}
    assert {"yaml", "sh", "python"} == set(found)
    for language, text in found.items():
        found[language] = text.replace("9000", str(port))
    endpoints_file(place).write_text(found["yaml"])
    (place.directory / "receiver.py").write_text(found["python"])
    line = found["sh"].splitlines()[0]
    subprocess.run(["sh", "-c", line], cwd=place.directory, check=True)
    program = ServerProcess("receiver", place.directory)
    started(place, program)
    program.start([sys.executable, "receiver.py"], cwd=place.directory)

    deliver = deliverer(place)
    place.wait("it is ready", deliver.is_ready)
    decide(place, [TRIGGER])

    place.wait(
        "it is taken", lambda: f"{TRIGGER.id} {TRIGGER.kind} ada" in program.log_since_start()
    )
    assert 0 == deliver.stop()
