"""Every program that `make bench` compares writes the same triggers, on a real broker."""

from pathlib import Path

import pytest

from config.settings import load_settings
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.benchmarks.peers.programs import PEERS, PeerProgram, runs_here
from tests.benchmarks.peers.race import Race, by_id
from tests.benchmarks.peers.shop_log import Keyed, expected_triggers, log_of, shop_records
from tests.benchmarks.whole_engine import WholeEngine

pytestmark = [pytest.mark.kafka, pytest.mark.nightly]
CUSTOMERS = 30


@pytest.mark.parametrize(
    "program", [pytest.param(one, id=one.name) for one in PEERS if runs_here(one)]
)
def test_a_peer_writes_the_jobs_triggers(
    program: PeerProgram, kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    settings = load_settings({}, bootstrap_servers=kafka.bootstrap_servers)
    race = Race(settings, tmp_path, log_of(shop_records(CUSTOMERS)), prefix=f"{tmp_path.name}-")

    assert race.triggers > 2 * CUSTOMERS
    assert race.run(program).cpu_s > 0


@pytest.mark.parametrize(
    "is_in_log", [pytest.param(False, id="two hops"), pytest.param(True, id="one hop")]
)
def test_keepstream_writes_the_jobs_triggers(
    kafka: EmbeddedKafka, valkey: EmbeddedValkey, tmp_path: Path, *, is_in_log: bool
) -> None:
    records = shop_records(CUSTOMERS)
    expected = by_id(expected_triggers(Keyed(one.key or b"", one.value) for one in records))
    whole = WholeEngine(kafka, valkey, tmp_path)

    assert whole.job(records, expected, is_in_log=is_in_log).cpu_s > 0
