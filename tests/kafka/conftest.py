"""A deployment for each test: topics of its own on the shared broker, no workers yet.

Batches are small, so that a fault hits some in every stage.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.kafka.deployment import PATIENT_MS, Deployment


@pytest.fixture
def deployment(
    kafka: EmbeddedKafka, valkey: EmbeddedValkey, tmp_path: Path
) -> Iterator[Deployment]:
    """For workers without faults: sessions are long, however busy the machine is."""
    with _deployment(kafka, valkey, tmp_path, session_timeout_ms=PATIENT_MS) as deployment:
        yield deployment


@pytest.fixture
def hard_times(
    kafka: EmbeddedKafka, valkey: EmbeddedValkey, tmp_path: Path
) -> Iterator[Deployment]:
    """For workers that die or stall: others take over soon."""
    with _deployment(kafka, valkey, tmp_path) as deployment:
        yield deployment


def _deployment(
    kafka: EmbeddedKafka, valkey: EmbeddedValkey, directory: Path, **overrides: int
) -> Deployment:
    return Deployment(
        kafka.bootstrap_servers,
        valkey.url,
        f"{directory.name}.",
        directory,
        max_batch_records=500,
        **overrides,
    )
