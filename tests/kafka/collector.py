"""A collector under test: a process of its own, configured by its environment."""

import json
import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import aiohttp
from kafka import KafkaConsumer, TopicPartition

from config.settings import Settings, load_settings
from config.sources import hash_of
from config.topics import DEAD_LETTERS, RAW_TOPICS
from streams.embedded.ports import free_ports
from streams.embedded.process import (
    ServerProcess,
    killed_on_failure,
    stop_all,
    wait_until_ready,
)
from streams.kafka_clients import client_options
from streams.topics import create_topics
from tests.kafka.worker import PRESENT

KEY = "c0123456789012345678abcde"
SOURCE = "shop"
READY_S = 60.0
STOP_S = 30.0


class CollectorProcess:
    """One `keepstream collector` on topics of its own, with one source."""

    def __init__(self, bootstrap_servers: str, prefix: str, directory: Path) -> None:
        self.settings: Settings = load_settings(
            {}, bootstrap_servers=bootstrap_servers, topic_prefix=prefix
        )
        self.port, self.web_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = ServerProcess("collector", directory)

    def start(self, variables: Mapping[str, str] | None = None) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "KEEPSTREAM_BOOTSTRAP_SERVERS": self.settings.bootstrap_servers,
            "KEEPSTREAM_TOPIC_PREFIX": self.settings.topic_prefix,
            "KEEPSTREAM_COLLECTOR_KEYS": f"{SOURCE}={hash_of(KEY)}",
            "KEEPSTREAM_COLLECTOR_PORT": str(self.port),
            "KEEPSTREAM_WEB_PORT": str(self.web_port),
            **(variables or {}),
        }
        command = [PRESENT.python, "-m", PRESENT.module, "collector"]
        self.process.start(command, PRESENT.environment(environment))
        wait_until_ready([self.process], self.is_ready, READY_S)

    def is_ready(self) -> bool:
        try:
            return self.get(self.port, "/health/ready")[0] == 200
        except OSError:
            return False

    def get(self, port: int, path: str) -> tuple[int, bytes]:
        with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as client:
            client.request("GET", path)
            answer = client.getresponse()
            return answer.status, answer.read()

    def post(
        self, batch: list[dict[str, Any]], headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=30)) as client:
            sent = {"Authorization": aiohttp.encode_basic_auth(KEY, ""), **(headers or {})}
            client.request("POST", "/v1/batch", json.dumps({"batch": batch}), sent)
            answer = client.getresponse()
            return answer.status, json.loads(answer.read())

    def published(self, topics: Iterable[str] = (*RAW_TOPICS, DEAD_LETTERS)) -> list[Any]:
        """All records of these topics so far."""
        partitions = [
            TopicPartition(self.settings.topic(topic), number)
            for topic in topics
            for number in range(self.settings.partitions)
        ]
        with closing(KafkaConsumer(**client_options(self.settings))) as reader:
            reader.assign(partitions)
            reader.seek_to_beginning(*partitions)
            ends = reader.end_offsets(partitions)
            found: list[Any] = []
            while len(found) < sum(ends[one] for one in partitions):
                for records in reader.poll(timeout_ms=500).values():
                    found += records
            return found

    def stop(self) -> int | None:
        """Ask it to end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)


@contextmanager
def collecting(
    bootstrap_servers: str,
    prefix: str,
    directory: Path,
    variables: Mapping[str, str] | None = None,
) -> Iterator[CollectorProcess]:
    """A running collector, with its topics created."""
    collector = CollectorProcess(bootstrap_servers, prefix, directory)
    create_topics(collector.settings)
    with killed_on_failure([collector.process]):
        collector.start(variables)
        yield collector
    stop_all([collector.process], STOP_S)
