"""Write keys, which say whose events are sent."""

import secrets

#: 124 bits of chance. Libraries check what a key looks like: Jitsu's takes 25 characters that begin
#: with a c.
_LETTERS, _LENGTH = "0123456789abcdefghijklmnopqrstuvwxyz", 25


def new_write_key() -> str:
    """A write key that every client library takes."""
    chosen = (secrets.choice(_LETTERS) for _ in range(_LENGTH - 1))
    return f"c{''.join(chosen)}"
