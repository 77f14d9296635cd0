"""Each program works with the rights that docs/security.md gives it, on a broker that grants
nothing else. Without one of them it says which one is missing, and on what, before it begins.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ResourcePattern,
    ResourceType,
)
from msgspec.structs import replace

from config.rights import CLUSTER, GROUP, RIGHTS, TOPIC, Right
from config.settings import Settings
from config.topics import (
    CLICKSTREAM,
)
from models.events.times import iso
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.ports import HOST, free_ports
from streams.embedded.process import wait_until
from streams.embedded.valkey import EmbeddedValkey
from streams.kafka_clients import new_admin
from streams.rights import RightsError, missing_rights, require_rights
from streams.topics import create_topics
from tests.kafka.deployment import START_MS, Deployment
from tests.kafka.worker import ROOT

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

PASSWORD = "canary-9b2e"
KINDS = {TOPIC: ResourceType.TOPIC, GROUP: ResourceType.GROUP, CLUSTER: ResourceType.CLUSTER}
OPERATIONS = {
    "Read": ACLOperation.READ,
    "Write": ACLOperation.WRITE,
    "Delete": ACLOperation.DELETE,
    "Describe": ACLOperation.DESCRIBE,
    "DescribeConfigs": ACLOperation.DESCRIBE_CONFIGS,
    "Create": ACLOperation.CREATE,
}
#: Whoever acts on decisions is no program of ours: a consumer with a group of its own.
USERS = [*RIGHTS, "nobody"]


def user_of(program: str) -> str:
    return program.replace(" ", "-")


class GuardedBroker:
    """A broker that requires passwords and grants only what ACLs grant."""

    def __init__(self, directory: Path) -> None:
        broker, controller, login = free_ports(3)
        self.address = f"{HOST}:{login}"
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        users = " ".join(f'user_{user_of(one)}="{PASSWORD}"' for one in USERS)
        self.kafka = EmbeddedKafka(
            directory,
            properties={
                "listeners": f"PLAINTEXT://{HOST}:{broker},CONTROLLER://{HOST}:{controller},"
                f"LOGIN://{self.address}",
                "advertised.listeners": f"PLAINTEXT://{HOST}:{broker},LOGIN://{self.address}",
                "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,"
                "LOGIN:SASL_PLAINTEXT",
                "sasl.enabled.mechanisms": "PLAIN",
                "listener.name.login.plain.sasl.jaas.config": f"{plain} {users};",
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                # The broker itself, and this test where it makes the rights.
                "super.users": "User:ANONYMOUS",
            },
        )
        # Its listeners are named above, so its ports are chosen here.
        self.kafka._ports = [broker, controller]

    def settings(self, deployment: Deployment, program: str) -> Settings:
        """A program's settings, with its own user name."""
        return replace(
            deployment.settings,
            bootstrap_servers=self.address,
            security_protocol="SASL_PLAINTEXT",
            sasl_username=user_of(program),
            sasl_password=PASSWORD,
        )


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedBroker]:
    broker = GuardedBroker(tmp_path_factory.mktemp("guarded-kafka"))
    with broker.kafka:
        yield broker


@pytest.fixture
def deployment(
    guarded: GuardedBroker, valkey: EmbeddedValkey, tmp_path: Path
) -> Iterator[Deployment]:
    servers = guarded.kafka.bootstrap_servers
    with Deployment(servers, valkey.url, f"{tmp_path.name[-12:]}.", tmp_path) as deployment:
        # What is tried is who may do what, not the pace: a busy machine must not end a worker.
        deployment.settings = replace(deployment.settings, session_timeout_ms=25_000)
        # All topics that there may be: of what is not there a broker says nothing.
        create_topics(replace(deployment.settings, archive="on"))
        yield deployment


def acls_of(settings: Settings, program: str, rights: Iterable[Right]) -> list[ACL]:
    names = {GROUP: settings.group_id, CLUSTER: "kafka-cluster"}
    return [
        ACL(
            f"User:{user_of(program)}",
            "*",
            OPERATIONS[right.operation],
            ACLPermissionType.ALLOW,
            ResourcePattern(KINDS[right.kind], names.get(right.kind) or settings.topic(right.name)),
        )
        for right in rights
    ]


def grant(deployment: Deployment, *programs: str) -> None:
    with closing(new_admin(deployment.settings)) as admin:
        for program in programs:
            acls = acls_of(deployment.settings, program, RIGHTS[program])
            assert [] == admin.create_acls(acls)["failed"]


def revoke(admin: KafkaAdminClient, acl: ACL) -> None:
    wanted = ACLFilter(
        acl.principal, acl.host, acl.operation, acl.permission_type, acl.resource_pattern
    )
    admin.delete_acls([wanted])


def run(guarded: GuardedBroker, deployment: Deployment, *arguments: str, program: str) -> str:
    """The output of a command with its own user name; it must succeed, or have findings."""
    done = subprocess.run(
        [sys.executable, "-m", "agents.cli", *arguments],
        cwd=ROOT,
        env={**deployment.environment, **login(guarded, program)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    for refusal in ("Authorization", "does not let", PASSWORD):
        assert refusal not in done.stderr + done.stdout
    return done.stdout


def login(guarded: GuardedBroker, program: str) -> dict[str, str]:
    return {
        "KEEPSTREAM_BOOTSTRAP_SERVERS": guarded.address,
        "KEEPSTREAM_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KEEPSTREAM_SASL_USERNAME": user_of(program),
        "KEEPSTREAM_SASL_PASSWORD": PASSWORD,
    }


def event(number: int) -> str:
    told = {"type": "track", "event": "Product Viewed", "userId": f"c-{number % 7}"}
    named = {"messageId": f"m-{number}", "timestamp": iso(START_MS + 1_000 * number)}
    return json.dumps({**told, **named, "properties": {"product_id": "p"}})


@pytest.mark.nightly
def test_every_program_works_with_its_own_rights(
    guarded: GuardedBroker, deployment: Deployment
) -> None:
    grant(deployment, *RIGHTS)
    asked = {program: guarded.settings(deployment, program) for program in RIGHTS}
    wait_until(lambda: all(map(is_granted, asked.values(), asked)), "rights are known", 60, [])

    assert "exists" in run(guarded, deployment, "topics", "create", program="topics create")
    assert "ok" in run(guarded, deployment, "topics", "check", program="topics check")
    worker = deployment.start_worker(**login(guarded, "worker"))
    deployment.wait("it is ready", worker.is_ready)
    events = deployment.directory / "events.jsonl"
    events.write_text("\n".join([*map(event, range(50)), "{"]))
    said = run(guarded, deployment, "publish", str(events), "--send-bad", program="publish")
    assert "50 events published" in said
    deployment.wait("all is read", deployment.is_drained)

    letters = run(guarded, deployment, "dead-letters", "list", program="dead-letters list")
    assert "bad_json" in letters
    run(guarded, deployment, "dead-letters", "retry", program="dead-letters retry")
    run(guarded, deployment, "doctor", program="doctor")
    assert "live already" in run(guarded, deployment, "live", program="live")
    log = deployment.directory / "log.jsonl"
    run(guarded, deployment, "export", "--out", str(log), program="export")
    assert 50 <= len(log.read_bytes().splitlines())
    run(guarded, deployment, "explain", "0" * 32, program="explain")
    deployment.wait("all is read", deployment.is_drained)
    assert "nothing differs" in run(guarded, deployment, "audit", program="audit")
    assert 0 == worker.stop()
    run(guarded, deployment, "rebuild", "--all", program="rebuild")
    assert "Authorization" not in worker.log_text()


def is_granted(settings: Settings, program: str) -> bool:
    try:
        require_rights(settings, program)
    except RightsError:
        return False
    return True


@pytest.mark.nightly
@pytest.mark.parametrize("program", RIGHTS)
def test_a_program_with_one_right_less_says_which_and_on_what(
    guarded: GuardedBroker, deployment: Deployment, program: str
) -> None:
    grant(deployment, program)
    settings = guarded.settings(deployment, program)
    rights = list(RIGHTS[program])
    with closing(new_admin(deployment.settings)) as granting, closing(new_admin(settings)) as admin:
        wait_until(lambda: not missing_rights(admin, settings, rights), "they are known", 60, [])
        for right, acl in zip(rights, acls_of(settings, program, rights), strict=True):
            if right.operation == "Describe" and len(of_topic(rights, right)) > 1:
                continue  # who may read or write a topic may describe it
            revoke(granting, acl)
            wait_until(lambda: missing_rights(admin, settings, rights), "it is gone", 30, [])
            told = missing_rights(admin, settings, rights)
            assert right in told
            assert {right.name} == {one.name for one in told}
            granting.create_acls([acl])
            wait_until(
                lambda: not missing_rights(admin, settings, rights), "it is there again", 30, []
            )


def of_topic(rights: list[Right], right: Right) -> list[Right]:
    return [one for one in rights if (one.kind, one.name) == (right.kind, right.name)]


@pytest.mark.parametrize(
    ("program", "arguments"),
    [("worker", ["worker"]), ("publish", ["publish", "-"]), ("audit", ["audit"])],
)
def test_whoever_may_do_nothing_is_told_all_of_it_before_anything_is_done(
    guarded: GuardedBroker, deployment: Deployment, program: str, arguments: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agents.cli", *arguments],
        cwd=ROOT,
        env={**deployment.environment, **login(guarded, "nobody")},
        input=event(1),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 2 == done.returncode, done.stderr
    assert f"does not let the user nobody do what `keepstream {program}` must" in done.stderr
    told = {line.partition(" on the ")[0]: line for line in done.stderr.splitlines()}
    for right in RIGHTS[program]:
        if right.kind == TOPIC:
            assert deployment.settings.topic(right.name) in told[f"  - {right.operation}"]
    if RIGHTS[program].group:
        assert f"on the group {deployment.settings.group_id}" in done.stderr
    assert PASSWORD not in done.stderr
    assert {} == {n: end for n, end in deployment.ends(CLICKSTREAM).items() if end}
