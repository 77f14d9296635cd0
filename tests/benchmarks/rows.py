"""Where the bytes of a row are, by part.

    python -m tests.benchmarks.rows [--days 200] [--customers 150]

For the rows of a simulated shop: bytes per row by part, as packed and, for parts stored by
themselves, as stored; how many rows have each part; and the sizes of small, typical and large rows.
Bytes are the same on every machine.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

from config.duration import DAY_MS
from models.customer.churn import CHURN
from models.customer.part import Part
from models.customer.registry import PARTS
from models.customer.row import Row, encode_row
from models.parameters import load_parameters
from models.replay import Replay
from tests.kafka.deployment import orderly_shop

QUIET_MS = 28 * DAY_MS
#: The rows whose sizes are shown: by the share of rows that are smaller.
_SHARES = {"smallest": 0.0, "a tenth": 0.1, "half": 0.5, "nine tenths": 0.9, "largest": 1.0}

_WORDS = {"together": "the parts without a figure of their own, together"}


def rows_of(customers: int, days: int) -> list[Row]:
    replay = Replay(load_parameters())
    shop = sorted(orderly_shop(customers, days=days), key=lambda record: record.occurred_at_ms)
    for number, record in enumerate(shop, 1):
        replay.feed(record.value, number)
    return list(replay.rows().values())


def tell(rows: Sequence[Row]) -> None:
    packed: Counter[Part[Any]] = Counter()
    has: Counter[Part[Any]] = Counter()
    stored: Counter[str] = Counter()
    sizes = []
    for row in rows:
        sizes.append(len(encode_row(row)))
        apart, together = row.pack()
        for part in PARTS:
            if row.has(part):
                packed[part] += len(part.pack(row.read(part)))
                has[part] += 1
        stored.update({code: len(entry) for code, entry in apart.items()})
        stored.update({"together": len(together), "timers": len(row.timers_as_stored())})
        stored.update({"message ids": len(row.messages)})
    stored["the rest"] = sum(sizes) - stored.total()
    print("  packed  stored  in rows")
    for part, total in packed.most_common():
        by_itself = f"{stored.pop(part.code) / len(rows):8,.1f}" if part.is_apart else f"{'':8}"
        print(f"{total / len(rows):8,.1f}{by_itself}{has[part] / len(rows):9.0%}  {part.name}")
    print()
    for what, total in stored.items():
        print(f"{'':8}{total / len(rows):8,.1f}{'':9}  {_WORDS.get(what, what)}")
    print(f"{'':8}{sum(sizes) / len(rows):8,.1f}{'':9}  a row")
    sizes.sort()
    places = {name: sizes[round(share * (len(sizes) - 1))] for name, share in _SHARES.items()}
    print(", ".join(f"{name} {size:,}" for name, size in places.items()))


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--customers", type=int, default=150)
    options.add_argument("--days", type=int, default=200)
    chosen = options.parse_args()
    rows = rows_of(chosen.customers, chosen.days)
    print(f"{len(rows)} customers of a shop after {chosen.days} days, bytes a row")
    tell(rows)
    since_ms = max(row.latest_ms for row in rows) - QUIET_MS
    for what, some in (
        ("heard of within four weeks", [row for row in rows if row.latest_ms > since_ms]),
        ("not heard of for four weeks", [row for row in rows if row.latest_ms <= since_ms]),
    ):
        labels = median(len(row.pack()[0].get(CHURN.code, b"")) for row in some)
        size = median(len(encode_row(row)) for row in some)
        print(f"{len(some)} {what}: {size:,.0f}, {labels:,.0f} of it labels that wait (medians)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
