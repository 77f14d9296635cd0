"""The sources from one reading of their file, with the state that is kept for each."""

from config.sources import Limits, Senders
from models.collecting.throttle import Throttle
from streams.collector.mappings import mapping_of


class KnownSources:
    """A request uses one of these from beginning to end, even if the file of sources changes
    meanwhile. ``earlier``: the previous reading. A source with unchanged limits keeps its throttle.
    """

    def __init__(self, senders: Senders, earlier: "KnownSources | None" = None) -> None:
        """Raises ``RuleError`` for webhooks whose mapping can't be used."""
        self.senders = senders
        self.limits = senders.limits
        self.mappings = {name: mapping_of(one) for name, one in senders.webhooks.items()}
        self.throttles: dict[str, Throttle] = {
            name: _throttle(name, limits, earlier) for name, limits in self.limits.items()
        }


def _throttle(name: str, limits: Limits, earlier: KnownSources | None) -> Throttle:
    before = earlier.limits.get(name) if earlier is not None else None
    if earlier is not None and before is not None:
        is_same = before.events_per_second == limits.events_per_second
        if is_same and before.burst == limits.burst:
            return earlier.throttles[name]
    return Throttle(limits.events_per_second, limits.burst)
