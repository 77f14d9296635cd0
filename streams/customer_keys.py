"""The keys of the archive: of each customer, and of a partition.

A customer's key follows from a secret of the partition and from where in the log it is drawn, so
that two workers who fold the same record have the same key, whatever became of the first one. When
a customer is forgotten, the secret moves on through a one-way function: what it was cannot be had
back from what it is, so a key that was deleted cannot be drawn again.

Each key is stored under a name of its own. The deletion of one, if it comes late, by a worker that
did not know that it had been replaced, does not delete that of whoever came later under the id.
"""

import hmac
import os
from hashlib import sha256
from typing import Final, NamedTuple, Self
from zlib import crc32

from models.events.foreign import Foreign
from models.events.ids import is_id

#: AES-256.
SECRET_BYTES: Final = 32
ID_BYTES: Final = 8
_SINCE_BYTES: Final = 8
_CHECK_BYTES: Final = 4
#: A customer's key as it is stored, with a row and on `customer-keys`.
KEPT_BYTES: Final = SECRET_BYTES + _SINCE_BYTES + _CHECK_BYTES
#: The name of a partition's own key; a customer's begins with their id.
PARTITION_KEY: Final = b"\x00partition"
_SECRETS_BYTES: Final = 2 * SECRET_BYTES + _CHECK_BYTES


class CustomerKey(NamedTuple):
    """A customer's key, and the offset of the first record that may be sealed with it: earlier ones
    under the same id are of somebody who was forgotten.
    """

    secret: bytes
    since: int

    @property
    def id(self) -> bytes:
        """What names the key in the archive without giving it away."""
        return id_of(self.secret)

    def name(self, customer: bytes) -> bytes:
        """What it is stored under on `customer-keys`; no customer's id can contain a zero byte."""
        return customer + b"\x00" + self.since.to_bytes(_SINCE_BYTES, "big")

    def kept(self, customer: bytes) -> bytes:
        """As it is stored; a checksum ties it to its customer."""
        content = self.secret + self.since.to_bytes(_SINCE_BYTES, "big")
        return content + _check(content, customer)

    @classmethod
    def read(cls, kept: bytes, customer: bytes) -> Self:
        """Raises ``Foreign`` for what is no key of this customer."""
        content = kept[:-_CHECK_BYTES]
        if len(kept) != KEPT_BYTES or kept[-_CHECK_BYTES:] != _check(content, customer):
            raise Foreign("not a customer's key: its checksum is another")
        return cls(content[:SECRET_BYTES], int.from_bytes(content[SECRET_BYTES:], "big"))

    def __repr__(self) -> str:
        return f"CustomerKey(***, since={self.since})"


class Secrets(NamedTuple):
    """A partition's: ``frame`` seals frames of the archive, and ``seed`` is what customers' keys
    are drawn from.
    """

    frame: bytes
    seed: bytes

    @classmethod
    def drawn(cls, frame: bytes | None = None) -> Self:
        """New ones; with ``frame``, the key of a partition that has an archive already."""
        return cls(frame or os.urandom(SECRET_BYTES), os.urandom(SECRET_BYTES))

    def key_of(self, customer: bytes, since: int) -> CustomerKey:
        """The key of a customer whose first record in the archive is at offset ``since``."""
        place = b"customer" + since.to_bytes(_SINCE_BYTES, "big")
        return CustomerKey(hmac.digest(self.seed, place + customer, "sha256"), since)

    def after_forgetting(self, offset: int) -> Self:
        """Those that are in use after the record at ``offset`` had a customer forgotten."""
        place = b"forget" + offset.to_bytes(_SINCE_BYTES, "big")
        return self._replace(seed=hmac.digest(self.seed, place, "sha256"))

    def kept(self) -> bytes:
        """As they are stored with a partition's state."""
        content = self.frame + self.seed
        return content + _check(content, PARTITION_KEY)

    @classmethod
    def read(cls, kept: bytes) -> Self | None:
        """None for what is damaged: a partition then draws others."""
        content = kept[:-_CHECK_BYTES]
        if len(kept) != _SECRETS_BYTES or kept[-_CHECK_BYTES:] != _check(content, PARTITION_KEY):
            return None
        return cls(content[:SECRET_BYTES], content[SECRET_BYTES:])

    def __repr__(self) -> str:
        return "Secrets(***)"


def is_kept(kept: bytes, customer: bytes) -> bool:
    """Whether this is a key of this customer as it is stored: asked of each row in a takeover."""
    told = int.from_bytes(kept[-_CHECK_BYTES:], "big")
    return len(kept) == KEPT_BYTES and told == crc32(kept[:-_CHECK_BYTES], crc32(customer))


def id_of(secret: bytes) -> bytes:
    """What names a key without giving it away."""
    return sha256(secret).digest()[:ID_BYTES]


def read_key(name: bytes, kept: bytes) -> tuple[bytes, CustomerKey]:
    """A record of `customer-keys`: the customer and their key. Raises ``Foreign``."""
    if name == PARTITION_KEY:
        return name, CustomerKey.read(kept, name)
    customer = name[: -1 - _SINCE_BYTES]
    if not is_id(customer.decode(errors="replace")):
        raise Foreign("not the key of a customer: there is no such id")
    key = CustomerKey.read(kept, customer)
    if key.name(customer) != name:
        raise Foreign("not the key of a customer: it is under another's name")
    return customer, key


def _check(content: bytes, whose: bytes) -> bytes:
    return crc32(content, crc32(whose)).to_bytes(_CHECK_BYTES, "big")
