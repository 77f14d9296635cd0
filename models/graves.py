"""What is left of somebody who was erased: when, and whether nothing may come of them again.

Who it was is not in it: a store finds a grave by the id that it is asked for.
"""

from typing import Final, Protocol, runtime_checkable

import msgspec
from msgspec import Struct
from msgspec.structs import astuple, replace

from models.customer.row_formats import NewerRow, RowError
from models.events.foreign import UNREADABLE

GRAVE_FORMAT: Final = 1
_FIELDS_WITHOUT_LIFTED: Final = 5


class Grave(Struct, frozen=True, array_like=True, gc=False):
    """``at_ms``: what is dated up to then is gone for good. ``said_ms``: when it was last said that
    nothing, or that something, may come again; ``is_suppressed``: nothing may. ``applied``: the
    offset in ``customer-events`` of the last change, ``erased``: of the last record that erased a
    row, so that an earlier row is none. ``lifted``: of the last record that let things come again
    which were suppressed; ``lifted_said_ms``: what ``said_ms`` was until then.
    """

    at_ms: int = 0
    said_ms: int = 0
    is_suppressed: bool = False
    applied: int = -1
    erased: int = -1
    lifted: int = -1
    lifted_said_ms: int = 0

    def before(self, offset: int) -> "Grave":
        """The grave that the record at ``offset`` met. Read again after a crash it may meet a later
        one, which is written before the rows: nothing but the lifting of a suppression leaves
        the row as it is, so no more than that can have come between.
        """
        if not self.erased < offset <= self.lifted:
            return self
        return replace(self, said_ms=self.lifted_said_ms, is_suppressed=True)

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
    """The grave's bytes; equal graves give equal bytes, and one of which no suppression was ever
    lifted those that it always had.
    """
    fields = astuple(grave)
    kept = fields if grave.lifted >= 0 else fields[:_FIELDS_WITHOUT_LIFTED]
    return msgspec.msgpack.encode((GRAVE_FORMAT, kept))


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


def is_same_grave(written: bytes | None, made: bytes | None) -> bool:
    """Whether a grave is the one that the log gives, but for what an earlier release did not note:
    which record lifted a suppression.
    """
    if written == made or written is None or made is None:
        return written == made
    one, other = decode_grave(written), decode_grave(made)
    return one == replace(other, lifted=one.lifted, lifted_said_ms=0) and one.lifted < 0
