"""The keys of the archive: one for each customer, and one for each partition.

A customer's key follows from a secret of the partition and the offset at which it is drawn. So two
workers that fold the same record draw the same key, whatever happened to the first worker. When a
customer is forgotten, the secret advances through a one-way function: the earlier secret can't be
computed from the later one, so a deleted key can't be drawn again.

Each key is stored under a name of its own. A worker that doesn't know that it was replaced may
delete a key late; that doesn't delete the key of whoever came later under the same id.
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
#: The size of a customer's key as it is stored, with its row and on `customer-keys`.
KEPT_BYTES: Final = SECRET_BYTES + _SINCE_BYTES + _CHECK_BYTES
#: The name of a partition's own key. A customer's key has a name that begins with their id.
PARTITION_KEY: Final = b"\x00partition"
_SECRETS_BYTES: Final = 2 * SECRET_BYTES + _CHECK_BYTES


class CustomerKey(NamedTuple):
    """A customer's key, and the offset of the first record that it may seal: earlier records under
    the same id belong to somebody who was forgotten.
    """

    secret: bytes
    since: int

    @property
    def id(self) -> bytes:
        """Names the key in the archive without revealing it."""
        return id_of(self.secret)

    def name(self, customer: bytes) -> bytes:
        """The key's name on `customer-keys`; no customer's id can contain a zero byte."""
        return customer + b"\x00" + self.since.to_bytes(_SINCE_BYTES, "big")

    def kept(self, customer: bytes) -> bytes:
        """The key as it is stored; a checksum ties it to its customer."""
        content = self.secret + self.since.to_bytes(_SINCE_BYTES, "big")
        return content + _check(content, customer)

    @classmethod
    def read(cls, kept: bytes, customer: bytes) -> Self:
        """The key as it was stored. Raises ``Foreign`` if it is no key of this customer."""
        content = kept[:-_CHECK_BYTES]
        if len(kept) != KEPT_BYTES or kept[-_CHECK_BYTES:] != _check(content, customer):
            raise Foreign("not a customer's key: its checksum is another")
        return cls(content[:SECRET_BYTES], int.from_bytes(content[SECRET_BYTES:], "big"))

    def __repr__(self) -> str:
        return f"CustomerKey(***, since={self.since})"


class Secrets(NamedTuple):
    """A partition's secrets: ``frame`` seals frames of the archive, and customers' keys are drawn
    from ``seed``.
    """

    frame: bytes
    seed: bytes

    @classmethod
    def drawn(cls, frame: bytes | None = None) -> Self:
        """New secrets; ``frame``: the key of a partition that has an archive already."""
        return cls(frame or os.urandom(SECRET_BYTES), os.urandom(SECRET_BYTES))

    def key_of(self, customer: bytes, since: int) -> CustomerKey:
        """The key of a customer whose first record in the archive is at offset ``since``."""
        place = b"customer" + since.to_bytes(_SINCE_BYTES, "big")
        return CustomerKey(hmac.digest(self.seed, place + customer, "sha256"), since)

    def after_forgetting(self, offset: int) -> Self:
        """The secrets in use after the record at ``offset`` had a customer forgotten."""
        place = b"forget" + offset.to_bytes(_SINCE_BYTES, "big")
        return self._replace(seed=hmac.digest(self.seed, place, "sha256"))

    def kept(self) -> bytes:
        """The secrets as they are stored with a partition's state."""
        content = self.frame + self.seed
        return content + _check(content, PARTITION_KEY)

    @classmethod
    def read(cls, kept: bytes) -> Self | None:
        """The secrets as they were stored; None if damaged: a partition then draws new ones."""
        content = kept[:-_CHECK_BYTES]
        if len(kept) != _SECRETS_BYTES or kept[-_CHECK_BYTES:] != _check(content, PARTITION_KEY):
            return None
        return cls(content[:SECRET_BYTES], content[SECRET_BYTES:])

    def __repr__(self) -> str:
        return "Secrets(***)"


def is_kept(kept: bytes, customer: bytes) -> bool:
    """Whether this is a stored key of this customer. A takeover asks it for each row."""
    told = int.from_bytes(kept[-_CHECK_BYTES:], "big")
    return len(kept) == KEPT_BYTES and told == crc32(kept[:-_CHECK_BYTES], crc32(customer))


def id_of(secret: bytes) -> bytes:
    """Names a key without revealing it."""
    return sha256(secret).digest()[:ID_BYTES]


def read_key(name: bytes, kept: bytes) -> tuple[bytes, CustomerKey]:
    """The customer and their key in a record of `customer-keys`. Raises ``Foreign``."""
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
