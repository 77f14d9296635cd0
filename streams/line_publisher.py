"""Publish a file of events, and report what became of every line."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import msgspec

from streams.json_lines import JsonLines
from streams.publisher import EventPublisher, RejectedEventError

BAD_LINES_KEPT_MAX = 100
PROGRESS_EVERY_LINES = 1_000

OnProgress = Callable[[int, int, int], None]


class StrictError(ValueError):
    """A bad line, where none was allowed."""


class BadLine(msgspec.Struct, frozen=True):
    """A line that was not published as an event; `number` starts at 1."""

    number: int
    reason: str


class PublishReport(msgspec.Struct):
    """What became of every line: an acknowledged event, a bad line, or a blank one.

    `bad_lines` are the first 100 of `bad_lines_total`; `sent_bad` of these were sent to the broker
    to become dead letters, and are not in `published`.
    """

    published: int = 0
    by_topic: dict[str, int] = {}
    bad_lines: list[BadLine] = []
    bad_lines_total: int = 0
    sent_bad: int = 0


def publish_file(
    publisher: EventPublisher,
    path: str,
    *,
    strict: bool = False,
    send_bad: bool = False,
    on_progress: OnProgress | None = None,
) -> PublishReport:
    """Publish the JSON lines of `path`, gzip or not; `-` is standard input.

    As `publish_lines`, and raises `InputError` for a file that can't be read to its end.
    """
    with JsonLines(path) as lines:
        return publish_lines(
            publisher, lines, strict=strict, send_bad=send_bad, on_progress=on_progress
        )


def publish_lines(
    publisher: EventPublisher,
    lines: Iterable[bytes],
    *,
    strict: bool = False,
    send_bad: bool = False,
    on_progress: OnProgress | None = None,
) -> PublishReport:
    """Publish one event a line, in order, and return when all are acknowledged.

    Bad lines are reported and left out. With `strict` the first one raises `StrictError`; with
    `send_bad` they are sent as they are and become dead letters, unless they are control lines
    or over 1 MiB. `on_progress(acknowledged, bad, bytes_read)` is called now and then, and last.
    """
    source = lines if isinstance(lines, JsonLines) else _CountedLines(lines)
    report = PublishReport()
    by_topic: Counter[str] = Counter()
    before = publisher.acknowledged

    def tell() -> None:
        if on_progress is not None:
            done = publisher.acknowledged - before
            on_progress(done, report.bad_lines_total, source.bytes_read)

    for number, line in enumerate(source, start=1):
        if number % PROGRESS_EVERY_LINES == 0:
            tell()
        if not line or line.isspace():
            continue
        try:
            by_topic[publisher.publish(line)] += 1
        except RejectedEventError as bad:
            if strict:
                publisher.flush()
                done = by_topic.total()
                raise StrictError(
                    f"line {number:,}: {bad}; {done:,} before it are published"
                ) from None
            _note(report, BadLine(number, str(bad)))
            report.sent_bad += send_bad and _sent_raw(publisher, line)
    publisher.flush()
    report.by_topic = dict(by_topic)
    report.published = by_topic.total()
    tell()
    return report


class _CountedLines:
    """Lines from a source other than a file, counted as they are read."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = lines
        self.bytes_read = 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self.bytes_read += len(line)
            yield line


def _note(report: PublishReport, bad: BadLine) -> None:
    report.bad_lines_total += 1
    if len(report.bad_lines) < BAD_LINES_KEPT_MAX:
        report.bad_lines.append(bad)


def _sent_raw(publisher: EventPublisher, line: bytes) -> bool:
    try:
        publisher.publish_raw(line)
    except RejectedEventError:
        return False
    return True
