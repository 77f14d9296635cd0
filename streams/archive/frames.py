"""The records of `customer-archive`: frames of sealed entries, one entry a record of the log.

Each entry's content is sealed with its customer's key, and each frame with its partition's key. So
nobody else can write a frame, and nobody can read one without the keys. What remains of a record
after its customer's key is deleted stands in the frame, beside the content.
"""

import hmac
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Meta, Struct

from models.events.foreign import Foreign, decoded
from models.events.gone import Gone

#: Entries are gathered into frames up to this size. A frame with one large record in it still fits
#: into a request.
FRAME_BYTES_MAX: Final = 256 * 1024
NONCE_BYTES: Final = 12
_FORMAT: Final = b"\x01"
_SALT_BYTES: Final = 16
#: Each frame has a key of its own, so all can have the same nonce.
_ONE_NONCE: Final = bytes(NONCE_BYTES)


class SealedRecord(Struct, array_like=True, frozen=True, gc=False):
    """The record of the log at ``offset``. ``content``: its bytes, after a nonce, sealed with the
    key ``key_id``. ``key_id`` is b"" for a record that belongs to no customer: its content is its
    plain bytes, or empty. ``gone``: what remains of a customer's record without its content.
    """

    offset: Annotated[int, Meta(ge=0)]
    content: bytes = b""
    key_id: bytes = b""
    gone: Gone | None = None


_ENTRIES = msgspec.msgpack.Decoder(list[SealedRecord])
_ENCODER = msgspec.msgpack.Encoder()


def sealed(cipher: AESGCM, nonce: bytes, content: bytes) -> bytes:
    """``content`` sealed with ``cipher``, after its nonce."""
    return nonce + cipher.encrypt(nonce, content, None)


def opened(cipher: AESGCM, entry: SealedRecord) -> bytes:
    """An entry's content. Raises ``Foreign`` if it was not sealed with this key."""
    nonce, content = entry.content[:NONCE_BYTES], entry.content[NONCE_BYTES:]
    try:
        return cipher.decrypt(nonce, content, None)
    except (InvalidTag, ValueError):
        raise Foreign("not sealed with the key that it names") from None


def encode_frame(entries: Sequence[SealedRecord], secret: bytes) -> bytes:
    """A record of the archive."""
    salt = os.urandom(_SALT_BYTES)
    cipher = AESGCM(hmac.digest(secret, salt, "sha256"))
    return _FORMAT + salt + cipher.encrypt(_ONE_NONCE, _ENCODER.encode(entries), _FORMAT)


def decode_frame(content: bytes, secret: bytes) -> list[SealedRecord]:
    """The entries of a frame, in ascending order. Raises ``Foreign``."""
    salt, rest = content[1 : 1 + _SALT_BYTES], content[1 + _SALT_BYTES :]
    if content[:1] != _FORMAT or len(salt) != _SALT_BYTES:
        raise Foreign("not a frame of the archive: it is of another format")
    try:
        packed = AESGCM(hmac.digest(secret, salt, "sha256")).decrypt(_ONE_NONCE, rest, _FORMAT)
    except (InvalidTag, ValueError):
        raise Foreign("not a frame of the archive: its key is another") from None
    entries: list[SealedRecord] = decoded(_ENTRIES, packed, "a frame of the archive")
    return entries


def frames_of(entries: Iterable[SealedRecord], secret: bytes) -> Iterator[bytes]:
    """All entries in frames of about `FRAME_BYTES_MAX`."""
    held: list[Any] = []
    size = 0
    for entry in entries:
        held.append(entry)
        size += len(entry.content)
        if size >= FRAME_BYTES_MAX:
            yield encode_frame(held, secret)
            held, size = [], 0
    if held:
        yield encode_frame(held, secret)
