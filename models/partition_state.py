"""What a partition of the log keeps besides its customers' rows, and its bytes in the changelog."""

import msgspec
from msgspec import Struct

from models.customer.row_formats import RowError, format_of, require_format
from models.events.foreign import UNREADABLE
from models.parts_in_force import InForce, Replaced

#: The layout of a partition's state.
STATE_FORMAT = 2
#: The format of the state of a partition with graves, so that a release that does not know graves
#: refuses it instead of restoring erased customers. All other states keep the format above.
GRAVES_FORMAT = 3


class PartitionState(Struct, array_like=True):
    """A partition's state, besides its customers' rows.

    ``applied``: the last offset applied. ``sources`` and ``generations``: the highest offset seen
    of each partition of a raw topic, and the topics that had its name; see
    `models.repeats.is_repeated`. ``is_delivered``: clock records are watermarks: no earlier event
    comes after them. ``live_at_ms``: since when it is live and writes triggers, None while it
    rehearses; the default is for states by releases without rehearsals. ``rehearsed``: how many
    decisions were held back, for display: after a crash, those of the batch in hand may be missing.
    ``waits_since_ms``: when the broker received the first event that did not move the clock,
    because history may still come. ``in_force``: the parts that its rows are made of; ``replaced``:
    those of rows before a rebuild; see `models.parts_in_force`. ``watched``: the checksum of the
    present segments, and the clock since when they are used.
    """

    format: int = STATE_FORMAT
    applied: int = -1
    clock_ms: int = 0
    latest_ms: int = 0
    model_version: int = 0
    model_sha256: str = ""
    sources: dict[str, int] = {}
    is_delivered: bool = False
    live_at_ms: int | None = 0
    rehearsed: int = 0
    waits_since_ms: int = 0
    generations: dict[str, tuple[str, ...]] = {}
    in_force: tuple[InForce, ...] = ()
    replaced: tuple[Replaced, ...] = ()
    watched: tuple[int, int] = (0, 0)


def rehearsing_state() -> PartitionState:
    """The state of a partition that has applied nothing yet, and rehearses until it goes live."""
    return PartitionState(live_at_ms=None)


def encode_state(state: PartitionState) -> bytes:
    """The state's bytes; equal states give equal bytes."""
    return msgspec.msgpack.encode(state, order="deterministic")


_STATE = msgspec.msgpack.Decoder(PartitionState)


def decode_state(content: bytes) -> PartitionState:
    """Read a partition's state. Raises ``RowError``; ``NewerRow`` or ``OlderRow`` for one in
    another release's format.
    """
    try:
        state = _STATE.decode(content)
    except UNREADABLE as error:
        require_format(format_of(content), "a partition's state", GRAVES_FORMAT)
        raise RowError(f"not a partition's state: {error}") from None
    require_format(state.format, "a partition's state", GRAVES_FORMAT)
    if state.format < 1:
        raise RowError(f"not a partition's state: there is no format {state.format}")
    return state
