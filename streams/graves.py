"""The graves of a partition, found by a fingerprint of the id that a customer had.

Whoever reads the changelog learns from a fingerprint no more than whether an id that they know of
was erased, and without the deployment's salt not even that.
"""

from collections.abc import Iterator
from hashlib import blake2b

from models.graves import Grave, decode_grave, encode_grave
from streams.changelog import ChangelogRecord, grave_record

FINGERPRINT_BYTES = 16
#: As a key of the hash it is taken as it is; a longer one is hashed first.
SALT_BYTES_MAX = 64
_SALT_MARK_BYTES = 4


class Fingerprints:
    """What customers are known by who were erased: a keyed hash of their ids."""

    def __init__(self, salt: str = "") -> None:
        self._key = salt.encode() if len(salt.encode()) <= SALT_BYTES_MAX else _hashed(salt)

    def of(self, customer: str) -> bytes:
        """The fingerprint of an id."""
        return blake2b(customer.encode(), key=self._key, digest_size=FINGERPRINT_BYTES).digest()

    @property
    def salt_mark(self) -> bytes:
        """Tells one salt from another, without saying what it is."""
        return blake2b(key=self._key, digest_size=_SALT_MARK_BYTES).digest()


def _hashed(salt: str) -> bytes:
    return blake2b(salt.encode()).digest()


class CustomerGraves:
    """Packed graves by fingerprint, and which of them are to be written."""

    def __init__(self, salt: str = "") -> None:
        self.fingerprints = Fingerprints(salt)
        self._packed: dict[bytes, bytes] = {}
        self._dirty: dict[bytes, None] = {}
        #: The last offset of a record that erased somebody: rows at later ones are of the living.
        self.last_erased = -1

    def __len__(self) -> int:
        return len(self._packed)

    def get(self, customer: str, /) -> Grave | None:
        """The grave of whoever had this id, or None."""
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
        """Of the graves that are later than ``applied``, which record dug them."""
        if self.last_erased <= applied:
            return {}
        dug = {name: decode_grave(packed).erased for name, packed in self._packed.items()}
        return {name: erased for name, erased in dug.items() if erased > applied}

    @property
    def applied(self) -> int:
        """The last offset that changed one of them."""
        return max((decode_grave(one).applied for one in self._packed.values()), default=-1)

    def drain(self) -> Iterator[ChangelogRecord]:
        """What changed since the last call, for the changelog."""
        for name in self._dirty:
            yield grave_record(name, self._packed[name], self.fingerprints.salt_mark)
        self._dirty = {}
