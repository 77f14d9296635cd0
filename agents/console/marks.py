"""Encrypts the customers in page addresses, because browsers and proxies store addresses."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

_KEY_BITS = 256


class CustomerMarks:
    """Encrypts ids with a key of this process: an id has the same mark until the process ends, and
    nobody else can read it.
    """

    def __init__(self) -> None:
        self._cipher = AESSIV(AESSIV.generate_key(_KEY_BITS))

    def mark(self, customer: str) -> str:
        """The mark that stands for the customer in an address."""
        sealed = self._cipher.encrypt(customer.encode(), None)
        return urlsafe_b64encode(sealed).decode().rstrip("=")

    def customer(self, mark: str) -> str | None:
        """The customer of a mark; None for a mark that this process did not make."""
        try:
            sealed = urlsafe_b64decode(mark + "=" * (-len(mark) % 4))
            return self._cipher.decrypt(sealed, None).decode()
        except (ValueError, InvalidTag):
            return None
