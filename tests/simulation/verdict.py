"""Compares what a run left behind with what it should be."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from hashlib import sha256 as hash_of
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from faust.types import TP

from config.parameters import Parameters
from config.settings import Settings
from config.topics import (
    CUSTOMER_ARCHIVE,
    CUSTOMER_EVENTS,
    CUSTOMER_KEYS,
    CUSTOMERS,
    DEAD_LETTERS,
    DECISION_LEDGER,
    DELIVERED_TOPICS,
    LABELLED_EXAMPLES,
    MODEL_SNAPSHOTS,
    NEXT_BEST_ACTIONS,
    RAW_TOPICS,
    RETENTION_TRIGGERS,
)
from models.decisions.trigger import decode_decision, does_nothing
from models.events.dead_letter import decode_dead_letter
from models.events.erasure_record import notice_in
from models.events.rejection import Reason, Rejected
from models.events.wire import decode_line
from models.learning.lessons import decode_lesson
from models.learning.snapshot import (
    Snapshot,
    decode_snapshot,
    encode_snapshot,
    prior_snapshot,
)
from models.learning.trainer import Trainer
from models.plan import Plan
from models.replay import Replay
from streams.archive.key_reading import Keys
from streams.archive.unsealing import Unsealed, Unsealing
from streams.auditing.learning_audit import LearningAudit, Named, consumed_by
from streams.auditing.partition_audit import PartitionAudit, Scope, lesson_effect
from streams.auditing.passed_on import PassedOn
from streams.auditing.report import Audit
from streams.auditing.spools import (
    DROPPED,
    IN_LOG,
    REFUSED,
    Contrast,
    Effect,
    EffectSpool,
    RawFates,
    digest_of,
)
from streams.dead_letters import decode_letter
from streams.graves import Fingerprints
from streams.raw_records import outgoing_of
from streams.recovery import ChangelogFold
from streams.snapshot_store import SnapshotStore
from tests.simulation.broker import Broker
from tests.simulation.reader import NEW_READER, Reader
from tests.simulation.store import Store


class Verdict:
    """Runs the audit, and checks itself what no audit checks."""

    def __init__(
        self, broker: Broker, store: Store, settings: Settings, parameters: Parameters, plan: Plan
    ) -> None:
        self._broker = broker
        self._store = store
        self._settings = settings
        self._parameters = parameters
        self._plan = plan
        self._audit = Audit()
        NEW_READER.set(lambda: Reader(broker, partial(asyncio.sleep, 0)))

    @property
    def decisions(self) -> int:
        """How many decisions were delivered, each counted once."""
        return len(self._delivered())

    @property
    def snapshots(self) -> int:
        return self._broker.end(TP(MODEL_SNAPSHOTS, 0))

    async def differences(self, published: Sequence[bytes]) -> list[str]:
        """Where rows, effects, snapshots and streams differ from what the log gives, and where the
        log differs from what was published.
        """
        with TemporaryDirectory() as directory, EffectSpool(None) as spool, PassedOn() as passed_on:
            fates = dict(self._fates(Path(directory)))
            self._find_effects(spool)
            scope = Scope(self._plan, self._snapshots(), fates, spool, self._audit, passed_on)
            contrasts = [await self._audited(number, scope) for number in self._partitions()]
            lost = [
                f"{topic}-{number} at {offset}"
                for (topic, number), found in fates.items()
                for offset, expected, marks in found
                if marks & DROPPED or (not marks & IN_LOG and expected != REFUSED)
            ]
            for found in fates.values():
                found.close()
            unlike = list(passed_on.differences())
        await self._learn_again()
        told = [f"{found.words}: {found.examples}" for found in self._audit.differences]
        told += [f"{one.words}: {one.at}" for one in unlike]
        told += [f"effects: {contrast}" for contrast in contrasts if any(contrast)]
        told += [f"lost: {place}" for place in lost]
        told += self._undelivered()
        for number in self._partitions():
            told += await self._unlike_archive(number)
        checked, refused = self._audit.checked, len(self._refused())
        applied, late, erased = (
            checked[f"events:{fate}"] for fate in ("applied", "late", "erased")
        )
        if applied + late + erased + refused != len(published):
            told.append(
                f"{applied} applied, {late} late, {erased} erased and {refused} refused, of "
                f"{len(published)}"
            )
        return told

    def _refused(self) -> set[str]:
        """The events that a part refused, each once."""
        letters = (
            decode_letter(record.value)
            for number in self._partitions()
            for record in self._log(DEAD_LETTERS, number)
        )
        return {
            letter.source.message_id
            for letter in letters
            if letter is not None
            and letter.source is not None
            and letter.source.topic != CUSTOMER_EVENTS
            and letter.reason is not Reason.TOO_LATE
        }

    def late(self) -> list[str]:
        """Events that came late, though none was sent late."""
        late = self._audit.checked["events:late"]
        return [f"{late} came late, and none was sent late"] if late else []

    def repeated(self) -> list[str]:
        """Entries that a stream of the store has more than once, though nothing failed."""
        times = self._delivered()
        return [f"{one} was delivered {times[one]} times" for one in times if times[one] > 1]

    def unlike_replay(self, published: Sequence[bytes]) -> list[str]:
        """Where learning from history differs from its replay."""
        drawn: list[bytes] = []

        class Kept(Trainer):
            def draw(self, consumed: int = 0) -> Snapshot:
                snapshot = super().draw(consumed)
                drawn.append(_decided_with(snapshot))
                return snapshot

        trainer = Kept(self._parameters, partitions=1)
        replay = Replay(self._parameters, trainer=trainer, is_rehearsed=True)
        for number, value in enumerate(published, 1):
            replay.feed(value, number)
        live = {
            snapshot.version: _decided_with(snapshot)
            for record in self._log(MODEL_SNAPSHOTS, 0)
            if (snapshot := decode_snapshot(record.value or b""))
        }
        if [live[version] for version in sorted(live)] == drawn:
            return []
        other = [n for n, one in enumerate(drawn, 1) if live.get(n) != one]
        return [f"{len(live)} snapshots, a replay draws {len(drawn)}; {other} are others"]

    def _partitions(self) -> range:
        return range(self._settings.partitions)

    def _log(self, topic: str, number: int) -> list[Any]:
        return self._broker.logs[TP(topic, number)]

    def _snapshots(self) -> SnapshotStore:
        return SnapshotStore(self._settings, prior_snapshot(self._parameters))

    async def _audited(self, number: int, scope: Scope) -> Contrast:
        stored = ChangelogFold()
        for record in self._log(CUSTOMERS, number):
            stored.add(record.key, record.value, record.headers)
        stored.bury()
        log = self._log(CUSTOMER_EVENTS, number)
        audited = PartitionAudit(number, stored, committed=len(log), log_end=len(log), scope=scope)
        for record in log:
            await audited.take(record)
        audited.finish()
        return scope.spool.contrast(number, ())

    async def _unlike_archive(self, number: int) -> list[str]:
        """Where the archive has other records than the log, or other rows than there are."""
        keys, outcome, log = Keys(), Unsealed(), self._log(CUSTOMER_EVENTS, number)
        for record in self._log(CUSTOMER_KEYS, number):
            keys.add(record)
        unsealing = Unsealing(number, keys, outcome)
        frames = self._log(CUSTOMER_ARCHIVE, number)
        archived = [record for frame in frames for record in unsealing.take(frame.value)]
        told = [
            f"{CUSTOMER_ARCHIVE}-{number} has another record for offset {record.offset}"
            for record, sealed in zip(log, archived, strict=False)
            if record.value != sealed.value and b'"type":"gone"' not in sealed.value
        ]
        # The records of erased customers are gone, and no others. A model that was announced last
        # may not have been folded by any worker.
        committed = self._broker.committed.get(TP(CUSTOMER_EVENTS, number), 0)
        is_there = committed <= outcome.records <= len(log)
        if not is_there or outcome.missing or outcome.foreign:
            told.append(f"{CUSTOMER_ARCHIVE}-{number}, for a log of {len(log)}: {outcome!r}")
        stored = ChangelogFold()
        for record in self._log(CUSTOMERS, number):
            stored.add(record.key, record.value, record.headers)
        with EffectSpool(None) as spool, PassedOn() as passed_on:
            audit = Audit()
            scope = Scope(self._plan, self._snapshots(), {}, spool, audit, passed_on)
            audited = PartitionAudit(number, stored, committed=0, log_end=0, scope=scope)
            for sealed in archived:
                await audited.take(sealed)  # type: ignore[arg-type]
            audited.finish()
        return told + [f"by the archive: {one}" for one in audit.differences if one.check == "rows"]

    def _fates(self, directory: Path) -> Iterator[tuple[tuple[str, int], RawFates]]:
        for topic in RAW_TOPICS:
            for number in self._partitions():
                log = self._log(topic, number)
                fates = RawFates(directory, f"{topic}-{number}", 0, len(log))
                for record in log:
                    outgoing, found = outgoing_of(
                        topic, record, None, self._parameters, self._settings.partitions
                    )
                    is_refused = isinstance(found, Rejected)
                    digest = digest_of(outgoing.value, outgoing.partition)
                    fates.expect(record.offset, REFUSED if is_refused else digest)
                yield (topic, number), fates

    def _find_effects(self, spool: EffectSpool) -> None:
        for number in self._partitions():
            for topic in (RETENTION_TRIGGERS, NEXT_BEST_ACTIONS, DECISION_LEDGER):
                values = [r.value or b"" for r in self._log(topic, number)]
                spool.found(number, [Effect(topic, _id_of(v), digest_of(v)) for v in values])
            for record in self._log(DEAD_LETTERS, number):
                letter = decode_dead_letter(record.value or b"")
                if letter.source is not None and letter.step == "profile":
                    source = letter.source
                    name = f"{source.topic}-{source.partition}-{source.offset}"
                    digest = digest_of(str(letter.reason).encode())
                    spool.found(number, [Effect(DEAD_LETTERS, name, digest)])
        for record in self._log(LABELLED_EXAMPLES, 0):
            lesson = decode_lesson(record.value or b"")
            spool.found(lesson.partition, [lesson_effect(lesson)])

    async def _learn_again(self) -> None:
        named: dict[int, list[Named]] = {}
        announced = self._announced()
        for record in self._log(MODEL_SNAPSHOTS, 0):
            content = record.value or b""
            told, sha256 = consumed_by(content), hash_of(content).hexdigest()
            if told is None:
                continue
            one = Named(told[0], sha256, told[1])
            if (one.version, sha256) in announced and one not in named.get(one.version, ()):
                named.setdefault(one.version, []).append(one)

        async def lessons(place: int) -> AsyncIterator[Sequence[Any]]:
            yield self._log(LABELLED_EXAMPLES, 0)[place:]

        ends = {number: len(self._log(CUSTOMER_EVENTS, number)) for number in self._partitions()}
        learning = LearningAudit(
            self._parameters, len(ends), self._snapshots(), named, self._audit, ends
        )
        await learning.run(lessons, 0)

    def _announced(self) -> set[tuple[int | None, str | None]]:
        lines = (
            decode_line(record.value or b"")
            for number in self._partitions()
            for record in self._log(CUSTOMER_EVENTS, number)
        )
        return {(line.version, line.sha256) for line in lines if line.type == "model"}

    def _delivered(self) -> Counter[str]:
        """How often each decision is in the store, by stream and id."""
        return Counter(
            f"{stream} {fields['id']}"
            for stream, entries in self._store.streams.items()
            for fields in entries.values()
        )

    def _undelivered(self) -> list[str]:
        decided: set[str] = set()
        erased: set[str] = set()
        for topic in DELIVERED_TOPICS:
            for number in self._partitions():
                kept, gone = self._decided(topic, number)
                decided |= kept
                erased |= gone
        there = {one.rpartition(" ")[2] for one in self._delivered()}
        told = [f"decision {one} was not delivered" for one in sorted(decided - there)]
        told += [f"{one} is of somebody erased" for one in sorted(there & erased)]
        return told + [
            f"{one} was delivered, and not decided" for one in sorted(there - decided - erased)
        ]

    def _decided(self, topic: str, number: int) -> tuple[set[str], set[str]]:
        """The decisions on a partition, and those of them that were only made for a customer who
        was erased afterwards: after a crash, the erasure is repeated, and then the decisions for
        customers who came later.
        """
        of_whom: dict[bytes, set[str]] = {}
        erased: set[str] = set()
        fingerprints = Fingerprints()
        for record in self._log(topic, number):
            notice = notice_in(record.value or b"")
            if notice is not None:
                erased |= of_whom.pop(bytes.fromhex(notice.fingerprint), set())
            elif not does_nothing(decision := decode_decision(record.value or b"")):
                of_whom.setdefault(fingerprints.of(decision.user_id), set()).add(decision.id)
        kept = set().union(*of_whom.values())
        return kept, erased - kept


def _id_of(content: bytes) -> str:
    """The id of a decision, or of an erasure notice."""
    notice = notice_in(content)
    return decode_decision(content).id if notice is None else notice.id


def _decided_with(snapshot: Snapshot) -> bytes:
    """A snapshot's bytes without the trainer's state, which contains the positions of its
    lessons.
    """
    return encode_snapshot(snapshot.replace(trainer=b"null"))[0]
