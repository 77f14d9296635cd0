"""Reads refused webhooks again, by today's mappings."""

from collections.abc import Mapping

from models.collecting.vendor_mapping import VendorMapping, Webhook
from models.events.dead_letter import DeadLetter, dead_letter
from models.events.rejection import Rejected
from streams.dead_letters import Parcel, parcel_of


class WebhookReader:
    """Reads each refused webhook by the present mapping of its source."""

    def __init__(self, mappings: Mapping[str, VendorMapping]) -> None:
        self._mappings = mappings
        #: How many were skipped, by the name of a source that is not declared.
        self.unknown: dict[str, int] = {}
        #: How many are still not understood, or only in part.
        self.unread = 0

    def __call__(self, letter: DeadLetter) -> list[Parcel]:
        """The records for the events of a webhook, with the same ids as before."""
        mapping = self._mappings.get(letter.sender)
        if mapping is None:
            self.unknown[letter.sender] = self.unknown.get(letter.sender, 0) + 1
            return []
        headers = letter.headers if isinstance(letter.headers, dict) else {}
        try:
            mapped = mapping(Webhook(letter.sender, headers, letter.content()))
        except Rejected:
            self.unread += 1
            return []
        self.unread += bool(mapped.refusals)
        refused = Rejected(letter.reason)
        return [parcel_of(dead_letter(refused, one, step="collector")) for one in mapped.events]
