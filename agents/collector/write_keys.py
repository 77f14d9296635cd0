"""Write keys, which identify the source that sends events."""

import secrets

#: 124 random bits. Libraries check the form of a key: Jitsu's accepts 25 characters that begin with
#: a c.
_LETTERS, _LENGTH = "0123456789abcdefghijklmnopqrstuvwxyz", 25


def new_write_key() -> str:
    """A write key that every client library accepts."""
    chosen = (secrets.choice(_LETTERS) for _ in range(_LENGTH - 1))
    return f"c{''.join(chosen)}"
