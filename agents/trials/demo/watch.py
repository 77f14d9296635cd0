"""What can be seen of a deployment from outside: its metrics, its topics, its store."""

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from time import monotonic
from typing import NamedTuple, Self

import aiohttp
import redis.asyncio as redis
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client.parser import text_string_to_metric_families
from redis.exceptions import RedisError

from agents.trials.demo.failure import DemoFailed
from agents.trials.demo.positions import Positions
from config.settings import Settings
from config.topics import (
    CUSTOMER_EVENTS,
    DEAD_LETTERS,
    DELIVERED_TOPICS,
    LABELLED_EXAMPLES,
    MODEL_SNAPSHOTS,
    RAW_TOPICS,
    partitions_of,
)
from models.decisions.trigger import (
    ACTION_WITHDRAWN,
    NEXT_BEST_ACTION,
    Decision,
    decode_decision,
    does_nothing,
)
from models.events.dead_letter import Closing, decode_entry
from models.events.rejection import Reason
from models.learning.snapshot import Snapshot, decode_snapshot
from models.parameters import load_parameters
from streams.kafka_clients import new_reader, running
from streams.store_keys import customer_key
from streams.store_writes import connect

METRICS_EVERY_S = 0.25
PROFILES_EVERY_S = 1.0
RECENT_MAX = 8
TIMEOUT_S = 5.0

_EVENTS = "keepstream_events_total"
_LAG = "keepstream_consumer_lag_records"
_READY = "keepstream_ready"

#: Topics that are read while they are written; a demonstration ends when their ends are reached.
WATCHED_TOPICS = (*DELIVERED_TOPICS, DEAD_LETTERS, MODEL_SNAPSHOTS)


class Figures:
    """What was seen so far. One thread writes; another may read at any time.

    ``fates`` is what the workers counted; ``refused`` and ``late`` are the raw records that dead
    letters name; ``triggers`` counts distinct ids, so that repeats change nothing.
    """

    def __init__(self) -> None:
        self.fates: Counter[str] = Counter()
        self.refused: set[tuple[str, int, int]] = set()
        self.late: set[tuple[str, int, int]] = set()
        # Every kind from the start, so that the size never changes under a reader.
        names = [rule.name for rule in load_parameters().triggers.triggers]
        self.triggers: dict[str, int] = dict.fromkeys(
            (*names, NEXT_BEST_ACTION, ACTION_WITHDRAWN), 0
        )
        self.recent: tuple[Decision, ...] = ()
        self.snapshot: Snapshot | None = None
        self.latencies_ms: list[int] = []
        self.kinds_by_customer: dict[str, frozenset[str]] = {}
        #: Added by the publisher.
        self.customers: set[str] = set()
        self.profiles = 0
        #: When the workers last reported, and how many raw records they had finished.
        self.counted: tuple[float, int] = (0.0, 0)

    @property
    def accounted(self) -> int:
        """How many raw records the workers have finished."""
        return self.fates.total()


class Watch:
    """Follows the workers at ``urls`` and their outputs, in a thread of its own."""

    def __init__(self, settings: Settings, urls: Sequence[str]) -> None:
        self.figures = Figures()
        self._settings = settings
        self._urls = urls
        self._owned: list[set[tuple[str, int]]] = [set() for _ in urls]
        self._fates: list[Counter[str]] = [Counter() for _ in urls]
        self._unlearnt: list[int] = [0 for _ in urls]
        self._ready: list[bool] = [False for _ in urls]
        self._read: Positions = {}
        self._seen: set[str] = set()
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(2 * TIMEOUT_S)

    def require_sight(self) -> None:
        """Raise the error that ended the watching, if there was one."""
        if self._failure is not None:
            raise self._failure

    @property
    def is_everything_owned(self) -> bool:
        """Whether every partition of the flow has one owner, and every worker is ready and has
        some: events that arrive earlier would wait until the rows of their partition are read.
        """
        flow = {
            (topic, partition)
            for topic in (*RAW_TOPICS, CUSTOMER_EVENTS)
            for partition in range(self._settings.partitions)
        }
        owned = [mine & flow for mine in self._owned]
        is_ready = all(owned) and all(self._ready)
        return is_ready and set().union(*owned) == flow and sum(map(len, owned)) == len(flow)

    @property
    def is_all_learnt(self) -> bool:
        """Whether the trainer has read everything."""
        return not any(self._unlearnt)

    @property
    def positions(self) -> Positions:
        """How far decisions, dead letters and snapshots were read."""
        return self._read

    def _run(self) -> None:
        try:
            asyncio.run(self._follow())
        # Keep any error for the waiting thread, even a cancellation: a client that lost its broker
        # can raise one while it is stopped.
        except BaseException as failure:  # noqa: BLE001
            self._failure = _first(failure)

    async def _follow(self) -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with (
            running(new_reader(self._settings), self._settings) as reader,
            aiohttp.ClientSession(timeout=timeout) as session,
            connect(self._settings) as store,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._read_records(reader))
            group.create_task(self._every(METRICS_EVERY_S, lambda: self._ask_workers(session)))
            group.create_task(self._every(PROFILES_EVERY_S, lambda: self._count_profiles(store)))

    async def _every(self, interval_s: float, look: Callable[[], Awaitable[None]]) -> None:
        while not self._stop.is_set():
            started_s = monotonic()
            await look()
            took_s = monotonic() - started_s
            # Slow reads are done less often: watching must not slow down what it watches.
            await asyncio.sleep(max(interval_s - took_s, 4 * took_s))

    async def _ask_workers(self, session: aiohttp.ClientSession) -> None:
        asked_s = monotonic()
        for number, url in enumerate(self._urls):
            try:
                shown = self._settings.web_headers
                async with session.get(f"{url}/metrics", headers=shown) as answer:
                    text = await answer.text()
            except (aiohttp.ClientError, TimeoutError):
                # Not started yet. A worker that has ended is noticed by the process that started
                # it.
                continue
            seen = parse_metrics(text)
            self._fates[number], self._owned[number] = seen.fates, seen.owned
            self._unlearnt[number], self._ready[number] = seen.unlearnt, seen.is_ready
        self.figures.fates = sum(self._fates, Counter())
        self.figures.counted = asked_s, self.figures.accounted

    async def _count_profiles(self, store: "redis.Redis") -> None:
        known = tuple(self.figures.customers)
        keys = [customer_key(self._settings, customer) for customer in known]
        try:
            self.figures.profiles = int(await store.exists(*keys)) if keys else 0
        except (RedisError, OSError) as error:
            # Its text may hold an address with a password.
            raise DemoFailed(f"the store stopped answering ({type(error).__name__})") from None

    async def _read_records(self, reader: AIOKafkaConsumer) -> None:
        partitions = [
            TopicPartition(self._settings.topic(topic), partition)
            for topic in WATCHED_TOPICS
            for partition in range(partitions_of(topic, self._settings.partitions))
        ]
        reader.assign(partitions)
        await reader.seek_to_beginning(*partitions)
        takers: dict[str, Callable[[ConsumerRecord], None]] = {
            **dict.fromkeys(DELIVERED_TOPICS, self._take_decision),
            DEAD_LETTERS: self._take_letter,
            MODEL_SNAPSHOTS: self._take_snapshot,
        }
        while not self._stop.is_set():
            found = await reader.getmany(timeout_ms=100)
            for tp, records in found.items():
                topic = tp.topic.removeprefix(self._settings.topic_prefix)
                take = takers[topic]
                for record in records:
                    take(record)
                self._read[topic, tp.partition] = records[-1].offset + 1

    def _take_snapshot(self, record: ConsumerRecord) -> None:
        snapshot = decode_snapshot(record.value)
        last = self.figures.snapshot
        if last is None or snapshot.version > last.version:
            self.figures.snapshot = snapshot

    def _take_decision(self, record: ConsumerRecord) -> None:
        trigger = decode_decision(record.value)
        if trigger.id in self._seen or does_nothing(trigger):
            return
        self._seen.add(trigger.id)
        figures = self.figures
        figures.triggers[trigger.kind] += 1
        figures.recent = (*figures.recent, trigger)[-RECENT_MAX:]
        kinds = figures.kinds_by_customer.get(trigger.user_id, frozenset())
        figures.kinds_by_customer[trigger.user_id] = kinds | {str(trigger.kind)}
        caused_at = dict(record.headers).get("ce_causedat")
        # A deadline has no causing event, so it has no latency.
        if caused_at is not None:
            figures.latencies_ms.append(record.timestamp - int(caused_at))

    def _take_letter(self, record: ConsumerRecord) -> None:
        letter = decode_entry(record.value)
        if isinstance(letter, Closing) or (source := letter.source) is None:
            return
        kept = self.figures.late if letter.reason is Reason.TOO_LATE else self.figures.refused
        kept.add((source.topic, source.partition, source.offset))


class WorkerCounts(NamedTuple):
    """A worker's counts by fate, the (topic, partition) it owns, its trainer's lag, and whether it
    is ready.
    """

    fates: Counter[str]
    owned: set[tuple[str, int]]
    unlearnt: int
    is_ready: bool


def parse_metrics(text: str) -> WorkerCounts:
    """The counts that a demonstration needs from a worker's metrics."""
    # Only a few lines: parsing all of them takes longer than the worker needs to write them.
    lines = [line for line in text.splitlines() if line.startswith((_EVENTS, _LAG, _READY))]
    fates: Counter[str] = Counter()
    owned: set[tuple[str, int]] = set()
    unlearnt, is_ready = 0, False
    for name, labels, value in _samples(lines):
        if name == _EVENTS:
            fates[labels["fate"]] += int(value)
        elif name == _READY:
            is_ready = bool(value)
        else:
            owned.add((labels["topic"], int(labels["partition"])))
            unlearnt += int(value) if labels["topic"] == LABELLED_EXAMPLES else 0
    return WorkerCounts(fates, owned, unlearnt, is_ready)


def _samples(lines: Iterable[str]) -> Iterable[tuple[str, dict[str, str], float]]:
    for family in text_string_to_metric_families("\n".join([*lines, ""])):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def _first(failure: BaseException) -> BaseException:
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    if isinstance(failure, KafkaError | asyncio.CancelledError):
        return DemoFailed(f"the broker stopped answering ({type(failure).__name__})")
    return failure
