"""Short hashes of ids: state must recognise ids, but need not keep them."""

from functools import lru_cache
from hashlib import blake2b

# Copying a hash object costs less than making one.
_EMPTY = blake2b(digest_size=8)


#: The size of the cache: several parts ask for the same order, and many customers buy the same
#: products.
_LATEST = 4_096


def fingerprint_once(text: str) -> int:
    """63 bits of ``text``'s BLAKE2b; a customer's few thousand ids practically never collide."""
    return int.from_bytes(fingerprint_bytes(text), "big") >> 1


@lru_cache(_LATEST)
def fingerprint(text: str) -> int:
    """The same, cached: for texts that are asked for again."""
    return fingerprint_once(text)


def fingerprint_bytes(text: str) -> bytes:
    """Eight bytes of ``text``'s BLAKE2b."""
    found = _EMPTY.copy()
    found.update(text.encode())
    return found.digest()
