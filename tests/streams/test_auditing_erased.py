"""Effects for erased customers are distinguished from effects without a cause."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

import pytest
from msgspec.structs import replace

from config.settings import load_settings
from config.topics import (
    DEAD_LETTERS,
    RETENTION_TRIGGERS,
)
from models.admission import decode_event
from models.decisions.trigger import Decision
from models.engine import Fate
from models.events.event import Source
from models.events.rejection import Reason
from models.events.wire import decode_line, encode_event
from models.learning.lessons import Taught
from models.learning.snapshot import prior_snapshot
from models.partition import Partition
from models.partition_state import rehearsing_state
from streams.auditing.partition_audit import (
    PartitionAudit,
    Scope,
    effects_of,
    lesson_effect,
)
from streams.auditing.passed_on import PassedOn
from streams.auditing.report import Audit
from streams.auditing.spools import Contrast, Effect, EffectSpool, digest_of
from streams.graves import CustomerGraves, Fingerprints
from streams.log_records import live_record
from streams.recovery import ChangelogFold
from streams.snapshot_store import SnapshotStore
from tests.models.lines import at, line
from tests.properties.histories import StoredRows
from tests.properties.test_archives import erasing_bob, lived
from tests.properties.test_partitions import PLAN
from tests.streams.test_record_batches import FakeRecord

NAMES = Fingerprints("")


class Archived(FakeRecord):
    is_archived = True


def bought(day: float, who: str, number: int) -> bytes:
    order = {"order_id": f"{who}{day}", "revenue": 10.0 * len(who) + day}
    raw = line(
        "Order Completed", at(day, 10), customer=who, message=f"{who}{day}", properties=order
    )
    source = Source(topic="transactions", partition=0, offset=number, received_at=at(day, 10))
    return encode_event(decode_event(raw, message_id="", source=source))


def shop() -> list[bytes]:
    """Three who buy on the same days, so that all are due at the same moments; one is erased."""
    log = [live_record(at())]
    for day in range(0, 90, 4):
        if day == 44:
            log.append(erasing_bob(log, len(log)))
        for who in ("ada", "bob", "cleo") if day < 44 else ("ada", "cleo"):
            log.append(bought(day, who, len(log)))
    # Too late, of somebody else and of bob.
    return [*log, bought(2.5, "ada", len(log)), bought(2.5, "bob", len(log) + 1)]


@dataclass
class Left:
    """What a deployment left on its topics, and what its archive gives back of the log."""

    archived: list[bytes]
    written: list[Effect]
    graves: CustomerGraves
    lessons: list[Taught] = field(default_factory=list)
    #: The records that moved the clock.
    moments: set[int] = field(default_factory=set)

    @property
    def erased_at(self) -> int:
        return self.graves.last_erased

    def audited(self) -> Contrast:
        with EffectSpool(None) as spool, PassedOn() as passed_on:
            spool.found(0, self.written)
            return asyncio.run(self._contrast(spool, passed_on))

    async def _contrast(self, spool: EffectSpool, passed_on: PassedOn) -> Contrast:
        store = SnapshotStore(load_settings({}), prior_snapshot(PLAN.parameters))
        scope = Scope(PLAN, store, {}, spool, Audit(), passed_on)
        size = len(self.archived)
        audit = PartitionAudit(0, ChangelogFold(), committed=size, log_end=size, scope=scope)
        for offset, content in enumerate(self.archived):
            await audit.take(Archived(offset, value=content))  # type: ignore[arg-type]
        audit.finish()
        assert audit.gone
        packed, last_erased = self.graves.all_packed(), self.graves.last_erased
        return spool.contrast_beside_gone(0, (), packed, last_erased)


@pytest.fixture(params=range(4))
def left(request: pytest.FixtureRequest) -> Left:
    """After any folds, crashes and repeated reads."""
    log = shop()
    archived, _ = lived(log, Random(request.param)).unsealed()
    graves = CustomerGraves()
    prior = prior_snapshot(PLAN.parameters)
    fold = Partition(0, StoredRows(), prior, PLAN, lambda *_: prior, rehearsing_state(), graves)
    found = Left(archived, [], graves)
    for offset, content in enumerate(log):
        clock_ms = fold.state.clock_ms
        found.written += _effects(fold, offset, content, found.lessons)
        if fold.state.clock_ms > clock_ms:
            found.moments.add(offset)
    return found


def _effects(
    fold: Partition, offset: int, content: bytes, lessons: list[Taught]
) -> Iterator[Effect]:
    decoded = decode_line(content)
    applied = fold.apply(offset, decoded)
    if applied.fate is Fate.LATE and decoded.source is not None:
        yield letter_of(decoded.source.message_id)
    for effect in applied.effects:
        if isinstance(effect, Taught):
            lessons.append(effect)
        whose = NAMES.of(effect.user_id) if isinstance(effect, Decision) else b""
        yield from (one._replace(whose=whose) for one in effects_of(effect))


def letter_of(place: str) -> Effect:
    return Effect(DEAD_LETTERS, place, digest_of(str(Reason.TOO_LATE).encode()))


def test_what_is_left_of_them_is_counted_and_nothing_differs(left: Left) -> None:
    contrast = left.audited()

    assert ([], [], []) == (contrast.missing, contrast.extra, contrast.different)
    assert contrast.of_erased > 20
    # Those of others that were taught in the same moment had other numbers.
    shifted = {(one.offset, one.index) for one in left.lessons if one.index}
    assert shifted


def invented(lesson: Taught, **fields: int) -> Effect:
    return lesson_effect(replace(lesson, **fields))  # type: ignore[type-var]


def a_lesson_of_a_record_that_is_there(left: Left) -> None:
    """It did not move the clock, and does not concern an erased customer."""
    still = next(one for one in range(40, len(left.archived)) if one not in left.moments)
    left.written.append(invented(left.lessons[0], offset=still, index=40))


def a_lesson_after_the_last_erasure(left: Left) -> None:
    left.written.append(invented(left.lessons[-1], index=90))


def is_alike(one: Taught, other: Taught) -> bool:
    return invented(one, index=0).digest == invented(other, index=0).digest


def lessons_in_another_order(left: Left) -> None:
    """Two lessons of other, known customers, from one record since the erasure."""
    of_one = Counter(one.offset for one in left.lessons if one.offset > left.erased_at)
    offset = next(place for place, count in of_one.items() if count > 1)
    lessons = [lesson for lesson in left.lessons if lesson.offset == offset]
    one, other = lessons[0], next(more for more in lessons if not is_alike(more, lessons[0]))
    told = {lesson_effect(one), lesson_effect(other)}  # type: ignore[arg-type]
    left.written = [effect for effect in left.written if effect not in told]
    left.written += [
        invented(one, index=other.index),
        invented(other, index=one.index),
    ]


def no_lesson_of_somebody_else(left: Left) -> None:
    gone = lesson_effect(left.lessons[-1])  # type: ignore[arg-type]
    left.written = [effect for effect in left.written if effect != gone]


def a_decision_for_somebody_else(left: Left) -> None:
    left.written.append(Effect(RETENTION_TRIGGERS, "f" * 32, b"", NAMES.of("dora")))


def no_decision_for_somebody_else(left: Left) -> None:
    theirs = NAMES.of("ada")
    name = next(one.id for one in left.written if one.whose == theirs)
    left.written = [effect for effect in left.written if effect.id != name]


def a_letter_of_a_record_that_is_there(left: Left) -> None:
    left.written.append(letter_of("transactions-0-1"))


FAULTS = {
    "extra": (
        a_lesson_of_a_record_that_is_there,
        a_lesson_after_the_last_erasure,
        lessons_in_another_order,
        a_decision_for_somebody_else,
        a_letter_of_a_record_that_is_there,
    ),
    "missing": (
        no_lesson_of_somebody_else,
        lessons_in_another_order,
        no_decision_for_somebody_else,
    ),
}


@pytest.mark.parametrize(
    ("what", "fault"),
    [(what, fault) for what, faults in FAULTS.items() for fault in faults],
    ids=lambda one: one if isinstance(one, str) else one.__name__,
)
def test_whatever_else_is_not_theirs_differs(
    left: Left, what: str, fault: Callable[[Left], None]
) -> None:
    fault(left)

    assert getattr(left.audited(), what)
