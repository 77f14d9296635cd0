"""An audit learns again: any change to a snapshot differs from what the lessons give."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256 as hash_of

import msgspec
import pytest
from aiokafka import ConsumerRecord
from msgspec.structs import replace

from config.duration import DAY_MS
from config.settings import load_settings
from config.topics import LABELLED_EXAMPLES
from models.learning.lessons import Cost, DayEnd, Lesson, encode_lesson
from models.learning.snapshot import Snapshot, decode_snapshot, encode_snapshot, prior_snapshot
from models.learning.trainer import Trainer
from streams.auditing.learning_audit import LearningAudit, Named, consumed_by
from streams.auditing.report import Audit
from streams.snapshot_store import SnapshotStore
from tests.models.lines import PARAMETERS as SHIPPED
from tests.models.lines import at
from tests.streams.test_record_batches import FakeRecord

PARAMETERS = replace(SHIPPED, learning=replace(SHIPPED.learning, minimum_examples=0))
START_MS = at() // DAY_MS * DAY_MS
DAYS = 40
OTHER = "the log names snapshots that the trainer did not draw: the lessons give other ones"
NEVER = "the log names snapshots that the trainer did not draw: the lessons do not give them"


class Snapshots(SnapshotStore):
    """Has only what it was given."""

    def __init__(self, stored: dict[str, bytes]) -> None:
        super().__init__(load_settings({}), prior_snapshot(PARAMETERS))
        self._stored = stored

    async def fetch(self, version: int, sha256: str) -> bool:
        return sha256 in self._stored

    def get(self, version: int, sha256: str) -> Snapshot:
        return decode_snapshot(self._stored[sha256], sha256)


@dataclass
class Past:
    """Lessons, and the snapshots that were drawn from them."""

    lessons: list[bytes] = field(default_factory=list)
    begin: int = 0
    snapshots: list[bytes] = field(default_factory=list)


def sound_past() -> Past:
    """The lessons of two partitions over some weeks, learnt by a trainer that is restarted at each
    snapshot.
    """
    past = Past()
    told: list[Lesson] = []
    for day in range(DAYS):
        for partition in (0, 1):
            at_ms = START_MS + day * DAY_MS + partition
            told.append(Cost(at_ms, f"channel {day % 3}", 100 + day, partition=partition))
            told.append(DayEnd(START_MS + (day + 1) * DAY_MS, partition=partition))
    told.pop()  # one of them has not told the end of the last day
    for offset, lesson in enumerate(told):
        lesson.offset = offset
    past.lessons = [encode_lesson(lesson) for lesson in told]
    trainer = Trainer(PARAMETERS, partitions=2)
    place = 0
    while place < len(told):
        trainer.learn(told[place], place)
        place += 1
        while trainer.learn_next():
            if trainer.is_due:
                content, sha256 = encode_snapshot(trainer.draw(place))
                past.snapshots.append(content)
                restored = decode_snapshot(content, sha256)
                trainer, place = Trainer(PARAMETERS, restored, partitions=2), trainer.consumed
                break
    return past


@pytest.fixture(scope="module")
def sound() -> Past:
    past = sound_past()
    assert len(past.snapshots) > 4
    return past


def audited(past: Past, *, unnamed: int = 0) -> Audit:
    """The findings on a past whose log names all snapshots except the last ``unnamed``."""
    outcome, named = Audit(), dict[int, list[Named]]()
    for content in past.snapshots[: len(past.snapshots) - unnamed]:
        told = consumed_by(content)
        assert told is not None
        version, consumed = told
        one = Named(version, hash_of(content).hexdigest(), consumed)
        named.setdefault(version, []).append(one)
    stored = {hash_of(content).hexdigest(): content for content in past.snapshots}

    async def lessons(place: int) -> AsyncIterator[Sequence[ConsumerRecord]]:
        first = max(place, past.begin)
        yield [
            FakeRecord(offset, 0, LABELLED_EXAMPLES, value=value)
            for offset, value in enumerate(past.lessons[first:], first)
        ]

    learning = LearningAudit(PARAMETERS, 2, Snapshots(stored), named, outcome, {0: 10**6, 1: 10**6})
    asyncio.run(learning.run(lessons, past.begin))
    return outcome


def test_what_was_learnt_is_learnt_again(sound: Past) -> None:
    outcome = audited(sound)
    assert outcome.is_exact
    assert len(sound.snapshots) == outcome.checked["snapshots"]
    (waiting,) = outcome.unchecked
    assert "lessons after the last snapshot" in waiting


def edited(content: bytes, change: Callable[[Snapshot], Snapshot]) -> bytes:
    return encode_snapshot(change(decode_snapshot(content)))[0]


def other_rates(snapshot: Snapshot) -> Snapshot:
    """One drawn number of one learner changed."""
    all_drawn = {n: msgspec.json.decode(msgspec.json.encode(d)) for n, d in snapshot.drawn.items()}
    name, told = next((n, told) for n, told in all_drawn.items() if _has_number(told))
    other = msgspec.convert(_changed(told), type(snapshot.drawn[name]))
    return Snapshot(
        snapshot.version,
        snapshot.created_at_ms,
        {**snapshot.drawn, name: other},
        snapshot.trainer,
    )


def other_state(snapshot: Snapshot) -> Snapshot:
    state = msgspec.json.decode(snapshot.trainer)
    return snapshot.replace(trainer=msgspec.json.encode({**state, "lessons": state["lessons"] + 1}))


def _changed(told: object) -> object:
    """The same with its first number changed."""
    if isinstance(told, dict):
        name = next(name for name, value in told.items() if _has_number(value))
        return {**told, name: _changed(told[name])}
    if isinstance(told, list):
        place = next(n for n, value in enumerate(told) if _has_number(value))
        return [*told[:place], _changed(told[place]), *told[place + 1 :]]
    assert isinstance(told, int | float)
    return told + 1


def _has_number(told: object) -> bool:
    if isinstance(told, dict):
        return any(map(_has_number, told.values()))
    if isinstance(told, list):
        return any(map(_has_number, told))
    return isinstance(told, int | float) and not isinstance(told, bool)


@pytest.mark.parametrize(
    ("change", "what"), [(other_rates, "drawn."), (other_state, "trainer.lessons")]
)
def test_an_edited_snapshot_is_found_and_what_goes_on_from_it_is_not_told_twice(
    sound: Past, change: Callable[[Snapshot], Snapshot], what: str
) -> None:
    content = edited(sound.snapshots[2], change)
    past = Past(sound.lessons, 0, [*sound.snapshots[:2], content])
    (found,) = audited(past).differences
    model = f"model 3 ({hash_of(content).hexdigest()[:12]}): {what}"
    assert OTHER == found.words
    assert found.examples[0].startswith(model)


def test_a_snapshot_that_no_lessons_give_is_found(sound: Past) -> None:
    last = decode_snapshot(sound.snapshots[-1])
    forged = edited(sound.snapshots[-1], lambda one: one.replace(version=last.version + 1))
    (found,) = audited(Past(sound.lessons, 0, [*sound.snapshots, forged])).differences
    assert (NEVER, 1) == (found.words, found.count)


def test_a_changed_lesson_is_found_by_the_snapshots_after_it(sound: Past) -> None:
    lessons = [*sound.lessons]
    place = next(n for n, one in enumerate(lessons) if b"channel 1" in one)
    lessons[place] = lessons[place].replace(b'"amountMinor":1', b'"amountMinor":2')
    outcome = audited(Past(lessons, 0, sound.snapshots))
    assert [OTHER] == [found.words for found in outcome.differences]
    # Those after it go on from what the log names.
    assert 1 == outcome.differences[0].count


def test_learning_goes_on_from_the_oldest_snapshot_whose_lessons_are_there(sound: Past) -> None:
    told = consumed_by(sound.snapshots[1])
    assert told is not None
    past = Past(sound.lessons, told[1], sound.snapshots)
    outcome = audited(past)
    assert outcome.is_exact
    assert outcome.unchecked[0].startswith("2 older snapshots")
    assert len(sound.snapshots) - 2 == outcome.checked["snapshots"]
    # The first snapshots are gone, too.
    later = audited(Past(sound.lessons, 0, sound.snapshots[2:]))
    assert later.unchecked[0].startswith("1 older snapshots")
    assert len(sound.snapshots) - 3 == later.checked["snapshots"]


def test_snapshots_of_a_topic_of_lessons_that_is_gone_are_told(sound: Past) -> None:
    gone = len(sound.lessons)
    past = Past([], gone, sound.snapshots)
    outcome = audited(past)
    assert outcome.is_exact
    assert outcome.unchecked[0].startswith(f"{len(sound.snapshots)} older snapshots")


def test_what_the_log_does_not_name_yet_is_told(sound: Past) -> None:
    outcome = audited(sound, unnamed=2)
    assert outcome.is_exact
    assert "2 snapshots that the lessons give and the log does not name yet" in outcome.unchecked


def test_another_release_s_spelling_is_no_difference(sound: Past) -> None:
    """Its snapshot has fewer fields, in another order."""
    snapshots = [*sound.snapshots]
    for place, content in enumerate(snapshots):
        told = msgspec.json.decode(content)
        del told["trainer"]["heardMs"]
        del told["trainer"]["previous"]
        snapshots[place] = msgspec.json.encode(dict(reversed(told.items())))
    assert audited(Past(sound.lessons, 0, snapshots)).is_exact
