"""What tests of more than one room need: the real broker and the real store.

Both are started once, when the first test asks for them, on free loopback ports in a temporary
directory. Tests share them, so a test makes topics and keys of its own and leaves them running; one
that stops or kills a server starts its own. Mark every test that needs the broker with ``kafka``.
"""

import gc
from collections.abc import Iterator

import pytest

from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.examples import choose_examples

# Assertions there show what differs.
pytest.register_assert_rewrite("tests.kafka.exactness")


def pytest_configure(config: pytest.Config) -> None:
    # For all tests alike, whichever are run: by default hypothesis fails an example that takes .2
    # s.
    choose_examples(config)
    # kafka-python 3.0.12 leaves a socket to the garbage collector when a connection is refused, as
    # it is by a broker that a test has killed. Sockets that were connected are still reported.
    config.addinivalue_line(
        "filterwarnings",
        r"ignore:unclosed <socket\.socket .*laddr=\('0\.0\.0\.0', \d+\)>:ResourceWarning",
    )


def pytest_collection_finish() -> None:
    # Fifteen thousand tests stay alive until the end: exempt them from garbage collection.
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """Apache Kafka, one node."""
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """Valkey, empty at first."""
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as running:
        yield running
