"""Dry runs: what an event would do, computed by the worker that has the customer."""

from time import time

from agents.web.server import NotHere
from config.parameters import Parameters
from config.settings import Settings
from models.catalogue import topic_of
from models.dry_run import Copied, DryRun, DryRunRefusal, dry_run
from models.events.event import Event
from models.events.rejection import Rejected
from models.events.wire import decode_line, encode_log_event
from models.plan import Plan
from streams.kafka_clients import partition_for
from streams.line_check import LineCheck
from streams.owned_partitions import OwnedPartitions

#: The id of an event without one: ingest would make an id from its place in the topic.
_STAND_IN = "dry-run"


class DryRuns:
    """Checks an event as ingest does, and folds it on a copy of the customer."""

    def __init__(
        self, owned: OwnedPartitions, settings: Settings, parameters: Parameters, plan: Plan
    ) -> None:
        self._owned = owned
        self._settings = settings
        self._parameters = parameters
        self._plan = plan

    def answer(self, raw: bytes, topic: str | None) -> DryRun | NotHere:
        """What the event in ``raw`` would do, or its customer if another worker has them."""
        try:
            topic = topic or _usual_topic(raw)
            event = self._admitted(raw, topic)
        except Rejected as rejected:
            return DryRun(refused=DryRunRefusal.of(rejected, "ingest"))
        number = partition_for(event.customer.encode(), self._settings.partitions)
        owned = self._owned.get(number)
        if owned is None:
            return NotHere(event.customer)
        # The last durable row: the batch in progress may still be abandoned.
        packed = owned.rows.packed(event.customer)
        copied = Copied.of(owned.fold, packed, owned.graves.get(event.customer))
        return dry_run(event, topic, copied, self._plan)

    def _admitted(self, raw: bytes, topic: str) -> Event:
        check = LineCheck(self._parameters, int(time() * 1_000), message_id=_STAND_IN)
        event = check(raw, topic)
        # Also refuses an event that is too large for the log.
        encode_log_event(event)
        return event


def _usual_topic(raw: bytes) -> str:
    line = decode_line(raw)
    return topic_of(line.type, line.event)
