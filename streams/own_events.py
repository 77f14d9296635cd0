"""Events that this process wrote to the log, by their bytes, until they come back from it.

A worker nearly always folds what its own ingest wrote: topics of equally many partitions are
assigned together. Decoding is a function of a record's bytes, and what was encoded is known to be
what would be decoded, so that need not be done again. The order, and which records there are, come
from the log alone: whatever is not found here, another worker's or a later one's, is decoded.
"""

from typing import Final

from models.catalogue import KIND_BY_NAME
from models.events.erasure_record import ERASE_REQUESTED
from models.events.event import Event

#: Events, and bytes of them, since which one that has not come back is forgotten; it is let go of
#: soon after.
REMEMBERED_MAX: Final = 16_384
BYTES_MAX: Final = 16 * 1024 * 1024
_ERASE = KIND_BY_NAME[ERASE_REQUESTED]


class OwnEvents:
    """What ingest wrote and the fold has not read yet."""

    def __init__(self) -> None:
        self._latest: dict[bytes, Event] = {}
        self._before: dict[bytes, Event] = {}
        #: How many were added to the latest, whether or not they have been read.
        self._latest_bytes = 0

    def __len__(self) -> int:
        return len(self._latest) + len(self._before)

    def wrote(self, value: bytes, event: Event) -> None:
        """Remember that ``value`` is ``event`` as it is in the log.

        But for a request to erase, which has a format of its own, and what says more of consent
        than is understood: that is counted, and not written.
        """
        if event.has_unread_consent or event.kind is _ERASE:
            return
        if len(self._latest) >= REMEMBERED_MAX or self._latest_bytes >= BYTES_MAX:
            self._before, self._latest, self._latest_bytes = self._latest, {}, 0
        self._latest[value] = event
        self._latest_bytes += len(value)

    def read(self, value: bytes | None) -> Event | None:
        """The event that ``value`` is, and forget it; None if it is not known."""
        if value is None:
            return None
        event = self._latest.pop(value, None)
        return self._before.pop(value, None) if event is None and self._before else event
