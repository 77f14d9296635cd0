"""Short hashes of ids: state must recognise ids, but need not keep them."""

from hashlib import blake2b

# Copying a hash object costs less than making one.
_EMPTY = blake2b(digest_size=8)


def fingerprint(text: str) -> int:
    """63 bits of ``text``'s BLAKE2b; a customer's few thousand ids practically never collide."""
    return int.from_bytes(fingerprint_bytes(text), "big") >> 1


def fingerprint_bytes(text: str) -> bytes:
    """Eight bytes of ``text``'s BLAKE2b."""
    found = _EMPTY.copy()
    found.update(text.encode())
    return found.digest()
