"""A collector without Kafka, to look at its sites."""

from agents.collector.taking import Collector
from config.sources import Senders
from models.parameters import load_parameters
from streams.collector.metrics import CollectorMetrics
from tests.agents.test_collector import FakeOutbox


def a_collector() -> tuple[Collector, CollectorMetrics, FakeOutbox]:
    """One that nobody may send to."""
    senders, outbox, metrics = Senders({}), FakeOutbox(), CollectorMetrics(())
    return Collector(senders, load_parameters(), {}, outbox, metrics), metrics, outbox
