"""How far an endpoint has come in a partition, with holes: some decisions wait while later ones are
done.

The commit has the first open offset, and in its metadata which later offsets are done. So Kafka's
own position is all that is kept of an endpoint, and whoever continues from it sends again only
messages that were in flight.
"""

import zlib
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections import OrderedDict
from typing import NamedTuple

#: How far to read beyond the first open offset. One bit each, in base64, is a third of the 4,096
#: bytes of metadata that a broker takes.
WINDOW_RECORDS = 8_192
_VERSION = "1"
_BITS = 8


class OpenPosition(NamedTuple):
    """A partition's first open offset, and the later ones that are done."""

    offset: int
    done: frozenset[int] = frozenset()


class OffsetWindow:
    """The open and the done offsets of one partition, from the first open one on."""

    def __init__(self, position: OpenPosition) -> None:
        self._open: OrderedDict[int, None] = OrderedDict()
        self._done = set(position.done)
        self._next = position.offset

    def admit(self, offset: int) -> bool:
        """Take the next record of the log; False if it is done already."""
        self._next = offset + 1
        if offset in self._done:
            return False
        self._open[offset] = None
        return True

    def finish(self, offset: int) -> None:
        """Note that this offset is done."""
        if offset in self._open:
            del self._open[offset]
            self._done.add(offset)

    @property
    def open_offsets(self) -> int:
        return len(self._open)

    @property
    def is_full(self) -> bool:
        """Whether reading on would exceed what can be committed."""
        return self._next - self._first >= WINDOW_RECORDS

    @property
    def _first(self) -> int:
        return next(iter(self._open), self._next)

    def position(self) -> OpenPosition:
        """The position that can be committed now."""
        first = self._first
        # Offsets before the first open one need not be listed.
        self._done = {offset for offset in self._done if offset > first}
        return OpenPosition(first, frozenset(self._done))


def encode_metadata(position: OpenPosition, topic_id: str) -> str:
    """A commit's metadata: which later offsets are done, and the topic's id."""
    size = max(position.done, default=position.offset) - position.offset + 1
    bits = bytearray((size + _BITS - 1) // _BITS)
    for offset in position.done:
        place = offset - position.offset
        bits[place // _BITS] |= 1 << place % _BITS
    packed = zlib.compress(bytes(bits), 9)
    return f"{_VERSION} {topic_id or '-'} {b64encode(packed).decode()}"


def decode_position(offset: int, metadata: str, topic_id: str) -> OpenPosition | None:
    """The committed position; None if it is of another topic of this name."""
    parts = metadata.split(" ")
    if len(parts) != 3 or parts[0] != _VERSION:
        # An operator's tool set it: everything from there on is open.
        return OpenPosition(offset)
    if topic_id and parts[1] not in (topic_id, "-"):
        return None
    try:
        bits = zlib.decompressobj().decompress(b64decode(parts[2]), WINDOW_RECORDS)
    except (NotBase64, ValueError, zlib.error):
        return OpenPosition(offset)
    done = {
        offset + place
        for place in range(len(bits) * _BITS)
        if bits[place // _BITS] >> place % _BITS & 1
    }
    return OpenPosition(offset, frozenset(done))
