"""Gathers the facts for `streams.diagnosis`: asks the broker, the store and the clock.

It writes nothing to Kafka, and to the store only one key, which expires by itself.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import closing
from time import time
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as ReaderPartition
from aiokafka.errors import KafkaError as ReaderError
from kafka.errors import KafkaError

from config import topics
from config.settings import Settings
from models.events.refusals import Misnamed
from models.learning.snapshot import Snapshot
from streams.broker_release import broker_release
from streams.delivery_examination import examine_deliveries
from streams.endpoint_examination import (
    deliverer_standing,
    examine_endpoints,
    undelivered_counts,
)
from streams.group_examination import GroupLook
from streams.kafka_clients import BrokerUnreachable, new_admin, new_reader, running
from streams.recent_offsets import Offsets, RecentOffsets, all_partitions, recent_offsets
from streams.refusal_examination import examine_foreign, examine_letters, examine_names
from streams.state_examination import examine_partitions, examine_snapshot
from streams.store_examination import examine_store
from streams.topics import TopicsError, declared, partition_counts, topic_problems
from streams.vitals import (
    Deliveries,
    DeploymentFacts,
    ForeignRecords,
    Letters,
    PartitionFact,
    Store,
)

#: How long the broker may hold a fetch that finds no new records. The next fetch waits behind it.
FETCH_WAIT_MS = 10

OnStep = Callable[[str], object]


def examine(
    settings: Settings, on_step: OnStep = lambda _: None, *, deliverer: str | None = None
) -> DeploymentFacts:
    """Look at everything once, and at waiting records twice. That takes a second or two, longer if
    they do not move. ``deliverer``: the address of a deliverer to ask about its endpoints.

    An unreachable broker or store is a fact, not an error. Raises `NewerRow` or `OlderRow` for
    state that another release wrote.
    """
    on_step("Redis")
    store = examine_store(settings)
    try:
        return _examine_broker(settings, store, on_step, deliverer)
    except BrokerUnreachable as error:
        text = str(error)
    except (KafkaError, ReaderError, TopicsError) as error:
        text = (
            f"{settings.bootstrap_servers} refused a question ({type(error).__name__}): see that "
            f"the user may describe the cluster, its topics and the group {settings.group_id}"
        )
    return DeploymentFacts(at_ms=_now_ms(), store=store, broker_error=text)


def _examine_broker(
    settings: Settings, store: Store, on_step: OnStep, deliverer: str | None
) -> DeploymentFacts:
    standing, deliverer_error = _asked(deliverer)
    with closing(new_admin(settings)) as admin:
        on_step("topics")
        problems = tuple(str(problem) for problem in topic_problems(admin, settings))
        names = [topic.name for topic in declared(settings)]
        partitions = all_partitions(partition_counts(admin, names))
        log = recent_offsets(
            admin, partitions, {settings.topic(name) for name in topics.RAW_TOPICS}
        )
        look = GroupLook(admin, settings, log)
        on_step("partitions")
        read = asyncio.run(_read(settings, log, look.before))
        on_step("groups")
        endpoints = examine_endpoints(admin, settings, log, read.undelivered, standing)
        group, positions = look.again()
        return DeploymentFacts(
            at_ms=_now_ms(),
            store=store,
            broker_version=broker_release(admin),
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
            endpoints=endpoints,
            deliverer_error=deliverer_error,
        )


def _asked(deliverer: str | None) -> tuple[Mapping[str, Mapping[str, bool]], str | None]:
    """What the deliverer reports of its endpoints, or why it doesn't answer."""
    if deliverer is None:
        return {}, None
    try:
        return deliverer_standing(deliverer), None
    except (OSError, ValueError) as error:
        return {}, f"{deliverer}: {getattr(error, 'reason', None) or type(error).__name__}"


class _Read(NamedTuple):
    partitions: tuple[PartitionFact, ...]
    snapshot: Snapshot | None
    snapshot_error: str | None
    letters: Letters | None
    deliveries: Deliveries
    misnamed: tuple[Misnamed, ...]
    foreign: tuple[ForeignRecords, ...]
    undelivered: Mapping[str, int]


async def _read(settings: Settings, log: RecentOffsets, committed: Offsets) -> _Read:
    # Everything it asks for exists already, so no fetch needs to wait for new records.
    async with running(new_reader(settings, fetch_max_wait_ms=FETCH_WAIT_MS), settings) as reader:
        snapshot, error = await examine_snapshot(reader, settings, log)
        return _Read(
            partitions=await examine_partitions(reader, settings, log),
            snapshot=snapshot,
            snapshot_error=error,
            letters=await examine_letters(reader, settings, log),
            deliveries=await _deliveries(reader, settings, log, committed),
            misnamed=await examine_names(reader, settings, log),
            foreign=await examine_foreign(reader, settings, log),
            undelivered=await undelivered_counts(reader, settings, log),
        )


async def _deliveries(
    reader: AIOKafkaConsumer,
    settings: Settings,
    log: RecentOffsets,
    committed: Offsets,
) -> Deliveries:
    """Decisions of the last hour."""
    at = {ReaderPartition(*tp): offset for tp, offset in committed.items()}
    spans = [
        log.span(tp, log.hour[tp])
        for topic in topics.DELIVERED_TOPICS
        for tp in log.of(settings.topic(topic))
    ]
    return await examine_deliveries(reader, spans, at, _now_ms(), settings)


def _now_ms() -> int:
    return int(time() * 1_000)
