"""Learns the lessons again, and compares the result with the snapshots that the log names.

Learning starts from the oldest snapshot whose lessons still exist. After a snapshot that differs,
learning continues from the stored one, so that consequences of the difference are not reported too.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec
from aiokafka import ConsumerRecord
from msgspec import Struct

from config.parameters import Parameters
from models.events.foreign import UNREADABLE, Foreign
from models.learning.snapshot import Snapshot, encode_snapshot
from models.learning.trainer import Trainer
from streams.auditing.report import Audit
from streams.quarantine import past_lesson
from streams.snapshot_store import SnapshotStore

#: Reads the lessons from an offset up to where they ended when the audit asked.
Lessons = Callable[[int], AsyncIterator[Sequence[ConsumerRecord]]]


#: Differing fields that are named for one snapshot.
FIELDS_MAX = 4


class _Learnt(Struct):
    consumed: int = 0


class _Head(Struct):
    version: int
    trainer: _Learnt | None = None


_HEAD = msgspec.json.Decoder(_Head)


class Named(NamedTuple):
    """A snapshot that the log names. ``consumed``: where reading of lessons continues after it."""

    version: int
    sha256: str
    consumed: int


def consumed_by(content: bytes) -> tuple[int, int] | None:
    """(version, where reading of lessons continues) of a snapshot's record; None for others."""
    try:
        head = _HEAD.decode(content)
    except UNREADABLE:
        return None
    return head.version, head.trainer.consumed if head.trainer is not None else 0


class LearningAudit:
    """Learns again. ``named``: by version, the snapshots that both the log and their topic have."""

    def __init__(
        self,
        parameters: Parameters,
        partitions: int,
        snapshots: SnapshotStore,
        named: Mapping[int, Sequence[Named]],
        audit: Audit,
        log_ends: Mapping[int, int],
    ) -> None:
        """``log_ends``: the next offset of each partition; lessons from there on are left out."""
        self._parameters = parameters
        self._partitions = partitions
        self._snapshots = snapshots
        self._named = named
        self._audit = audit
        self._log_ends = log_ends
        self._heard = self._unnamed = 0

    async def run(self, lessons: Lessons, begin: int) -> None:
        """Learn the lessons from ``begin`` on, the first that still exist, and compare."""
        start = self._start(begin) if self._named else None
        while start is not None:
            start = await self._learn(*start, lessons)
        if self._heard:
            self._audit.unchecked.append(
                f"{self._heard:,} lessons after the last snapshot: they wait for the end of their "
                f"day, or for the next one"
            )
        if self._unnamed:
            self._audit.unchecked.append(
                f"{self._unnamed:,} snapshots that the lessons give and the log does not name yet"
            )

    def _start(self, begin: int) -> tuple[Named | None, int] | None:
        """The snapshot to start from (None for the prior) and the offset of its next lesson; None
        if nothing can be learnt again.
        """
        chain = [self._named[version][0] for version in sorted(self._named)]
        # From this snapshot on, offsets are those of the present topic.
        anew = max(
            (n for n in range(1, len(chain)) if chain[n].consumed < chain[n - 1].consumed),
            default=0,
        )
        start: tuple[Named | None, int] | None = None
        if not begin and (anew or chain[0].version == 1):
            unknown = anew
            start = (chain[anew - 1] if anew else None), 0
        else:
            there = [n for n in range(anew, len(chain)) if chain[n].consumed >= begin]
            unknown = there[0] + 1 if there else len(chain)
            if unknown < len(chain):
                start = chain[there[0]], chain[there[0]].consumed
        if unknown:
            self._audit.unchecked.append(
                f"{unknown:,} older snapshots: the lessons that they follow from, or those before, "
                f"are not there any more"
            )
        return start

    async def _learn(
        self, after: Named | None, place: int, lessons: Lessons
    ) -> tuple[Named, int] | None:
        """Learn up to the end, or to a snapshot that differs: return where to continue, if any."""
        snapshot = await self._stored(after) if after is not None else self._snapshots.prior
        trainer = Trainer(self._parameters, snapshot, partitions=self._partitions)
        self._heard = self._unnamed = 0
        async for records in lessons(place):
            for record in records:
                try:
                    lesson = past_lesson(record.value or b"")
                    if lesson.offset >= self._log_ends.get(lesson.partition, 0):
                        continue  # reported as a lesson that does not follow from the log
                    trainer.learn(lesson, record.offset)
                except Foreign:
                    continue  # reported with its topic
                self._heard += 1
                while _learnt_next(trainer):
                    if not trainer.is_due:
                        continue
                    self._heard = 0
                    other = await self._compare(trainer.draw(record.offset + 1))
                    if other is not None:
                        return other, other.consumed
        for version in self._named:
            if version > trainer.snapshot.version:
                self._differs(self._named[version], "the lessons do not give them")
        return None

    async def _compare(self, drawn: Snapshot) -> Named | None:
        """Compare a snapshot with those of its version; return one to start from if all differ."""
        named = self._named.get(drawn.version, ())
        if not named:
            self._unnamed += 1
            return None
        content, sha256 = encode_snapshot(drawn)
        others = []
        for one in named:
            self._audit.checked["snapshots"] += 1
            if one.sha256 == sha256:
                continue
            if different := different_fields(await self._stored(one), content):
                others.append(one)
                self._differs([one], "the lessons give other ones", f": {', '.join(different)}")
        if len(others) == len(named):
            return others[0]
        # The next snapshot names this one by the hash of the bytes its release wrote.
        kept = next(one for one in named if one not in others)
        drawn.stored_sha256 = kept.sha256
        return None

    def _differs(self, named: Sequence[Named], why: str, what: str = "") -> None:
        for one in named:
            self._audit.differs(
                "learning",
                f"the log names snapshots that the trainer did not draw: {why}",
                f"model {one.version} ({one.sha256[:12]}){what}",
            )

    async def _stored(self, named: Named) -> Snapshot:
        await self._snapshots.fetch(named.version, named.sha256)
        return self._snapshots.get(named.version, named.sha256)


def _learnt_next(trainer: Trainer) -> bool:
    try:
        return trainer.learn_next()
    except ValueError:
        return True  # the trainer leaves it out, too


def different_fields(stored: Snapshot, drawn: bytes) -> list[str]:
    """The first few fields in which a snapshot differs from ``drawn``. Fields that only one of them
    has are ignored, so the encoding of another release is no difference.
    """
    one, other = msgspec.json.decode(encode_snapshot(stored)[0]), msgspec.json.decode(drawn)
    return list(islice(_differences(one, other), FIELDS_MAX))


def _differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for name in one:
            if name in other:
                yield from _differences(one[name], other[name], f"{path}.{name}" if path else name)
    elif one != other:
        yield path
