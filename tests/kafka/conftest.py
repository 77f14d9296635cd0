"""A deployment for each test: topics of its own on the shared broker, no workers yet."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.kafka.deployment import Deployment


@pytest.fixture
def deployment(
    kafka: EmbeddedKafka, valkey: EmbeddedValkey, tmp_path: Path
) -> Iterator[Deployment]:
    """Batches are small, so that a fault finds some in every stage."""
    prefix = f"{tmp_path.name}."
    servers = kafka.bootstrap_servers
    with Deployment(servers, valkey.url, prefix, tmp_path, max_batch_records=500) as deployment:
        yield deployment
