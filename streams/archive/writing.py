"""What the owner of a partition writes to the archive: every record that it folds, in order."""

import os
from time import monotonic
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec.structs import replace

from config.topics import CUSTOMER_ARCHIVE, CUSTOMER_KEYS
from models.customer.row import Row, encode_row
from models.erasure import meet
from models.events.erasure_record import ERASE_REQUESTED
from models.events.gone import Gone, encode_gone, gone_of
from models.events.link_record import ERASE, link_record_of
from models.events.wire import LINK_TYPES, Line, identity
from models.graves import encode_grave
from models.partition import CONTROL_TYPES, Applied
from streams.archive.frames import NONCE_BYTES, SealedRecord, frames_of, sealed
from streams.customer_keys import PARTITION_KEY, CustomerKey, Secrets
from streams.customers_table import CustomerRows
from streams.graves import CustomerGraves
from streams.outbox import Outbox
from streams.row_keys import RowsWithKeys

#: Ciphers kept between batches, as many as rows are kept unpacked.
CIPHERS_MAX: Final = 2_000
NONCES_DRAWN: Final = 256
#: Records that are nobody's: a partition's clock, its models, and what is left of others.
_NOBODYS: Final = CONTROL_TYPES - LINK_TYPES

#: How often, at least, something is written to each partition of `customer-keys`.
RENEWED_EVERY_S: Final = 12 * 3_600.0


class _Cipher(NamedTuple):
    cipher: AESGCM
    key_id: bytes
    since: int


class ArchiveWriter:
    """One partition's. Nothing is written before `write_to`: a batch that is taken away leaves
    nothing, and its repeat writes the same once more.
    """

    def __init__(
        self,
        number: int,
        rows: CustomerRows,
        keys: RowsWithKeys,
        graves: CustomerGraves,
        secrets: Secrets,
        *,
        applied: int = -1,
        is_new: bool = False,
        is_first: bool = False,
    ) -> None:
        """``applied``: up to which offset the archive has all, and the secrets have moved on.
        ``is_new``: the secrets are not written yet, and may not be the partition's: another worker
        may have drawn others. ``is_first``: its first record is yet to come.
        """
        self._number = number
        self._rows = rows
        self._row_keys = keys
        self._graves = graves
        self.secrets = secrets
        self.is_new = is_new
        self._applied = applied
        self._is_first = is_first
        self._renews_s = 0.0
        self._ciphers: dict[str, _Cipher] = {}
        self._entries: list[SealedRecord] = []
        self._nonces: list[bytes] = []
        #: Records of `customer-keys`: the name, and the key or that it is gone.
        self._keys: list[tuple[bytes, bytes | None]] = []

    def take(self, offset: int, line: Line, value: bytes, applied: Applied) -> None:
        """The record at ``offset``, which was folded just now: ``value`` are its bytes.

        Without a row of its customer it has changed nothing of anybody, so that only what is left
        of it is kept: there is no key for somebody of whom nothing is known.
        """
        if self._is_taken(offset):
            return
        if line.type in _NOBODYS:
            self._entries.append(SealedRecord(offset, value))
            return
        event = applied.event
        if event is not None:
            customer, gone = event.customer, gone_of(line, event.occurred_at_ms)
        else:
            customer, gone = _whose(line), gone_of(line)
        if line.event == ERASE_REQUESTED or line.type == ERASE:
            rest = self._erasing(customer, offset, gone)
            if rest is None:
                return
            gone = rest
        elif self._is_hidden(customer, offset, line, gone.timestamp_ms):
            self._entries.append(SealedRecord(offset, gone=gone))
            return
        cipher = self._cipher_of(customer, offset)
        if cipher is None:
            self._entries.append(SealedRecord(offset, gone=gone))
            return
        self._seal(cipher, offset, value, gone)

    def skip(self, offset: int, line: Line | None = None) -> None:
        """The record at ``offset``, which was refused: it changed nothing."""
        if self._is_taken(offset):
            return
        gone = None
        if line is not None and line.is_before_rehearsal:
            # But whoever wrote it decided aloud.
            gone = Gone(2)
        self._entries.append(SealedRecord(offset, gone=gone))

    def _is_taken(self, offset: int) -> bool:
        """Whether a record is read again that was taken already, which must move nothing on: what
        a worker applied may be further than what its group has committed.
        """
        if offset <= self._applied:
            return True
        self._applied = offset
        return False

    def write_to(self, outbox: Outbox) -> None:
        """Write what was taken since the last call, and the keys that are new."""
        self.write_keys_to(outbox)
        self.write_frames_to(outbox)

    def write_keys_to(self, outbox: Outbox) -> None:
        """Write the keys that are new or gone. Now and then the partition's once more: a broker
        compacts no segment that is being written, and ends one only when something is written, so
        that without new customers a deleted key would stay on its disk.
        """
        if self._is_first or monotonic() >= self._renews_s:
            outbox.add(CUSTOMER_KEYS, self._number, key=PARTITION_KEY, value=self._partition_key())
            self._is_first, self._renews_s = False, monotonic() + RENEWED_EVERY_S
        for name, kept in self._keys:
            outbox.add(CUSTOMER_KEYS, self._number, key=name, value=kept)
        self._keys = []

    def write_frames_to(self, outbox: Outbox) -> None:
        """Write what was taken since the last call."""
        for frame in frames_of(self._entries, self.secrets.frame):
            outbox.add(CUSTOMER_ARCHIVE, self._number, key=None, value=frame)
        self._entries = []
        if len(self._ciphers) > CIPHERS_MAX:
            self._ciphers = {}

    def _erasing(self, customer: str, offset: int, gone: Gone) -> Gone | None:
        """The record at ``offset`` may have erased the customer: what is left of it, with the grave
        of whoever was erased; None if the record is taken with that.
        """
        grave = self._graves.get(customer)
        # Whatever came of it, so that it follows from the log alone.
        self.secrets = self.secrets.after_forgetting(offset)
        if grave is None:
            return gone
        gone = replace(
            gone, fingerprint=self._graves.fingerprints.of(customer), grave=encode_grave(grave)
        )
        if grave.erased < offset:
            # Only whether something may come again has changed.
            return gone
        self._forget(customer, grave.erased)
        row = self._rows.get(customer)
        if row is None or row.applied != offset:
            self._entries.append(SealedRecord(offset, gone=gone))
            return None
        # Others share the id: what stays of it is theirs, under a new key.
        key = self._key_of(customer, row, offset + 1)
        cipher = self._ciphers[customer] = _Cipher(AESGCM(key.secret), key.id, key.since)
        self._seal(cipher, offset, encode_gone(gone, customer, encode_row(row)), gone)
        return None

    def _forget(self, customer: str, erased: int) -> None:
        """Delete the key of a customer whom the record at ``erased`` has erased. Whoever came later
        under that id has another one.
        """
        self._ciphers.pop(customer, None)
        kept = self._row_keys.key_of(customer)
        if kept is None:
            return
        key = CustomerKey.read(kept, customer.encode())
        if key.since > erased:
            # Read again after a crash: the row is that of somebody who came later, and was written
            # after the key of whoever went was deleted.
            return
        self._keys.append((key.name(customer.encode()), None))
        self._row_keys.forget_key(customer)

    def _is_hidden(self, customer: str, offset: int, line: Line, at_ms: int) -> bool:
        """Whether a record is of the past of somebody who was erased: it changed nothing, and is
        not kept with what is known of whoever came later.
        """
        grave = self._graves.get(customer)
        if grave is None:
            return False
        grave = grave.before(offset)
        if line.type in LINK_TYPES:
            return meet(self._rows.get(customer), grave, link_record_of(line)) is not None
        return grave.hides(at_ms)

    def _seal(self, cipher: _Cipher, offset: int, value: bytes, gone: Gone) -> None:
        if not self._nonces:
            # Many at once: each call asks the system.
            drawn = os.urandom(NONCE_BYTES * NONCES_DRAWN)
            self._nonces = [
                drawn[at : at + NONCE_BYTES] for at in range(0, len(drawn), NONCE_BYTES)
            ]
        content = sealed(cipher.cipher, self._nonces.pop(), value)
        self._entries.append(SealedRecord(offset, content, cipher.key_id, gone))

    def _cipher_of(self, customer: str, offset: int) -> _Cipher | None:
        found = self._ciphers.get(customer)
        if found is None:
            row = self._rows.get(customer)
            if row is None:
                return None
            key = self._key_of(customer, row, offset)
            found = self._ciphers[customer] = _Cipher(AESGCM(key.secret), key.id, key.since)
        return found if found.since <= offset else None

    def _key_of(self, customer: str, row: Row, offset: int) -> CustomerKey:
        name = customer.encode()
        if (kept := self._row_keys.key_of(customer)) is not None:
            return CustomerKey.read(kept, name)
        key = self.secrets.key_of(name, offset)
        kept = key.kept(name)
        self._row_keys.set_key(customer, kept)
        # Written with its key even if the record did not change it: whoever recovers the row knows
        # the key by it.
        self._rows.put(customer, row)
        self._keys.append((key.name(name), kept))
        return key

    def _partition_key(self) -> bytes:
        return CustomerKey(self.secrets.frame, 0).kept(PARTITION_KEY)


def _whose(line: Line) -> str:
    if line.type in LINK_TYPES:
        return str(line.user_id)
    # Read again after a crash, and applied before.
    return identity(line)[0]
