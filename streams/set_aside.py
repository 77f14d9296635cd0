"""Records that an operator has set aside: they claim to be of another release, but are not.

A worker must not read past a record of another release: it would misread the rest. Only the
operator knows whether a release wrote the record. So the worker names the record's place, and
continues without the record once the settings name that place.
"""

from typing import Self

from config.settings import Settings, variable_of


class SetAside:
    """The places of records to leave out, as ``topic-partition@offset``."""

    def __init__(self, places: frozenset[str] = frozenset()) -> None:
        self._places = places

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The records that the settings name."""
        return cls(frozenset(filter(None, settings.set_aside.split(","))))

    def has(self, topic: str, partition: int, offset: int) -> bool:
        """Whether the record at this place is set aside; ``topic`` is without the prefix."""
        return bool(self._places) and _place(topic, partition, offset) in self._places

    def require(self, topic: str, partition: int, offset: int, error: ValueError) -> None:
        """Raise ``error`` again, with its place and what to do, unless the record is set aside."""
        place = _place(topic, partition, offset)
        if place in self._places:
            return
        named = ",".join(sorted(self._places | {place}))
        raise type(error)(
            f"{error}. It is the record {place}. If no other release ever wrote here, somebody "
            f"else did: set {variable_of('set_aside')}={named} for all workers and commands, and "
            f"they leave it out; and see who may write to {topic}"
        ) from None


def _place(topic: str, partition: int, offset: int) -> str:
    return f"{topic}-{partition}@{offset}"
