"""Log lines of Faust, mode and the Kafka clients become one sentence per cause, once a minute."""

import logging
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from streams.library_lines import (
    LINES,
    REPEAT_S,
    UNKNOWN_MAX,
    LibraryCause,
    LibraryLine,
    LibraryLines,
)

AWAY, CHANGES, MOVES = (
    LibraryCause.BROKER_AWAY,
    LibraryCause.GROUP_CHANGES,
    LibraryCause.LEADER_MOVES,
)
MISSING, REFUSED, NOTHING = (
    LibraryCause.TOPIC_MISSING,
    LibraryCause.NOT_ALLOWED,
    LibraryCause.NOTHING_NEW,
)

#: Logger, severity, text and arguments as the libraries have them; most are from real outages.
WRITTEN = [
    ("aiokafka", "ERROR", "Unable connect to node with id %s: %s", (1, "refused"), AWAY),
    ("aiokafka", "ERROR", 'Unable connect to "%s:%s": %s', ("kafka", 9092, "no"), AWAY),
    ("aiokafka", "ERROR", "Unable to update metadata from %s", ([1],), AWAY),
    (
        "aiokafka",
        "WARNING",
        "Unable to request metadata from node with id %s: %r",
        (1, TimeoutError()),
        AWAY,
    ),
    (
        "aiokafka.producer.sender",
        "WARNING",
        "Got error produce response: %s",
        ("NodeNotReadyError",),
        AWAY,
    ),
    (
        "aiokafka.producer.sender",
        "WARNING",
        "Got error produce response: %s",
        ("TopicAuthorizationFailedError",),
        REFUSED,
    ),
    (
        "aiokafka.producer.sender",
        "WARNING",
        "Got error produce response on topic-partition %s, retrying. Error: %s",
        ("t-1", "NotLeaderForPartitionError"),
        MOVES,
    ),
    (
        "aiokafka.consumer.fetcher",
        "ERROR",
        "Failed fetch messages from %s: %s",
        (1, "NodeNotReadyError"),
        AWAY,
    ),
    (
        "aiokafka.consumer.fetcher",
        "WARNING",
        "Unexpected error while fetching data: %s",
        ("UnknownError",),
        MOVES,
    ),
    (
        "aiokafka.consumer.group_coordinator",
        "ERROR",
        "Heartbeat session expired - marking coordinator dead",
        (),
        AWAY,
    ),
    (
        "aiokafka.consumer.group_coordinator",
        "ERROR",
        "Heartbeat send request failed: %s. Will retry.",
        ("GroupCoordinatorNotAvailableError",),
        AWAY,
    ),
    (
        "aiokafka.consumer.group_coordinator",
        "WARNING",
        "Heartbeat failed for group %s because it is rebalancing",
        ("keepstream",),
        CHANGES,
    ),
    (
        "aiokafka.consumer.group_coordinator",
        "WARNING",
        "Heartbeat failed for group %s: coordinator (node %s) is either not started or not valid",
        ("keepstream", 1),
        AWAY,
    ),
    (
        "aiokafka.consumer.group_coordinator",
        "ERROR",
        "OffsetCommit failed for group %s due to group error (%s), will rejoin",
        ("keepstream", "RebalanceInProgressError"),
        CHANGES,
    ),
    (
        "aiokafka.consumer.group_coordinator",
        "ERROR",
        "Group Coordinator Request failed: %s",
        ("GroupAuthorizationFailedError",),
        REFUSED,
    ),
    ("aiokafka.cluster", "ERROR", "Topic %s not found in cluster metadata", ("t",), MISSING),
    ("aiokafka.cluster", "ERROR", "Topic %s is not authorized for this client", ("t",), REFUSED),
    (
        "aiokafka.conn",
        "WARNING",
        "Sending username and password in the clear",
        (),
        LibraryCause.PASSWORD_IN_CLEAR,
    ),
    ("kafka.conn", "ERROR", "<BrokerConnection> connect attempt returned error 111", (), AWAY),
    ("kafka.admin.client", "ERROR", "%s", ("ClusterAuthorizationFailedError",), REFUSED),
    (
        "mode.timers",
        "WARNING",
        "Timer %s is overlapping (interval=%r runtime=%r)",
        ("commit", 0.5, 3.1),
        NOTHING,
    ),
    # By the logger of a class of ours that is a service.
    (
        "streams.faust_app",
        "ERROR",
        "[^KeepstreamApp]: Crashed reason=%r",
        (KeyError("x"),),
        NOTHING,
    ),
    (
        "streams.batch_consumer",
        "ERROR",
        "[^---BatchConsumer]: Drain messages raised: %r",
        (KeyError("x"),),
        NOTHING,
    ),
]


def record_of(
    name: str, level: str, text: str, arguments: tuple[object, ...] = ()
) -> logging.LogRecord:
    number = logging.getLevelNamesMapping()[level]
    return logging.LogRecord(name, number, "library.py", 1, text, arguments, None)


@pytest.fixture(autouse=True)
def everything_is_written() -> Iterator[None]:
    """Sets the root's level, which decides whether lower severities are logged."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    yield
    root.setLevel(before)


@pytest.mark.parametrize(
    ("name", "level", "text", "arguments", "cause"), WRITTEN, ids=[row[2] for row in WRITTEN]
)
def test_what_becomes_of_a_message(
    name: str, level: str, text: str, arguments: tuple[object, ...], cause: LibraryCause
) -> None:
    record = record_of(name, level, text, arguments)

    assert (cause.words is not None) == LibraryLines().filter(record)
    if cause.words is not None:
        assert (cause.words, cause.level) == (record.getMessage(), record.levelno)
        assert logging.getLevelName(cause.level) == record.levelname


def test_an_outage_is_a_line_a_minute_with_how_many_it_stands_for() -> None:
    now_s = 0.0
    lines = LibraryLines(lambda: now_s)
    told = []
    # A hundred lines a second, as a broker that is killed causes them, for five minutes.
    for number in range(300 * 100):
        now_s = number / 100
        name, level, text, arguments, _ = WRITTEN[number % 3]
        record = record_of(name, level, text, arguments)
        if lines.filter(record):
            told.append(record.getMessage())

    assert 5 == len(told)
    assert told[1] == f"{AWAY.words} (5,999 more such lines since the last)"


def test_our_own_lines_pass_as_they_are() -> None:
    lines, text = LibraryLines(), "partition %d: %s"
    for _ in range(3):
        record = record_of("streams.recovery", "INFO", text, (3, "all is read"))
        assert lines.filter(record)
        assert "partition 3: all is read" == record.getMessage()


def test_a_message_that_nobody_knows_is_kept_as_one_line_and_not_repeated() -> None:
    now_s = 0.0
    lines, text = LibraryLines(lambda: now_s), "Something new: %s\n  at length"
    record = record_of("aiokafka.next", "ERROR", text, ("x",))

    assert lines.filter(record)
    assert "Something new: x" == record.getMessage()
    assert not lines.filter(record_of("aiokafka.next", "ERROR", text, ("y",)))
    assert lines.filter(record_of("aiokafka.next", "ERROR", "Something else"))
    now_s = REPEAT_S
    assert lines.filter(record_of("aiokafka.next", "ERROR", text, ("z",)))
    # Texts that hold what changes are not remembered without limit.
    for number in range(10 * UNKNOWN_MAX):
        lines.filter(record_of("aiokafka.next", "ERROR", f"Something with {number}"))
    assert len(lines._told_s) <= UNKNOWN_MAX + 1


@pytest.mark.parametrize("line", [line for line in LINES if line.text], ids=lambda line: line.text)
def test_the_libraries_still_write_so(line: LibraryLine) -> None:
    """An upgrade that changes the wording of a message would let it through again."""
    packages = ("mode", "faust") if line.library in ("mode", "faust") else (line.library,)
    sources = []
    for package in packages:
        # Not by the module: Faust's own has no specification once it is imported.
        found = PathFinder.find_spec(package)
        assert found is not None
        for folder in found.submodule_search_locations or ():
            sources += Path(folder).rglob("*.py")

    assert any(line.text in path.read_text() for path in sources)
