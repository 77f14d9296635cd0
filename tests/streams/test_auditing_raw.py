"""An audit's findings on a raw record follow from where it was found, and where it should be."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from msgspec.structs import replace

from config.topics import CLICKSTREAM, DEAD_LETTERS
from models.admission import event_of
from models.events.dead_letter import DeadLetter
from models.events.event import Source
from models.events.rejection import Reason
from models.events.wire import decode_log_line
from models.parameters import load_parameters
from streams.auditing.raw_audit import RawAudit, digest_without_traits, digests_of
from streams.auditing.report import Audit
from streams.auditing.spools import DROPPED, IN_LOG
from streams.raw_records import outgoing_of
from streams.topic_scan import Span
from tests.models.lines import SHIPPED, at, line
from tests.streams.test_record_batches import FakeRecord

SOUND, REFUSED, LAST = 10, 11, 12
VALUES = {
    SOUND: line("Product Viewed", at(), properties={"product_id": "p-1"}),
    REFUSED: b"no event",
    LAST: line("Product Viewed", at(), properties={"product_id": "p-2"}),
}


def span(topic: str, begin: int, end: int) -> Span:
    return Span(TopicPartition(topic, 0), begin, end)


async def scan(topic: str, span: Span) -> AsyncIterator[Sequence[ConsumerRecord]]:
    for offset in range(span.begin, span.end):
        yield [FakeRecord(offset, 0, topic, at(), value=VALUES[offset])]


class Found:
    """Three raw records that were read, and the audit's findings once it knows what became of
    them.
    """

    def __init__(self, directory: Path) -> None:
        self._report = Audit()
        self.raw = RawAudit(SHIPPED, 1, directory, self._report)
        asyncio.run(self.raw.read(CLICKSTREAM, "", [span(CLICKSTREAM, SOUND, LAST + 1)], scan))

    def in_log(self, *offsets: int, mark: int = IN_LOG) -> None:
        for offset in offsets:
            self.raw.fates[CLICKSTREAM, 0].mark(offset, mark)

    def in_letters(self, *offsets: int) -> None:
        for offset in offsets:
            source = Source(CLICKSTREAM, 0, offset, at())
            self.raw.take_letter(DeadLetter(Reason.BAD_JSON, "$", "", "ingest", "", source))

    def conclude(self, committed: int = LAST + 1, letters_begin: int = 0) -> Audit:
        letters = [span(DEAD_LETTERS, letters_begin, letters_begin)]
        self.raw.conclude({(CLICKSTREAM, 0): committed}, letters)
        return self._report

    def differences(self) -> dict[str, list[str]]:
        return {found.words: found.examples for found in self.conclude().differences}


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Found]:
    found = Found(tmp_path)
    with closing(found.raw):
        yield found


def test_what_became_an_event_or_a_letter_as_it_must_is_exact(found: Found) -> None:
    found.in_log(SOUND, LAST)
    found.in_letters(REFUSED)
    report = found.conclude()
    assert ([], [], []) == (report.differences, report.broken, report.unchecked)
    assert 3 == report.checked["rawRecords"]


def test_a_record_that_is_nowhere_is_found(found: Found) -> None:
    found.in_log(SOUND, LAST)
    words = "raw records are neither in the log nor among the dead letters"
    assert {words: ["clickstream-0 at 11"]} == found.differences()


def test_a_sound_record_that_was_refused_is_found(found: Found) -> None:
    found.in_log(SOUND)
    found.in_letters(REFUSED, LAST)
    words = "raw records were refused that are sound with these parameters"
    assert {words: ["clickstream-0 at 12"]} == found.differences()


def test_a_record_that_is_in_both_places_is_found(found: Found) -> None:
    found.in_log(SOUND, LAST)
    found.in_letters(REFUSED, LAST)
    words = "raw records are in the log and among the dead letters"
    assert {words: ["clickstream-0 at 12"]} == found.differences()


def test_a_record_that_was_dropped_as_repeated_is_found(found: Found) -> None:
    found.in_log(SOUND)
    found.in_log(LAST, mark=IN_LOG | DROPPED)
    found.in_letters(REFUSED)
    words = "raw records were dropped as repeated, and never applied"
    assert {words: ["clickstream-0 at 12"]} == found.differences()


def test_a_record_that_is_not_taken_yet_is_no_difference(found: Found) -> None:
    found.in_log(SOUND)
    found.in_letters(REFUSED)
    report = found.conclude(committed=LAST)
    assert [] == report.differences
    assert ["1 raw records that are not taken yet"] == report.unchecked


def test_a_refused_record_whose_letter_retention_deleted_is_no_difference(found: Found) -> None:
    found.in_log(SOUND, LAST)
    report = found.conclude(letters_begin=5)
    assert [] == report.differences
    (unchecked,) = report.unchecked
    assert unchecked.startswith("1 raw records that must be refused")


def test_which_classes_were_made_of_traits_was_for_that_day_to_say() -> None:
    raw = line("identify", at(), properties={"age": 40, "plan": "pro"})
    then = load_parameters(assignments=["traits.plan.pro=x"])
    outgoing, event = outgoing_of(
        CLICKSTREAM, FakeRecord(1, 0, CLICKSTREAM, at(), value=raw), None, SHIPPED, 1
    )
    written, _ = outgoing_of(
        CLICKSTREAM, FakeRecord(1, 0, CLICKSTREAM, at(), value=raw), None, then, 1
    )
    in_log = event_of(decode_log_line(written.value), message_id="")

    assert written.value != outgoing.value
    assert digest_without_traits(in_log, 0) in digests_of(outgoing, event)
    # Of another customer it is another.
    other = replace(in_log, customer="bo")
    assert digest_without_traits(other, 0) not in digests_of(outgoing, event)
