"""The ``server.properties`` of an embedded Kafka node."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.embedded.ports import HOST


@dataclass(frozen=True)
class Address:
    """Where one node listens: to clients and brokers, and to controllers."""

    node_id: int
    broker_port: int
    controller_port: int


def server_properties(
    node: Address, cluster: Sequence[Address], data_dir: Path, extra: Mapping[str, str]
) -> str:
    """Return the properties of ``node``, broker and controller in one, in a cluster of 1 or 3.

    With three nodes, every record is on all of them and two must acknowledge it, so that a cluster
    that has lost one node still accepts records and loses none.
    """
    copies = len(cluster)
    acknowledged = min(2, copies)
    properties = {
        "process.roles": "broker,controller",
        "node.id": node.node_id,
        "controller.quorum.voters": ",".join(
            f"{peer.node_id}@{HOST}:{peer.controller_port}" for peer in cluster
        ),
        "listeners": (
            f"PLAINTEXT://{HOST}:{node.broker_port},CONTROLLER://{HOST}:{node.controller_port}"
        ),
        "advertised.listeners": f"PLAINTEXT://{HOST}:{node.broker_port}",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": data_dir.as_posix(),
        # A topic that a client created by mistake would have one partition, and its worker would
        # hang.
        "auto.create.topics.enable": "false",
        "default.replication.factor": copies,
        "min.insync.replicas": acknowledged,
        "offsets.topic.num.partitions": 8,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": acknowledged,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": acknowledged,
        # Waiting for more members would only delay a single worker.
        "group.initial.rebalance.delay.ms": 0,
        # A node that died stays registered until its session ends, and can't restart before that.
        "broker.session.timeout.ms": 4_000,
        "broker.heartbeat.interval.ms": 500,
        **extra,
    }
    return "".join(f"{name}={value}\n" for name, value in properties.items())
