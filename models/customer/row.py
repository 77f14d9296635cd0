"""A customer's row: the states of all parts, packed for the changelog.

A part's state is unpacked when it is read and packed again when it was changed. All other bytes
stay as they are, including those of parts that this release does not know. Most parts are packed
together: their bytes are opened when one of these parts is read, and packed again when one was
changed.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from models.customer.dense import Dense
from models.customer.row_formats import RowError, require_readable
from models.customer.row_layout import (
    StoredTimers,
    decode_stored,
    encode_stored,
    pack_timers,
    pack_together,
    place_of,
    unpack_timers,
    unpack_together,
)

S = TypeVar("S")


class State(Struct, array_like=True, forbid_unknown_fields=True, eq=False, gc=False):
    """A part's state, or a piece of one: changed in place, and stored as its fields in their order.

    Stored bytes with fewer fields are read with the defaults of the others; more are refused. Must
    not refer to itself, because the garbage collector does not look into it.
    """


#: Sorts the keys of dictionaries, so that equal states are equal bytes.
_ENCODER = msgspec.msgpack.Encoder(order="deterministic")


def _of_its_fields(_content: bytes) -> Any:
    """A placeholder for the decoder of a state's own fields, which `Kept` makes."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept(Generic[S]):
    """How a part's state is kept in rows.

    ``code`` and ``version`` are stored with it: a code is never reused or renamed, and a version is
    raised when the state changes its meaning. ``state()`` is the empty state, which is not stored.
    ``pack`` and ``unpack`` are only given for a state that is not packed as its fields. ``older``:
    the readers of what earlier versions packed, by version.

    ``is_apart``: the part is packed by itself, because many events change it. A part that was once
    packed together with others must stay so. ``dense_since``: the version since which a part that
    is packed by itself is compressed, with the dictionary of that version; 0 for never. If that
    version changed nothing else, the version before needs no reader. Before row format 4, every
    part was packed by itself.

    ``readers``: by version, of states packed together with others; ``readers_apart``: of states
    packed by themselves.
    """

    name: str
    code: str
    state: type[S]
    pack: Callable[[S], bytes] = _ENCODER.encode
    unpack: Callable[[bytes], S] = _of_its_fields
    version: int = 1
    older: Mapping[int, Callable[[bytes], S]] = field(default_factory=dict)
    is_apart: bool = False
    dense_since: int = 0
    dense: Dense | None = field(init=False, default=None)
    readers: Mapping[int, Callable[[bytes], S]] = field(init=False)
    readers_apart: Mapping[int, Callable[[bytes], S]] = field(init=False)
    empty: bytes = field(init=False)
    lead: bytes = field(init=False)

    def __post_init__(self) -> None:
        if self.unpack is _of_its_fields:
            object.__setattr__(self, "unpack", msgspec.msgpack.Decoder(self.state).decode)
        if self.dense_since:
            object.__setattr__(self, "dense", Dense(self.code, self.dense_since))
        readers = {**self.older, self.version: self.unpack}
        if self.dense_since:
            readers = {self.dense_since - 1: self.unpack, **readers}
        object.__setattr__(self, "readers", readers)
        object.__setattr__(self, "readers_apart", self._apart(readers))
        object.__setattr__(self, "empty", self.pack(self.state()))
        object.__setattr__(self, "lead", bytes((self.version,)))

    def _apart(
        self, readers: Mapping[int, Callable[[bytes], S]]
    ) -> Mapping[int, Callable[[bytes], S]]:
        dense = self.dense
        if dense is None:
            return readers
        return {
            version: read if version < self.dense_since else _decompressing(dense, read)
            for version, read in readers.items()
        }

    def entry_of(self, packed: bytes) -> bytes:
        """The stored entry of a ``packed`` state: the version, and its bytes."""
        if self.dense is not None and self.is_apart:
            packed = self.dense.compress(packed)
        return self.lead + packed


def _decompressing(dense: Dense, read: Callable[[bytes], S]) -> Callable[[bytes], S]:
    return lambda content: read(dense.decompress(content))


class Due(msgspec.Struct):
    """When a timer is due (0: never), and up to when it was handled; event time in ms."""

    due_ms: int = 0
    handled_ms: int = 0


class Row:
    """One customer. Mutable, and owned by the partition: a step changes it in place.

    ``applied``: the offset in ``customer-events`` of the last change; ``latest_ms``: the time of
    the latest event; ``messages``: fingerprints of the latest message ids, eight bytes each;
    ``next_due_ms``: the earliest timer, 0 for none.

    ``ids``: for a person with several ids, a sub-row for each of them, the person's own id too,
    with what that id's own events add up to. It is empty for an id that is another person's, and
    `NO_IDS` for everybody else.
    """

    __slots__ = (
        "_apart",
        "_are_others_changed",
        "_are_timers_changed",
        "_changed",
        "_opened",
        "_pending",
        "_states",
        "_stored_timers",
        "_timers",
        "_together",
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
        # Stored timers are decoded when the first one is needed, and so are parts that are packed
        # together.
        self._stored_timers = b""
        self._are_timers_changed = False
        self._timers: dict[str, Due] | None = None
        # The due times of the pending timers: half of all that were ever set.
        self._pending: dict[str, int] = {}
        self._apart: dict[str, bytes] = {}
        self._together = b""
        self._opened: dict[str, bytes] | None = None
        self._are_others_changed = False
        self._states: dict[str, Any] = {}
        self._changed: dict[str, Kept[Any]] = {}

    def read(self, part: Kept[S]) -> S:
        """The part's state; read only. Raises ``RowError`` when it cannot be read."""
        # Called twenty times an event, and the state is nearly always there.
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
        """Replace the part's state by ``state``."""
        self._changed[part.code] = part
        self._states[part.code] = state

    def has(self, part: Kept[Any]) -> bool:
        """Whether the part's state is not the empty one, packed or unpacked."""
        if part.code in self._changed:
            return part.pack(self.read(part)) != part.empty
        return part.code in self._apart or part.code in self._others()

    def clear(self) -> None:
        """Forget everything but the place in the log, as if there had been no event."""
        applied = self.applied
        self.__init__()  # type: ignore[misc]
        self.applied = applied

    def renew(self, parts: Iterable[Kept[Any]]) -> None:
        """Pack everything anew, because an earlier release packed it in another way, or another
        version of the compression would give other bytes.
        """
        for part in parts:
            if part.code in self._apart or part.code in self._others():
                self.edit(part)
        self._are_timers_changed = self._are_others_changed = True

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
        self._are_timers_changed = True
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
        timer, pending = timers[code], self._pending
        timer.due_ms, timer.handled_ms = 0, at_ms
        self._are_timers_changed = True
        if code in pending:
            del pending[code]
        self.next_due_ms = min(pending.values()) if pending else 0

    def pending(self) -> Mapping[str, int]:
        """The due times of pending timers, by code; a live view, read only."""
        if self._timers is None:
            self.timers_by_code()
        return self._pending

    def due_at(self, at_ms: int) -> list[str]:
        """The codes of the timers that are due at exactly this time."""
        if self._timers is None:
            self.timers_by_code()
        return [code for code, due_ms in self._pending.items() if due_ms == at_ms]

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
            stored = unpack_timers(self._stored_timers)
            timers = {code: Due(due_ms, handled) for code, due_ms, handled in stored}
            self._set_timers(timers)
        return timers

    def take_timers(self, stored: StoredTimers, but: Container[str]) -> None:
        """Replace the timers by ``stored`` ones, except those whose code is in ``but``."""
        kept = {code: due for code, due in self.timers() if code in but}
        taken = {code: Due(due_ms, done) for code, due_ms, done in stored if code not in but}
        self._set_timers({**kept, **taken})
        self._are_timers_changed = True
        self._find_next()

    def _set_timers(self, timers: dict[str, Due]) -> None:
        self._timers = timers
        self._pending = {code: timer.due_ms for code, timer in timers.items() if timer.due_ms}

    def _find_next(self) -> None:
        self.next_due_ms = min(self.pending().values(), default=0)

    def _unpacked(self, part: Kept[S]) -> S:
        entry, readers = self._apart.get(part.code), part.readers_apart
        if entry is None and not part.is_apart:
            entry, readers = self._others().get(part.code), part.readers
        if entry is None:
            state = part.state()
        else:
            version = entry[0] if entry else 0
            require_readable(part.code, version, part.version)
            unpack = readers.get(version)
            if unpack is None:
                raise RowError(
                    f"the {part.name} of a row is of version {version}: nothing reads it"
                )
            try:
                state = unpack(entry[1:])
            except (msgspec.DecodeError, TypeError, ValueError) as error:
                raise RowError(f"the {part.name} of a row cannot be read: {error}") from None
        self._states[part.code] = state
        return state

    def _others(self) -> dict[str, bytes]:
        """The entries of parts that are packed together."""
        opened = self._opened
        if opened is None:
            opened = self._opened = unpack_together(self._together)
        return opened

    def packed(self) -> dict[str, bytes]:
        """Every part's version and bytes, in the order of codes; empty parts are left out."""
        return dict(sorted({**self.packed_together(), **self._apart}.items()))

    def packed_together(self) -> dict[str, bytes]:
        """As `packed`, for the parts that are packed together."""
        self.pack()
        return dict(sorted(self._others().items()))

    def pack(self) -> tuple[dict[str, bytes], bytes]:
        """The entries of parts that are packed by themselves, in the order of codes, and the stored
        bytes of those packed together; empty parts are left out.
        """
        is_ordered, apart = True, self._apart
        for code, part in self._changed.items():
            packed = part.pack(self._states[code])
            entry = b"" if packed == part.empty else part.entry_of(packed)
            if part.is_apart:
                is_ordered = is_ordered and (code in apart or not entry)
                _set_entry(apart, code, entry)
            else:
                self._are_others_changed |= _set_entry(self._others(), code, entry)
                # Rows of earlier formats have the entry there.
                _set_entry(apart, code, b"")
        self._changed.clear()
        if not is_ordered:
            self._apart = apart = dict(sorted(apart.items()))
        if self._are_others_changed:
            self._together = pack_together(dict(sorted(self._others().items())))
            self._are_others_changed = False
        return apart, self._together

    def timers_as_stored(self) -> bytes:
        """Every timer that was ever set, as the bytes that a row stores."""
        if self._are_timers_changed:
            self._stored_timers, self._are_timers_changed = pack_timers(self.packed_timers()), False
        return self._stored_timers

    def packed_timers(self) -> StoredTimers:
        """Every timer that was ever set, in the order of codes."""
        return tuple(
            (code, timer.due_ms, timer.handled_ms)
            for code, timer in sorted(self.timers_by_code().items())
            if timer.due_ms or timer.handled_ms
        )


def _set_entry(entries: dict[str, bytes], code: str, entry: bytes) -> bool:
    """Keep an entry, or remove it if it is empty; return whether that changed anything."""
    if entries.get(code, b"") == entry:
        return False
    if entry:
        entries[code] = entry
    else:
        del entries[code]
    return True


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


def encode_row(row: Row) -> bytes:
    """The row's bytes; the same row always gives the same bytes."""
    apart, together = row.pack()
    timers = row.timers_as_stored()
    if row.ids is NO_IDS:
        due_ms = row.next_due_ms
        head = (row.applied, due_ms, row.latest_ms, row.messages, timers, apart, together)
        return encode_stored(head)
    # Recovery reads the earliest timer of a customer from the head alone.
    due_ms = row.wakes_ms
    head = (row.applied, due_ms, row.latest_ms, row.messages, timers, apart, together)
    ids = {id_: (sub.since_ms, sub.packed) for id_, sub in sorted(row.ids.items())}
    return encode_stored(head, ids)


def decode_row(content: bytes) -> Row:
    """Read a row. Raises ``NewerRow`` or ``OlderRow``, or ``RowError`` if it is not a row.

    Does not verify checksums: `check_row` does, when rows are read back from the changelog.
    """
    stored, row = decode_stored(content), Row()
    row.applied, row.next_due_ms = stored.applied, stored.next_due_ms
    row.latest_ms, row.messages = stored.latest_ms, stored.messages
    row._stored_timers = stored.timers
    row._apart, row._together = stored.apart, stored.together
    if stored.ids is not None:
        row.ids = {id_: SubRow(since, packed=sub) for id_, (since, sub) in stored.ids.items()}
        row._find_next()
    return row
