"""Turns a request's events into records for the raw topics, and dead letters.

Events are checked as ingest checks them, so that the sender hears at once of a bad one. They go to
the topic that `keepstream publish` would choose.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from msgspec import Raw

from config.parameters import Parameters
from config.topics import DEAD_LETTERS
from models.collecting.arrival import Arrival, arrived
from models.collecting.vendor_mapping import VendorMapping, Webhook
from models.customer.identities import MERGED, SPLIT
from models.events.dead_letter import WEBHOOK, DeadLetter, dead_letter, encode_dead_letter
from models.events.erasure_record import ERASE_REQUESTED
from models.events.event import Event
from models.events.leniency import plain
from models.events.rejection import Reason, Rejected
from streams.collector.completeness import missing_in
from streams.kafka_clients import partition_for
from streams.line_check import LineCheck
from streams.raw_records import Outgoing

#: Only whoever keeps the customers' data may say this, not a visitor's browser.
_ACTS: Final = frozenset({ERASE_REQUESTED, MERGED, SPLIT})
#: How many dead letters of one request its answer explains.
EXPLAINED_MAX = 20


class Intake:
    """Takes the events of one request, one after the other; ``is_trusted``: see `Limits`."""

    def __init__(
        self,
        arrival: Arrival,
        parameters: Parameters,
        partitions: Mapping[str, int],
        source: str,
        *,
        is_trusted: bool,
    ) -> None:
        self._arrival = arrival
        self._check = LineCheck(parameters, arrival.received_at_ms)
        self._oldest_ms = arrival.received_at_ms - parameters.time.lateness
        self._partitions = partitions
        self._source = source
        self._is_trusted = is_trusted
        self.records: list[Outgoing] = []
        self.message_ids: list[str] = []
        self.accepted = 0
        #: Events that name no customer, as far as the sender's library can tell.
        self.left_out = 0
        self.late = 0
        self.refused: Counter[str] = Counter()
        self.incomplete: Counter[str] = Counter()
        #: The first refusals, each with the event's place in the request.
        self.refusals: list[tuple[int, Rejected]] = []

    def take(self, number: int, raw: Raw) -> None:
        """Turn one event into the record to write for it."""
        content = bytes(raw)
        try:
            published = arrived(raw, self._arrival)
            if published is None:
                self.left_out += 1
                return
            # A refused event keeps its corrected time, too: a retry can't correct it any more.
            content = published
            self._accept(content)
        except Rejected as rejected:
            letter = dead_letter(rejected, content, step="collector", sender=self._source)
            self._refuse(number, rejected, letter)

    def take_webhook(self, webhook: Webhook, mapping: VendorMapping) -> str:
        """Turn a webhook into the records to write for its events, and return its type.

        A webhook that can't be understood, or that gives a refused event, becomes a dead letter
        with the bytes as they came: the usual fix is another mapping.
        """
        try:
            mapped = mapping(webhook)
        except Rejected as rejected:
            self._refuse_webhook(rejected, webhook, mapping)
            return ""
        refusals = mapped.refusals
        for event in mapped.events:
            try:
                published = arrived(event, self._arrival)
                assert published is not None
                self._accept(published)
            except Rejected as rejected:
                refusals.append(rejected)
        if refusals:
            self._refuse_webhook(refusals[0], webhook, mapping)
        return mapped.type

    def _accept(self, content: bytes) -> None:
        event = self._checked(content)
        key = event.customer.encode()
        topic = event.kind.topic
        partition = partition_for(key, self._partitions[topic])
        self.records.append(Outgoing(topic, partition, key, content))
        self._count(event)

    def _checked(self, content: bytes) -> Event:
        event = self._check(content)
        if event.name in _ACTS and not self._is_trusted:
            raise Rejected(
                Reason.UNKNOWN_EVENT,
                "$.event",
                f"this source may not say {event.name}",
                "give a source that only your own servers use `is_trusted = true`",
            )
        return event

    def _count(self, event: Event) -> None:
        self.accepted += 1
        if event.occurred_at_ms < self._oldest_ms and not event.historical:
            self.late += 1
        if event.message_id:
            self.message_ids.append(event.message_id)
        self.incomplete.update(missing_in(event))

    def _refuse_webhook(self, rejected: Rejected, webhook: Webhook, mapping: VendorMapping) -> None:
        known = webhook.headers
        headers = {name: plain(known[name]) for name in mapping.headers if name in known}
        letter = dead_letter(
            rejected, webhook.body, step=WEBHOOK, sender=self._source, headers=headers
        )
        self._refuse(0, rejected, letter)

    def _refuse(self, number: int, rejected: Rejected, letter: DeadLetter) -> None:
        partition = number % self._partitions[DEAD_LETTERS]
        self.records.append(Outgoing(DEAD_LETTERS, partition, None, encode_dead_letter(letter)))
        self.refused[str(rejected.reason)] += 1
        if len(self.refusals) < EXPLAINED_MAX:
            self.refusals.append((number, rejected))
