"""The graves of a partition: what is kept of erased customers, by a fingerprint of their id.

A fingerprint in the changelog only tells whether an id that the reader already knows was erased;
without the deployment's salt not even that.
"""

from collections.abc import Iterator
from hashlib import blake2b

from models.graves import Grave, decode_grave, encode_grave
from streams.changelog import ChangelogRecord, grave_record

FINGERPRINT_BYTES = 16
#: The hash takes a key of up to this size as it is; a longer salt is hashed first.
SALT_BYTES_MAX = 64
_SALT_MARK_BYTES = 4


class Fingerprints:
    """Identifies erased customers: a keyed hash of their ids."""

    def __init__(self, salt: str = "") -> None:
        self._key = salt.encode() if len(salt.encode()) <= SALT_BYTES_MAX else _hashed(salt)

    def of(self, customer: str) -> bytes:
        """The fingerprint of an id."""
        return blake2b(customer.encode(), key=self._key, digest_size=FINGERPRINT_BYTES).digest()

    @property
    def salt_mark(self) -> bytes:
        """Tells one salt from another without revealing it."""
        return blake2b(key=self._key, digest_size=_SALT_MARK_BYTES).digest()


def _hashed(salt: str) -> bytes:
    return blake2b(salt.encode()).digest()


class CustomerGraves:
    """Packed graves by fingerprint, and which of them must be written."""

    def __init__(self, salt: str = "") -> None:
        self.fingerprints = Fingerprints(salt)
        self._packed: dict[bytes, bytes] = {}
        self._dirty: dict[bytes, None] = {}
        #: The offset of the last record that erased somebody; later rows belong to present
        #: customers.
        self.last_erased = -1

    def __len__(self) -> int:
        return len(self._packed)

    def get(self, customer: str, /) -> Grave | None:
        """The grave of the customer who had this id, or None."""
        if not self._packed:
            return None
        packed = self._packed.get(self.fingerprints.of(customer))
        return None if packed is None else decode_grave(packed)

    def __setitem__(self, customer: str, grave: Grave, /) -> None:
        name = self.fingerprints.of(customer)
        self._keep(name, grave, encode_grave(grave))
        self._dirty[name] = None

    def all_packed(self) -> dict[bytes, bytes]:
        """Every grave's bytes, by its fingerprint."""
        return self._packed

    def restore(self, name: bytes, packed: bytes) -> None:
        """Take a grave from the changelog, unless a later one is known. Raises ``RowError``."""
        grave, known = decode_grave(packed), self._packed.get(name)
        if known is None or decode_grave(known).applied <= grave.applied:
            self._keep(name, grave, packed)

    def _keep(self, name: bytes, grave: Grave, packed: bytes) -> None:
        self._packed[name] = packed
        self.last_erased = max(self.last_erased, grave.erased)

    def erased_after(self, applied: int) -> dict[bytes, int]:
        """The graves later than ``applied``, with the offset of the record that erased each."""
        if self.last_erased <= applied:
            return {}
        dug = {name: decode_grave(packed).erased for name, packed in self._packed.items()}
        return {name: erased for name, erased in dug.items() if erased > applied}

    @property
    def applied(self) -> int:
        """The offset of the last record that changed a grave."""
        return max((decode_grave(one).applied for one in self._packed.values()), default=-1)

    def drain(self) -> Iterator[ChangelogRecord]:
        """The changes since the last call, for the changelog."""
        for name in self._dirty:
            yield grave_record(name, self._packed[name], self.fingerprints.salt_mark)
        self._dirty = {}
