"""Examines for `streams.diagnosis` what workers keep: the states of partitions, and the model."""

import asyncio
from contextlib import closing

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from kafka import TopicPartition

from config import topics
from config.settings import Settings
from models.customer.row_formats import NewerRow, OlderRow, RowError
from models.learning.snapshot import Snapshot, SnapshotError, decode_snapshot
from models.partition_state import PartitionState, decode_state
from streams.changelog import STATE_KEY, Marks, marks_of
from streams.kafka_clients import new_admin, new_reader, running
from streams.recent_offsets import RecentOffsets, all_partitions, recent_offsets
from streams.set_aside import SetAside
from streams.topic_scan import scan_together
from streams.topics import TopicsError, partition_counts
from streams.vitals import PartitionFact

#: How many records to look back for a partition's state, which follows its batch's rows.
STATE_LOOK_BACK = 64
SNAPSHOTS_LOOK_BACK = 3


def partition_states(settings: Settings) -> dict[int, PartitionState | None]:
    """The state of every partition in its changelog; None for a partition without one.

    Raises `TopicsError` when there is no changelog.
    """
    log, partitions = _log_of(settings, topics.CUSTOMERS)
    return asyncio.run(_states(settings, log, partitions))


def newest_snapshot(settings: Settings) -> Snapshot | None:
    """The latest usable snapshot; None before there is one. Raises `TopicsError` when the topic is
    missing.
    """
    log, _ = _log_of(settings, topics.MODEL_SNAPSHOTS)
    return asyncio.run(_newest(settings, log))


def _log_of(settings: Settings, topic: str) -> tuple[RecentOffsets, list[TopicPartition]]:
    """The topic's offsets and its partitions. Raises `TopicsError` when it is missing."""
    name = settings.topic(topic)
    with closing(new_admin(settings)) as admin:
        partitions = all_partitions(partition_counts(admin, [name]))
        if not partitions:
            raise TopicsError(f"{name} is missing: run `keepstream topics create`")
        log = recent_offsets(admin, partitions, set())
    return log, partitions


async def _newest(settings: Settings, log: RecentOffsets) -> Snapshot | None:
    async with running(new_reader(settings), settings) as reader:
        return (await examine_snapshot(reader, settings, log))[0]


async def _states(
    settings: Settings, log: RecentOffsets, partitions: list[TopicPartition]
) -> dict[int, PartitionState | None]:
    async with running(new_reader(settings), settings) as reader:
        found = await _last_states(reader, settings, log, partitions)
        return {tp.partition: found[tp][0] for tp in partitions}


async def examine_partitions(
    reader: AIOKafkaConsumer, settings: Settings, log: RecentOffsets
) -> tuple[PartitionFact, ...]:
    """The partitions that have a state. Raises `NewerRow` and `OlderRow`."""
    partitions = log.of(settings.topic(topics.CUSTOMERS))
    found = await _last_states(reader, settings, log, partitions)
    return tuple(
        PartitionFact(
            tp.partition,
            state.clock_ms,
            state.latest_ms,
            state.model_version,
            live_at_ms=state.live_at_ms,
            rehearsed=state.rehearsed,
            damaged=marks.damaged,
            has_archive=bool(marks.secrets) or not settings.has_archive,
        )
        for tp, (state, marks) in found.items()
        if state is not None
    )


_NO_STATE: tuple[PartitionState | None, Marks] = None, Marks()


async def _last_states(
    reader: AIOKafkaConsumer,
    settings: Settings,
    log: RecentOffsets,
    partitions: list[TopicPartition],
) -> dict[TopicPartition, tuple[PartitionState | None, Marks]]:
    """Each partition's last state, searched backwards from the changelog's end, and its marks."""
    back, set_aside = STATE_LOOK_BACK, SetAside.of(settings)
    found = dict.fromkeys(partitions, _NO_STATE)
    sought = partitions
    while sought:
        spans = [log.span(tp, log.ends[tp] - back) for tp in sought]
        async for at, records in scan_together(reader, spans, settings):
            for record in records:
                told = marks_of(record.key, record.value, record.headers)
                if record.key != STATE_KEY or not told.is_intact:
                    continue
                if (state := _decoded(record, set_aside)) is not None:
                    found[TopicPartition(*at)] = state, told
        sought = [
            tp
            for tp, span in zip(sought, spans, strict=True)
            if found[tp] is _NO_STATE and span.begin > log.begins[tp]
        ]
        back *= 16
    return found


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


async def examine_snapshot(
    reader: AIOKafkaConsumer, settings: Settings, log: RecentOffsets
) -> tuple[Snapshot | None, str | None]:
    """The latest snapshot; and why the last record is unusable, if it is."""
    newest: Snapshot | None = None
    error: str | None = None
    set_aside = SetAside.of(settings)
    partitions = log.of(settings.topic(topics.MODEL_SNAPSHOTS))
    spans = [log.span(tp, log.ends[tp] - SNAPSHOTS_LOOK_BACK) for tp in partitions]
    async for _, records in scan_together(reader, spans, settings):
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
