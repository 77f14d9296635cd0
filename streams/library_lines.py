"""Rewrites what Faust, mode, the Kafka clients and OpenTelemetry log: one sentence for each cause.

A broker that is away makes these libraries write a hundred lines a second, and none of them says
what that means for a worker's operator. Here each library message has a cause, each cause has one
sentence, and a sentence is logged at most once a minute, with the number of messages meanwhile.
"""

import logging
import re
from collections.abc import Callable
from enum import Enum
from time import monotonic
from typing import NamedTuple

LIBRARIES = ("faust", "mode", "aiokafka", "kafka", "opentelemetry")
#: The same cause is not logged again before this.
REPEAT_S = 60.0
#: Messages that the table lacks are distinguished by their text, up to this many.
UNKNOWN_MAX = 100
#: When mode's services log through Keepstream's own loggers, the text begins with their place.
_OF_A_SERVICE = re.compile(r"\[\^-*\w+")


class LibraryCause(Enum):
    """Why a library logs: the severity and the sentence; None for what nobody needs to know."""

    BROKER_AWAY = (
        logging.WARNING,
        "a Kafka broker is away or does not answer, and is tried until it does",
    )
    GROUP_CHANGES = (
        logging.INFO,
        "the group shares its partitions out anew, as a worker came, went or was not heard of",
    )
    LEADER_MOVES = (
        logging.WARNING,
        "partitions have another leader, or none yet; what waits for them is tried again",
    )
    TOPIC_MISSING = (
        logging.ERROR,
        "the broker has no such topic or partition: see `keepstream topics check`",
    )
    NOT_ALLOWED = (
        logging.ERROR,
        "the broker refuses this user a topic or the group: docs/security.md says what is needed",
    )
    PASSWORD_IN_CLEAR = (
        logging.WARNING,
        "the password for Kafka goes in the clear: set KEEPSTREAM_SECURITY_PROTOCOL=SASL_SSL",
    )
    TRACES_LOST = (
        logging.WARNING,
        "traces are lost: their receiver (KEEPSTREAM_TRACES_URL) is away, refuses or is too slow",
    )
    #: The caller reports it, with what to do; or it has no consequence.
    NOTHING_NEW = (logging.DEBUG, None)

    def __init__(self, level: int, words: str | None) -> None:
        self.level = level
        self.words = words


class LibraryLine(NamedTuple):
    """The beginning of a message as it is in the library's source, and its cause.

    ``error``: what must be in the formatted message besides, if one text has several causes.
    """

    library: str
    text: str
    cause: LibraryCause
    error: str = ""


_AWAY, _CHANGES, _MOVES = (
    LibraryCause.BROKER_AWAY,
    LibraryCause.GROUP_CHANGES,
    LibraryCause.LEADER_MOVES,
)
_MISSING, _REFUSED = LibraryCause.TOPIC_MISSING, LibraryCause.NOT_ALLOWED
_CLEAR, _NOTHING = LibraryCause.PASSWORD_IN_CLEAR, LibraryCause.NOTHING_NEW
_LOST = LibraryCause.TRACES_LOST
#: The first match counts.
LINES = (
    LibraryLine("aiokafka", "Unable connect to", _AWAY),
    LibraryLine("aiokafka", "Unable to request metadata from", _AWAY),
    LibraryLine("aiokafka", "Unable to update metadata from", _AWAY),
    LibraryLine("aiokafka", "No broker metadata found in MetadataResponse", _AWAY),
    LibraryLine("aiokafka", "Failed fetch messages from", _AWAY),
    LibraryLine("aiokafka", "Failed fetch offsets from", _AWAY),
    LibraryLine("aiokafka", "Cannot send", _AWAY),
    LibraryLine("aiokafka", "Could not send", _AWAY),
    LibraryLine("aiokafka", "Got error produce response on", _REFUSED, "Authorization"),
    LibraryLine("aiokafka", "Got error produce response on", _MOVES),
    LibraryLine("aiokafka", "Got error produce response", _REFUSED, "Authorization"),
    LibraryLine("aiokafka", "Got error produce response", _AWAY),
    LibraryLine("aiokafka", "FindCoordinator Request failed", _AWAY),
    LibraryLine("aiokafka", "Group Coordinator Request failed", _REFUSED, "Authorization"),
    LibraryLine("aiokafka", "Group Coordinator Request failed", _AWAY),
    LibraryLine("aiokafka", "Error sending", _AWAY),
    LibraryLine("aiokafka", "Marking the coordinator dead", _AWAY),
    LibraryLine("aiokafka", "Heartbeat session expired", _AWAY),
    LibraryLine("aiokafka", "Heartbeat send request failed", _AWAY),
    LibraryLine(
        "aiokafka",
        "Heartbeat failed for group",
        _AWAY,
        "not started or not valid",
    ),
    LibraryLine("aiokafka", "Heartbeat failed for group", _CHANGES),
    LibraryLine("aiokafka", "Heartbeat failed: local member_id", _CHANGES),
    LibraryLine("aiokafka", "LeaveGroup request failed", _AWAY),
    LibraryLine("aiokafka", "OffsetCommit failed before join", _CHANGES),
    LibraryLine("aiokafka", "OffsetCommit failed for unauthorized", _REFUSED),
    LibraryLine("aiokafka", "OffsetCommit failed for group", _REFUSED, "Authorization"),
    LibraryLine("aiokafka", "OffsetCommit failed for group", _CHANGES),
    LibraryLine("aiokafka", "Failed to commit on finallization", _CHANGES),
    LibraryLine("aiokafka", "Unexpected error in join group", _AWAY),
    LibraryLine("aiokafka", "Unexpected error from SyncGroup", _AWAY),
    LibraryLine("aiokafka", "Unexpected error while fetching data", _MOVES),
    LibraryLine("aiokafka", "Attempt to fetch offsets for partition", _MOVES),
    LibraryLine("aiokafka", "Received unknown topic or partition", _MISSING),
    LibraryLine("aiokafka", "OffsetFetchRequest -- unknown topic", _MISSING),
    LibraryLine("aiokafka", "Topic %s not found in cluster", _MISSING),
    LibraryLine("aiokafka", "Error fetching metadata for topic", _MOVES),
    LibraryLine("aiokafka", "No partition metadata for topic", _MISSING),
    LibraryLine("aiokafka", "Topic %s is not authorized", _REFUSED),
    LibraryLine("aiokafka", "Not authorized to read from topic", _REFUSED),
    LibraryLine("aiokafka", "Sending username and password", _CLEAR),
    LibraryLine("opentelemetry", "Transient error %s encountered", _LOST),
    LibraryLine("opentelemetry", "Failed to export %s batch", _LOST),
    LibraryLine("opentelemetry", "Dropping span batch", _LOST),
    LibraryLine("opentelemetry", "Queue full, dropping", _LOST),
    LibraryLine("opentelemetry", "Shutdown in progress, aborting retry", _LOST),
    LibraryLine("opentelemetry", "Exporter already shutdown", _NOTHING),
    LibraryLine("mode", "Timer %s woke up too", _NOTHING),
    LibraryLine("mode", "Timer %s is overlapping", _NOTHING),
    # `run_worker` logs what ended the worker, and stops it in order.
    LibraryLine("mode", "Crashed reason=", _NOTHING),
    LibraryLine("mode", "Error while stopping child", _NOTHING),
    LibraryLine("mode", "Giving up on", _NOTHING),
    LibraryLine("faust", "Fetcher is ignoring cancel", _NOTHING),
    LibraryLine("faust", "Missing sensor state for rebalance", _NOTHING),
    LibraryLine("faust", "Drain messages raised", _NOTHING),
    LibraryLine("faust", "Consumer error callback raised", _NOTHING),
    # Nearly all messages of the synchronous client are about connections.
    LibraryLine("kafka", "", _REFUSED, "Authorization"),
    LibraryLine("kafka", "", _AWAY),
)


def cause_of(record: logging.LogRecord) -> LibraryCause | None:
    """The cause of a library's record; None for Keepstream's own, and for one the table lacks."""
    library, text = library_of(record)
    message = record.getMessage()
    for line in LINES:
        if line.library in ("mode", "faust"):
            # A service logs under the module of its class, which may be Keepstream's.
            fits = library in ("mode", "faust") and text.startswith(line.text)
        else:
            fits = line.library == library and text.startswith(line.text)
        if fits and line.error in message:
            return line.cause
    return None


def library_of(record: logging.LogRecord) -> tuple[str, str]:
    """The library that wrote a record, "" if none did; and its text without a service's place."""
    text = str(record.msg)
    if place := _OF_A_SERVICE.match(text):
        return "mode", text[place.end() :].partition("]: ")[2]
    package = record.name.partition(".")[0]
    return (package if package in LIBRARIES else ""), text


class LibraryLines(logging.Filter):
    """Replaces a library's message with the sentence of its cause, once in `REPEAT_S`.

    Keepstream's own lines pass unchanged. A message that the table lacks is kept as one line, and
    likewise not repeated sooner.
    """

    def __init__(self, clock_s: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._clock_s = clock_s
        self._told_s: dict[object, float] = {}
        self._left_out: dict[object, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written; rewrites it if so."""
        library, text = library_of(record)
        if not library:
            return True
        cause = cause_of(record)
        if cause is None and record.levelno < logging.WARNING:
            return False
        words = record.getMessage().partition("\n")[0] if cause is None else cause.words
        if words is None:
            return False
        again = self._is_due(cause or (record.name, text))
        if again is None:
            return False
        if cause is not None:
            record.name, record.levelno = f"{library}.{cause.name.lower()}", cause.level
            record.levelname = logging.getLevelName(cause.level)
            record.exc_info = None
        more = f" ({again:,} more such lines since the last)" if again else ""
        record.msg, record.args = words + more, ()
        return record.levelno >= logging.getLogger().level

    def _is_due(self, key: object) -> int | None:
        """How many were left out since the last one, if one is due now; else None."""
        now_s = self._clock_s()
        if key not in self._told_s and len(self._told_s) >= UNKNOWN_MAX:
            key = None
        told_s = self._told_s.get(key)
        if told_s is not None and now_s - told_s < REPEAT_S:
            self._left_out[key] = self._left_out.get(key, 0) + 1
            return None
        self._told_s[key] = now_s
        return self._left_out.pop(key, 0)


def quiet_libraries(level: int = logging.WARNING) -> None:
    """Let the libraries log from ``level`` up, so that Keepstream's own lines can be seen."""
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(level)
