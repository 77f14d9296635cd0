"""Remembers events that this process wrote to the log, by their bytes, until it reads them back.

A worker nearly always folds what its own ingest wrote, because topics with equally many partitions
are assigned together. Decoding depends on a record's bytes alone, and an event that this process
encoded is known to decode to itself, so it need not be decoded again. The log alone decides which
records there are and in which order. Events not found here, from another worker or a later one, are
decoded.
"""

from typing import Final

from models.catalogue import KIND_BY_NAME
from models.events.erasure_record import ERASE_REQUESTED
from models.events.event import Event

#: After this many later events, or bytes of them, an event that was not read back may be forgotten;
#: after twice as many it is.
REMEMBERED_MAX: Final = 16_384
BYTES_MAX: Final = 16 * 1024 * 1024
_ERASE = KIND_BY_NAME[ERASE_REQUESTED]


class OwnEvents:
    """Events that ingest wrote and the fold has not read yet."""

    def __init__(self) -> None:
        self._latest: dict[bytes, Event] = {}
        self._before: dict[bytes, Event] = {}
        #: The bytes of events added to the latest, whether or not they have been read.
        self._latest_bytes = 0

    def __len__(self) -> int:
        return len(self._latest) + len(self._before)

    def wrote(self, value: bytes, event: Event) -> None:
        """Remember that ``value`` is how ``event`` stands in the log.

        Two kinds are not remembered. A request to erase has a format of its own. Consent that
        Keepstream doesn't understand is counted, but not written to the log.
        """
        if event.has_unread_consent or event.kind is _ERASE:
            return
        if len(self._latest) >= REMEMBERED_MAX or self._latest_bytes >= BYTES_MAX:
            self._before, self._latest, self._latest_bytes = self._latest, {}, 0
        self._latest[value] = event
        self._latest_bytes += len(value)

    def read(self, value: bytes | None) -> Event | None:
        """Return the event that ``value`` stands for, and forget it; None if it is not known."""
        if value is None:
            return None
        event = self._latest.pop(value, None)
        return self._before.pop(value, None) if event is None and self._before else event
