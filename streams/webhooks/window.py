"""How far an endpoint has taken a partition, with holes: some decisions wait while later ones went.

What is committed is the first offset that is open, and beside it, as the commit's metadata, which
of the later ones are done. So nothing but Kafka's own position is kept of an endpoint, and whoever
goes on from it sends again only what was being sent.
"""

import zlib
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections import OrderedDict
from typing import NamedTuple

#: How far beyond the first open offset is read. A bit each, in base64: a third of the 4,096 bytes
#: that a broker takes as metadata.
WINDOW_RECORDS = 8_192
_VERSION = "1"
_BITS = 8


class OpenPosition(NamedTuple):
    """Where a partition stands: the first open offset, and the later ones that are done."""

    offset: int
    done: frozenset[int] = frozenset()


class OffsetWindow:
    """The open and the done offsets of one partition, from the first open one."""

    def __init__(self, position: OpenPosition) -> None:
        self._open: OrderedDict[int, None] = OrderedDict()
        self._done = set(position.done)
        self._next = position.offset

    def admit(self, offset: int) -> bool:
        """Take the next record of the log; False for one that is done already."""
        self._next = offset + 1
        if offset in self._done:
            return False
        self._open[offset] = None
        return True

    def finish(self, offset: int) -> None:
        """Note that nothing is left to do about this offset."""
        if offset in self._open:
            del self._open[offset]
            self._done.add(offset)

    @property
    def open_offsets(self) -> int:
        return len(self._open)

    @property
    def is_full(self) -> bool:
        """Whether to read on would need more than can be committed."""
        return self._next - self._first >= WINDOW_RECORDS

    @property
    def _first(self) -> int:
        return next(iter(self._open), self._next)

    def position(self) -> OpenPosition:
        """What can be committed now."""
        first = self._first
        # What lies before is told by the offset itself.
        self._done = {offset for offset in self._done if offset > first}
        return OpenPosition(first, frozenset(self._done))


def encode_metadata(position: OpenPosition, topic_id: str) -> str:
    """The metadata of a commit: which later offsets are done, and of which topic."""
    size = max(position.done, default=position.offset) - position.offset + 1
    bits = bytearray((size + _BITS - 1) // _BITS)
    for offset in position.done:
        place = offset - position.offset
        bits[place // _BITS] |= 1 << place % _BITS
    packed = zlib.compress(bytes(bits), 9)
    return f"{_VERSION} {topic_id or '-'} {b64encode(packed).decode()}"


def decode_position(offset: int, metadata: str, topic_id: str) -> OpenPosition | None:
    """What was committed; None if that was of another topic of this name."""
    parts = metadata.split(" ")
    if len(parts) != 3 or parts[0] != _VERSION:
        # Set by an operator's tools: from there on, all of it.
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
