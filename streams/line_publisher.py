"""Publishes files of events: checks every line, sorts by time, sends, and reports each outcome."""

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from models.catalogue import MISSPELT, nearest_known_name
from models.events.event import Event
from models.events.refusals import Refusals, refusal_in_words
from models.events.refused_line import original
from models.events.rejection import Rejected
from streams.json_lines import JsonLines
from streams.publisher import DeliveryError, EventPublisher, RejectedEventError, Undelivered
from streams.refused_lines import RefusedLines, refused_path
from streams.time_order import TimeOrder
from streams.unpublished_lines import keep_unpublished

BAD_LINES_KEPT_MAX = 100
PROGRESS_EVERY_LINES = 1_000
#: How long to wait for lines in flight after an interrupt.
STOP_PATIENCE_S = 3.0

Check = Callable[[bytes], Event]
OnRefused = Callable[[bytes, int, Rejected], None]


class OnProgress(Protocol):
    """Called now and then with how much is done, of how much, and a note to show."""

    def __call__(self, done: int, note: str, total: int | None = None) -> None: ...


class StrictError(ValueError):
    """A bad line, with `strict`."""


class PublishStopped(ConnectionError):
    """Not everything was published: the broker did not take it, or the user interrupted. The
    message says what is in the log, what is not, and how to continue; `report` counts what is.
    """

    def __init__(self, report: "PublishReport", message: str) -> None:
        super().__init__(message)
        self.report = report


class BadLine(msgspec.Struct, frozen=True):
    """A line that was not published as an event; `number` starts at 1."""

    file: str
    number: int
    reason: str


class PublishReport:
    """What became of every line: an acknowledged event, a bad line, or a blank one.

    `bad_lines` are the first 100 of `bad_lines_total`. `sent_bad` of these were sent to become dead
    letters, and are not in `published`. `earlier`: events that stood after a later one; a stream
    sends them in that order. `late`: those that stood after one more than `lateness_ms` later, the
    first in line `first_late`. When files are published, which sorts them, `late` is not counted.
    `refused_files`: where the refused lines are.
    """

    def __init__(self, *, is_stream: bool = False, lateness_ms: int | None = None) -> None:
        self.is_stream = is_stream
        self._lateness_ms = lateness_ms
        self._latest_ms = 0
        self.bytes_read = 0
        self.lines = 0
        self.sound = 0
        self.by_topic: Counter[str] = Counter()
        self.bad_lines: list[BadLine] = []
        self.bad_lines_total = 0
        self.sent_bad = 0
        self.earlier = 0
        self.late = 0
        self.first_late = 0
        self.refusals = Refusals()
        self.refused_files: list[str] = []
        self.empty_files: list[str] = []

    @property
    def published(self) -> int:
        return self.by_topic.total()

    def note_time(self, event: Event, number: int) -> None:
        """Note the time of an event that is sent, or would be, in order."""
        at_ms = event.occurred_at_ms
        if event.kind.declared.is_never_late:
            return
        self.earlier += at_ms < self._latest_ms
        if self._lateness_ms is not None and self._latest_ms - at_ms > self._lateness_ms:
            self.late += 1
            self.first_late = self.first_late or number
        self._latest_ms = max(self._latest_ms, at_ms)

    def refuse(self, file: str, number: int, rejected: Rejected) -> None:
        """Count a refused line."""
        self.bad_lines_total += 1
        self.refusals.add(rejected)
        if len(self.bad_lines) < BAD_LINES_KEPT_MAX:
            self.bad_lines.append(BadLine(file, number, refusal_in_words(rejected)))


class _Sound(NamedTuple):
    event: Event
    raw: bytes
    number: int


def check_files(
    paths: Iterable[str],
    check: Check,
    on_progress: OnProgress,
    lateness_ms: int | None = None,
) -> PublishReport:
    """Check every line of the files and send nothing; `-` is standard input.

    Raises `InputError` for a file that can't be read to its end.
    """
    report = PublishReport(lateness_ms=lateness_ms)
    for path in paths:
        with JsonLines(path) as lines:
            for sound in _checked(path, lines, check, report, _ignored, on_progress):
                report.note_time(sound.event, sound.number)
    return report


def publish_files(
    publisher: EventPublisher,
    paths: Iterable[str],
    check: Check,
    *,
    strict: bool = False,
    send_bad: bool = False,
    on_progress: OnProgress,
) -> PublishReport:
    """Publish the events of all files in the order of time, and return when all are acknowledged.

    Nothing is sent before every file has been read to its end. Refused lines are written beside
    their file. With `strict` the first one raises `StrictError`. With `send_bad` they are sent
    unchanged and become dead letters, unless they are control lines or over 1 MiB. Raises
    `InputError` for a file that can't be read to its end, and `PublishStopped` if the broker does
    not take everything: the rest is then written beside the first file.
    """
    report = PublishReport()
    paths = list(paths)
    with TimeOrder() as order:
        for path in paths:
            # A pipe can't be read again, so earlier refused lines must not be overwritten.
            kept = RefusedLines(refused_path(path), is_added_to=not Path(path).is_file())
            with JsonLines(path) as lines, kept as refused:
                on_refused = _refuser(publisher, refused, report, strict=strict, send_bad=send_bad)
                for event, raw, _ in _checked(path, lines, check, report, on_refused, on_progress):
                    order.add(event.occurred_at_ms, event.kind.topic, event.customer.encode(), raw)
            if refused.count:
                report.refused_files.append(str(refused.path))
        report.earlier = order.earlier
        before, sent_before = publisher.acknowledged, publisher.sent
        try:
            for number, record in enumerate(order, start=1):
                publisher.forward(record.topic, record.key, record.value)
                report.by_topic[record.topic] += 1
                if number % PROGRESS_EVERY_LINES == 0:
                    done = publisher.acknowledged - before
                    on_progress(number, f"{done:,} acknowledged", order.total)
            publisher.flush()
        except (DeliveryError, KeyboardInterrupt) as error:
            undelivered = _undelivered(publisher, error)
            sent = publisher.acknowledged + len(undelivered) - sent_before
            rest = (record.value for record in islice(order, sent, None))
            cure = _cure(error)
            raise _stopped(report, paths[0], undelivered, rest, _reason(error), cure) from None
    return report


def publish_stream(
    publisher: EventPublisher,
    check: Check,
    *,
    strict: bool = False,
    send_bad: bool = False,
    on_progress: OnProgress,
    lateness_ms: int | None = None,
) -> PublishReport:
    """Publish standard input line by line as it comes, unsorted; it may never end.

    Otherwise as `publish_files`; refused lines go to files in the working folder.
    """
    report = PublishReport(is_stream=True, lateness_ms=lateness_ms)
    with JsonLines("-") as lines, RefusedLines(refused_path("-"), is_added_to=True) as refused:
        on_refused = _refuser(publisher, refused, report, strict=strict, send_bad=send_bad)
        number = 0
        waiting: list[bytes] = []
        try:
            for sound in _checked("-", lines, check, report, on_refused, on_progress):
                event, raw, number = sound
                waiting.append(raw)
                publisher.forward(event.kind.topic, event.customer.encode(), raw)
                waiting.clear()
                report.by_topic[event.kind.topic] += 1
                report.note_time(event, number)
            publisher.flush()
        except (DeliveryError, KeyboardInterrupt) as error:
            undelivered = _undelivered(publisher, error)
            reason = f"{_reason(error)}; standard input was read up to line {number:,}"
            raise _stopped(report, "-", undelivered, waiting, reason, _cure(error)) from None
    if refused.count:
        report.refused_files.append(str(refused.path))
    return report


def _undelivered(publisher: EventPublisher, error: BaseException) -> Undelivered:
    if isinstance(error, DeliveryError):
        return error.undelivered
    return publisher.give_up(STOP_PATIENCE_S)


def _reason(error: BaseException) -> str:
    return error.reason if isinstance(error, DeliveryError) else "interrupted"


def _cure(error: BaseException) -> str:
    """What the user must do before continuing."""
    return " check the broker, then" if isinstance(error, DeliveryError) else ""


def _stopped(
    report: PublishReport,
    path: str,
    undelivered: Undelivered,
    rest: Iterable[bytes],
    reason: str,
    cure: str,
) -> PublishStopped:
    """Keep what is not in the log, correct the report, and say how to continue."""
    for record in (*undelivered.refused, *undelivered.unknown):
        if record.is_bad:
            report.sent_bad -= 1
        else:
            report.by_topic[record.topic] -= 1
    refused = (record.value for record in undelivered.refused)
    kept = keep_unpublished(path, undelivered.unknown, chain(refused, rest))
    words = [f"stopped ({reason}): {report.published:,} events are in the log"]
    if kept.path is not None:
        words.append(
            f"{kept.lines:,} are not known to be: they are in {kept.path}. To go on,{cure} run "
            f"`keepstream publish {shlex.quote(str(kept.path))}`"
        )
    if kept.unknown_path is not None:
        words.append(
            f"{kept.unknown:,} may be, and have no messageId, so that they would count twice: they "
            f"are in {kept.unknown_path}. Look for them in what `keepstream export` writes, and "
            f"publish those that are missing"
        )
    return PublishStopped(report, "; ".join(words))


def _checked(
    path: str,
    lines: JsonLines,
    check: Check,
    report: PublishReport,
    on_refused: OnRefused,
    on_progress: OnProgress,
) -> Iterator[_Sound]:
    """Yield the sound lines of a file; report the others, and pass them to `on_refused`."""
    before = report.lines
    for number, line in enumerate(lines, start=1):
        if number % PROGRESS_EVERY_LINES == 0:
            bad = f", {report.bad_lines_total:,} refused" if report.bad_lines_total else ""
            done = report.bytes_read + lines.bytes_read
            on_progress(done, f"{report.sound:,} sound{bad}")
        if not line or line.isspace():
            continue
        report.lines += 1
        # A line that an earlier run refused carries its refusal.
        raw = original(line)
        try:
            event = check(raw)
        except Rejected as rejected:
            report.refuse(path, number, rejected)
            on_refused(raw, number, rejected)
            continue
        report.sound += 1
        if event.kind is MISSPELT:
            report.refusals.add_name(event.name, nearest_known_name(event.name) or "", number)
        if event.has_unread_consent:
            report.refusals.add_unread_consent(number)
        yield _Sound(event, raw, number)
    report.bytes_read += lines.bytes_read
    if report.lines == before:
        report.empty_files.append(path)


def _refuser(
    publisher: EventPublisher,
    refused: RefusedLines,
    report: PublishReport,
    *,
    strict: bool,
    send_bad: bool,
) -> OnRefused:
    """The function that handles a refused line."""

    def on_refused(raw: bytes, number: int, rejected: Rejected) -> None:
        if strict:
            publisher.flush()
            sent = f"{report.published:,} before it are" if report.published else "nothing is"
            raise StrictError(
                f"line {number:,}: {refusal_in_words(rejected)}; {sent} published"
            ) from None
        try:
            if send_bad and _sent_raw(publisher, raw):
                report.sent_bad += 1
                return
        except DeliveryError:
            refused.add(raw, number, rejected)
            raise
        refused.add(raw, number, rejected)

    return on_refused


def _sent_raw(publisher: EventPublisher, line: bytes) -> bool:
    try:
        publisher.publish_raw(line)
    except RejectedEventError:
        return False
    return True


def _ignored(_raw: bytes, _number: int, _rejected: Rejected) -> None:
    """Do nothing: a check keeps no lines."""
