"""Gathers the facts for `streams.diagnosis`: asks the broker, the store and the clock.

It writes nothing to Kafka, and to the store one key that expires by itself.
"""

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from time import sleep, time
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka import TopicPartition as ReaderPartition
from aiokafka.errors import KafkaError as ReaderError
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError, UnsupportedVersionError
from msgspec import Struct

from config import topics
from config.settings import Settings
from models.catalogue import nearest_known_name
from models.customer.row import NewerRow, OlderRow, RowError
from models.events.foreign import UNREADABLE
from models.events.refusals import Misnamed, Refusals
from models.learning.snapshot import Snapshot, SnapshotError, decode_snapshot
from models.partition import PartitionState, decode_state
from streams.changelog import STATE_KEY, marks_of
from streams.dead_letters import decode_letter
from streams.delivery_examination import examine_deliveries
from streams.diagnosis import LOOK_AGAIN_S
from streams.kafka_clients import BrokerUnreachable, new_admin, new_reader, running
from streams.quarantine import DECODERS, why_foreign
from streams.set_aside import SetAside
from streams.store_examination import examine_store
from streams.topic_scan import Span, scan
from streams.topics import TopicsError, check_topics, partition_counts
from streams.vitals import (
    Deliveries,
    DeploymentFacts,
    ForeignRecords,
    GroupPosition,
    Letters,
    LoudCause,
    PartitionFact,
    Store,
    WorkerGroup,
)
from streams.worker_group import GroupUnanswered, committed_offsets, described

OnStep = Callable[[str], object]
HOUR_MS = 3_600_000
#: The stretches of the last hour in which refusals are compared with events.
WINDOW_MS = 600_000
#: Records to look back for a partition's state: it is written after its batch's rows.
STATE_LOOK_BACK = 64
SNAPSHOTS_LOOK_BACK = 3
#: How often a group is asked for: a new broker has none, and an examination must not hang.
GROUP_TRIES = 3
LETTERS_READ_MAX = 50_000
#: Newest records of each partition of clickstream whose names are looked at.
NAMES_READ_MAX = 2_000
#: Newest records of each partition of an internal topic that are looked at.
FOREIGN_READ_MAX = 100
#: The topics that the group consumes.
TAKEN = (
    *topics.RAW_TOPICS,
    topics.CUSTOMER_EVENTS,
    topics.LABELLED_EXAMPLES,
    *topics.DELIVERED_TOPICS,
)

Offsets = dict[TopicPartition, int]


class _Log(NamedTuple):
    """The offsets at which partitions begin and end, and at which the ten-minute windows of the
    last hour do; ``windows_ms``: when these begin.
    """

    begins: Offsets
    ends: Offsets
    windows: tuple[Offsets, ...]
    windows_ms: tuple[int, ...]
    newest_ms: int | None

    @property
    def hour(self) -> Offsets:
        """The offsets at which the last hour begins."""
        return self.windows[0]

    def span(self, partition: TopicPartition, begin: int) -> Span:
        begin = max(begin, self.begins[partition])
        return Span(ReaderPartition(*partition), begin, self.ends[partition])


def examine(settings: Settings, on_step: OnStep = lambda _: None) -> DeploymentFacts:
    """Look at everything once, and at what waits twice; takes some seconds.

    An unreachable broker or store is a fact, not an error. Raises `NewerRow` or `OlderRow` for
    state that another release wrote.
    """
    on_step("Redis")
    store = examine_store(settings)
    try:
        return _examine_broker(settings, store, on_step)
    except BrokerUnreachable as error:
        text = str(error)
    except (KafkaError, ReaderError, TopicsError) as error:
        text = (
            f"{settings.bootstrap_servers} refused a question ({type(error).__name__}): see that "
            f"the user may describe the cluster, its topics and the group {settings.group_id}"
        )
    return DeploymentFacts(at_ms=_now_ms(), store=store, broker_error=text)


def group_progress(settings: Settings, names: Iterable[str]) -> tuple[WorkerGroup, int]:
    """The workers' group, and how many records of these topics it has not committed yet."""
    wanted = [settings.topic(name) for name in names]
    with closing(new_admin(settings)) as admin:
        partitions = _partitions(partition_counts(admin, wanted))
        log = _offsets(admin, partitions, set())
        committed = _committed(admin, settings, log, partitions)
        waiting = sum(max(log.ends[tp] - committed[tp], 0) for tp in partitions)
        return _group(admin, settings.group_id), waiting


def partition_states(settings: Settings) -> dict[int, PartitionState | None]:
    """The state of every partition as its changelog has it; None for one that has none yet.

    Raises `TopicsError` when there is no changelog.
    """
    name = settings.topic(topics.CUSTOMERS)
    with closing(new_admin(settings)) as admin:
        partitions = _partitions(partition_counts(admin, [name]))
        if not partitions:
            raise TopicsError(f"{name} is missing: run `keepstream topics create`")
        log = _offsets(admin, partitions, set())
    return asyncio.run(_states(settings, log, partitions))


async def _states(
    settings: Settings, log: _Log, partitions: list[TopicPartition]
) -> dict[int, PartitionState | None]:
    async with running(new_reader(settings), settings) as reader:
        return {tp.partition: (await _state(reader, settings, log, tp))[0] for tp in partitions}


def _examine_broker(settings: Settings, store: Store, on_step: OnStep) -> DeploymentFacts:
    with closing(new_admin(settings)) as admin:
        on_step("topics")
        problems = tuple(str(problem) for problem in check_topics(settings))
        names = [settings.topic(topic.name) for topic in topics.topics(1, 1)]
        partitions = _partitions(partition_counts(admin, names))
        log = _offsets(admin, partitions, {settings.topic(name) for name in topics.RAW_TOPICS})
        on_step("group")
        group, positions = _progress(admin, settings, log)
        on_step("partitions")
        read = asyncio.run(_read(settings, log, positions))
        return DeploymentFacts(
            at_ms=_now_ms(),
            store=store,
            broker_version=".".join(map(str, _broker_version(admin))),
            brokers=len(admin.describe_cluster()["brokers"]),
            topic_problems=problems,
            group=group,
            positions=positions,
            partitions=read.partitions,
            snapshot=read.snapshot,
            snapshot_error=read.snapshot_error,
            lessons=sum(
                end
                for partition, end in log.ends.items()
                if partition.topic == settings.topic(topics.LABELLED_EXAMPLES)
            ),
            newest_record_ms=log.newest_ms,
            letters=read.letters,
            deliveries=read.deliveries,
            misnamed=read.misnamed,
            foreign=read.foreign,
        )


def _partitions(counts: dict[str, int]) -> list[TopicPartition]:
    return [TopicPartition(name, n) for name, count in counts.items() for n in range(count)]


def _offsets(admin: KafkaAdminClient, partitions: list[TopicPartition], raw: set[str]) -> _Log:
    def asked(spec: Any) -> dict[TopicPartition, Any]:
        if not partitions:
            return {}
        found: dict[TopicPartition, Any] = admin.list_partition_offsets(
            dict.fromkeys(partitions, spec)
        )
        return found

    begins = {tp: found.offset for tp, found in asked(OffsetSpec.EARLIEST).items()}
    ends = {tp: found.offset for tp, found in asked(OffsetSpec.LATEST).items()}
    hour_ms = _now_ms() - HOUR_MS
    windows_ms = tuple(range(hour_ms, hour_ms + HOUR_MS, WINDOW_MS))

    def since(at_ms: int) -> Offsets:
        found = asked(at_ms)
        # Nothing since then: it begins where the partition ends.
        return {tp: found[tp].offset if found[tp].offset >= 0 else ends[tp] for tp in partitions}

    try:
        # Only timestamps that the broker set show the broker's clock.
        newest = asked(OffsetSpec.MAX_TIMESTAMP)
    except UnsupportedVersionError:
        newest = {}
    stamps = [found.timestamp for tp, found in newest.items() if tp.topic in raw]
    newest_ms = max((ms for ms in stamps if ms >= 0), default=None)
    return _Log(begins, ends, tuple(map(since, windows_ms)), windows_ms, newest_ms)


def _progress(
    admin: KafkaAdminClient, settings: Settings, log: _Log
) -> tuple[WorkerGroup, tuple[GroupPosition, ...]]:
    """The group, and how far it is; looked at twice when something waits."""

    def name(tp: TopicPartition) -> str:
        return str(tp.topic.removeprefix(settings.topic_prefix))

    taken = [tp for tp in log.ends if name(tp) in TAKEN]
    before = _committed(admin, settings, log, taken)
    now = before
    if any(before[tp] < log.ends[tp] for tp in taken):
        sleep(LOOK_AGAIN_S)
        now = _committed(admin, settings, log, taken)
    positions = tuple(
        GroupPosition(name(tp), tp.partition, now[tp], log.ends[tp], before[tp])
        for tp in sorted(taken)
    )
    return _group(admin, settings.group_id), positions


def _committed(
    admin: KafkaAdminClient, settings: Settings, log: _Log, taken: Iterable[TopicPartition]
) -> Offsets:
    """Committed offsets, or the beginning of a partition without one."""
    try:
        found = committed_offsets(admin, settings.group_id, tries=GROUP_TRIES)
    except GroupUnanswered:
        found = {}  # the first group of a new broker is yet to be set up
    at = {tp: found[tp].offset if tp in found else -1 for tp in taken}
    return {tp: offset if offset >= 0 else log.begins[tp] for tp, offset in at.items()}


def _group(admin: KafkaAdminClient, name: str) -> WorkerGroup:
    try:
        found = described(admin, name, tries=GROUP_TRIES)
    except GroupUnanswered:
        return WorkerGroup(name, "Dead", 0)
    return WorkerGroup(name, str(found["group_state"]), len(found["members"] or ()))


class _Read(NamedTuple):
    partitions: tuple[PartitionFact, ...]
    snapshot: Snapshot | None
    snapshot_error: str | None
    letters: Letters | None
    deliveries: Deliveries
    misnamed: tuple[Misnamed, ...]
    foreign: tuple[ForeignRecords, ...]


async def _read(settings: Settings, log: _Log, positions: Iterable[GroupPosition]) -> _Read:
    async with running(new_reader(settings), settings) as reader:
        partitions = [
            PartitionFact(
                tp.partition,
                state.clock_ms,
                state.latest_ms,
                state.model_version,
                live_at_ms=state.live_at_ms,
                rehearsed=state.rehearsed,
                damaged=damaged,
            )
            for tp in _of(log, settings, topics.CUSTOMERS)
            for state, damaged in [await _state(reader, settings, log, tp)]
            if state is not None
        ]
        snapshot, error = await _snapshot(reader, settings, log)
        letters = await _letters(reader, settings, log)
        deliveries = await _deliveries(reader, settings, log, positions)
        misnamed = await _misnamed(reader, settings, log)
        foreign = await _foreign(reader, settings, log)
        return _Read(tuple(partitions), snapshot, error, letters, deliveries, misnamed, foreign)


async def _state(
    reader: AIOKafkaConsumer, settings: Settings, log: _Log, tp: TopicPartition
) -> tuple[PartitionState | None, int]:
    """The last state in a partition's changelog, searched from the end, and how many rows it says
    are damaged.
    """
    back, end = STATE_LOOK_BACK, log.ends[tp]
    set_aside = SetAside.of(settings)
    while True:
        state, damaged = None, 0
        span = log.span(tp, end - back)
        async for records in scan(reader, span, settings):
            for record in records:
                marks = marks_of(record.key, record.value, record.headers)
                if record.key != STATE_KEY or not marks.is_intact:
                    continue
                if (found := _decoded(record, set_aside)) is not None:
                    state, damaged = found, marks.damaged
        if state is not None or span.begin == log.begins[tp]:
            return state, damaged
        back *= 16


def _decoded(record: ConsumerRecord, set_aside: SetAside) -> PartitionState | None:
    """A partition's state, or None for one that is damaged or set aside. Raises `NewerRow` and
    `OlderRow`.
    """
    try:
        return decode_state(record.value or b"")
    except RowError as error:
        if isinstance(error, NewerRow | OlderRow):
            set_aside.require(topics.CUSTOMERS, record.partition, record.offset, error)
        return None


async def _snapshot(
    reader: AIOKafkaConsumer, settings: Settings, log: _Log
) -> tuple[Snapshot | None, str | None]:
    """The latest snapshot, and why the last record is unusable, if it is."""
    newest: Snapshot | None = None
    error: str | None = None
    set_aside = SetAside.of(settings)
    for tp in _of(log, settings, topics.MODEL_SNAPSHOTS):
        span = log.span(tp, log.ends[tp] - SNAPSHOTS_LOOK_BACK)
        async for records in scan(reader, span, settings):
            for record in records:
                if set_aside.has(topics.MODEL_SNAPSHOTS, record.partition, record.offset):
                    continue
                try:
                    found = decode_snapshot(record.value or b"")
                except SnapshotError as refused:
                    error = f"the record at offset {record.offset} can't be used ({refused})"
                    continue
                error = None
                if newest is None or found.version > newest.version:
                    newest = found
    return newest, error


async def _foreign(
    reader: AIOKafkaConsumer, settings: Settings, log: _Log
) -> tuple[ForeignRecords, ...]:
    """What is not ours among the newest records of each internal topic, of the last hour."""
    found = []
    for name in DECODERS:
        count = read = 0
        last: tuple[int, int, str] | None = None
        for tp in _of(log, settings, name):
            begin = max(log.hour[tp], log.ends[tp] - FOREIGN_READ_MAX)
            async for records in scan(reader, log.span(tp, begin), settings):
                read += len(records)
                for record in records:
                    if (why := why_foreign(name, record.value)) is not None:
                        count, last = count + 1, (record.partition, record.offset, why)
        if last is not None:
            found.append(ForeignRecords(name, count, read, *last))
    return tuple(found)


async def _letters(reader: AIOKafkaConsumer, settings: Settings, log: _Log) -> Letters | None:
    partitions = _of(log, settings, topics.DEAD_LETTERS)
    if not partitions:
        return None
    reasons: Counter[str] = Counter()
    windows = [Refusals() for _ in log.windows_ms]
    for tp in partitions:
        begin = max(log.hour[tp], log.ends[tp] - LETTERS_READ_MAX)
        async for records in scan(reader, log.span(tp, begin), settings):
            for record in records:
                letter = decode_letter(record.value)
                reasons[str(letter.reason) if letter else "no dead letter"] += 1
                if letter is not None:
                    # By when the event came, so that it is compared with those that came with it.
                    source = letter.source
                    at_ms = source.received_at if source is not None else record.timestamp
                    windows[max(bisect_right(log.windows_ms, at_ms) - 1, 0)].add(letter)
    raw = {settings.topic(name) for name in topics.RAW_TOPICS}

    def events(begins: Offsets, ends: Offsets) -> int:
        return sum(end - begins[tp] for tp, end in ends.items() if tp.topic in raw)

    counts = [events(*of) for of in zip(log.windows, (*log.windows[1:], log.ends), strict=True)]
    return Letters(
        count=sum(log.ends[tp] - log.hour[tp] for tp in partitions),
        events=events(log.hour, log.ends),
        reasons=dict(reasons),
        read=reasons.total(),
        loud=loudest(windows, counts),
    )


async def _deliveries(
    reader: AIOKafkaConsumer, settings: Settings, log: _Log, positions: Iterable[GroupPosition]
) -> Deliveries:
    """Decisions of the last hour."""
    committed = {
        ReaderPartition(settings.topic(one.topic), one.partition): one.committed
        for one in positions
    }
    spans = [
        log.span(tp, log.hour[tp])
        for topic in topics.DELIVERED_TOPICS
        for tp in _of(log, settings, topic)
    ]
    return await examine_deliveries(reader, spans, committed, _now_ms(), settings)


def loudest(windows: Iterable[Refusals], events: Iterable[int]) -> tuple[LoudCause, ...]:
    """Each cause that is loud in a window, as of the window with the largest share of it."""
    found: dict[tuple[str, str], LoudCause] = {}
    for refusals, count in zip(windows, events, strict=True):
        for cause in refusals.loud(count):
            key, loud = (cause.reason, cause.path), LoudCause(cause, count)
            if key not in found or _share(loud) > _share(found[key]):
                found[key] = loud
    return tuple(sorted(found.values(), key=_share, reverse=True))


def _share(loud: LoudCause) -> float:
    return loud.cause.count / loud.events


class _Named(Struct):
    type: str = ""
    event: str = ""


_NAMED = msgspec.json.Decoder(_Named)


async def _misnamed(
    reader: AIOKafkaConsumer, settings: Settings, log: _Log
) -> tuple[Misnamed, ...]:
    """Names among the newest events of the last hour that are nearly known ones."""
    found = Refusals()
    for tp in _of(log, settings, topics.CLICKSTREAM):
        begin = max(log.hour[tp], log.ends[tp] - NAMES_READ_MAX)
        async for records in scan(reader, log.span(tp, begin), settings):
            for record in records:
                name = _name(record.value)
                if name and (meant := nearest_known_name(name)) is not None:
                    found.add_name(name, meant)
    return found.misnamed()


def _name(value: bytes | None) -> str:
    """The name of a raw event; empty for what has none."""
    try:
        return _NAMED.decode(value or b"").event
    except UNREADABLE:
        return ""


def _of(log: _Log, settings: Settings, topic: str) -> list[TopicPartition]:
    return sorted(tp for tp in log.ends if tp.topic == settings.topic(topic))


def _now_ms() -> int:
    return int(time() * 1_000)


def _broker_version(admin: KafkaAdminClient) -> tuple[int, ...]:
    """The newest release whose protocol the broker speaks: brokers do not report their release."""
    version: tuple[int, ...] = admin._manager.broker_version
    return version
