"""The customers table: a partition's rows, packed in memory or in a scratch file, and their records
in the changelog.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager

from models.customer.row import Row, decode_row, encode_row
from models.customer.row_layout import next_due_ms_of, place_of
from streams.changelog import ChangelogRecord, row_record
from streams.row_file import packed_bytes_of
from streams.row_keys import RowsWithKeys

#: Rows kept unpacked between batches: the few customers who are active right now.
HOT_ROWS_MAX = 2_000


class FrozenRows:
    """A partition's packed rows as they were at one moment, while newer ones are written."""

    def __init__(self, packed: Mapping[str, bytes]) -> None:
        self.customers = list(packed)
        self._packed = packed
        #: The rows of that moment that were overwritten since.
        self._before: dict[str, bytes] = {}

    def __getitem__(self, customer: str) -> bytes:
        before = self._before.get(customer)
        return self._packed[customer] if before is None else before

    def keep(self, customer: str, packed: bytes) -> None:
        """Keep a row that is about to be overwritten."""
        self._before.setdefault(customer, packed)


class CustomerRows:
    """One partition's rows: packed bytes for all, live objects for recently active customers only.
    A full garbage collection over hundreds of thousands of live rows would stop the worker for most
    of a second.
    """

    def __init__(
        self,
        packed: MutableMapping[str, bytes] | None = None,
        damaged: set[str] | None = None,
        strays: Mapping[str, int] | None = None,
    ) -> None:
        """``packed``: where packed rows are kept. ``damaged``: customers whose latest row was
        damaged; records of them say so until their rows are rebuilt. ``strays``: erased customers
        whose rows are still in the changelog, with the offset of the record that erased them.
        """
        self._packed: MutableMapping[str, bytes] = {} if packed is None else packed
        self.damaged = damaged or set()
        #: The customers' archive keys, if the archive is on; each is written with its row.
        self.keys = packed if isinstance(packed, RowsWithKeys) else None
        self._hot: dict[str, Row] = {}
        self._dirty: dict[str, None] = {}
        #: Customers erased since the last drain, with the offset of the record that erased them.
        self._gone = dict(strays or {})
        self._frozen: list[FrozenRows] = []
        self.packed_bytes = packed_bytes_of(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    @property
    def live(self) -> int:
        """How many rows are kept as live objects."""
        return len(self._hot)

    def get(self, customer: str) -> Row | None:
        """The customer's row, or None."""
        row = self._hot.get(customer)
        if row is None:
            packed = self._packed.get(customer)
            if packed is None or customer in self._gone:
                return None
            row = self._hot[customer] = decode_row(packed)
        return row

    def packed(self, customer: str) -> bytes | None:
        """The customer's row as it was last drained, or None."""
        return self._packed.get(customer)

    def peek(self, customer: str) -> Row | None:
        """The customer's row for reading only. It is not kept as a live object: reading all rows
        must not fill the memory.
        """
        row = self._hot.get(customer)
        if row is not None:
            return row
        packed = self._packed.get(customer)
        return None if packed is None or customer in self._gone else decode_row(packed)

    def remove(self, customer: str, offset: int) -> None:
        """Delete the customer's row as of the record at ``offset``; the next `drain` returns the
        deletion.
        """
        self.forget(customer)
        self._gone[customer] = offset

    def put(self, customer: str, row: Row) -> None:
        """Note that the customer's row was changed; the next `drain` returns it."""
        if self._gone:
            self._gone.pop(customer, None)
        self._hot[customer] = row
        self._dirty[customer] = None

    def forget(self, customer: str) -> None:
        """Discard the customer's row in memory; `get` then reads the row as it was last drained."""
        self._hot.pop(customer, None)
        self._dirty.pop(customer, None)

    def due(self) -> Iterator[tuple[int, str]]:
        """(earliest timer, customer) of every row that has one."""
        for customer, packed in self._packed.items():
            if due_ms := next_due_ms_of(packed):
                yield due_ms, customer

    def applied(self) -> Iterator[tuple[int, str]]:
        """(offset of the last change, customer) of every row."""
        for customer, packed in self._packed.items():
            row = self._hot.get(customer)
            yield place_of(packed).applied if row is None else row.applied, customer
        for customer in self._dirty:
            if customer not in self._packed:
                yield self._hot[customer].applied, customer

    def all_packed(self) -> Mapping[str, bytes]:
        """Every customer's row as it was last drained."""
        return self._packed

    def customers(self) -> Iterator[str]:
        """Every customer of this partition."""
        return iter(list(self._packed))

    @contextmanager
    def frozen(self) -> Iterator[FrozenRows]:
        """All rows as they were last drained, for as long as the context lasts."""
        frozen = FrozenRows(self._packed)
        self._frozen.append(frozen)
        try:
            yield frozen
        finally:
            self._frozen.remove(frozen)

    def drain(self) -> Iterator[ChangelogRecord]:
        """Pack what changed since the last call, and return it for the changelog."""
        for customer, offset in self._gone.items():
            before = self._packed.pop(customer, b"")
            self._keep_frozen(customer, before)
            self.packed_bytes -= len(before)
            self.damaged.discard(customer)
            yield row_record(customer, None, erased=offset)
        self._gone = {}
        for customer in self._dirty:
            packed, before = encode_row(self._hot[customer]), self._packed.get(customer, b"")
            self.packed_bytes += len(packed) - len(before)
            self._keep_frozen(customer, before)
            self._packed[customer] = packed
            key = None if self.keys is None else self.keys.key_of(customer)
            yield row_record(customer, packed, is_sound=customer not in self.damaged, key=key)
        self._dirty = {}
        if len(self._hot) > HOT_ROWS_MAX:
            # All at once: choosing which rows to keep would cost more than unpacking them again.
            self._hot = {}

    def _keep_frozen(self, customer: str, before: bytes) -> None:
        if before:
            for frozen in self._frozen:
                frozen.keep(customer, before)
