"""Watches whether the brokers answer, and whether they can take what a worker writes.

A worker without new records would not notice a broker that hangs, nor a partition with too few
replicas for a write: its own clients wait in silence. A broker without a majority doesn't know
either: it still names dead leaders, so every leader is asked, too.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from time import monotonic

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import PartitionMetadata
from kafka.admin import ConfigResource
from kafka.errors import KafkaError as AdminError

from config.settings import Settings
from streams.kafka_clients import BrokerUnreachable, client_options, new_admin
from streams.topics import declared

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
#: After this long without an answer, another broker is asked.
ANSWER_MS = 4_000
#: No answer from any broker for this long is a problem; an election or a busy machine takes less.
SILENT_MAX_S = 15.0
#: How often the topics' ``min.insync.replicas`` is read.
CONFIGS_EVERY_S = 300.0


class BrokerWatch:
    """Asks the brokers every `LOOK_EVERY_S`; `problems` says what is wrong."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names = [topic.name for topic in declared(settings)]
        self._needed: Mapping[str, int] = {}
        self._configs_s: float | None = None
        self._answered_s = monotonic()
        self._short: list[str] = []
        #: When each broker that leads a partition last answered, or was first named as a leader.
        self._leaders_s: dict[int, float] = {}
        self._is_told = False

    def silence_s(self) -> float:
        """How long ago a broker answered."""
        return monotonic() - self._answered_s

    def is_silent(self) -> bool:
        """Whether no broker has answered for longer than an election takes."""
        return self.silence_s() > SILENT_MAX_S

    def problems(self) -> list[str]:
        """Why records would have to wait; empty if they would not."""
        if self.is_silent():
            return [f"no Kafka broker has answered for {self.silence_s():.0f} s"]
        return [*self._short, *self._silent_leaders()]

    async def watch(self) -> None:
        """Watch until cancelled."""
        client: AIOKafkaClient | None = None
        try:
            while True:
                with suppress(KafkaError, OSError, TimeoutError):
                    client = client or await self._connected()
                    if await client.force_metadata_update():
                        self._answer()
                        await self._read_configs()
                        self._short = shortages(client.cluster._partitions, self._needed)
                        await self._ask_leaders(client)
                self._tell()
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            if client is not None:
                await client.close()

    async def _ask_leaders(self, client: AIOKafkaClient) -> None:
        found = leaders_of(client.cluster._partitions)
        now_s = monotonic()
        self._leaders_s = {one: self._leaders_s.get(one, now_s) for one in found}
        await asyncio.gather(*(self._ask(client, one) for one in found))

    async def _ask(self, client: AIOKafkaClient, broker: int) -> None:
        with suppress(KafkaError, OSError, TimeoutError):
            # Asks about no topic: only whether the broker answers matters.
            await client.send(broker, MetadataRequest([]))
            self._leaders_s[broker] = monotonic()

    def _silent_leaders(self) -> list[str]:
        now_s = monotonic()
        silences_s = {one: now_s - at_s for one, at_s in sorted(self._leaders_s.items())}
        return [
            f"broker {one} leads partitions and has not answered for {silence_s:.0f} s"
            for one, silence_s in silences_s.items()
            if silence_s > SILENT_MAX_S
        ]

    def _answer(self) -> None:
        silence_s, self._answered_s = self.silence_s(), monotonic()
        if self._is_told:
            self._is_told = False
            log.info("a Kafka broker answers again, after %.0f s", silence_s)

    def _tell(self) -> None:
        """Log once that no broker answers."""
        if self.is_silent() and not self._is_told:
            self._is_told = True
            log.error(
                "no Kafka broker has answered for %.0f s: events wait there, and nothing is "
                "decided or written until one does. See that the brokers of "
                "KEEPSTREAM_BOOTSTRAP_SERVERS (%s) run and can be reached",
                self.silence_s(), self._settings.bootstrap_servers,
            )  # fmt: skip

    async def _connected(self) -> AIOKafkaClient:
        client = AIOKafkaClient(
            **client_options(self._settings),
            request_timeout_ms=ANSWER_MS,
            # Metadata is updated only on request, by `watch`.
            metadata_max_age_ms=3_600_000,
        )
        try:
            await client.bootstrap()
        except BaseException:
            await client.close()
            raise
        await client.set_topics(self._names)
        return client

    async def _read_configs(self) -> None:
        now_s = monotonic()
        if self._configs_s is not None and now_s - self._configs_s < CONFIGS_EVERY_S:
            return
        self._configs_s = now_s
        try:
            self._needed = await asyncio.to_thread(needed_replicas, self._settings, self._names)
        except (AdminError, BrokerUnreachable) as error:
            log.warning("could not read the topics' configs (%s)", type(error).__name__)


def leaders_of(partitions: Mapping[str, Mapping[int, PartitionMetadata]]) -> set[int]:
    """The brokers that lead partitions, according to the broker that was asked."""
    every = {one.leader for found in partitions.values() for one in found.values()}
    return every - {-1}


def needed_replicas(settings: Settings, names: Iterable[str]) -> dict[str, int]:
    """How many in-sync replicas a write to each topic needs."""
    asked = [ConfigResource("TOPIC", name, ["min.insync.replicas"]) for name in names]
    with closing(new_admin(settings)) as admin:
        answer = admin.describe_configs(asked, config_filter="all")["topic"]
    return {
        name: int(entries["min.insync.replicas"]["value"])
        for name, entries in answer.items()
        if "min.insync.replicas" in entries
    }


def shortages(
    partitions: Mapping[str, Mapping[int, PartitionMetadata]], needed: Mapping[str, int]
) -> list[str]:
    """The topics with a leaderless partition, or too few replicas for a write, in words."""
    told: list[str] = []
    for name, found in sorted(partitions.items()):
        leaderless = sum(one.leader == -1 for one in found.values())
        if leaderless:
            told.append(f"{name}: {leaderless} of {len(found)} partitions have no leader")
            continue
        least = min((len(one.isr) for one in found.values()), default=0)
        if found and least < needed.get(name, 1):
            told.append(
                f"{name}: {least} of the {needed[name]} replicas that a write needs are in sync"
            )
    return told
