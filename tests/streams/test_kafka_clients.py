"""All clients agree on brokers, security and partitions, and fail with a clear message."""

import asyncio
import random
import ssl
import uuid
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.partitioner import DefaultPartitioner
from faust import SASLCredentials, SSLCredentials

from config.settings import Settings, SettingsError, load_settings
from config.topics import CUSTOMER_EVENTS
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.ports import free_ports
from streams.kafka_clients import (
    BrokerUnreachable,
    broker_credentials,
    client_options,
    new_admin,
    new_producer,
    new_reader,
    partition_for,
    require_broker,
    running,
)
from streams.topics import create_topics


@pytest.mark.parametrize(
    ("key", "murmur2"),
    [
        # From the tests of Kafka's own client (org.apache.kafka.common.utils.UtilsTest).
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_keys_go_where_the_java_client_puts_them(key: bytes, murmur2: int) -> None:
    assert (murmur2 & 0x7FFFFFFF) % 12 == partition_for(key, 12)


def test_faust_puts_keys_where_the_publisher_does() -> None:
    # Faust and the aiokafka producer both use this partitioner of aiokafka.
    chance = random.Random(1)
    partitions = list(range(7))
    for _ in range(2_000):
        key = chance.randbytes(chance.randint(0, 40))
        assert DefaultPartitioner()(key, partitions, partitions) == partition_for(key, 7)


def test_plaintext_needs_no_credentials() -> None:
    options = client_options(Settings())
    assert options["security_protocol"] == "PLAINTEXT"
    assert options["ssl_context"] is None
    assert broker_credentials(Settings()) is None


def test_a_login_is_the_same_for_every_client() -> None:
    settings = load_settings(
        {},
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="keeper",
        sasl_password="pw",
    )
    options = client_options(settings)
    credentials = broker_credentials(settings)
    assert isinstance(credentials, SASLCredentials)
    assert options["security_protocol"] == credentials.protocol.value
    assert options["sasl_mechanism"] == credentials.mechanism.value
    assert options["sasl_plain_username"] == credentials.username
    assert options["sasl_plain_password"] == credentials.password
    assert credentials.ssl_context is not None
    assert options["ssl_context"].verify_mode is ssl.CERT_REQUIRED


def test_tls_checks_the_broker_against_the_given_authority(tmp_path: Path) -> None:
    cafile = tmp_path / "ca.pem"
    cafile.write_text("not a certificate", encoding="utf-8")
    settings = load_settings({}, security_protocol="SSL", ssl_cafile=str(cafile))
    with pytest.raises(SettingsError, match="KEEPSTREAM_SSL_CAFILE is .* no certificate in PEM"):
        client_options(settings)
    credentials = broker_credentials(load_settings({}, security_protocol="SSL"))
    assert isinstance(credentials, SSLCredentials)
    assert credentials.context.check_hostname


def test_a_broker_that_is_not_there_is_named_before_any_client_tries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = load_settings({}, bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}")
    # The client itself would go on trying until its time is up.
    monkeypatch.setattr("streams.kafka_clients.KafkaAdminClient", None)
    with pytest.raises(BrokerUnreachable) as unreachable:
        new_admin(settings)
    assert settings.bootstrap_servers in str(unreachable.value)
    assert "KEEPSTREAM_BOOTSTRAP_SERVERS" in str(unreachable.value)


def test_a_port_that_cannot_be_is_unreachable_too() -> None:
    with pytest.raises(BrokerUnreachable, match=r"127\.0\.0\.1:99999"):
        require_broker(load_settings({}, bootstrap_servers="127.0.0.1:99999"))


@pytest.mark.kafka
def test_one_broker_of_several_is_enough(kafka: EmbeddedKafka) -> None:
    addresses = f"127.0.0.1:{free_ports(1)[0]},{kafka.bootstrap_servers}"
    require_broker(load_settings({}, bootstrap_servers=addresses))


@pytest.mark.kafka
@pytest.mark.slow
def test_the_wrong_protocol_is_named_with_the_settings_to_check(kafka: EmbeddedKafka) -> None:
    settings = load_settings(
        {},
        bootstrap_servers=kafka.bootstrap_servers,
        security_protocol="SASL_PLAINTEXT",
        sasl_username="keeper",
        sasl_password="canary",
    )
    with pytest.raises(BrokerUnreachable, match="KEEPSTREAM_SECURITY_PROTOCOL") as unreachable:
        new_admin(settings)
    assert "canary" not in str(unreachable.value)


@pytest.mark.kafka
def test_a_reader_reads_what_a_producer_wrote(kafka: EmbeddedKafka) -> None:
    settings = load_settings(
        {},
        bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix=f"{uuid.uuid4().hex[:8]}.",
    )
    create_topics(settings)
    topic = settings.topic(CUSTOMER_EVENTS)
    chosen = partition_for(b"c1", settings.partitions)

    async def write_and_read() -> tuple[int, bytes, bytes]:
        async with running(new_producer(settings), settings) as producer:
            written = await producer.send_and_wait(topic, b"value", key=b"c1")
        async with running(new_reader(settings), settings) as reader:
            reader.assign([TopicPartition(topic, chosen)])
            record = await asyncio.wait_for(reader.getone(), 30)
        return written.partition, record.key, record.value

    assert (chosen, b"c1", b"value") == asyncio.run(write_and_read())


@pytest.mark.parametrize("make", [new_producer, new_reader])
def test_a_client_that_cannot_start_says_so_in_words(make: Any) -> None:
    settings = load_settings({}, bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}")

    async def start() -> None:
        async with running(make(settings), settings):
            pytest.fail("it started without a broker")

    with pytest.raises(BrokerUnreachable, match=settings.bootstrap_servers):
        asyncio.run(start())
