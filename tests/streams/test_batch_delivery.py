"""Record batches on a real broker, with real workers that are stopped, killed and blocked."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

from streams.embedded.kafka import EmbeddedKafka
from tests.streams.batch_lab import PARTITIONS, Lab

pytestmark = pytest.mark.kafka


@pytest.fixture
def lab(kafka: EmbeddedKafka, tmp_path: Path) -> Iterator[Lab]:
    with Lab(kafka.bootstrap_servers, tmp_path) as lab:
        yield lab


def first_occurrences(offsets: list[int]) -> list[int]:
    return list(dict.fromkeys(offsets))


@pytest.mark.slow
def test_nothing_is_lost_or_reordered_when_one_of_two_workers_is_killed(lab: Lab) -> None:
    left, right, output = lab.topic("left"), lab.topic("right"), lab.topic("copies")
    sources, options = (left, right), {"output": output, "max_batch_records": 100}
    lab.gate.touch()
    doomed = lab.start({left: "hold", right: "linger"}, **options)
    other = lab.start(dict.fromkeys(sources, "copy"), **options)
    published = 0
    while not all(any(worker.journal("done", s) for s in sources) for worker in (doomed, other)):
        published += 400
        for source in sources:
            lab.publish(source, 400)
        lab.wait_until(lambda: lab.all_committed(sources), "the first records are committed")

    # It dies with one batch read but not yet copied, and another copied but not yet acked.
    lab.gate.unlink()
    for source in sources:
        lab.publish(source, 10_000 - published)
    lab.wait_until(lambda: doomed.in_hand("holding", left), "it has a batch of one topic in hand")
    lab.wait_until(lambda: doomed.in_hand("lingering", right), "and of the other")
    doomed.kill()
    for source in sources:
        lab.publish(source, 5_000)
    lab.start(dict.fromkeys(sources, "copy"), **options)
    lab.wait_until(lambda: lab.all_committed(sources), "all is committed")

    copies = lab.copies(output)
    expected = list(range(15_000 // PARTITIONS))
    assert {(source, partition): expected for source in sources for partition in range(4)} == {
        key: first_occurrences(offsets) for key, offsets in copies.items()
    }
    assert sum(map(len, copies.values())) > 30_000, "what was copied but not acked comes again"


def test_a_worker_outlives_its_broker(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path / "kafka") as kafka, Lab(kafka.bootstrap_servers, tmp_path) as lab:
        source, output = lab.topic("source"), lab.topic("copies")
        worker = lab.start({source: "copy"}, output=output, max_batch_records=50)
        lab.publish(source, 2_000)
        lab.wait_until(lambda: worker.journal("done", source), "it copies")
        lab.disconnect()
        kafka.kill()
        kafka.restart()
        lab.connect()
        lab.publish(source, 2_000)
        lab.wait_until(lambda: lab.all_committed([source]), "it went on by itself")
        assert worker.pid
        assert {(source, p): list(range(1_000)) for p in range(4)} == {
            key: first_occurrences(offsets) for key, offsets in lab.copies(output).items()
        }
        assert 0 == worker.stop()


@pytest.mark.slow
def test_a_worker_that_slept_through_its_session_changes_nothing(lab: Lab) -> None:
    source, output = lab.topic("source"), lab.topic("copies")
    lab.publish(source, 400)
    sleeper = lab.start({source: "hold"}, output=output, max_batch_records=100)
    lab.wait_until(lambda: sleeper.journal("holding", source), "a batch is in hand")
    sleeper.send_signal(signal.SIGSTOP)
    lab.start({source: "copy"}, output=output)
    lab.wait_until(lambda: lab.all_committed([source]), "another has taken over")
    lab.gate.touch()
    sleeper.send_signal(signal.SIGCONT)
    # It ends the batch that is no longer its own, and finds that out; then it joins again.
    lab.wait_until(lambda: sleeper.journal("done", source), "it went on")
    assert lab.all_committed([source])
    while sleeper.journal("done", source) == sleeper.journal("holding", source) == 100:
        lab.publish(source, 40)
        lab.wait_until(lambda: lab.all_committed([source]), "all is committed")
    assert sleeper.pid


def test_sigterm_finishes_the_batch_in_hand_and_nothing_is_repeated(lab: Lab) -> None:
    source, output = lab.topic("source"), lab.topic("copies")
    lab.publish(source, 2_000)
    first = lab.start({source: "hold"}, output=output, max_batch_records=400)
    lab.wait_until(lambda: first.journal("holding", source), "a batch is in hand")
    first.send_signal(signal.SIGTERM)
    lab.wait_until(lambda: "stopping" in first.log_since_start(), "it stops")
    lab.gate.touch()
    assert 0 == first.wait(5.0)
    in_hand = first.journal("holding", source)
    assert in_hand == first.journal("done", source) == sum(lab.committed(source).values())
    assert 0 < in_hand < 2_000

    lab.start({source: "copy"}, output=output)
    lab.wait_until(lambda: lab.all_committed([source]), "the rest is committed")
    assert {(source, p): list(range(500)) for p in range(4)} == lab.copies(output)


def test_a_blocked_agent_delays_the_end_only_so_long_and_is_not_committed(lab: Lab) -> None:
    source = lab.topic("source")
    lab.publish(source, 100)
    worker = lab.start({source: "hold"}, output=lab.topic("copies"), drain_timeout_s=1.0)
    lab.wait_until(lambda: worker.journal("holding", source), "a batch is in hand")
    assert 0 == worker.stop(8.0)
    assert "gave up waiting for the agents of" in worker.log_since_start()
    assert {} == lab.committed(source)


def test_an_agent_that_raises_ends_the_process_and_its_batch_is_not_committed(lab: Lab) -> None:
    source, output = lab.topic("source"), lab.topic("copies")
    lab.publish(source, 40)
    worker = lab.start({source: "fail"}, output=output)
    lab.wait_until(lambda: lab.all_committed([source]), "what came before is committed")
    lab.publish(source, 40, b"poison")
    assert 1 == worker.wait(15.0)
    assert "worker failed: RuntimeError: the agent met poison" in worker.log_since_start()
    assert 1 == worker.journal("raising", source)
    assert dict.fromkeys(range(4), 10) == lab.committed(source)
    # And again after a restart: it isn't skipped.
    again = lab.start({source: "fail"}, output=output)
    assert 1 == again.wait(15.0)
    assert dict.fromkeys(range(4), 10) == lab.committed(source)


def test_an_agent_that_returns_ends_the_process(lab: Lab) -> None:
    source = lab.topic("source")
    lab.publish(source, 40)
    worker = lab.start({source: "return"})
    assert 1 == worker.wait(15.0)
    assert f"Agent take-{source} returned" in worker.log_since_start()


def test_a_blocked_topic_does_not_stop_another(lab: Lab) -> None:
    blocked, free, output = lab.topic("blocked"), lab.topic("free"), lab.topic("copies")
    lab.publish(blocked, 2_000)
    worker = lab.start({blocked: "hold", free: "copy"}, output=output, max_batch_records=400)
    lab.wait_until(lambda: worker.journal("holding", blocked), "one topic is blocked")
    lab.publish(free, 4_000)
    lab.wait_until(lambda: lab.all_committed([free]), "the other topic is done")
    assert 0 == worker.journal("done", blocked)
    assert {} == lab.committed(blocked)
    lab.gate.touch()
    lab.wait_until(lambda: lab.all_committed([blocked]), "the blocked topic goes on")


def test_released_batches_are_committed_only_when_told_to(lab: Lab) -> None:
    source = lab.topic("source")
    lab.publish(source, 2_000)
    first = lab.start({source: "release"}, max_batch_records=400)
    lab.wait_until(lambda: first.journal("done", source) == 2_000, "all is read")
    assert 0 == first.stop()
    assert {} == lab.committed(source)

    second = lab.start({source: "release"}, max_batch_records=400)
    lab.wait_until(lambda: second.journal("done", source) == 2_000, "all is read again")
    lab.gate.touch()
    lab.publish(source, 4)
    lab.wait_until(lambda: lab.all_committed([source]), "all is committed")


@pytest.mark.slow
@pytest.mark.nightly
def test_lag_reaches_zero_after_workers_joined_and_left_all_the_time(lab: Lab) -> None:
    source, output = lab.topic("source"), lab.topic("copies")
    options = {"output": output, "max_batch_records": 200, "session_timeout_s": 6.0}
    staying = lab.start({source: "copy"}, **options)
    published = 0
    for round_ in range(6):
        passing = lab.start({source: "copy"}, **options)
        while not passing.journal("done", source):
            lab.publish(source, 40)
            published += 40
        # The third goes without a goodbye, and the group has to find out.
        if round_ == 2:
            passing.kill()
        else:
            assert 0 == passing.stop()
    lab.wait_until(lambda: lab.all_committed([source]), "lag is zero")
    assert staying.pid
    assert {(source, p): list(range(published // 4)) for p in range(4)} == {
        key: first_occurrences(offsets) for key, offsets in lab.copies(output).items()
    }


def test_records_deleted_before_they_were_read_end_the_process(lab: Lab) -> None:
    source = lab.topic("source")
    lab.publish(source, 400)
    tp = TopicPartition(source, 1)
    lab.admin.alter_group_offsets(lab.group_id, {tp: OffsetAndMetadata(10, "", -1)})
    lab.admin.delete_records({tp: 50})
    worker = lab.start({source: "count"})
    assert 1 == worker.wait(15.0)
    assert f"{source}-1 goes on at offset 50, but 10 was to be next" in worker.log_since_start()
    assert "retention.ms" in worker.log_since_start()


def test_a_topic_made_anew_ends_the_process(lab: Lab) -> None:
    source = lab.topic("source")
    lab.publish(source, 400)
    tp = TopicPartition(source, 2)
    lab.admin.alter_group_offsets(lab.group_id, {tp: OffsetAndMetadata(1_000, "", -1)})
    worker = lab.start({source: "count"})
    assert 1 == worker.wait(15.0)
    assert "created again" in worker.log_since_start()
