"""A customer's row: the states of all parts, packed for the changelog.

A part's state is unpacked when it is read and packed again when it was changed. All other bytes
stay as they are, including those of parts that this release does not know.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Generic, TypeVar
from zlib import crc32

import msgspec
from msgspec import Struct

from models.customer.dense import Dense
from models.events.foreign import UNREADABLE

#: The layout of rows and of partitions' states. Format 1 was one struct for all concerns.
ROW_FORMAT = 2
#: The layout of rows of several ids, so that a release that knows nothing of them refuses them. All
#: others stay as they are.
LINKED_FORMAT = 3
_CHECKSUM_BYTES = 4
#: Rows in earlier formats had this many fields or more.
_OLDER_FIELDS_MIN = 4

S = TypeVar("S")


class RowError(ValueError):
    """A stored row cannot be used; the message says why."""


class NewerRow(RowError):
    """A row was written by a newer release than this one."""


class OlderRow(RowError):
    """A row is in a format that this release no longer reads."""


class State(Struct, array_like=True, forbid_unknown_fields=True, eq=False, gc=False):
    """A part's state, or a piece of one: changed in place, and stored as its fields in their order.

    Stored bytes with fewer fields are read with the defaults of the others; more are refused. Must
    not refer to itself, because the garbage collector does not look into it.
    """


#: Sorts the keys of dictionaries, so that equal states are equal bytes.
_ENCODER = msgspec.msgpack.Encoder(order="deterministic")


def _of_its_fields(_content: bytes) -> Any:
    """Stands for the decoder of a state's own fields, which `Kept` makes."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept(Generic[S]):
    """How a part's state is kept in rows.

    ``code`` and ``version`` are stored with it: a code is never reused or renamed, and a version is
    raised when the state changes its meaning. ``state()`` is the empty state, which is not stored.
    ``pack`` and ``unpack`` are only given for a state that is not packed as its fields.
    ``older``: the readers of what earlier versions packed, by version. ``dense_since``: the version
    since which that is stored compressed, with the dictionary of that version; 0 for never. If
    nothing else was new in it, the version before needs no reader.

    ``readers``: of each version as it is stored. ``seed``: the initial value of the checksum.
    """

    name: str
    code: str
    state: type[S]
    pack: Callable[[S], bytes] = _ENCODER.encode
    unpack: Callable[[bytes], S] = _of_its_fields
    version: int = 1
    older: Mapping[int, Callable[[bytes], S]] = field(default_factory=dict)
    dense_since: int = 0
    dense: Dense | None = field(init=False, default=None)
    readers: Mapping[int, Callable[[bytes], S]] = field(init=False)
    empty: bytes = field(init=False)
    seed: int = field(init=False)

    def __post_init__(self) -> None:
        if self.unpack is _of_its_fields:
            object.__setattr__(self, "unpack", msgspec.msgpack.Decoder(self.state).decode)
        if self.dense_since:
            object.__setattr__(self, "dense", Dense(self.code, self.dense_since))
        object.__setattr__(self, "readers", self._readers())
        object.__setattr__(self, "empty", self.pack(self.state()))
        object.__setattr__(self, "seed", _checksum_seed(self.code, self.version))

    def _readers(self) -> dict[int, Callable[[bytes], S]]:
        dense = self.dense
        if dense is None:
            return {**self.older, self.version: self.unpack}
        readers = {self.dense_since - 1: self.unpack, **self.older, self.version: self.unpack}
        return {
            version: read if version < self.dense_since else _decompressing(dense, read)
            for version, read in readers.items()
        }


def _decompressing(dense: Dense, read: Callable[[bytes], S]) -> Callable[[bytes], S]:
    return lambda content: read(dense.decompress(content))


@lru_cache(maxsize=1_024)
def _checksum_seed(code: str, version: int) -> int:
    """The initial value of a checksum, so that it covers code and version too."""
    return crc32(f"{code}:{version}".encode())


def _sum_of(content: bytes | msgspec.Raw, seed: int = 0) -> bytes:
    # As bytes: a number has several encodings, and a changed byte must not go unnoticed.
    return crc32(content, seed).to_bytes(_CHECKSUM_BYTES, "big")


def _sum_of_head(head: bytes | msgspec.Raw, codes: Iterable[str]) -> bytes:
    # With the codes of the parts, so that a missing or renamed part is noticed.
    return _sum_of(" ".join(codes).encode(), crc32(head))


class Due(msgspec.Struct):
    """When a timer is due (0: never), and up to when it was handled; event time in ms."""

    due_ms: int = 0
    handled_ms: int = 0


class Row:
    """One customer. Mutable, and owned by the partition: a step changes it in place.

    ``applied``: the offset in ``customer-events`` of the last change; ``latest_ms``: the time of
    the latest event; ``messages``: fingerprints of the latest message ids, eight bytes each;
    ``next_due_ms``: the earliest timer, 0 for none; ``ids``: of a person with several ids, what
    each of them has come to by its own events, their own id's too; of an id that is another
    person's there are none, and of everybody else it is `NO_IDS`.
    """

    __slots__ = (
        "_changed",
        "_packed",
        "_pending",
        "_states",
        "_stored_timers",
        "_timers",
        "applied",
        "ids",
        "latest_ms",
        "messages",
        "next_due_ms",
    )

    def __init__(self) -> None:
        self.applied = -1
        self.latest_ms = 0
        self.messages = b""
        self.next_due_ms = 0
        self.ids: Mapping[str, SubRow] = NO_IDS
        # Stored timers are decoded when the first one is needed.
        self._stored_timers: StoredTimers = ()
        self._timers: dict[str, Due] | None = None
        # When each of them is due that is: half of all that were ever set.
        self._pending: dict[str, int] = {}
        self._packed: dict[str, bytes] = {}
        self._states: dict[str, Any] = {}
        self._changed: dict[str, Kept[Any]] = {}

    def read(self, part: Kept[S]) -> S:
        """The part's state; read only. Raises ``RowError`` when it cannot be read."""
        # Asked twenty times an event, and nearly always there.
        try:
            found: S = self._states[part.code]
        except KeyError:
            return self._unpacked(part)
        return found

    def edit(self, part: Kept[S]) -> S:
        """The part's state, to be changed in place."""
        code = part.code
        self._changed[code] = part
        try:
            found: S = self._states[code]
        except KeyError:
            return self._unpacked(part)
        return found

    def replace(self, part: Kept[S], state: S) -> None:
        """Have ``state`` instead of the part's state."""
        self._changed[part.code] = part
        self._states[part.code] = state

    def take(self, part: Kept[Any], source: "Row") -> None:
        """Have the part of ``source``, a row that nobody uses any more, as it is there."""
        code, packed = part.code, source._packed.get(part.code)
        for of_mine, of_theirs in (
            (self._states, source._states),
            (self._changed, source._changed),
        ):
            of_mine.pop(code, None)
            if code in of_theirs:
                of_mine[code] = of_theirs[code]
        if packed is None:
            self._packed.pop(code, None)
            return
        is_ordered = code in self._packed
        self._packed[code] = packed
        if not is_ordered:
            self._packed = dict(sorted(self._packed.items()))

    def has(self, part: Kept[Any]) -> bool:
        """Whether the part's state is another than the empty one, packed yet or not."""
        if part.code in self._changed:
            return part.pack(self.read(part)) != part.empty
        return part.code in self._packed

    def clear(self) -> None:
        """Forget everything but the place in the log, as if nothing had happened yet."""
        applied = self.applied
        self.__init__()  # type: ignore[misc]
        self.applied = applied

    def renew(self, part: Kept[Any]) -> None:
        """Pack the part anew: an earlier release packed it in another way, and another version of
        the compression to other bytes.
        """
        if part.code in self._packed:
            self.edit(part)

    def has_seen(self, message: bytes) -> bool:
        """Whether an event with this fingerprint of its message id was applied before."""
        at = self.messages.find(message)
        # Eight bytes may also match across two neighbours; only an aligned match counts.
        while at > 0 and at % 8:
            at = self.messages.find(message, at + 1)
        return at >= 0

    def due(self, code: str) -> Due:
        """The timer's times."""
        timers = self._timers if self._timers is not None else self.timers_by_code()
        return timers[code] if code in timers else Due()

    def set_due(self, code: str, due_ms: int, *, may_repeat: bool = False) -> None:
        """Set a timer to ``due_ms``, or unset it with 0. A time that was already handled unsets it
        too, unless it may repeat.
        """
        timers = self._timers if self._timers is not None else self.timers_by_code()
        if code not in timers:
            if not due_ms:
                return
            timers[code] = Due()
        timer = timers[code]
        if due_ms <= timer.handled_ms and not may_repeat:
            due_ms = 0
        before_ms, next_ms = timer.due_ms, self.next_due_ms
        if due_ms == before_ms:
            return
        timer.due_ms = due_ms
        if due_ms:
            self._pending[code] = due_ms
        else:
            del self._pending[code]
        if before_ms and before_ms == next_ms:
            self._find_next()
        elif due_ms and (due_ms < next_ms or not next_ms):
            self.next_due_ms = due_ms

    def finish(self, code: str, at_ms: int) -> None:
        """Note that a timer was handled up to ``at_ms``."""
        timers = self._timers if self._timers is not None else self.timers_by_code()
        timer = timers[code]
        timer.due_ms, timer.handled_ms = 0, at_ms
        self._pending.pop(code, None)
        self._find_next()

    def pending(self) -> Mapping[str, int]:
        """When each timer is due that is, by its code, as it is from now on; read only."""
        if self._timers is None:
            self.timers_by_code()
        return self._pending

    def due_at(self, at_ms: int) -> list[str]:
        """The codes of the timers that are due at exactly this time."""
        return [code for code, due_ms in self.pending().items() if due_ms == at_ms]

    def pass_over(self, at_ms: int, known: Container[str]) -> None:
        """Finish due timers that are not ``known``: of parts that are off or unknown."""
        for code in self.due_at(at_ms):
            if code not in known:
                self.finish(code, at_ms)

    @property
    def wakes_ms(self) -> int:
        """The earliest timer of the customer or of any of their ids by itself; 0 for none."""
        if self.ids is NO_IDS:
            return self.next_due_ms
        due = [self.next_due_ms, *(sub.next_due_ms for sub in self.ids.values())]
        return min(filter(None, due), default=0)

    def timers(self) -> Iterable[tuple[str, Due]]:
        """Every timer that was ever set, by its code."""
        return self.timers_by_code().items()

    def timers_by_code(self) -> dict[str, Due]:
        """The same as a dictionary; read only."""
        timers = self._timers
        if timers is None:
            timers = {code: Due(due_ms, handled) for code, due_ms, handled in self._stored_timers}
            self._set_timers(timers)
        return timers

    def take_timers(self, stored: "StoredTimers", but: Container[str]) -> None:
        """Have the timers that were ``stored``, but for those of some codes."""
        kept = {code: due for code, due in self.timers() if code in but}
        taken = {code: Due(due_ms, done) for code, due_ms, done in stored if code not in but}
        self._set_timers({**kept, **taken})
        self._find_next()

    def _set_timers(self, timers: dict[str, Due]) -> None:
        self._timers = timers
        self._pending = {code: timer.due_ms for code, timer in timers.items() if timer.due_ms}

    def _find_next(self) -> None:
        self.next_due_ms = min(self.pending().values(), default=0)

    def _unpacked(self, part: Kept[S]) -> S:
        entry = self._packed.get(part.code)
        if entry is None:
            state = part.state()
        else:
            version = entry[_CHECKSUM_BYTES]
            _require_readable(part.code, version, part.version)
            unpack = part.readers.get(version)
            if unpack is None:
                raise RowError(
                    f"the {part.name} of a row is of version {version}: nothing reads it"
                )
            try:
                state = unpack(entry[_CHECKSUM_BYTES + 1 :])
            except (msgspec.DecodeError, TypeError, ValueError) as error:
                raise RowError(f"the {part.name} of a row cannot be read: {error}") from None
        self._states[part.code] = state
        return state

    def packed(self) -> dict[str, bytes]:
        """Every part's bytes with checksum and version, in the order of codes; empty parts are left
        out.
        """
        parts = self._packed
        is_ordered = True
        for code, part in self._changed.items():
            content = part.pack(self._states[code])
            if content == part.empty:
                parts.pop(code, None)
                continue
            if part.dense is not None:
                content = part.dense.compress(content)
            is_ordered = is_ordered and code in parts
            parts[code] = b"%b%c%b" % (
                _sum_of(content, part.seed),
                part.version,
                content,
            )
        self._changed.clear()
        if not is_ordered:
            parts = self._packed = dict(sorted(parts.items()))
        return parts

    def packed_timers(self) -> "StoredTimers":
        """Every timer that was ever set, in the order of codes."""
        if self._timers is None:
            return self._stored_timers
        return tuple(
            (code, timer.due_ms, timer.handled_ms)
            for code, timer in sorted(self._timers.items())
            if timer.due_ms or timer.handled_ms
        )


class SubRow:
    """The row of one id of a person, linked since ``since_ms``; unpacked when it is read."""

    __slots__ = ("_packed", "_row", "since_ms")

    def __init__(self, since_ms: int, row: Row | None = None, packed: bytes = b"") -> None:
        self.since_ms = since_ms
        self._row = row
        self._packed = packed

    @property
    def row(self) -> Row:
        """The id's row, to be changed in place."""
        if self._row is None:
            self._row = decode_row(self._packed)
        return self._row

    @property
    def next_due_ms(self) -> int:
        """The id's own earliest timer; 0 for none."""
        return place_of(self._packed).next_due_ms if self._row is None else self._row.next_due_ms

    @property
    def packed(self) -> bytes:
        """The row's bytes."""
        return self._packed if self._row is None else encode_row(self._row)


NO_IDS: Mapping[str, SubRow] = MappingProxyType({})
#: Timers as they are stored: (code, due, handled).
StoredTimers = tuple[tuple[str, int, int], ...]


#: Sub-rows as they are stored: since when they are linked, and their bytes, by their ids.
StoredIds = dict[str, tuple[int, bytes]]


class RowHead(Struct, array_like=True):
    """The fields of a row, besides its parts."""

    applied: int
    next_due_ms: int
    latest_ms: int
    messages: bytes
    timers: StoredTimers


class _Stored(Struct, array_like=True):
    format: int
    checksum: bytes
    head: RowHead
    parts: dict[str, bytes]
    ids: StoredIds = {}


class _Checked(Struct, array_like=True):
    """The same, with the head as the bytes that its checksum covers."""

    format: int
    checksum: bytes
    head: msgspec.Raw
    parts: dict[str, bytes]
    ids: msgspec.Raw = msgspec.Raw(b"")


class RowPlace(Struct, array_like=True, gc=False):
    """The fields at the beginning of a head: where in the log the row stands, and what is due."""

    applied: int
    next_due_ms: int


class _Placed(Struct, array_like=True, gc=False):
    """The same with no more of the head than its place."""

    format: int
    checksum: bytes
    head: RowPlace
    parts: dict[str, bytes]
    ids: StoredIds = {}


class _Headed(Struct, array_like=True, gc=False):
    """The same without the parts."""

    format: int
    checksum: bytes
    head: RowPlace


#: Where the applied position begins: behind the row's and the head's length, format and checksum.
_PLACE_AT = 9
_UINT64 = 0xCF
#: The bytes of a whole number in MessagePack, by the first of them.
_WIDTHS = bytes(
    {0xCC: 2, 0xCD: 3, 0xCE: 5, _UINT64: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}.get(first, 1)
    for first in range(256)
)
_encode = msgspec.msgpack.Encoder().encode
_STORED = msgspec.msgpack.Decoder(_Stored)
_CHECKED = msgspec.msgpack.Decoder(_Checked)
_PLACED = msgspec.msgpack.Decoder(_Placed)
_HEADED = msgspec.msgpack.Decoder(_Headed)
_HEAD = msgspec.msgpack.Decoder(RowHead)
_IDS = msgspec.msgpack.Decoder(StoredIds)
_NO_IDS = _encode({})


def encode_row(row: Row) -> bytes:
    """The row's bytes; the same row always gives the same bytes."""
    is_linked = row.ids is not NO_IDS
    # Recovery asks the head alone when a customer wants to be woken.
    due_ms = row.wakes_ms if is_linked else row.next_due_ms
    head = _encode((row.applied, due_ms, row.latest_ms, row.messages, row.packed_timers()))
    parts = row.packed()
    if is_linked:
        return _encode_linked(row.ids, head, parts)
    return _encode((ROW_FORMAT, _sum_of_head(head, parts), msgspec.Raw(head), parts))


def _encode_linked(linked: Mapping[str, SubRow], head: bytes, parts: dict[str, bytes]) -> bytes:
    ids = _encode({id_: (sub.since_ms, sub.packed) for id_, sub in sorted(linked.items())})
    checksum = _sum_of(ids, int.from_bytes(_sum_of_head(head, parts)))
    return _encode((LINKED_FORMAT, checksum, msgspec.Raw(head), parts, msgspec.Raw(ids)))


def decode_row(content: bytes) -> Row:
    """Read a row. Raises ``NewerRow`` or ``OlderRow``, or ``RowError`` if it is not a row.

    Does not verify checksums: `check_row` does, when rows are read back from the changelog.
    """
    stored = _decoded(content, _STORED)
    head, row = stored.head, Row()
    row.applied, row.next_due_ms = head.applied, head.next_due_ms
    row.latest_ms, row.messages = head.latest_ms, head.messages
    row._stored_timers, row._packed = head.timers, stored.parts
    if stored.format == LINKED_FORMAT:
        row.ids = {id_: SubRow(since, packed=sub) for id_, (since, sub) in stored.ids.items()}
        row._find_next()
    return row


def check_row(content: bytes, versions: Mapping[str, int]) -> RowHead:
    """Verify a row and return its head. ``versions``: those of the parts this release knows.

    Raises ``RowError`` for a damaged row, ``NewerRow`` if a newer release wrote a known part, and
    ``OlderRow`` for a format that is no longer read.
    """
    checked = _decoded(content, _CHECKED)
    checksum = _sum_of_head(checked.head, checked.parts)
    if checked.format == LINKED_FORMAT:
        # Without ids it would be another format whose number was changed.
        checksum = _sum_of(checked.ids, int.from_bytes(checksum)) if checked.ids else b""
    if checksum != checked.checksum:
        raise RowError("a row is damaged: its checksum is another")
    for code, entry in checked.parts.items():
        if len(entry) <= _CHECKSUM_BYTES:
            raise RowError("a row is damaged: a part is cut short")
        version = entry[_CHECKSUM_BYTES]
        content_sum = _sum_of(entry[_CHECKSUM_BYTES + 1 :], _checksum_seed(code, version))
        if content_sum != entry[:_CHECKSUM_BYTES]:
            raise RowError("a row is damaged: the checksum of a part is another")
        if code in versions:
            _require_readable(code, version, versions[code])
    try:
        for _, sub in _IDS.decode(checked.ids or _NO_IDS).values():
            check_row(sub, versions)
        return _HEAD.decode(checked.head)
    except UNREADABLE as error:
        raise RowError(f"not a row: {error}") from None


def require_known(content: bytes, versions: Mapping[str, int]) -> None:
    """Refuse a row as `check_row` does, but without its checksums: for bytes that another checksum
    has covered already. Many times faster, which counts when a million rows are read back.
    """
    placed = _decoded(content, _PLACED)
    for _, sub in placed.ids.values():
        require_known(sub, versions)
    for code, entry in placed.parts.items():
        if len(entry) <= _CHECKSUM_BYTES:
            raise RowError("a row is damaged: a part is cut short")
        known = versions.get(code)
        if known is not None and entry[_CHECKSUM_BYTES] > known:
            raise _newer(code)


def place_of(content: bytes) -> RowPlace:
    """Where a packed row stands, read without its parts; ``next_due_ms`` is 0 for no timer."""
    place: RowPlace = _decoded(content, _HEADED).head
    return place


def next_due_ms_of(content: bytes) -> int:
    """The earliest timer of a packed row that was checked when it was read; 0 for none."""
    at = _PLACE_AT + _WIDTHS[content[_PLACE_AT]]
    if content[at] == _UINT64:
        return int.from_bytes(content[at + 1 : at + 9])
    headed: _Headed = _HEADED.decode(content)
    return headed.head.next_due_ms


def _decoded(content: bytes, decoder: Any) -> Any:
    try:
        stored = decoder.decode(content)
    except UNREADABLE as error:
        require_format(format_of(content), "a row", LINKED_FORMAT)
        raise RowError(f"not a row: {error}") from None
    if stored.format not in (ROW_FORMAT, LINKED_FORMAT):
        require_format(stored.format, "a row", LINKED_FORMAT)
        raise RowError(f"not a row: there is no format {stored.format}")
    return stored


def _require_readable(code: str, version: int, known: int) -> None:
    if version > known:
        raise _newer(code)


def _newer(code: str) -> NewerRow:
    return NewerRow(
        f"a row has a part ({code}) that was written by a newer release; upgrade this worker"
    )


def require_format(found: int, what: str, newest: int = ROW_FORMAT) -> None:
    """Raise ``NewerRow`` or ``OlderRow`` for the format of another release, newer than ``newest``
    or older than all that are read; 0 (no format) raises neither.
    """
    if found > newest:
        raise NewerRow(f"{what} was written by a newer release; upgrade this worker")
    if 0 < found < ROW_FORMAT:
        raise OlderRow(
            f"{what} is in format {found}, which this release does not read (it writes "
            f"{ROW_FORMAT}): start over with another KEEPSTREAM_TOPIC_PREFIX, and publish the "
            f"events again"
        )


def format_of(content: bytes) -> int:
    """The format number that stored bytes begin with; 0 if there is none."""
    try:
        fields = msgspec.msgpack.decode(content, type=list[msgspec.Raw])
        found = msgspec.msgpack.decode(fields[0], type=int)
    except (*UNREADABLE, IndexError):
        return 0
    # Another kind of list may begin with a small number, too.
    return found if found > ROW_FORMAT or len(fields) >= _OLDER_FIELDS_MIN else 0
