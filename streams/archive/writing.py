"""Writes a partition's archive, for its owner: every record that it folds, in order."""

import os
from time import monotonic
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec.structs import replace

from config.topics import CUSTOMER_ARCHIVE, CUSTOMER_KEYS
from models.applied import Applied
from models.customer.row import Row, encode_row
from models.erasure import meet
from models.events.erasure_record import ERASE_REQUESTED
from models.events.gone import Gone, encode_gone, gone_of
from models.events.line import LINK_TYPES, Line
from models.events.line_ids import identity
from models.events.link_record import ERASE, link_record_of
from models.graves import encode_grave
from models.partition import CONTROL_TYPES
from streams.archive.frames import NONCE_BYTES, SealedRecord, frames_of, sealed
from streams.customer_keys import PARTITION_KEY, CustomerKey, Secrets
from streams.customers_table import CustomerRows
from streams.graves import CustomerGraves
from streams.outbox import Outbox
from streams.row_keys import RowsWithKeys

#: Ciphers kept between batches, as many as rows are kept unpacked.
CIPHERS_MAX: Final = 2_000
NONCES_DRAWN: Final = 256
#: Records that belong to no customer: a partition's clock, its models, remains of erased records.
_NOBODYS: Final = CONTROL_TYPES - LINK_TYPES

#: At least this often something is written to each partition of `customer-keys`.
RENEWED_EVERY_S: Final = 12 * 3_600.0


class _Cipher(NamedTuple):
    cipher: AESGCM
    key_id: bytes
    since: int


class ArchiveWriter:
    """Writes one partition's archive. Nothing is written before `write_to`: a batch that is taken
    away leaves no trace, and the batch that repeats it writes the same.
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
        """``applied``: the offset up to which the archive is complete and the secrets have
        advanced. ``is_new``: the secrets were drawn but not stored yet, and another worker may have
        stored others. ``is_first``: nothing has been written to this archive yet.
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
        #: Records of `customer-keys`: a name, and its key, or None to delete it.
        self._keys: list[tuple[bytes, bytes | None]] = []

    def take(self, offset: int, line: Line, value: bytes, applied: Applied) -> None:
        """Take the record at ``offset``, which was folded just now; ``value`` is its bytes.

        If its customer has no row, the record changed nothing and there is no key to seal it with,
        so only its remains are kept.
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
        """Take the record at ``offset``, which was refused and changed nothing."""
        if self._is_taken(offset):
            return
        gone = None
        if line is not None and line.is_before_rehearsal:
            # A release that wrote this format decided live; its records make a partition go live.
            gone = Gone(2)
        self._entries.append(SealedRecord(offset, gone=gone))

    def _is_taken(self, offset: int) -> bool:
        """Whether the record was taken before and is now read again, so that it must advance
        nothing: a worker may have applied more than its group has committed.
        """
        if offset <= self._applied:
            return True
        self._applied = offset
        return False

    def write_to(self, outbox: Outbox) -> None:
        """Write what was taken since the last call, and new keys."""
        self.write_keys_to(outbox)
        self.write_frames_to(outbox)

    def write_keys_to(self, outbox: Outbox) -> None:
        """Write new keys and delete those of erased customers.

        Twice a day the partition's own key is written again. A broker never compacts the segment
        that is being written, and closes it only on a write; without new customers, a deleted key
        would stay on its disk.
        """
        if self._is_first or monotonic() >= self._renews_s:
            outbox.add(CUSTOMER_KEYS, self._number, key=PARTITION_KEY, value=self._partition_key())
            self._is_first, self._renews_s = False, monotonic() + RENEWED_EVERY_S
        for name, kept in self._keys:
            outbox.add(CUSTOMER_KEYS, self._number, key=name, value=kept)
        self._keys = []

    def write_frames_to(self, outbox: Outbox) -> None:
        """Write the frames of what was taken since the last call."""
        for frame in frames_of(self._entries, self.secrets.frame):
            outbox.add(CUSTOMER_ARCHIVE, self._number, key=None, value=frame)
        self._entries = []
        if len(self._ciphers) > CIPHERS_MAX:
            self._ciphers = {}

    def _erasing(self, customer: str, offset: int, gone: Gone) -> Gone | None:
        """Handle a record that may have erased the customer; return what remains of it, with the
        grave of the erased customer. None if it has been added to the archive already.
        """
        grave = self._graves.get(customer)
        # Whether or not somebody was erased, so that the secrets follow from the log alone.
        self.secrets = self.secrets.after_forgetting(offset)
        if grave is None:
            return gone
        gone = replace(
            gone, fingerprint=self._graves.fingerprints.of(customer), grave=encode_grave(grave)
        )
        if grave.erased < offset:
            # The customer was erased before; only what their grave keeps out has changed.
            return gone
        self._forget(customer, grave.erased)
        row = self._rows.get(customer)
        if row is None or row.applied != offset:
            self._entries.append(SealedRecord(offset, gone=gone))
            return None
        # Others share the id: the rest of the row is theirs, under a new key.
        key = self._key_of(customer, row, offset + 1)
        cipher = self._ciphers[customer] = _Cipher(AESGCM(key.secret), key.id, key.since)
        self._seal(cipher, offset, encode_gone(gone, customer, encode_row(row)), gone)
        return None

    def _forget(self, customer: str, erased: int) -> None:
        """Delete the key of the customer whom the record at ``erased`` erased. Whoever came later
        under the same id has a key of their own.
        """
        self._ciphers.pop(customer, None)
        kept = self._row_keys.key_of(customer)
        if kept is None:
            return
        key = CustomerKey.read(kept, customer.encode())
        if key.since > erased:
            # Read again after a crash: the row belongs to somebody who came later, and was written
            # after the erased customer's key was deleted.
            return
        self._keys.append((key.name(customer.encode()), None))
        self._row_keys.forget_key(customer)

    def _is_hidden(self, customer: str, offset: int, line: Line, at_ms: int) -> bool:
        """Whether a record is from the past of an erased customer. It changed nothing, and is not
        sealed with the key of whoever came later under the id.
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
            # Many at once: each call is a system call.
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
        # Write the row even if the record didn't change it: recovery finds the key in the row's
        # record.
        self._rows.put(customer, row)
        self._keys.append((key.name(name), kept))
        return key

    def _partition_key(self) -> bytes:
        return CustomerKey(self.secrets.frame, 0).kept(PARTITION_KEY)


def _whose(line: Line) -> str:
    if line.type in LINK_TYPES:
        return str(line.user_id)
    # Applied before, and read again after a crash.
    return identity(line)[0]
