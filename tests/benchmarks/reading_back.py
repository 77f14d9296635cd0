"""The cost of folding a changelog that was already fetched, without a broker or a worker.

    python -m tests.benchmarks.reading_back [--customers 60000] [--rounds 3]

Rows of a shop after 200 days under many ids, in record batches of a mebibyte. Reported are µs of
CPU per row, the share of the client's check of batches, and the memory of objects besides the
bytes. What `python -m tests.benchmarks.takeover` measures beyond that is connections, copies and
the worker.
"""

import argparse
import sys
from collections.abc import Iterator
from time import process_time

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from streams.changelog import row_record
from streams.recovery import FETCH_BYTES, ChangelogFold
from streams.set_aside import SetAside
from tests.benchmarks.takeover import Shapes, shapes


def fetched(made: Shapes, customers: int) -> Iterator[bytes]:
    """The rows of so many customers, fetch by fetch."""
    largest, index = max(map(len, made.packed)), 0
    while index < customers:
        batch = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, FETCH_BYTES)
        offset = 0
        while index < customers and batch.size() < FETCH_BYTES - 2 * largest:
            packed = made.packed[index % len(made.packed)]
            key, value, headers = row_record(f"c-{index:07d}", packed)
            batch.append(offset, 1, key, value, headers)
            index, offset = index + 1, offset + 1
        yield bytes(batch.build())


def measure(made: Shapes, customers: int) -> None:
    fold = ChangelogFold()
    fold_s = check_s = 0.0
    for content in fetched(made, customers):
        began_s = process_time()
        batch = MemoryRecords(content).next_batch()
        assert batch is not None
        assert batch.validate_crc()
        check_s += process_time() - began_s
        for record in batch:
            fold.take(record, 0, SetAside())
        fold_s += process_time() - began_s
        del batch, content
    assert len(fold.packed) == customers
    objects = sum(sys.getsizeof(key) + sys.getsizeof(value) for key, value in fold.packed.items())
    beside = (objects + sys.getsizeof(fold.packed)) / customers - made.mean_bytes
    each_us, check_us = fold_s / customers * 1e6, check_s / customers * 1e6
    print(
        f"{each_us:.2f} µs of CPU a row, {check_us:.2f} of it the check of batches: "
        f"{customers / fold_s:,.0f} rows for a second of CPU; "
        f"{beside:,.0f} bytes of memory beside each row",
        flush=True,
    )


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--customers", type=int, default=60_000)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    made = shapes()
    print(f"{chosen.customers:,} customers, rows of {made.mean_bytes:,.0f} bytes")
    for _ in range(chosen.rounds):
        measure(made, chosen.customers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
