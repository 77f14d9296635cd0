"""Customers in addresses of pages: sealed, for addresses are kept by browsers and proxies."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

_KEY_BITS = 256


class CustomerMarks:
    """Seals ids under a key of this process alone: the same id has the same mark until it ends,
    and nobody else can read it.
    """

    def __init__(self) -> None:
        self._cipher = AESSIV(AESSIV.generate_key(_KEY_BITS))

    def mark(self, customer: str) -> str:
        """What stands for the customer in an address."""
        sealed = self._cipher.encrypt(customer.encode(), None)
        return urlsafe_b64encode(sealed).decode().rstrip("=")

    def customer(self, mark: str) -> str | None:
        """Whose mark it is; None for one that this process did not make."""
        try:
            sealed = urlsafe_b64decode(mark + "=" * (-len(mark) % 4))
            return self._cipher.decrypt(sealed, None).decode()
        except (ValueError, InvalidTag):
            return None
