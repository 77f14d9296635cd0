"""Where the bytes of a row are, part by part.

    python -m tests.benchmarks.rows [--days 200] [--customers 150]

The rows of a simulated shop: bytes a row by part, as packed and as stored, in how many rows a part
is, and what rows of several sizes come to. Bytes are the same on every machine.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

import msgspec

from models.customer.part import Part
from models.customer.registry import PARTS
from models.customer.row import Row, encode_row
from models.parameters import load_parameters
from models.replay import Replay
from tests.kafka.deployment import orderly_shop

#: Which rows' sizes are told: by the share of rows that are smaller.
_SHARES = {"smallest": 0.0, "a tenth": 0.1, "half": 0.5, "nine tenths": 0.9, "largest": 1.0}


def rows_of(customers: int, days: int) -> list[Row]:
    replay = Replay(load_parameters())
    shop = sorted(orderly_shop(customers, days=days), key=lambda record: record.occurred_at_ms)
    for number, record in enumerate(shop, 1):
        replay.feed(record.value, number)
    return list(replay.rows().values())


def tell(rows: Sequence[Row]) -> None:
    sizes = sorted(len(encode_row(row)) for row in rows)
    names: dict[str, Part[object]] = {part.code: part for part in PARTS}
    packed: Counter[str] = Counter()
    stored: Counter[str] = Counter()
    has: Counter[str] = Counter()
    for row in rows:
        for code, content in row.packed().items():
            packed[code] += len(names[code].pack(row.read(names[code])))
            stored[code] += len(content)
            has[code] += 1
    print("  packed  stored  in rows")
    for code, total in stored.most_common():
        print(
            f"{packed[code] / len(rows):8,.1f}{total / len(rows):8,.1f}{has[code] / len(rows):9.0%}"
            f"  {names[code].name}"
        )
    timers = [len(msgspec.msgpack.encode(row.packed_timers())) for row in rows]
    ids = [len(row.messages) for row in rows]
    rest = sum(sizes) - stored.total() - sum(timers) - sum(ids)
    for what, total in (("timers", sum(timers)), ("message ids", sum(ids)), ("the rest", rest)):
        print(f"{'':8}{total / len(rows):8,.1f}{'':9}  {what}")
    print(f"{'':8}{sum(sizes) / len(rows):8,.1f}{'':9}  a row")
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
