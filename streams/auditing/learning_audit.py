"""Lessons learnt once more, and compared with the snapshots that the log names.

Learning goes on from the oldest snapshot whose lessons are still there, and after one that differs
from that one, so that what follows from it is not told as well.
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


#: Differing fields that are named of one snapshot.
FIELDS_MAX = 4


class _Learnt(Struct):
    consumed: int = 0


class _Head(Struct):
    version: int
    trainer: _Learnt | None = None


_HEAD = msgspec.json.Decoder(_Head)


class Named(NamedTuple):
    """A snapshot that the log names, and where lessons are read on after it."""

    version: int
    sha256: str
    consumed: int


def consumed_by(content: bytes) -> tuple[int, int] | None:
    """(version, where lessons are read on) of a snapshot's record; None if it is none."""
    try:
        head = _HEAD.decode(content)
    except UNREADABLE:
        return None
    return head.version, head.trainer.consumed if head.trainer is not None else 0


class LearningAudit:
    """Learns again. ``named``: the snapshots that the log names and their topic has, by version."""

    def __init__(
        self,
        parameters: Parameters,
        partitions: int,
        snapshots: SnapshotStore,
        named: Mapping[int, Sequence[Named]],
        audit: Audit,
        log_ends: Mapping[int, int],
    ) -> None:
        """``log_ends``: the next offset of each partition of the log, of which no lesson is."""
        self._parameters = parameters
        self._partitions = partitions
        self._snapshots = snapshots
        self._named = named
        self._audit = audit
        self._log_ends = log_ends
        self._heard = self._unnamed = 0

    async def run(self, lessons: Lessons, begin: int) -> None:
        """Learn the lessons from ``begin`` on, the first that are there, and compare."""
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
        """The snapshot to go on from, None for the prior, and where its lessons go on; None if
        there is nothing to learn again.
        """
        chain = [self._named[version][0] for version in sorted(self._named)]
        # From here on, places are of the topic that there is now.
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
        """Learn on to the end, or to a snapshot that differs: from where to go on then."""
        snapshot = await self._stored(after) if after is not None else self._snapshots.prior
        trainer = Trainer(self._parameters, snapshot, partitions=self._partitions)
        self._heard = self._unnamed = 0
        async for records in lessons(place):
            for record in records:
                try:
                    lesson = past_lesson(record.value or b"")
                    if lesson.offset >= self._log_ends.get(lesson.partition, 0):
                        continue  # told as a lesson that does not follow from the log
                    trainer.learn(lesson, record.offset)
                except Foreign:
                    continue  # told with its topic
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
        """Compare a snapshot with those of its version; one to go on from if it is none of them."""
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
        # The next one names it, in the bytes of whichever release wrote it.
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
        return True  # left out by the trainer, too


def different_fields(stored: Snapshot, drawn: bytes) -> list[str]:
    """Where a snapshot says something else than ``drawn``, the first few, in whatever way its
    release encoded it: what only one of them has is no difference.
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
