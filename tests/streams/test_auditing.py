"""An audit finds whatever one record changes: each fault is put into a sound past by itself."""

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from agents.trials.demo.shop import ShopConfig, simulate
from config.settings import load_settings
from config.topics import (
    CUSTOMER_EVENTS,
    DEAD_LETTERS,
    DECISION_LEDGER,
    LABELLED_EXAMPLES,
    RETENTION_TRIGGERS,
)
from models.customer.engagement import ENGAGEMENT
from models.customer.row import decode_row, encode_row
from models.events.wire import decode_line
from models.learning.snapshot import SnapshotError, prior_snapshot
from models.partition import Partition
from models.partition_state import decode_state, encode_state, rehearsing_state
from models.plan import plan_for
from streams.auditing.partition_audit import PartitionAudit, Scope, effects_of
from streams.auditing.passed_on import PassedOn
from streams.auditing.raw_audit import digests_of
from streams.auditing.report import Audit
from streams.auditing.spools import (
    DROPPED,
    IN_LOG,
    Contrast,
    Effect,
    EffectSpool,
    RawFates,
    digest_of,
)
from streams.changelog import STATE_KEY
from streams.customers_table import CustomerRows
from streams.log_records import live_record, model_record
from streams.raw_records import outgoing_of
from streams.recovery import ChangelogFold
from streams.snapshot_store import SnapshotStore
from tests.models.lines import SHIPPED, START_MS
from tests.streams.test_record_batches import FakeRecord

BATCH_RECORDS = 50
PLAN = plan_for(SHIPPED)


@dataclass
class Past:
    """What a worker left behind of partition 0, and what was published to it."""

    raw: dict[str, list[bytes]] = field(default_factory=dict)
    log: list[bytes] = field(default_factory=list)
    changelog: list[tuple[bytes, bytes]] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    committed: int = 0
    cut: tuple[str, ...] = ()

    def state(self) -> bytes:
        return next(value for key, value in reversed(self.changelog) if key == STATE_KEY)


class Snapshots(SnapshotStore):
    """Knows no snapshot but the first."""

    async def fetch(self, version: int, sha256: str) -> None:
        if version:
            raise SnapshotError(f"{sha256} is not there")


SETTINGS = load_settings({}, partitions=1)


def sound_past() -> Past:
    """Some months of a few customers, as one worker folds them."""
    past = Past()
    shop = ShopConfig(seed=9, customers=12, start_ms=START_MS, days=90, late=0.02)
    past.log.append(live_record(START_MS))
    for told in simulate(shop):
        published = past.raw.setdefault(told.topic, [])
        record = FakeRecord(
            len(published), 0, told.topic, told.occurred_at_ms + 1, value=told.value
        )
        outgoing, _ = outgoing_of(told.topic, record, None, SHIPPED, 1)
        published.append(told.value)
        if outgoing.topic == CUSTOMER_EVENTS:
            past.log.append(outgoing.value)
    rows = CustomerRows()
    prior = Snapshots(SETTINGS, prior_snapshot(SHIPPED)).prior
    fold = Partition(0, rows, prior, PLAN, lambda *_: prior, rehearsing_state())
    for offset, value in enumerate(past.log):
        applied = fold.apply(offset, decode_line(value))
        for effect in applied.effects:
            past.effects += effects_of(effect)
        if applied.fate == "late":
            source = decode_line(value).source
            assert source is not None
            name = f"{source.topic}-{source.partition}-{source.offset}"
            past.effects.append(Effect(DEAD_LETTERS, name, digest_of(b"too_late")))
        if not (offset + 1) % BATCH_RECORDS:
            past.changelog += [(key, value or b"") for key, value, _ in rows.drain()]
            past.changelog.append((STATE_KEY, encode_state(fold.state)))
            past.committed = offset + 1
    return past


@pytest.fixture(scope="module")
def sound() -> Past:
    return sound_past()


class Found:
    """What the audit of a past says, and how its effects compare."""

    def __init__(self, past: Past) -> None:
        with TemporaryDirectory() as directory:
            asyncio.run(self._run(past, Path(directory)))

    async def _run(self, past: Past, directory: Path) -> None:
        stored = ChangelogFold()
        for key, value in past.changelog:
            stored.add(key, value)
        self.report, fates = Audit(), dict(_fates(past, directory))
        with EffectSpool(directory) as spool, PassedOn(directory) as passed_on:
            spool.found(0, past.effects)
            scope = Scope(
                PLAN,
                Snapshots(SETTINGS, prior_snapshot(SHIPPED)),
                fates,
                spool,
                self.report,
                passed_on,
            )
            partition = PartitionAudit(
                0, stored, committed=past.committed, log_end=len(past.log), scope=scope
            )
            for offset, value in enumerate(past.log):
                await partition.take(FakeRecord(offset, topic=CUSTOMER_EVENTS, value=value))
            partition.finish()
            self.is_whole = partition.is_whole
            self.contrast: Contrast = spool.contrast(0, past.cut)
        self.marks = {name: [marks for _, _, marks in fate] for (name, _), fate in fates.items()}
        for fate in fates.values():
            fate.close()

    @property
    def differences(self) -> dict[str, list[str]]:
        return {found.words: found.examples for found in self.report.differences}


def _fates(past: Past, directory: Path) -> Iterator[tuple[tuple[str, int], RawFates]]:
    for topic, published in past.raw.items():
        fates = RawFates(directory, topic, 0, len(published))
        for offset, value in enumerate(published):
            occurred_ms = decode_line(value).timestamp
            received_ms = round(occurred_ms.timestamp() * 1_000) + 1 if occurred_ms else 0
            record = FakeRecord(offset, 0, topic, received_ms, value=value)
            fates.expect(offset, *digests_of(*outgoing_of(topic, record, None, SHIPPED, 1)))
        yield (topic, 0), fates


def test_a_sound_past_is_exact(sound: Past) -> None:
    found = Found(sound)
    assert ({}, []) == (found.differences, found.report.broken)
    assert Contrast([], [], [], {}) == found.contrast
    assert 12 == found.report.checked["customers"]
    for topic in (RETENTION_TRIGGERS, DECISION_LEDGER, LABELLED_EXAMPLES, DEAD_LETTERS):
        assert found.report.checked[topic] > 0


def copied(past: Past) -> Past:
    raw = {topic: [*published] for topic, published in past.raw.items()}
    return Past(raw, [*past.log], [*past.changelog], [*past.effects], past.committed, past.cut)


def test_since_when_segments_are_those_of_now_is_not_in_the_log(sound: Past) -> None:
    """It follows from when a worker was started with them: of a release of before, or after an
    edit, with a clock that had come some way.
    """
    state = decode_state(sound.state())
    for watched in ((0, 0), (state.watched[0], state.clock_ms)):
        noted = encode_state(msgspec.structs.replace(state, watched=watched))
        past = copied(sound)
        past.changelog.append((STATE_KEY, noted))

        assert {} == Found(past).differences


def lost_row(past: Past) -> None:
    customer = past.changelog[0][0]
    past.changelog = [(key, value) for key, value in past.changelog if key != customer]


def older_row(past: Past) -> None:
    places = [n for n, (key, _) in enumerate(past.changelog) if key == past.changelog[0][0]]
    del past.changelog[places[-1]]


def other_row(past: Past) -> None:
    key, _ = past.changelog[0]
    *_, latest = (value for other, value in past.changelog if other == key)
    row = decode_row(latest)
    row.edit(ENGAGEMENT).interactions += 1
    past.changelog.append((key, encode_row(row)))


def stranger(past: Past) -> None:
    past.changelog.append((b"nobody", past.changelog[0][1]))


def other_state(past: Past) -> None:
    state = decode_state(past.state())
    past.changelog.append((STATE_KEY, encode_state(msgspec.structs.replace(state, clock_ms=1))))


def cut_log(past: Past) -> None:
    del past.log[len(past.log) // 2 :]


AHEAD = "the rows are ahead of the log: customer-events was cut, or deleted and created again"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lost_row, "customers have no row"),
        (older_row, "customers have another row than the log gives"),
        (other_row, "customers have another row than the log gives"),
        (stranger, "the log has no such customers"),
        (other_state, "the state of a partition is not what the log gives"),
        (cut_log, AHEAD),
    ],
)
def test_what_became_of_rows_is_found(
    sound: Past, fault: Callable[[Past], None], words: str
) -> None:
    past = copied(sound)
    fault(past)
    assert [words] == list(Found(past).differences)


def test_a_batch_that_was_only_half_written_is_compared_at_its_own_position(sound: Past) -> None:
    past = copied(sound)
    # The last batch without its state; its rows are as they must be, but for one.
    assert STATE_KEY == past.changelog.pop()[0]
    before = max(n for n, (key, _) in enumerate(past.changelog) if key == STATE_KEY)
    past.committed -= BATCH_RECORDS
    assert {} == Found(past).differences
    key, value = past.changelog[before + 1]
    row = decode_row(value)
    row.edit(ENGAGEMENT).interactions += 1
    past.changelog[before + 1] = key, encode_row(row)
    assert {"customers have another row than the log gives": [f"{key.decode()} (engagement)"]} == (
        Found(past).differences
    )


@pytest.mark.parametrize("topic", [RETENTION_TRIGGERS, DECISION_LEDGER, LABELLED_EXAMPLES])
def test_effects_that_are_missing_or_changed_or_invented_are_found(sound: Past, topic: str) -> None:
    place, effect = next(
        (n, effect) for n, effect in enumerate(sound.effects) if effect.topic == topic
    )
    name = (topic, effect.id)
    past = copied(sound)
    del past.effects[place]
    assert Contrast([name], [], [], {}) == Found(past).contrast
    past.effects.insert(place, effect._replace(digest=b"other"))
    assert Contrast([], [], [name], {}) == Found(past).contrast
    past.effects[place : place + 1] = [effect, effect._replace(id="invented")]
    assert Contrast([], [(topic, "invented")], [], {}) == Found(past).contrast


def test_what_retention_deleted_is_not_taken_for_lost(sound: Past) -> None:
    places = [n for n, one in enumerate(sound.effects) if one.topic == RETENTION_TRIGGERS]
    past = copied(sound)
    past.cut = (RETENTION_TRIGGERS,)
    # The first three were deleted, and of the others one was lost.
    lost = past.effects[places[5]]
    for place in (places[5], *reversed(places[:3])):
        del past.effects[place]
    expected = Contrast([(RETENTION_TRIGGERS, lost.id)], [], [], {RETENTION_TRIGGERS: 3})
    assert expected == Found(past).contrast


def test_a_late_event_without_its_dead_letter_is_found(sound: Past) -> None:
    past = copied(sound)
    past.effects = [one for one in past.effects if one.topic != DEAD_LETTERS]
    missing = Found(past).contrast.missing
    assert {DEAD_LETTERS} == {topic for topic, _ in missing}


def test_a_raw_record_that_others_overtook_is_dropped_and_found(sound: Past) -> None:
    """The guard against repeats goes by offsets: one that comes after a later one is lost."""
    past = copied(sound)
    topic = max(past.raw, key=lambda name: len(past.raw[name]))
    places = [
        n for n, v in enumerate(past.log) if (s := decode_line(v).source) and s.topic == topic
    ]
    first, second = places[-2:]
    past.log[first], past.log[second] = past.log[second], past.log[first]
    marks = Found(past).marks[topic]
    source = decode_line(past.log[second]).source
    assert source is not None
    assert IN_LOG | DROPPED == marks[source.offset]
    assert 1 == sum(mark & DROPPED > 0 for mark in marks)


def test_an_event_that_says_something_else_than_was_published_is_found(sound: Past) -> None:
    past = copied(sound)
    past.log[-1] = past.log[-1].replace(b'"timestamp":"2026', b'"timestamp":"2025')
    (words,) = Found(past).differences
    assert "events of the log are not what the raw records give with these parameters" == words


#: The rows are of a log that named no visitor.
OTHER_ROWS = "customers have another row than the log gives"


@pytest.mark.parametrize(
    ("in_log", "words"),
    [
        # As a release wrote it that did not know of visitors, and as this one does.
        (None, []),
        ("anon-1", [OTHER_ROWS]),
        (
            "anon-2",
            [
                "events of the log are not what the raw records give with these parameters",
                OTHER_ROWS,
            ],
        ),
    ],
)
def test_whom_a_visitor_became_is_in_the_log_or_was_never_written_there(
    in_log: str | None, words: list[str], sound: Past
) -> None:
    past = copied(sound)
    place = next(n for n, value in enumerate(past.log) if b'"Product Viewed"' in value)
    source = decode_line(past.log[place]).source
    assert source is not None
    raw = past.raw[source.topic]
    raw[source.offset] = _with_visitor(raw[source.offset], "anon-1")
    if in_log is not None:
        past.log[place] = _with_visitor(past.log[place], in_log)

    assert words == list(Found(past).differences)


def _with_visitor(value: bytes, visitor: str) -> bytes:
    """The event with another id after its user's, as it is written."""
    return re.sub(rb'"userId":"[^"]*"', rb'\g<0>,"anonymousId":"' + visitor.encode() + b'"', value)


def test_a_model_that_is_gone_ends_the_comparison_and_is_told(sound: Past) -> None:
    past = copied(sound)
    past.log.insert(30, model_record(7, "abc"))
    found = Found(past)
    assert not found.is_whole
    (told,) = found.report.broken
    assert told.startswith("partition 0 was compared only up to offset 30: abc is not there")
    assert not found.report.is_exact
