"""Makes the dictionaries that packed parts are compressed with: python -m
tests.benchmarks.dictionaries CODE-VERSION...

Rows of a version cannot be read without its dictionary, so a dictionary never changes: a part with
a new one gets a new version, too. `row-4` serves all that rows of format 4 contain, except the
parts that are stored by themselves. It is made from shops with other years and customers than those
on which rows are measured.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from zstandard import train_dictionary

from agents.trials.demo.shop import ShopConfig, simulate
from models import customer
from models.customer.registry import PARTS
from models.customer.row import Row
from models.parameters import load_parameters
from models.replay import Replay

SHOPS = (
    ShopConfig(seed=21, customers=80, start_ms=1_810_000_000_000, days=150),
    ShopConfig(seed=22, customers=60, start_ms=1_760_000_000_000, days=400),
)
DICTIONARY_BYTES_MAX = 4_096
#: The size of the dictionary that compresses most of a row.
ROW_DICTIONARY_BYTES_MAX = 16_384


def rows_of(shop: ShopConfig) -> Iterator[Row]:
    replay = Replay(load_parameters())
    for number, record in enumerate(sorted(simulate(shop), key=lambda one: one.occurred_at_ms), 1):
        replay.feed(record.value, number)
    return iter(replay.rows().values())


def samples_of(code: str, rows: list[Row]) -> list[bytes]:
    """From each row, what the dictionary with this code compresses."""
    if code == "row":
        encode = msgspec.msgpack.encode
        return [
            sample
            for row in rows
            for sample in (encode(row.packed_together()), encode(row.packed_timers()))
        ]
    (part,) = (part for part in PARTS if part.code == code)
    return [part.pack(row.read(part)) for row in rows if row.has(part)]


def main(wanted: list[str]) -> None:
    rows = [row for shop in SHOPS for row in rows_of(shop)]
    for name in wanted:
        code = name.split("-")[0]
        size = ROW_DICTIONARY_BYTES_MAX if code == "row" else DICTIONARY_BYTES_MAX
        dictionary = train_dictionary(size, samples_of(code, rows)).as_bytes()
        path = Path(*customer.__path__) / "dictionaries" / f"{name}.zdict"
        # Fails rather than overwrite a dictionary with which rows were written.
        with path.open("xb") as file:
            file.write(dictionary)


if __name__ == "__main__":
    main(sys.argv[1:])
