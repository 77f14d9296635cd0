"""The condition of a worker: what it owns, what it waits for, and whether it is ready."""

from collections.abc import Iterable
from time import monotonic

from faust.types import TP

from agents.trainer import TrainerAgent
from config import topics
from config.parameters import Parameters
from config.settings import Settings
from streams.broker_watch import BrokerWatch
from streams.faust_app import KeepstreamApp
from streams.kafka_clients import partition_for
from streams.owned_partitions import OwnedPartitions
from streams.pacing import PartitionStanding
from streams.progress import Progress
from streams.trigger_streams import TriggerStreams

#: A worker that makes no progress on these topics is not ready.
FOLDED_TOPICS = (*topics.RAW_TOPICS, topics.CUSTOMER_EVENTS, topics.LABELLED_EXAMPLES)
#: A worker is idle after so many seconds without an event.
QUIET_S = 1.0
#: With more consumer lag than this, the web port gets little of the loop's time.
BEHIND_RECORDS = 500


class WorkerCondition:
    """What a worker reports about itself on request. It changes nothing."""

    def __init__(
        self,
        app: KeepstreamApp,
        partitions: OwnedPartitions,
        broker: BrokerWatch,
        progress: Progress,
        settings: Settings,
        parameters: Parameters,
    ) -> None:
        self._app = app
        self._partitions = partitions
        self._broker = broker
        self._progress = progress
        self._settings = settings
        self._parameters = parameters

    def is_joining(self) -> bool:
        """Whether the worker has not joined its group yet."""
        return self._app.rebalancing or self._app.consumer_generation_id < 1

    def is_leaving(self) -> bool:
        """Whether partitions are about to be revoked, or the worker is about to end."""
        return self._app.rebalancing or self._app.should_stop

    def unread(self) -> list[int]:
        """The assigned partitions of customers whose rows are not read yet."""
        return [number for number in self._assigned() if self._partitions.get(number) is None]

    def is_changing_hands(self) -> bool:
        """Whether the worker is leaving, or rows of its partitions are still to be read."""
        return self.is_leaving() or bool(self.unread())

    def is_recovering(self, customer: str) -> bool:
        """Whether this worker may own the customer, but can't answer for them yet."""
        number = partition_for(customer.encode(), self._settings.partitions)
        return self.is_joining() or number in self.unread()

    def is_idle(self) -> bool:
        """Whether no events are waiting and none has arrived for `QUIET_S`."""
        last_s = max((owned.last_event_s for owned in self._partitions), default=0.0)
        return monotonic() - last_s > QUIET_S and not any(self._app.batch_consumer.lag().values())

    def is_behind(self) -> bool:
        """Whether the consumer lag is more than what normally comes and goes."""
        return sum(self._app.batch_consumer.lag().values()) > BEHIND_RECORDS

    def owns_first(self, topic: str) -> bool:
        """Whether this worker has partition 0 of the topic, which exactly one worker has."""
        return TP(self._settings.topic(topic), 0) in self._app.batch_consumer.ledger.ended

    def standings(self, trainer: TrainerAgent) -> dict[int, PartitionStanding]:
        """The progress of each rehearsing partition of this worker."""
        return self._partitions.standings(
            self._assigned(),
            trainer if self.owns_first(topics.LABELLED_EXAMPLES) else None,
            self._parameters.learning.snapshot_every,
        )

    def problems(self) -> list[str]:
        """The reasons why this worker is not ready; empty if it is ready."""
        if self.is_joining():
            return [*self._broker.problems(), "joining the group"]
        return [
            *self._broker.problems(),
            *(f"the rows of partition {number} are being read" for number in self.unread()),
            *self._stuck(FOLDED_TOPICS),
        ]

    def delays(self, streams: TriggerStreams) -> list[str]:
        """The deliveries that wait for Redis. Folding goes on without it, on every worker."""
        return [
            *self._stuck(topics.DELIVERED_TOPICS),
            *(
                f"decisions wait for the key {key}, which holds something else"
                for key in sorted(streams.foreign_keys)
            ),
        ]

    def _assigned(self) -> list[int]:
        """The numbers of the assigned partitions of customers, in order."""
        events = self._settings.topic(topics.CUSTOMER_EVENTS)
        ended = self._app.batch_consumer.ledger.ended
        return sorted(tp.partition for tp in ended if tp.topic == events)

    def _stuck(self, names: Iterable[str]) -> list[str]:
        return self._progress.stuck({self._settings.topic(name) for name in names})
