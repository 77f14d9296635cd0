"""What is left of an erased customer: when they were erased, and whether they are suppressed.

A grave does not contain the id: a store finds it by the id that is looked up.
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
    """``at_ms``: everything dated up to then is gone for good. ``said_ms``: when suppression was
    last set or lifted; ``is_suppressed``: nothing may come again. ``applied``: the offset in
    ``customer-events`` of the last change. ``erased``: the offset of the last record that erased a
    row; earlier rows are void. ``lifted``: the offset of the last record that lifted a suppression;
    ``lifted_said_ms``: the value of ``said_ms`` until then.
    """

    at_ms: int = 0
    said_ms: int = 0
    is_suppressed: bool = False
    applied: int = -1
    erased: int = -1
    lifted: int = -1
    lifted_said_ms: int = 0

    def before(self, offset: int) -> "Grave":
        """The grave as the record at ``offset`` met it. When a record is read again after a crash,
        the stored grave may be a later one, because graves are written before rows. Only lifting a
        suppression leaves the row as it is, so no other change can have come in between.
        """
        if not self.erased < offset <= self.lifted:
            return self
        return replace(self, said_ms=self.lifted_said_ms, is_suppressed=True)

    def hides(self, at_ms: int) -> bool:
        """Whether an event dated ``at_ms`` must have no effect."""
        return self.is_suppressed or at_ms <= self.at_ms


NO_GRAVE: Final = Grave()


class Graves(Protocol):
    """The graves of a partition, by the id that a customer had. A dictionary will do."""

    def get(self, customer: str, /) -> Grave | None: ...

    def __setitem__(self, customer: str, grave: Grave, /) -> None: ...

    def __len__(self) -> int: ...


@runtime_checkable
class BuriedByFingerprint(Protocol):
    """Graves that are known by a fingerprint, even if the id is not known any more."""

    def restore(self, name: bytes, packed: bytes) -> None:
        """Take a grave, unless a later one is known. Raises ``RowError``."""
        ...


class _Stored(Struct, array_like=True):
    format: int
    grave: Grave


def encode_grave(grave: Grave) -> bytes:
    """The grave's bytes. Equal graves give equal bytes. If no suppression was ever lifted, these
    are the bytes that earlier releases wrote.
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
    """Whether a grave equals the one made from the log. An earlier release did not note which
    record lifted a suppression: such a difference is ignored.
    """
    if written == made or written is None or made is None:
        return written == made
    one, other = decode_grave(written), decode_grave(made)
    return one == replace(other, lifted=one.lifted, lifted_said_ms=0) and one.lifted < 0
