"""Makes the dictionaries that packed parts are compressed with: python -m
tests.benchmarks.dictionaries CODE-VERSION...

Rows of a version cannot be read without its dictionary, so that none is ever made anew: a part that
gets another one gets another version too. Shops of other years and with other customers than those
that rows are measured on.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

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


def rows_of(shop: ShopConfig) -> Iterator[Row]:
    replay = Replay(load_parameters())
    for number, record in enumerate(sorted(simulate(shop), key=lambda one: one.occurred_at_ms), 1):
        replay.feed(record.value, number)
    return iter(replay.rows().values())


def main(wanted: list[str]) -> None:
    rows = [row for shop in SHOPS for row in rows_of(shop)]
    parts = {part.code: part for part in PARTS}
    for name in wanted:
        part = parts[name.split("-")[0]]
        samples = [part.pack(row.read(part)) for row in rows if row.has(part)]
        dictionary = train_dictionary(DICTIONARY_BYTES_MAX, samples).as_bytes()
        path = Path(*customer.__path__) / "dictionaries" / f"{name}.zdict"
        # Not over one that rows were written with.
        with path.open("xb") as file:
            file.write(dictionary)


if __name__ == "__main__":
    main(sys.argv[1:])
