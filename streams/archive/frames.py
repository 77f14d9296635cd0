"""The records of `customer-archive`: frames of sealed entries, one entry a record of the log.

An entry's content is sealed with its customer's key, and a frame as a whole with its partition's,
so that nobody else can have written it, and nothing of it can be read without keys. What is left
when a customer's key is gone is in the frame, beside the content.
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

#: Entries are put in one frame up to this size, so that a frame with one large record in it still
#: fits into a request.
FRAME_BYTES_MAX: Final = 256 * 1024
NONCE_BYTES: Final = 12
_FORMAT: Final = b"\x01"
_SALT_BYTES: Final = 16
#: A frame's key is used once, so its nonce needn't differ.
_ONE_NONCE: Final = bytes(NONCE_BYTES)


class SealedRecord(Struct, array_like=True, frozen=True, gc=False):
    """The record of the log at ``offset``. ``key_id``: of the key that ``content`` is sealed with,
    after its nonce; b"" for a record that is nobody's, whose content is its bytes, or has none.
    ``gone``: what is left of a customer's record without its content.
    """

    offset: Annotated[int, Meta(ge=0)]
    content: bytes = b""
    key_id: bytes = b""
    gone: Gone | None = None


_ENTRIES = msgspec.msgpack.Decoder(list[SealedRecord])
_ENCODER = msgspec.msgpack.Encoder()


def sealed(cipher: AESGCM, nonce: bytes, content: bytes) -> bytes:
    """``content`` as only this key opens it; its frame says of which record it is."""
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
