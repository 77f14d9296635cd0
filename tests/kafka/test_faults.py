"""Workers that end, stall, come and go: nothing is lost, nothing is done twice."""

from itertools import pairwise

import pytest

from agents.trials.demo.shop import ShopRecord
from config.topics import (
    CLICKSTREAM,
    CUSTOMER_EVENTS,
    CUSTOMERS,
    LABELLED_EXAMPLES,
    MODEL_SNAPSHOTS,
    RAW_TOPICS,
)
from models.events.times import iso
from models.events.wire import decode_line
from models.learning.lessons import decode_lesson
from models.learning.snapshot import encode_snapshot
from models.learning.trainer import Trainer
from models.parameters import load_parameters
from streams.changelog import STATE_KEY
from streams.kafka_clients import partition_for
from tests.kafka.deployment import Deployment, orderly_shop
from tests.kafka.exactness import assert_exact
from tests.kafka.points import BREAKING, VARIABLE, reached
from tests.kafka.worker import STOOD_STILL, Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.nightly
def test_a_worker_that_is_told_to_stop_finishes_what_it_has_in_hand(
    hard_times: Deployment,
) -> None:
    deployment, records = hard_times, orderly_shop(160)
    deployment.publish(records)
    first, second = deployment.start_workers(2)
    # Only who has a customer's partition of all topics can put their events in order.
    deployment.wait("they share", lambda: _shares(first) and _shares(second))
    deployment.wait("a fifth is folded", lambda: deployment.folded() > len(records) / 5)

    assert 0 == first.stop()
    # It left most of what was still to be read to the other one.
    assert not deployment.is_drained()
    assert second.metric("keepstream_events_total") < len(records)

    deployment.wait("all is read", deployment.is_drained)
    checked = assert_exact(deployment, published=len(records))
    assert 0 == checked["events:late"]


def _shares(worker: Worker) -> bool:
    """Whether it has half of the log, and the same partitions of the raw topics."""
    mine = worker.lag(CUSTOMER_EVENTS).keys()
    return len(mine) == 2 and all(mine == worker.lag(topic).keys() for topic in RAW_TOPICS)


def test_a_zombie_neither_commits_nor_wins(hard_times: Deployment) -> None:
    """It stalls when its effects are durable, and writes its rows when it wakes."""
    deployment, records = hard_times, orderly_shop(120)
    half = len(records) // 2
    deployment.publish(records[:half])
    zombie = deployment.start_worker(program=BREAKING, **{VARIABLE: "before rows:3:SIGSTOP"})
    deployment.wait("it stands still", lambda: reached("before rows") in zombie.log_text())
    zombie.is_paused = True
    (heir,) = deployment.start_workers(1)
    deployment.wait("the other took over", lambda: len(heir.lag(CUSTOMER_EVENTS)) == 4)
    deployment.publish(records[half:])
    deployment.wait("it goes on", lambda: deployment.folded() > len(records) / 4)
    before = deployment.committed(CUSTOMER_EVENTS)

    zombie.resume()
    assert 1 == zombie.wait()
    assert STOOD_STILL in zombie.log_text()
    after = deployment.committed(CUSTOMER_EVENTS)
    assert all(after[partition] >= offset for partition, offset in before.items())

    deployment.wait("all is read", deployment.is_drained)
    assert_exact(deployment, published=len(records))


@pytest.mark.nightly
def test_workers_may_join_and_leave_all_the_time(hard_times: Deployment) -> None:
    deployment, records = hard_times, orderly_shop(160)
    (steady,) = deployment.start_workers(1)
    with deployment.under_load(records, per_second=2_000):
        for _ in range(4):
            (passing,) = deployment.start_workers(1)
            deployment.wait("they share", lambda: len(steady.lag(CUSTOMER_EVENTS)) == 2)
            assert 0 == passing.stop()
    deployment.wait("all is read", deployment.is_drained)
    assert_exact(deployment, published=len(records))


@pytest.mark.nightly
def test_one_busy_customer_does_not_keep_the_others_waiting(deployment: Deployment) -> None:
    hot = b"hot"
    quiet = orderly_shop(60)
    busy = [
        ShopRecord(CLICKSTREAM, hot, _page(hot, quiet[0].occurred_at_ms + number), 0)
        for number in range(15 * len(quiet))
    ]
    deployment.publish([*busy, *quiet])
    deployment.start_workers(1)
    deployment.wait("all is read", deployment.is_drained)
    assert_exact(deployment, published=len(busy) + len(quiet))

    # When rows were written last: a sixteenth of the traffic takes no more than half of the time.
    written_ms: dict[int, list[int]] = {}
    for record in deployment.records(CUSTOMERS):
        if record.key != STATE_KEY:
            written_ms.setdefault(record.partition, []).append(record.timestamp)
    begun_ms = min(map(min, written_ms.values()))
    hot_ms = max(written_ms.pop(partition_for(hot, 4))) - begun_ms
    assert 3 == len(written_ms)
    assert max(map(max, written_ms.values())) - begun_ms < hot_ms / 2


def _page(customer: bytes, at_ms: int) -> bytes:
    return b'{"type":"page","userId":"%b","timestamp":"%b"}' % (customer, iso(at_ms).encode())


def test_a_killed_trainer_goes_on_from_its_last_snapshot(hard_times: Deployment) -> None:
    """It dies when a snapshot is durable that only some partitions have been told to adopt."""
    deployment, records = hard_times, orderly_shop(150)
    deployment.publish(records)
    first = deployment.start_worker(
        program=BREAKING, **{VARIABLE: "amid the announcement:10:SIGKILL"}
    )
    deployment.wait_for_kill("a few are published", first)
    before = deployment.ends(MODEL_SNAPSHOTS)[0]
    deployment.start_workers(1)
    deployment.wait("all is read", deployment.is_drained)

    # The oracle of the snapshots: the examples from the start, and the rule for when to draw.
    learner = Trainer(load_parameters(), partitions=deployment.settings.partitions)
    expected = []
    for offset, (_, _, value) in enumerate(deployment.read(LABELLED_EXAMPLES)):
        learner.learn(decode_lesson(value), offset)
        while learner.learn_next():
            if learner.is_due:
                content, _ = encode_snapshot(learner.draw(consumed=offset + 1))
                expected.append((str(learner.snapshot.version).encode(), content))
    published = [(key, value) for _, key, value in deployment.read(MODEL_SNAPSHOTS)]
    assert before < len(expected)
    assert expected == list(dict.fromkeys(published))

    for versions in _announced(deployment).values():
        assert all(earlier <= later for earlier, later in pairwise(versions))
        assert set(versions) == set(range(1, len(expected) + 1))
    checked = assert_exact(deployment, published=len(records))
    assert 0 == checked["events:late"]


def _announced(deployment: Deployment) -> dict[int, list[int]]:
    versions: dict[int, list[int]] = {}
    for partition, _, value in deployment.read(CUSTOMER_EVENTS):
        line = decode_line(value)
        if line.type == "model":
            versions.setdefault(partition, []).append(line.version or 0)
    return versions
