"""Earlier orders: records of id, time and net, packed; and for those still earlier, the sums of
each day.

A customer with seventy orders a day, as every till's walk-in customer has, gets windows as exact as
everybody's, in a row of bounded size.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from config.duration import DAY_MS

_RECORD = np.dtype([("at_ms", "<i8"), ("id", "<i8"), ("net_minor", "<i8")])
RECORD_BYTES = _RECORD.itemsize


class OrderRecord(NamedTuple):
    """A purchase after its refunds."""

    at_ms: int
    id: int
    net_minor: int


#: (UTC day, purchases, their net), ascending.
DaySums = list[tuple[int, int, int]]


def count(records: bytes) -> int:
    return len(records) // RECORD_BYTES


def with_records(records: bytes, new: list[OrderRecord]) -> bytes:
    """The records with ``new`` ones, sorted by (time, id)."""
    added = np.array(new, dtype=_RECORD)
    known = _read(records)
    if not len(known) or (known[-1]["at_ms"], known[-1]["id"]) < new[0][:2]:
        return records + added.tobytes()
    return np.sort(np.concatenate([known, added]), order=("at_ms", "id")).tobytes()


def taken_out(records: bytes, order: int) -> tuple[bytes, OrderRecord | None]:
    """The records without the order's record, and that record."""
    if not records:
        return records, None
    places = np.flatnonzero(_read(records)["id"] == order)
    if not len(places):
        return records, None
    begin = int(places[0]) * RECORD_BYTES
    [found] = _listed(records[begin : begin + RECORD_BYTES])
    return records[:begin] + records[begin + RECORD_BYTES :], found


def oldest(records: bytes, number: int) -> tuple[list[OrderRecord], bytes]:
    """The oldest records, and the others."""
    end = number * RECORD_BYTES
    return _listed(records[:end]), records[end:]


def count_until(records: bytes, at_ms: int) -> int:
    """How many records are of that time or before."""
    return int(np.searchsorted(_read(records)["at_ms"], at_ms, side="right"))


def times(records: bytes) -> list[int]:
    """When the orders were placed, ascending."""
    found: list[int] = _read(records)["at_ms"].tolist()
    return found


def listed(records: bytes) -> list[OrderRecord]:
    """The records, the oldest first."""
    return _listed(records)


def within(records: bytes, after_ms: int, until_ms: int) -> tuple[int, int]:
    """(count, net) of the records in (after, until]."""
    known = _read(records)
    first, last = np.searchsorted(known["at_ms"], (after_ms, until_ms), side="right")
    return int(last - first), int(known["net_minor"][first:last].sum())


def first_after(records: bytes, at_ms: int) -> int:
    """The time of the earliest record after that time; 0 without any."""
    times_ms = _read(records)["at_ms"]
    place = int(np.searchsorted(times_ms, at_ms, side="right"))
    return int(times_ms[place]) if place < len(times_ms) else 0


def last_until(records: bytes, at_ms: int) -> int:
    """The time of the latest record of that time or before; 0 without any."""
    place = count_until(records, at_ms)
    return int(_read(records)["at_ms"][place - 1]) if place else 0


def find(records: bytes, order: int) -> OrderRecord | None:
    """The order's record."""
    return taken_out(records, order)[1] if records else None


def with_day(sums: DaySums, record: OrderRecord) -> DaySums:
    """The sums of days with one more purchase."""
    return with_sums(sums, record.at_ms // DAY_MS, 1, record.net_minor)


def with_sums(sums: DaySums, day: int, purchases: int, net_minor: int) -> DaySums:
    """The sums of days, with purchases added to one day."""
    if sums and sums[-1][0] == day:
        return [*sums[:-1], (day, sums[-1][1] + purchases, sums[-1][2] + net_minor)]
    by_day = {known: (count, minor) for known, count, minor in sums}
    count, minor = by_day.get(day, (0, 0))
    by_day[day] = (count + purchases, minor + net_minor)
    return sorted((known, *totals) for known, totals in by_day.items())


def within_days(sums: DaySums, after_ms: int, until_ms: int) -> tuple[int, int]:
    """(count, net) of the days that begin in [after, until]: exact to the day."""
    purchases = total_minor = 0
    for day, known, net_minor in sums:
        if after_ms <= day * DAY_MS <= until_ms:
            purchases += known
            total_minor += net_minor
    return purchases, total_minor


def _read(records: bytes) -> NDArray[np.void]:
    return np.frombuffer(records, dtype=_RECORD)


def _listed(records: bytes) -> list[OrderRecord]:
    return [OrderRecord(*fields) for fields in _read(records).tolist()]
