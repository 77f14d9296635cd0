"""The embedded broker and store are real, keep their data, and leave nothing behind."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaTimeoutError

import streams.embedded.server
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.ports import HOST, free_ports
from streams.embedded.process import ServerFailedError, ServerProcess
from streams.embedded.valkey import EmbeddedValkey

ROOT = Path(__file__).parents[2]


@pytest.mark.kafka
def test_what_a_server_writes_is_for_nobody_else(
    kafka: EmbeddedKafka, valkey: EmbeddedValkey
) -> None:
    """A broker's files contain the customers' events."""
    create_topic(kafka, "private")
    for server in (kafka, valkey):
        files = [server.directory, *server.directory.rglob("*")]
        assert len(files) > 1
        assert [] == [path for path in files if is_for_others(path)]


def is_for_others(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o077)
    except FileNotFoundError:
        # A running server writes files and gives them their names later.
        return False


def create_topic(kafka: EmbeddedKafka, topic: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    try:
        admin.create_topics({topic: {"num_partitions": 1}}, wait_for_metadata=True)
    finally:
        admin.close()


def publish(kafka: EmbeddedKafka, topic: str, values: list[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, acks="all")
    try:
        sent = [producer.send(topic, value) for value in values]
        for future in sent:
            future.get(timeout=30)
    finally:
        producer.close()


def read(kafka: EmbeddedKafka, topic: str) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers)
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        end = consumer.end_offsets([partition])[partition]
        values: list[bytes] = []
        while consumer.position(partition) < end:
            for records in consumer.poll(timeout_ms=1_000).values():
                values += [record.value for record in records]
        return values
    finally:
        consumer.close()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


@pytest.mark.kafka
def test_records_that_were_acknowledged_are_read_back_in_order(kafka: EmbeddedKafka) -> None:
    create_topic(kafka, "embedded-order")

    publish(kafka, "embedded-order", numbered(100))

    assert numbered(100) == read(kafka, "embedded-order")


@pytest.mark.kafka
def test_topics_are_not_created_by_asking_for_them(kafka: EmbeddedKafka) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, max_block_ms=1_000)
    try:
        with pytest.raises(KafkaTimeoutError):
            producer.send("embedded-made-up", b"value").get(timeout=10)
    finally:
        producer.close()

    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    try:
        assert "embedded-made-up" not in admin.list_topics()
    finally:
        admin.close()


@pytest.mark.kafka
def test_a_killed_broker_comes_back_with_its_records_and_a_stopped_one_is_gone(
    tmp_path: Path,
) -> None:
    with EmbeddedKafka(tmp_path) as own:
        address = own.bootstrap_servers
        create_topic(own, "kept")
        publish(own, "kept", numbered(100))

        [killed] = own.pids
        own.kill()
        assert not is_running(killed)
        own.start()

        assert address == own.bootstrap_servers
        assert numbered(100) == read(own, "kept")
        [stopped] = own.pids
    assert not is_running(stopped)
    assert [] == list(tmp_path.glob("*.pid"))


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.nightly
def test_three_nodes_lose_one_and_take_records_all_the_same(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path, nodes=3) as own:
        pids = own.pids
        assert 3 == len(pids)
        create_topic(own, "copied")
        publish(own, "copied", numbered(50))

        own.kill(2)
        publish(own, "copied", numbered(50))

        assert 2 * numbered(50) == read(own, "copied")
    assert not any(map(is_running, pids))


@pytest.mark.kafka
def test_a_broker_whose_port_is_taken_is_started_on_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server((HOST, 0)) as rival:
        taken = rival.getsockname()[1]
        offers = iter([[taken, *free_ports(1)]])
        monkeypatch.setattr(
            streams.embedded.server, "free_ports", lambda count: next(offers, free_ports(count))
        )
        with EmbeddedKafka(tmp_path) as own:
            assert f"{HOST}:{taken}" != own.bootstrap_servers
            assert 1 == len(own.pids)


@pytest.mark.kafka
def test_a_broker_that_cannot_start_says_why_and_is_gone(tmp_path: Path) -> None:
    own = EmbeddedKafka(tmp_path, properties={"num.io.threads": "none"})

    with pytest.raises(ServerFailedError, match=r"num\.io\.threads"):
        own.start()

    assert [] == own.pids


def test_a_server_that_ends_on_a_full_disk_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ServerProcess("false", tmp_path)
    server.start(["false"])
    server.wait(10)
    with pytest.raises(ServerFailedError) as failed:
        server.require_alive()
    assert "full" not in str(failed.value)

    monkeypatch.setattr("streams.embedded.process.FREE_BYTES_MIN", sys.maxsize)
    with pytest.raises(ServerFailedError) as failed:
        server.require_alive()
    assert f"The disk of {tmp_path} is full: make room" in str(failed.value)


def test_the_store_answers_and_a_stopped_one_is_gone(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as own, redis.Redis.from_url(own.url) as client:
        assert client.ping()
        [pid] = own.pids
    assert not is_running(pid)
    assert [] == list(tmp_path.glob("*.pid"))


def test_a_restarted_store_has_its_address_and_nothing_else(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as own:
        url = own.url
        with redis.Redis.from_url(url) as client:
            client.set("key", "value")
        own.restart()
        with redis.Redis.from_url(url) as client:
            assert url == own.url
            assert client.get("key") is None


PARENT = """
import signal, sys
# Whoever runs the tests may ignore it (nohup does), and children would too.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from streams.embedded.valkey import EmbeddedValkey
server = EmbeddedValkey()
server.start()
print(server.url, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("death", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_a_server_ends_when_its_parent_does(death: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout
        url = parent.stdout.readline()
        port = int(url.rpartition(":")[2].partition("/")[0])
        with socket.create_connection((HOST, port)) as connection:
            connection.settimeout(20)
            parent.send_signal(signal.Signals[death])
            # Nothing was asked, so the only thing to come is the end of the server.
            try:
                rest = connection.recv(1)
            except ConnectionResetError:
                rest = b""
            assert b"" == rest
