"""A collector without Kafka, for tests of its sites."""

from agents.collector.taking import Collector
from config.sources import Senders
from models.parameters import load_parameters
from streams.collector.metrics import CollectorMetrics
from tests.agents.test_collector import FakeOutbox


def a_collector() -> tuple[Collector, CollectorMetrics, FakeOutbox]:
    """A collector without sources."""
    senders, outbox, metrics = Senders({}), FakeOutbox(), CollectorMetrics(())
    return Collector(senders, load_parameters(), {}, outbox, metrics), metrics, outbox
