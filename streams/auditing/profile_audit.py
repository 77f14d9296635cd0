"""Compares profiles in Redis with the rows that the log gives.

A profile says as of when it was made and with which model, so the same row read at that time must
give the same bytes. A profile that is older than its row is about to be written again.
"""

from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Protocol

from models.comparison import comparable
from models.events.times import iso
from streams.auditing.report import Audit
from streams.auditing.spools import digest_of
from streams.auditing.store_contents import KeptProfile, StoreContents

_MS_BYTES = 8
#: Times held in memory before they go to the file.
_TIMES_HELD = 4_096

#: Reported for customers of whom Redis has nothing.
NO_PROFILE = (
    "customers have no profile in Redis: evicted, deleted, or still to be written after the store "
    "was emptied"
)


class ReadingTimes:
    """The time at which a partition's profiles were read after each record, eight bytes each."""

    def __init__(self, directory: Path, number: int) -> None:
        self._file: IO[bytes] = (directory / f"moments-{number}").open("w+b")
        self._held = array("q")
        self._next = 0

    def close(self) -> None:
        self._file.close()

    def note(self, offset: int, as_of_ms: int) -> None:
        """Note the time after the record at ``offset``; missing offsets before it get the same
        time.
        """
        while self._next <= offset:
            self._held.append(as_of_ms)
            self._next += 1
        if len(self._held) >= _TIMES_HELD:
            self._write()

    def at(self, offset: int) -> int:
        """The time after the record at ``offset``."""
        self._write()
        self._file.seek(offset * _MS_BYTES)
        found = array("q", self._file.read(_MS_BYTES))
        self._file.seek(0, 2)
        return found[0]

    def _write(self) -> None:
        if self._held:
            self._file.write(self._held.tobytes())
            self._held = array("q")


class FoldedCustomers(Protocol):
    """The customers of a partition, as the log gives them."""

    number: int

    def customers(self) -> list[str]: ...

    def applied_to(self, customer: str) -> int | None:
        """The offset of the last record that changed the customer's row; None without a row, and
        for an id that belongs to another customer.
        """
        ...

    async def profile_of(self, customer: str, at_ms: int, version: int) -> bytes | None:
        """The profile as of ``at_ms`` by a model; None if the partition never used that model."""
        ...


async def compare_profiles(
    fold: FoldedCustomers,
    moments: ReadingTimes,
    contents: StoreContents,
    is_home: Callable[[str], bool],
    still_missing: Callable[[list[str]], Awaitable[list[str]]],
    *,
    committed: int,
    audit: Audit,
) -> None:
    """Compare the profiles of one partition; ``is_home`` says whether a customer is in it.

    ``still_missing`` looks again for profiles that were not there: rows up to ``committed`` were
    durable before Redis was read, and their profiles follow soon.
    """
    older = 0
    for kept in contents.by_version():
        if not is_home(kept.customer):
            continue
        applied = fold.applied_to(kept.customer)
        if applied is None:
            audit.differs(
                "redis", "profiles of customers that the log does not have", kept.customer
            )
        elif kept.as_of_ms < 0:
            audit.differs("redis", "profiles that Keepstream did not write", kept.customer)
        else:
            older += await _is_older(fold, kept, moments.at(applied), audit)
    if older:
        audit.unchecked.append(
            f"{older:,} profiles of partition {fold.number} in Redis that may be older than their "
            f"rows, and then are still to be written"
        )
    if not contents.profiles:
        # Reported once for all customers.
        return
    missing = [
        customer
        for customer in fold.customers()
        if not contents.has_profile(customer)
        and (applied := fold.applied_to(customer)) is not None
        and applied < committed
    ]
    for customer in await still_missing(missing) if missing else ():
        audit.differs(
            "redis",
            NO_PROFILE,
            customer,
        )


async def _is_older(fold: FoldedCustomers, kept: KeptProfile, row_ms: int, audit: Audit) -> bool:
    """Compare a profile with its row, which last changed at ``row_ms``; return whether the profile
    may be of an earlier row.
    """
    expected = await fold.profile_of(kept.customer, kept.as_of_ms, kept.version)
    if expected is not None and digest_of(comparable(expected)) == kept.digest:
        audit.checked["profiles"] += 1
        return False
    if kept.as_of_ms <= row_ms:
        return True
    audit.checked["profiles"] += 1
    audit.differs(
        "redis",
        "profiles in Redis are not what the rows give",
        f"{kept.customer}, as of {iso(kept.as_of_ms)} with model {kept.version}",
    )
    return False
