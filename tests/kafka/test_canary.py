"""A customer whose data is everywhere in a deployment is erased, and after some time is nowhere.

The broker's retention and compaction are set to be short; the product is not told. The test
searches every record of every topic as a consumer reads it and as it is on the broker's disk, every
key of Redis of any type, everything in the archive that can be opened, the rows' scratch files, and
the logs of all processes.
"""

import signal
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from kafka.admin import ConfigResource
from redis import Redis

from agents.standing.services import STORE_OPTIONS
from agents.standing.upkeep import StoreFile
from agents.trials.demo.shop import ShopRecord
from config import topics
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.valkey import EmbeddedValkey
from streams.graves import Fingerprints
from streams.kafka_clients import new_admin
from tests.kafka import canary
from tests.kafka.canary import MARK, USER, VISITOR
from tests.kafka.deployment import PATIENT_MS, START_MS, Deployment, orderly_shop
from tests.kafka.test_archive import readable
from tests.kafka.test_erasure import asked
from tests.kafka.test_webhooks import Deliverer, Receiver, declare

pytestmark = [pytest.mark.kafka, pytest.mark.nightly, pytest.mark.timeout(600)]

HOUR_MS = 3_600_000
#: How often the broker looks at what has expired, and at what may be compacted.
OFTEN = {
    "log.initial.task.delay.ms": "0",
    "log.retention.check.interval.ms": "500",
    "log.cleaner.backoff.ms": "200",
    "log.segment.delete.delay.ms": "0",
}
#: As if the days had passed that topics keep what they have, and the one until they are compacted.
EXPIRED = {"retention.ms": "5000", "segment.ms": "1000"}
COMPACTED = {
    "segment.ms": "1000",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "1000",
    "min.cleanable.dirty.ratio": "0.001",
    "delete.retention.ms": "0",
}
#: What is kept for ever, and so must have nothing of anybody who is erased at once.
FOR_EVER = (topics.CUSTOMER_ARCHIVE, topics.LABELLED_EXAMPLES, topics.MODEL_SNAPSHOTS)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Deployment]:
    """Servers for this test only, whose disks have nothing from other tests."""
    with (
        EmbeddedKafka(tmp_path / "kafka", properties=OFTEN) as kafka,
        EmbeddedValkey(tmp_path / "valkey", keeps_data=True, options=STORE_OPTIONS) as valkey,
        Deployment(
            kafka.bootstrap_servers,
            valkey.url,
            "bird.",
            tmp_path / "deployment",
            archive="on",
            session_timeout_ms=PATIENT_MS,
        ) as deployment,
    ):
        yield deployment


def test_of_whoever_was_erased_nothing_is_left_after_the_stated_times(place: Deployment) -> None:
    _erase_and_look(place, others=[])


def test_nor_among_many_customers_whose_workers_are_killed(place: Deployment) -> None:
    others = orderly_shop(400, days=60, start_ms=START_MS - 70 * 24 * HOUR_MS)
    _erase_and_look(place, others=others, kills=3)


def _erase_and_look(place: Deployment, others: list[ShopRecord], kills: int = 0) -> None:
    (place.directory / "rows").mkdir(parents=True)
    outside = place.directory.parent / "receiver"
    outside.mkdir()
    receiver = Receiver("receiver", outside)
    receiver.start(*[400] * 3)
    declare(place, crm={"url": receiver.url})
    deliverer = Deliverer(place)
    try:
        _live(place, deliverer, others, kills)
        _assert_is_everywhere(place)
        _erase(place)
        _assert_gone_at_once(place)
        _let_time_pass(place)
        _assert_gone(place)
        assert_still_erased(place)
    finally:
        for process in (receiver.process, deliverer.process):
            process.kill()


def _live(place: Deployment, deliverer: Deliverer, others: list[ShopRecord], kills: int) -> None:
    rows = {"KEEPSTREAM_ROWS_DIR": str(place.directory / "rows")}
    for _ in range(1 + bool(kills)):
        place.start_worker(**rows)
    place.wait("the deliverer is ready", deliverer.is_ready)
    begin_ms = START_MS - 5 * HOUR_MS
    place.publish([*others, *canary.cart_left_alone(begin_ms)])
    place.publish(canary.of_somebody_else(0, begin_ms + 3 * HOUR_MS))
    place.wait("there are decisions", lambda: _decided(place))
    for _ in range(kills):
        place.alive[0].stop(signal.SIGKILL)
        place.start_worker(**rows)
    place.publish(canary.life())
    place.wait("all is done", place.is_drained)
    place.wait("something is undelivered", lambda: bool(place.read(topics.UNDELIVERED)))


def _decided(place: Deployment) -> bool:
    with Redis.from_url(place.settings.redis_url) as store:
        return bool(store.keys("*next-best-action")) and bool(store.keys(f"*customer:{USER}"))


def _assert_is_everywhere(place: Deployment) -> None:
    """Otherwise finding nothing afterwards would prove nothing."""
    full = {topic for topic in _topics(place) if any(MARK in one for one in _read(place, topic))}
    kept = {*FOR_EVER, topics.UNDELIVERED}
    assert {*_topics(place)} - kept == full
    assert [] != [one for one in readable(place) if MARK in one]
    assert [] != [key for key, held in canary.in_store(place.settings.redis_url) if MARK in held]
    assert [] != [path for path, said in canary.in_segments(_disk(place)) if MARK in said]


def _topics(place: Deployment) -> list[str]:
    settings = place.settings
    declared = topics.topics(settings.partitions, 1, has_archive=True)
    return [topic.name for topic in declared]


def _read(place: Deployment, topic: str) -> list[bytes]:
    return [canary.told_by(record) for record in place.records(topic)]


def _disk(place: Deployment) -> Path:
    return place.directory.parent / "kafka" / "node-1"


def _erase(place: Deployment) -> None:
    # As of then, all that was is over.
    last_ms = START_MS + 200 * HOUR_MS
    place.publish(canary.of_somebody_else(1, last_ms))
    place.wait("all is done", place.is_drained)
    said = asked(place, USER, "--because", "asked by letter")
    assert {USER, VISITOR} <= {*said.stdout.replace(",", " ").split()}
    place.wait("it is done", lambda: not asked(place, "status", USER).exit_code)
    place.wait("all is done", place.is_drained)


def _assert_gone_at_once(place: Deployment) -> None:
    """From everything that is kept for ever, and everything that the product itself deletes."""
    for topic in FOR_EVER:
        assert [] == [one for one in _read(place, topic) if MARK in one]
    assert [] == [one for one in readable(place) if MARK in one]
    place.wait("Redis has nothing", lambda: not _in_redis(place), timeout_s=60)
    assert [] == _in_rows(place)
    assert [] == _in_logs(place)


def _in_redis(place: Deployment) -> list[str]:
    return [key for key, held in canary.in_store(place.settings.redis_url) if MARK in held]


def _in_rows(place: Deployment) -> list[str]:
    """Unnamed files that workers have open."""
    found = []
    for worker in place.alive:
        for one in Path(f"/proc/{worker.process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                if "/rows/" in str(one.readlink()) and MARK in one.read_bytes():
                    found.append(str(one.readlink()))
    return found


def _in_logs(place: Deployment) -> list[Path]:
    """What processes logged, and other files in the deployment's directory."""
    return [path for path, said in canary.in_files([place.directory]) if MARK in said]


def _let_time_pass(place: Deployment) -> None:
    """Let the broker do what it does as days pass, with events of other customers."""
    with closing(new_admin(place.settings)) as admin:
        admin.alter_configs(
            [
                ConfigResource("TOPIC", place.settings.topic(topic.name), _passed(topic))
                for topic in topics.topics(place.settings.partitions, 1, has_archive=True)
                if topic.name not in FOR_EVER
            ]
        )
    assert _in_store_file(place)
    file = StoreFile(place.settings.redis_url)

    def is_new() -> bool:
        file.tend()
        return not _in_store_file(place)

    place.wait("the store's file is new", is_new, timeout_s=60)
    round_ = 2

    def is_gone() -> bool:
        nonlocal round_
        place.publish(canary.of_somebody_else(round_, START_MS + (200 + round_) * HOUR_MS))
        round_ += 1
        place.wait("all is done", place.is_drained)
        return not _on_disk(place)

    place.wait("the broker has deleted it", is_gone, timeout_s=120)


def _in_store_file(place: Deployment) -> list[Path]:
    folder = place.directory.parent / "valkey"
    return [path for path, said in canary.in_files([folder]) if MARK in said]


def _passed(topic: topics.Topic) -> dict[str, str]:
    policy = topic.config["cleanup.policy"]
    found: dict[str, str] = {**topic.config}
    found |= COMPACTED if "compact" in policy else {}
    found |= EXPIRED if "delete" in policy else {}
    return found


def _on_disk(place: Deployment) -> set[str]:
    """Topics and partitions with a segment that contains data of the person."""
    return {path.parent.name for path, said in canary.in_segments(_disk(place)) if MARK in said}


def _assert_gone(place: Deployment) -> None:
    for topic in _topics(place):
        assert [] == [one for one in _read(place, topic) if MARK in one]
    assert set() == _on_disk(place)
    assert [] == _in_redis(place)
    assert [] == _in_rows(place)
    assert [] == _in_logs(place)
    # Also where records are not looked for: indexes, checkpoints, the broker's own topics and log.
    assert [] == [path for path, said in canary.in_files([_disk(place).parent]) if MARK in said]
    assert [] == _in_store_file(place)
    # What remains: a fingerprint of each id, by which they are kept from coming back.
    fingerprints = Fingerprints(place.settings.erasure_salt)
    keys = [record.key or b"" for record in place.records(topics.CUSTOMERS)]
    for id_ in (USER, VISITOR):
        assert any(fingerprints.of(id_) in key for key in keys)


def assert_still_erased(place: Deployment) -> None:
    """Events that are sent again do not restore the person, and the archive gives the rest."""
    place.publish(canary.life())
    place.wait("all is done", place.is_drained)
    assert place.live_customer(USER) is None
    assert [] == [one for one in _read(place, topics.CUSTOMERS) if MARK in one]
