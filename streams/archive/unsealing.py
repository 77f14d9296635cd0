"""Turns the archive back into the log: each record once, in order. Of erased customers' records it
gives what remains of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from models.events.foreign import Foreign
from models.events.gone import encode_gone
from streams.archive.frames import SealedRecord, decode_frame, opened
from streams.archive.key_reading import Keys

#: Ciphers kept while a partition is read.
CIPHERS_MAX = 10_000


class ArchivedRecord(NamedTuple):
    """A record of the log as the archive returns it; folds take it like a `ConsumerRecord`."""

    partition: int
    offset: int
    value: bytes

    @property
    def is_archived(self) -> bool:
        return True


@dataclass
class Unsealed:
    """What was found. ``gone``: how many records have no key any more. ``erased``: the ids of those
    keys, one a customer. ``missing``: how many records of the log are not in the archive.
    ``foreign``: how many records of the archive, or entries in them, Keepstream did not write.
    """

    records: int = 0
    gone: int = 0
    erased: set[bytes] = field(default_factory=set)
    missing: int = 0
    foreign: int = 0

    def __str__(self) -> str:
        customers = "customer" if len(self.erased) == 1 else "customers"
        return f"{self.gone:,} records of {len(self.erased):,} erased {customers}"


class Unsealing:
    """Reads one partition's archive. ``next_offset``: the offset after the last record read."""

    def __init__(self, number: int, keys: Keys, outcome: Unsealed) -> None:
        self._number = number
        self._frame = keys.frame
        self._secrets = keys.secrets()
        self._ciphers: dict[bytes, AESGCM] = {}
        self._outcome = outcome
        self.next_offset = 0

    def take(self, content: bytes | None) -> Iterator[ArchivedRecord]:
        """The records of the log in one record of the archive. Those returned before are left out:
        after a crash a worker writes some again.
        """
        try:
            entries = decode_frame(content or b"", self._frame)
        except Foreign:
            self._outcome.foreign += 1
            return
        for entry in entries:
            if entry.offset < self.next_offset:
                continue
            try:
                value = self._value_of(entry)
            except Foreign:
                # It counts as missing as soon as a later record comes.
                self._outcome.foreign += 1
                continue
            self._outcome.missing += entry.offset - self.next_offset
            self.next_offset = entry.offset + 1
            self._outcome.records += 1
            yield ArchivedRecord(self._number, entry.offset, value)

    def _value_of(self, entry: SealedRecord) -> bytes:
        if not entry.key_id:
            return entry.content if entry.gone is None else encode_gone(entry.gone)
        cipher = self._cipher_of(entry.key_id)
        if cipher is not None:
            return opened(cipher, entry)
        self._outcome.gone += 1
        self._outcome.erased.add(entry.key_id)
        return b"" if entry.gone is None else encode_gone(entry.gone)

    def _cipher_of(self, key_id: bytes) -> AESGCM | None:
        found = self._ciphers.get(key_id)
        if found is None and (secret := self._secrets.get(key_id)) is not None:
            if len(self._ciphers) >= CIPHERS_MAX:
                self._ciphers = {}
            found = self._ciphers[key_id] = AESGCM(secret)
        return found
