"""What is left of somebody who was erased: when, and whether nothing may come of them again.

Who it was is not in it: a store finds a grave by the id that it is asked for.
"""

from typing import Final, Protocol, runtime_checkable

import msgspec
from msgspec import Struct

from models.customer.row import NewerRow, RowError
from models.events.foreign import UNREADABLE

GRAVE_FORMAT: Final = 1


class Grave(Struct, frozen=True, array_like=True, gc=False):
    """``at_ms``: what is dated up to then is gone for good. ``said_ms``: when it was last said that
    nothing, or that something, may come again; ``is_suppressed``: nothing may. ``applied``: the
    offset in ``customer-events`` of the last change, ``erased``: of the last record that erased a
    row, so that an earlier row is none.
    """

    at_ms: int = 0
    said_ms: int = 0
    is_suppressed: bool = False
    applied: int = -1
    erased: int = -1

    def hides(self, at_ms: int) -> bool:
        """Whether nothing may come of what is dated ``at_ms``."""
        return self.is_suppressed or at_ms <= self.at_ms


NO_GRAVE: Final = Grave()


class Graves(Protocol):
    """The graves of a partition, by the id that a customer had. A dictionary will do."""

    def get(self, customer: str, /) -> Grave | None: ...

    def __setitem__(self, customer: str, grave: Grave, /) -> None: ...

    def __len__(self) -> int: ...


@runtime_checkable
class BuriedByFingerprint(Protocol):
    """Graves that are known by a fingerprint, also where the id is known no more."""

    def restore(self, name: bytes, packed: bytes) -> None:
        """Take a grave, unless a later one is known. Raises ``RowError``."""
        ...


class _Stored(Struct, array_like=True):
    format: int
    grave: Grave


def encode_grave(grave: Grave) -> bytes:
    """The grave's bytes; equal graves give equal bytes."""
    return msgspec.msgpack.encode(_Stored(GRAVE_FORMAT, grave))


_STORED = msgspec.msgpack.Decoder(_Stored)
_FORMAT = msgspec.msgpack.Decoder(tuple[int, msgspec.Raw])


def decode_grave(content: bytes) -> Grave:
    """Read a grave. Raises ``RowError``, or ``NewerRow`` for one in a later release's format."""
    try:
        if _FORMAT.decode(content)[0] > GRAVE_FORMAT:
            raise NewerRow("a grave was written by a newer release; upgrade this worker")
        return _STORED.decode(content).grave
    except UNREADABLE as error:
        raise RowError(f"not a grave: {error}") from None
