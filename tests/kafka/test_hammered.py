"""Clients that hammer the web port of a worker hardly raise the cost of the events that it folds.

Compares windows with and without hammering, within one run of one worker.
"""

import pytest

from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.benchmarks.hammer import KINDS
from tests.benchmarks.web_port import measure

pytestmark = [pytest.mark.kafka, pytest.mark.nightly, pytest.mark.timeout(600)]

#: A tenth is promised; the rest is for a machine that has other things to do. Without a ration the
#: same clients make an event several times as expensive, or stop the fold.
PRICE_MAX = 1.25


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_costs_hardly_more_while_clients_hammer(
    kind: str, kafka: EmbeddedKafka, valkey: EmbeddedValkey
) -> None:
    windows, price, _ = measure(kafka, valkey, kind, customers=1_000, seconds=3.0)

    assert len(windows) >= 5, "drained before it could be compared"
    # They were there, and were answered.
    assert kind == "slow" or all(window.answers for window in windows[1::2])
    assert price < PRICE_MAX, windows
