"""Compares a running deployment with its own log: raw topics → log → rows → effects → Redis, and
lessons → snapshots.

Workers may go on meanwhile, because the order of the questions makes the comparison safe: committed
offsets come first, so everything they led to is there; then what Redis has and which snapshots
exist; the ends of the logs come last, so everything written by then follows from what is read.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing
from hashlib import sha256 as hash_of
from pathlib import Path
from time import time
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from config.parameters import Parameters
from config.settings import Settings
from config.topics import (
    CUSTOMER_EVENTS,
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
from models.decisions.trigger import decode_decision, encode_decision
from models.events.dead_letter import Closing
from models.events.erasure_record import encode_notice, notice_in
from models.events.foreign import Foreign
from models.learning.snapshot import prior_snapshot
from models.plan import plan_for
from streams.archive.whole_log import WholeLog
from streams.auditing.delivery_audit import DeliveryAudit
from streams.auditing.learning_audit import LearningAudit, Named, consumed_by
from streams.auditing.partition_audit import PartitionAudit, Scope, lesson_effect
from streams.auditing.passed_on import PassedOn
from streams.auditing.positions import COMMITTED_TOPICS, Places, Positions
from streams.auditing.profile_audit import ReadingTimes, compare_profiles
from streams.auditing.raw_audit import RawAudit
from streams.auditing.report import Audit
from streams.auditing.spools import Effect, EffectSpool, digest_of
from streams.auditing.store_contents import StoreContents, read_store, still_missing
from streams.dead_letters import decode_stored
from streams.graves import CustomerGraves, Fingerprints
from streams.kafka_clients import new_admin, new_reader, partition_for, running
from streams.quarantine import past_lesson
from streams.recovery import ChangelogFold
from streams.set_aside import SetAside
from streams.snapshot_store import SnapshotStore
from streams.topic_identity import topic_ids
from streams.topic_scan import Span, scan

OnProgress = Callable[[int, int, str], object]

_DECISIONS = (RETENTION_TRIGGERS, NEXT_BEST_ACTIONS, DECISION_LEDGER)
_EFFECTS = (*_DECISIONS, LABELLED_EXAMPLES, DEAD_LETTERS)


async def audit(
    settings: Settings,
    parameters: Parameters,
    directory: Path,
    on_progress: OnProgress = lambda *_: None,
) -> Audit:
    """Compare everything; ``directory`` holds data that is too large for memory.

    Raises `TopicsError`, `BrokerUnreachable`, and `NewerRow` or `OlderRow` for rows of another
    release.
    """
    async with running(new_reader(settings), settings) as reader:
        admin = await asyncio.to_thread(new_admin, settings)
        with (
            closing(admin),
            EffectSpool(directory) as spool,
            PassedOn(directory) as passed_on,
            StoreContents(directory) as store,
            DeliveryAudit(settings, directory, outcome := Audit()) as deliveries,
            closing(RawAudit(parameters, settings.partitions, directory, outcome)) as raw,
        ):
            positions = Positions(admin, settings)
            kept = _Kept(directory, spool, passed_on, store, deliveries, raw, outcome)
            auditor = _Auditor(settings, parameters, reader, positions, kept, on_progress)
            return await auditor.run()


class _Kept(NamedTuple):
    """The data that is too large for memory, and the findings."""

    directory: Path
    spool: EffectSpool
    passed_on: PassedOn
    store: StoreContents
    deliveries: DeliveryAudit
    raw: RawAudit
    outcome: Audit


class _Auditor:
    def __init__(
        self,
        settings: Settings,
        parameters: Parameters,
        reader: AIOKafkaConsumer,
        positions: Positions,
        kept: _Kept,
        on_progress: OnProgress,
    ) -> None:
        self._settings = settings
        self._parameters = parameters
        self._reader = reader
        self._positions = positions
        self._directory = kept.directory
        self._spool = spool = kept.spool
        self._passed_on = kept.passed_on
        self._store = kept.store
        self._deliveries = kept.deliveries
        self._raw = kept.raw
        self._on_progress = on_progress
        self._audit = kept.outcome
        self._why_no_store: str | None = None
        self._log_ends: dict[int, int] = {}
        self._whole_log = WholeLog(reader, settings)
        self._fingerprints = Fingerprints(settings.erasure_salt)
        self._named: dict[int, dict[str, None]] = {}
        self._scope = Scope(
            plan_for(parameters),
            SnapshotStore(settings, prior_snapshot(parameters)),
            self._raw.fates,
            spool,
            self._audit,
            self._passed_on,
            SetAside.of(settings),
            settings.erasure_salt,
        )
        self._spans: dict[str, list[Span]] = {}
        self._committed: Places = {}
        self._topic_ids: dict[str, str] = {}
        self._done = 0

    async def run(self) -> Audit:
        names = [self._settings.topic(topic) for topic in COMMITTED_TOPICS]
        self._topic_ids = await topic_ids(self._reader, names)
        self._committed = await asyncio.to_thread(self._positions.committed, self._topic_ids)
        # This order matters: see the module's docstring.
        self._why_no_store = await read_store(self._settings, self._store)
        store_read_ms = int(time() * 1_000)
        self._spans = await self._ask((MODEL_SNAPSHOTS, *_EFFECTS, CUSTOMER_EVENTS, *RAW_TOPICS))
        for topic in RAW_TOPICS:
            topic_id = self._topic_ids.get(self._settings.topic(topic), "")
            await self._raw.read(topic, topic_id, self._spans[topic], self._scan)
        await self._read_letters()
        for topic in _EFFECTS[:-1]:
            await self._read_effects(topic)
        gone = sum([await self._fold(span) for span in self._spans[CUSTOMER_EVENTS]])
        for difference in self._passed_on.differences():
            self._audit.differs("effects", difference.words, difference.at)
        self._raw.conclude(self._committed, self._spans[DEAD_LETTERS])
        self._conclude_store(store_read_ms)
        await self._learn_again()
        if gone:
            self._audit.unchecked.append(
                f"whether {gone:,} events of the log are what was published: their raw records "
                f"were deleted by retention"
            )
        return self._audit

    async def _read_letters(self) -> None:
        for span in self._spans[DEAD_LETTERS]:
            number = span.partition.partition
            async for records in self._scan(DEAD_LETTERS, span):
                self._spool.found(number, self._late_letters(records))

    def _late_letters(self, records: Sequence[ConsumerRecord]) -> Iterator[Effect]:
        """Yield the fold's dead letters, which are effects. Those of ingest are about raw
        records.
        """
        for record in records:
            letter = decode_stored(record.value)
            if letter is None:
                self._foreign(DEAD_LETTERS, record)
            elif isinstance(letter, Closing) or letter.source is None:
                continue
            elif letter.step == "ingest":
                self._raw.take_letter(letter)
            else:
                digest = digest_of(str(letter.reason).encode())
                yield Effect(DEAD_LETTERS, letter.source.message_id, digest)

    async def _read_effects(self, topic: str) -> None:
        for span in self._spans[topic]:
            async for records in self._scan(topic, span):
                if topic in DELIVERED_TOPICS:
                    self._deliveries.take(topic, records)
                by_partition: dict[int, list[Effect]] = {}
                for record in records:
                    self._note_effect(topic, record, by_partition)
                for number, effects in by_partition.items():
                    self._spool.found(number, effects)

    def _note_effect(
        self, topic: str, record: ConsumerRecord, found: dict[int, list[Effect]]
    ) -> None:
        # Encode again: an older release may have written fields in another way.
        value = record.value or b""
        try:
            if topic == LABELLED_EXAMPLES:
                lesson = past_lesson(value)
                found.setdefault(lesson.partition, []).append(lesson_effect(lesson))
                return
            if topic in DELIVERED_TOPICS and (notice := notice_in(value)) is not None:
                name, content = notice.id, encode_notice(notice)
                whose = bytes.fromhex(notice.fingerprint)
            else:
                decision = decode_decision(value)
                name, content = decision.id, encode_decision(decision)
                whose = self._fingerprints.of(decision.user_id)
        except Foreign:
            self._foreign(topic, record)
            return
        effect = Effect(topic, name, digest_of(content), whose)
        found.setdefault(record.partition, []).append(effect)

    def _foreign(self, topic: str, record: ConsumerRecord) -> None:
        self._audit.differs(
            "foreign",
            "topics have records that Keepstream did not write",
            f"{topic}-{record.partition} at {record.offset}",
        )

    async def _fold(self, span: Span) -> int:
        """Fold a partition of the log and compare; return how many raw records were deleted."""
        number = span.partition.partition
        stored = await self._changelog(number)
        # Ask again: rows may be later than the end that was asked for first.
        log = (await self._whole_log.spans())[number]
        self._log_ends[number] = log.end
        committed = self._committed.get((CUSTOMER_EVENTS, number), 0)
        partition = PartitionAudit(
            number,
            stored,
            committed=committed,
            log_end=span.end,
            scope=self._scope,
        )
        if log.begin:
            partition.do_not_fold(
                f"partition {number} of customer-events begins at offset {log.begin:,}, and what "
                f"was before is in no archive: its customers and what was decided for them are "
                f"unchecked"
            )
        with closing(ReadingTimes(self._directory, number)) as moments:
            async for records in self._told(CUSTOMER_EVENTS, self._whole_log.scan(log)):
                for record in records:
                    await partition.take(record)
                    moments.note(record.offset, partition.as_of_ms)
            self._conclude_archive(partition)
            partition.finish()
            if partition.is_whole and self._why_no_store is None:
                await self._compare_profiles(partition, moments, committed)
        for version, sha256 in partition.adopted.items():
            self._named.setdefault(version, {})[sha256] = None
        self._conclude_commits(number, committed, stored)
        if partition.is_whole:
            self._conclude_effects(number, partition.gone, stored.graves)
        waiting = span.end - committed
        if waiting > 0:
            self._audit.unchecked.append(
                f"{waiting:,} records of customer-events-{number} that are not applied yet"
            )
        if partition.of_older_release:
            self._audit.unchecked.append(
                f"whether {partition.of_older_release:,} events of partition {number} are what was "
                f"published: a release wrote them that did not name the topic they came from"
            )
        return partition.without_source

    async def _compare_profiles(
        self, partition: PartitionAudit, moments: ReadingTimes, committed: int
    ) -> None:
        count = len(self._spans[CUSTOMER_EVENTS])

        def is_home(customer: str) -> bool:
            return partition_for(customer.encode(), count) == partition.number

        async def missing(customers: list[str]) -> list[str]:
            return await still_missing(self._settings, customers)

        await compare_profiles(
            partition,
            moments,
            self._store,
            is_home,
            missing,
            committed=committed,
            audit=self._audit,
        )

    def _conclude_store(self, read_ms: int) -> None:
        if self._why_no_store is not None:
            self._audit.unchecked.append(f"profiles and delivered decisions: {self._why_no_store}")
            return
        cut = {topic: sum(span.begin for span in self._spans[topic]) for topic in DELIVERED_TOPICS}
        self._deliveries.compare(self._store, self._committed, now_ms=read_ms, cut=cut)
        if not self._store.profiles and self._audit.checked["customers"]:
            self._audit.unchecked.append(
                "profiles: Redis has none, so it was emptied, or no worker wrote to it yet"
            )

    async def _learn_again(self) -> None:
        named: dict[int, list[Named]] = {}
        for span in self._spans[MODEL_SNAPSHOTS]:
            async for records in self._scan(MODEL_SNAPSHOTS, span):
                for record in records:
                    self._note_snapshot(record, named)
        (span,) = self._spans[LABELLED_EXAMPLES]

        def lessons(place: int) -> AsyncIterator[Sequence[ConsumerRecord]]:
            return self._scan(LABELLED_EXAMPLES, span._replace(begin=max(place, span.begin)))

        learning = LearningAudit(
            self._parameters,
            len(self._spans[CUSTOMER_EVENTS]),
            SnapshotStore(self._settings, prior_snapshot(self._parameters)),
            named,
            self._audit,
            self._log_ends,
        )
        await learning.run(lessons, span.begin)

    def _note_snapshot(self, record: ConsumerRecord, named: dict[int, list[Named]]) -> None:
        content = record.value or b""
        sha256 = hash_of(content).hexdigest()
        if (told := consumed_by(content)) is None:
            return
        version, consumed = told
        one = Named(version, sha256, consumed)
        if sha256 in self._named.get(version, ()) and one not in named.setdefault(version, []):
            named[version].append(one)

    async def _changelog(self, number: int) -> ChangelogFold:
        stored = ChangelogFold(graves=CustomerGraves(self._settings.erasure_salt))
        span = (await self._ask([CUSTOMERS]))[CUSTOMERS][number]
        async for records in self._scan(CUSTOMERS, span):
            for record in records:
                stored.take(record, number, self._scope.set_aside)
        stored.bury()
        if stored.quarantined:
            self._audit.differs(
                "foreign",
                "records of the changelog are damaged, or not by Keepstream",
                f"partition {number}",
                stored.quarantined,
            )
        return stored

    def _conclude_commits(self, number: int, committed: int, stored: ChangelogFold) -> None:
        if committed > stored.state.applied + 1:
            self._audit.differs(
                "commits",
                "the group has committed what is in no row: it was moved by hand, or the "
                "changelog lost its end",
                f"partition {number}: {committed} is committed, {stored.state.applied} applied",
            )

    def _conclude_archive(self, partition: PartitionAudit) -> None:
        found, number = self._whole_log.outcome.get(partition.number), partition.number
        if found is None:
            return
        if found.foreign:
            self._audit.differs(
                "foreign",
                "records of the archive or its keys are damaged, or not by Keepstream",
                f"partition {number}",
                found.foreign,
            )
        if found.missing:
            partition.do_not_fold(
                f"{found.missing:,} records of partition {number} are neither in customer-events "
                f"nor in its archive: its customers and what was decided for them are unchecked"
            )
        if found.gone:
            self._audit.unchecked.append(f"{found} in partition {number}: their keys are gone")

    def _conclude_effects(self, number: int, gone: int, graves: CustomerGraves) -> None:
        cut = [
            topic
            for topic in _EFFECTS
            for span in self._spans[topic]
            if span.begin and span.partition.partition in (number, *self._only(topic))
        ]
        if gone:
            buried, last_erased = graves.all_packed().keys(), graves.last_erased
            contrast = self._spool.contrast_beside_gone(number, cut, buried, last_erased)
        else:
            contrast = self._spool.contrast(number, cut)
        if contrast.of_erased:
            # Effects of erased customers' records; they expire by themselves.
            self._audit.unchecked.append(
                f"what {contrast.of_erased:,} decisions, lessons and dead letters of partition "
                f"{number} say, of customers who were erased: the content of {gone:,} records is "
                f"gone"
            )
        for found, words in (
            (contrast.missing, "what the log asks for was not written"),
            (contrast.extra, "what was written does not follow from the log"),
            (contrast.different, "what was written says something else than the log gives"),
        ):
            for topic, name in found:
                self._audit.differs("effects", words, f"{topic} {name}")
        for topic, count in contrast.expired.items():
            self._audit.unchecked.append(
                f"{count:,} older records of {topic}-{number}: deleted by retention"
            )

    def _only(self, topic: str) -> tuple[int, ...]:
        """(0,) if the topic has a single partition for all partitions of the log, else ()."""
        return (0,) if len(self._spans[topic]) == 1 else ()

    async def _ask(self, topics: Sequence[str]) -> dict[str, list[Span]]:
        return await asyncio.to_thread(self._positions.spans, topics)

    def _scan(self, topic: str, span: Span) -> AsyncIterator[Sequence[ConsumerRecord]]:
        return self._told(topic, scan(self._reader, span, self._settings))

    async def _told(
        self, topic: str, batches: AsyncIterator[Sequence[ConsumerRecord]]
    ) -> AsyncIterator[Sequence[ConsumerRecord]]:
        async for records in batches:
            yield records
            self._done += len(records)
            self._on_progress(self._done, self._total, topic)

    @property
    def _total(self) -> int:
        """Records to read, as far as is known; the changelog is not included."""
        known = sum(span.end - span.begin for spans in self._spans.values() for span in spans)
        return max(known, self._done)
