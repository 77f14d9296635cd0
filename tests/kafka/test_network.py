"""Connections between workers and broker that break, stall, crawl, or let nothing through."""

import random
from collections.abc import Callable
from pathlib import Path
from time import sleep

import pytest

from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.ports import HOST
from streams.embedded.valkey import EmbeddedValkey
from tests.kafka.deployment import Deployment, orderly_shop
from tests.kafka.exactness import assert_exact
from tests.kafka.proxy import Proxy

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900)]

FAULTS: dict[str, Callable[[Proxy], None]] = {
    "breaks every connection": Proxy.cut,
    "refuses": Proxy.refuse,
    "is late": lambda proxy: proxy.delay(0.3),
    "crawls": lambda proxy: proxy.throttle(20_000),
    "swallows": Proxy.swallow,
}
#: Between two faults.
CALM_S = (0.2, 2.0)


@pytest.mark.parametrize(
    ("customers", "rounds", "longest_s"),
    [
        pytest.param(60, 1, 2.0, id="each once"),
        # Beyond the session of a worker, whose partitions go to another one then.
        pytest.param(400, 6, 15.0, id="for long", marks=pytest.mark.nightly),
    ],
)
def test_a_network_that_breaks_and_delays_changes_nothing(
    valkey: EmbeddedValkey, tmp_path: Path, customers: int, rounds: int, longest_s: float
) -> None:
    """Events published in between go through the same network."""
    records, chance = orderly_shop(customers), random.Random(rounds)
    proxy = Proxy(lambda: kafka.ports[0])
    address = f"{HOST}:{proxy.port}"
    kafka = EmbeddedKafka(
        tmp_path / "kafka", properties={"advertised.listeners": f"PLAINTEXT://{address}"}
    )
    with (
        proxy,
        kafka,
        Deployment(
            address, valkey.url, f"net{rounds}.", tmp_path, max_batch_records=200
        ) as deployment,
    ):
        half = len(records) // 2
        deployment.publish(records[:half])
        deployment.start_workers(2)
        with deployment.under_load(records[half:], per_second=half // 5):
            for _ in range(rounds):
                for name in chance.sample(list(FAULTS), len(FAULTS)):
                    FAULTS[name](proxy)
                    sleep(chance.uniform(longest_s / 4, longest_s))
                    proxy.heal()
                    sleep(chance.uniform(*CALM_S))
        deployment.wait("all is read", lambda: deployment.is_drained_by(2))
        assert_exact(deployment, published=len(records))
