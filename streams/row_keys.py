"""Keeps each packed row together with its customer's key: one object a customer, as without
keys.
"""

from collections.abc import Iterator, MutableMapping
from typing import Any, Final

from streams.customer_keys import KEPT_BYTES
from streams.row_file import packed_bytes_of

NO_KEY: Final = bytes(KEPT_BYTES)


class RowsWithKeys(MutableMapping[str, bytes]):
    """The rows in ``kept``, each followed by its customer's key as it is stored."""

    def __init__(self, kept: MutableMapping[str, bytes]) -> None:
        self._kept = kept
        #: Keys of customers whose row is not packed yet.
        self._ahead: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __contains__(self, customer: object) -> bool:
        return customer in self._kept

    def __getitem__(self, customer: str) -> bytes:
        return self._kept[customer][:-KEPT_BYTES]

    def get(self, customer: str, default: Any = None) -> Any:
        """`Mapping.get`, but cheaper."""
        kept = self._kept.get(customer)
        return default if kept is None else kept[:-KEPT_BYTES]

    def __setitem__(self, customer: str, packed: bytes) -> None:
        self._kept[customer] = packed + (self._ahead.pop(customer, b"") or self._behind(customer))

    def __delitem__(self, customer: str) -> None:
        del self._kept[customer]
        self._ahead.pop(customer, None)

    @property
    def packed_bytes(self) -> int:
        """The bytes of all rows, without their keys."""
        return packed_bytes_of(self._kept) - KEPT_BYTES * len(self._kept)

    def put(self, customer: str, packed: bytes, key: bytes) -> None:
        """Keep a row and its customer's key."""
        self._kept[customer] = packed + key

    def key_of(self, customer: str) -> bytes | None:
        """The customer's key as it is stored, or None."""
        key = self._ahead.get(customer) or self._behind(customer)
        return None if key == NO_KEY else key

    def set_key(self, customer: str, key: bytes) -> None:
        """Keep a customer's key with their row, now or as soon as there is one."""
        self._ahead[customer] = key

    def forget_key(self, customer: str) -> None:
        """Discard a customer's key for good."""
        self._ahead.pop(customer, None)
        if customer in self._kept:
            self._kept[customer] = self[customer] + NO_KEY

    def _behind(self, customer: str) -> bytes:
        kept = self._kept.get(customer)
        return NO_KEY if kept is None else kept[-KEPT_BYTES:]
