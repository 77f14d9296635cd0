"""The archive has what the log no longer has: state, decisions and audits continue from it."""

import asyncio
import json
import re
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from kafka import TopicPartition
from kafka.admin import ConfigResource
from msgspec.structs import replace

from config.topics import CUSTOMER_ARCHIVE, CUSTOMER_EVENTS, CUSTOMER_KEYS, CUSTOMERS, GONE_IN_A_DAY
from models.events.erasure_record import ERASE_REQUESTED
from models.parameters import load_parameters
from streams.archive.frames import decode_frame, opened
from streams.archive.key_reading import Keys
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from streams.kafka_clients import new_admin, partition_for
from streams.rebuilding import Rebuilding, Rebuilt
from tests.kafka.deployment import Deployment, orderly_shop
from tests.kafka.exactness import assert_exact, assert_replayed, audited, stored_rows
from tests.kafka.points import BREAKING, VARIABLE
from tests.kafka.storm import Storm
from tests.kafka.test_erasure import shopping
from tests.kafka.test_persons import event

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

CANARY = b"canary-of-a-topic"


def cut_log(deployment: Deployment) -> None:
    """Cut the log as retention does over time: nothing that was folded is in it any more."""
    name = deployment.settings.topic(CUSTOMER_EVENTS)
    with closing(new_admin(deployment.settings)) as admin:
        admin.delete_records(
            {
                TopicPartition(name, number): end
                for number, end in deployment.committed(CUSTOMER_EVENTS).items()
            }
        )


def rebuilt(deployment: Deployment) -> list[Rebuilt]:
    """The rows that a full rebuild would write."""
    rebuilding = Rebuilding(deployment.settings, load_parameters(), writes=False)
    return asyncio.run(rebuilding.run(whole=True, on_progress=lambda *_: None))


def test_a_killed_deployment_is_made_anew_from_its_archive_without_whom_was_forgotten(
    kafka: EmbeddedKafka, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    with Deployment(
        kafka.bootstrap_servers, valkey.url, "archive.", tmp_path, archive="on"
    ) as deployment:
        records = orderly_shop(30)
        deployment.publish(records[: len(records) // 2])
        # Alone, for another one may have done all before it joins.
        first = deployment.start_worker(program=BREAKING, **{VARIABLE: "before the ack:3:SIGKILL"})
        deployment.wait_for_kill("it has a batch in hand", first)
        deployment.start_worker()
        storm = Storm(deployment, seed=2)
        storm.rage(2)
        deployment.publish(records[len(records) // 2 :])

        def is_drained() -> bool:
            storm.replace()
            return deployment.is_drained()

        deployment.wait("all is read", is_drained, timeout_s=400)
        # A stranger's records on both topics are left out, and told.
        deployment.write(CUSTOMER_ARCHIVE, 0, (None, CANARY), (b"ada", None))
        deployment.write(CUSTOMER_KEYS, 0, (b"ada", CANARY))
        rows = stored_rows(deployment)
        assert_exact(deployment, published=len(records))
        whole = assert_replayed(deployment)

        cut_log(deployment)
        assert_exact(deployment, published=len(records))
        assert str(whole) == str(assert_replayed(deployment))
        told = audited(deployment, load_parameters()).differences
        assert {("foreign", 3)} == {(one.check, one.count) for one in told}

        assert {0} == {worker.stop() for worker in deployment.alive}
        assert {0} == {one.different for one in rebuilt(deployment)}
        assert sum(one.customers for one in rebuilt(deployment)) == len(rows)

        customer = min(rows)
        number = partition_for(customer.encode(), deployment.settings.partitions)
        names = [
            record.key
            for record in deployment.records(CUSTOMER_KEYS)
            if record.key.startswith(customer.encode() + b"\x00")
        ]
        deployment.write(CUSTOMER_KEYS, number, *((name, None) for name in {*names}))
        (found,) = [one for one in rebuilt(deployment) if one.partition == number]
        assert found.gone.endswith("of 1 erased customer")
        # Theirs is the one row that does not follow any more.
        assert {0, 1} == {one.different for one in rebuilt(deployment)}
        assert len(rows) - 1 == sum(one.customers for one in rebuilt(deployment))


@pytest.mark.nightly
def test_a_deployment_without_an_archive_gets_one_that_has_everything(
    kafka: EmbeddedKafka, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    with Deployment(kafka.bootstrap_servers, valkey.url, "filled.", tmp_path) as deployment:
        records = orderly_shop(40)
        deployment.publish(records[: len(records) // 2])
        (worker,) = deployment.start_workers(1)
        deployment.wait("all is read", deployment.is_drained)
        assert 0 == worker.stop()

        deployment.settings = replace(deployment.settings, archive="on")
        assert "created  filled.customer-archive" in deployment.run("topics", "create")
        # What is deleted is gone within a day, which an operator sets as they are told to.
        told = deployment.run("topics", "check", allowed=(1,))
        assert "ok       filled.customers\n" not in told
        with closing(new_admin(deployment.settings)) as admin:
            name = deployment.settings.topic(CUSTOMERS)
            admin.alter_configs([ConfigResource("TOPIC", name, GONE_IN_A_DAY)])
        refused = deployment.start_worker()
        deployment.wait("it ends", lambda: refused.process.exit_code is not None)
        refused.wait()
        assert "run `keepstream archive fill`" in refused.log_text()
        assert "do not shorten the retention" in deployment.run("doctor", allowed=(0, 1))
        assert "records sealed" in deployment.run("archive", "fill")
        # Whoever stopped it half way runs it again.
        assert " 0 records sealed" in deployment.run("archive", "fill")
        deployment.start_workers(1)
        deployment.publish(records[len(records) // 2 :])
        deployment.wait("all is read", deployment.is_drained)
        assert "may expire" in deployment.run("archive", "check")

        cut_log(deployment)
        assert_exact(deployment, published=len(records))
        assert_replayed(deployment)


def readable(deployment: Deployment) -> list[bytes]:
    """Everything in the archive that the keys open: the content of frames, and what they seal."""
    found: list[bytes] = []
    for number in range(deployment.settings.partitions):
        keys = Keys()
        for record in deployment.records(CUSTOMER_KEYS):
            if record.partition == number:
                keys.add(record)
        for record in deployment.records(CUSTOMER_ARCHIVE):
            if record.partition != number:
                continue
            for entry in decode_frame(record.value, keys.frame):
                found.append(repr(entry).encode())
                if (secret := keys.secrets().get(entry.key_id)) is not None:
                    found.append(opened(AESGCM(secret), entry))
    return found


def test_who_was_erased_is_not_in_the_archive(
    kafka: EmbeddedKafka, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    with Deployment(
        kafka.bootstrap_servers, valkey.url, "erased.", tmp_path, archive="on"
    ) as deployment:
        (worker,) = deployment.start_workers(1)
        deployment.publish([*shopping(5), event("Product Viewed", 31, userId="zoe")])
        deployment.wait("all is done", deployment.is_drained)
        assert any(b"canary-order" in content for content in readable(deployment))
        deployment.publish([event(ERASE_REQUESTED, 60, userId="canary-user")])
        deployment.wait("it is erased", deployment.is_drained)
        # Once more, and then somebody new under the same id.
        deployment.publish([*shopping(5), event("Product Viewed", 90, userId="canary-user")])
        deployment.wait("all is done", deployment.is_drained)

        words = deployment.run("erase", "status", "canary-user")
        assert "gone: what customer-archive has of them" in words
        # A tombstone names them, too, for a while.
        assert re.search("^expires by 20[0-9-]+: .*customer-keys", words, re.MULTILINE)
        assert re.search("^expires by 20[0-9-]+: .*customers", words, re.MULTILINE)

        told = [content for content in readable(deployment) if b"canary" in content]
        assert ["Product Viewed"] == [json.loads(content)["event"] for content in told]
        cut_log(deployment)
        assert_exact(deployment, published=13)
        assert "records of 2 erased customers" in _added_up(deployment.run("archive", "check"))
        assert 0 == worker.stop()
        assert {0} == {one.different for one in rebuilt(deployment)}


def _added_up(told: str) -> str:
    """The records of all partitions, added up to one report."""
    found = re.findall(r"(\d+) records of (\d+) erased", told)
    records, customers = (sum(map(int, column)) for column in zip(*found, strict=True))
    return f"{records} records of {customers} erased customers"
