"""Killing workers changes nothing: not the state, not the scores, not the decisions."""

from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from agents.trials.demo.shop import ShopConfig, simulate
from config.compiled import COMPILED, INTERPRETED
from config.topics import CUSTOMER_EVENTS
from models.events.line import LINK_TYPES
from models.learning.label_sampling import LabelSampling
from models.learning.snapshot import decode_snapshot
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from tests.compiled_tree import compiled_tree
from tests.kafka.deployment import START_MS, Deployment
from tests.kafka.exactness import assert_commits_are_durable, assert_exact, assert_replayed
from tests.kafka.points import BREAKING, VARIABLE
from tests.kafka.storm import Storm
from tests.kafka.visitors import with_visitors
from tests.kafka.worker import PRESENT

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

#: Less than the shop brings, so that only some decision points are kept.
BOUND = "learning.lessons_per_s=0.00015"
REREAD = "keepstream_reread_records_total"


class Scale(NamedTuple):
    """The size of the shop, the least number of events, and the number of kills."""

    customers: int
    events_min: int
    kills: int


def test_killed_workers_and_a_killed_trainer_change_neither_state_nor_scores_nor_decisions(
    kafka: EmbeddedKafka, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    with shop_with_a_bound(kafka, valkey, "kill.", tmp_path) as deployment:
        survive_a_storm(deployment, Scale(customers=130, events_min=8_000, kills=6))


@pytest.mark.nightly
def test_a_storm_of_kills_changes_nothing_brokers_included(
    valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    with (
        EmbeddedKafka(tmp_path / "kafka") as kafka,
        shop_with_a_bound(kafka, valkey, "storm.", tmp_path) as deployment,
    ):
        survive_a_storm(deployment, Scale(customers=1_750, events_min=100_000, kills=60), kafka)


def shop_with_a_bound(
    kafka: EmbeddedKafka, valkey: EmbeddedValkey, prefix: str, directory: Path
) -> Deployment:
    section, _, line = BOUND.partition(".")
    parameters = directory / "parameters.toml"
    parameters.write_text(f"[{section}]\n{line}\n")
    return Deployment(
        kafka.bootstrap_servers,
        valkey.url,
        prefix,
        directory,
        # Whoever is killed is replaced by the other flavour.
        programs=(PRESENT, PRESENT._replace(source=compiled_tree())),
        parameters=str(parameters),
    )


def survive_a_storm(
    deployment: Deployment, scale: Scale, kafka: EmbeddedKafka | None = None
) -> None:
    shop = ShopConfig(seed=11, customers=scale.customers, start_ms=START_MS, days=200)
    records = list(with_visitors(simulate(shop)))
    assert len(records) >= scale.events_min
    # Before there are workers: a kill that finds them idle would prove nothing.
    most = len(records) * 9 // 10
    deployment.publish(records[:most])
    deployment.start_worker()
    # With rows that are durable and not acked; a random kill just after a commit leaves nothing
    # to read again.
    first = deployment.start_worker(program=BREAKING, **{VARIABLE: "before the ack:6:SIGKILL"})
    deployment.wait_for_kill("it has a batch in hand", first)
    assert_commits_are_durable(deployment)
    # Where rows are kept makes no difference, either.
    deployment.start_worker(KEEPSTREAM_ROWS_DIR=str(deployment.directory))
    # Asked before the storm, which takes the counts of those that it kills along.
    deployment.wait("records are read again", lambda: deployment.metric(REREAD) >= 1)

    storm = Storm(deployment, seed=5, kafka=kafka)
    storm.rage(scale.kills - 1)
    deployment.publish(records[most:])
    deployment.wait("all is read", lambda: _is_drained(storm, deployment), timeout_s=400)
    deployment.wait("workers are ready", lambda: all(w.is_ready() for w in deployment.alive))
    log = [msgspec.json.decode(value) for _, _, value in deployment.read(CUSTOMER_EVENTS)]
    assert LINK_TYPES <= {line["type"] for line in log}
    checked = assert_exact(deployment, published=len(records), assignments=[BOUND])
    exact = assert_replayed(deployment, assignments=[BOUND])
    assert max(sampling.one_in for sampling in samplings(deployment)) > 1
    assert {0} == {worker.stop() for worker in deployment.alive}
    for flavour in (COMPILED, INTERPRETED):
        assert any(f"({flavour}) starts" in w.log_text() for w in deployment.workers)
    if kafka is None:
        assert [] == storm.unexplained()
    # Shown by pytest -s.
    print(f"\n{storm}, and 1 with a batch in hand; {checked['rawRecords']} events checked")  # noqa: T201
    print(exact)  # noqa: T201


def samplings(deployment: Deployment) -> list[LabelSampling]:
    """From all exported snapshots: at the end of all events few labels are expected."""
    files = (deployment.directory / "models").glob("*.json")
    return [decode_snapshot(file.read_bytes()).of(LabelSampling) for file in files]


def _is_drained(storm: Storm, deployment: Deployment) -> bool:
    """Whether everything is done; workers that end by themselves are replaced until then."""
    storm.replace()
    return deployment.is_drained()
