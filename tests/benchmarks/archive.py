"""What the archive costs a worker, in µs of CPU per event, beside the cost of folding one.

    python -m tests.benchmarks.archive [--customers 200] [--rounds 5]

Folds a shop's log in batches in this process, with and without the archive in turns; the best round
of each counts. The machine has other things to do, so only figures side by side can be compared.
The archive's own calls, which seal, and the writing of rows, which need keys, are timed separately.
Two folds of the same events differ by more than both, so they are not subtracted.
"""

import argparse
import gc
from collections.abc import Sequence
from contextlib import suppress
from time import process_time
from typing import NamedTuple

from aiokafka.producer.message_accumulator import BatchBuilder

from config.settings import load_settings
from models.admission import decode_event
from models.events.event import Source
from models.events.rejection import Rejected
from models.events.wire import decode_log_line, encode_log_event
from models.learning.snapshot import prior_snapshot
from models.parameters import load_parameters
from models.partition import Partition
from models.plan import plan_for
from streams.archive.writing import ArchiveWriter
from streams.customer_keys import Secrets
from streams.customers_table import CustomerRows
from streams.graves import CustomerGraves
from streams.outbox import BUFFER_BYTES, Outbox
from streams.row_keys import RowsWithKeys
from tests.kafka.deployment import orderly_shop
from tests.simulation.broker import TAKEN_MS

RECORDS_A_BATCH = 500


class Round(NamedTuple):
    """CPU seconds of one round: the fold, the archive's own calls, and the writing of rows."""

    fold_s: float
    archive_s: float
    rows_s: float


class Producer:
    """Makes real batches and sends them nowhere."""

    def create_batch(self) -> object:
        return BatchBuilder(BUFFER_BYTES, 0)


def log_of(customers: int) -> list[bytes]:
    """The log that ingest makes of 200 days of a shop."""
    records = []
    for offset, sent in enumerate(
        sorted(orderly_shop(customers), key=lambda record: record.occurred_at_ms)
    ):
        source = Source("clickstream", 0, offset, TAKEN_MS)
        # The shop also sends events that ingest refuses.
        with suppress(Rejected):
            event = decode_event(sent.value, message_id=f"m-{offset}", source=source)
            records.append(encode_log_event(event))
    return records


def folded(log: Sequence[bytes], *, has_archive: bool) -> Round:
    """Fold the log in batches, and write rows as a worker does."""
    parameters = load_parameters()
    rows = CustomerRows(RowsWithKeys({}) if has_archive else {})
    prior = prior_snapshot(parameters)
    fold = Partition(0, rows, prior, plan_for(parameters), lambda *_: prior)
    archive = None
    if rows.keys is not None:
        archive = ArchiveWriter(0, rows, rows.keys, CustomerGraves(), Secrets.drawn())
    outbox = Outbox(Producer(), load_settings({}))  # type: ignore[arg-type]
    fold_s = archive_s = rows_s = 0.0
    gc.collect()
    for begin in range(0, len(log), RECORDS_A_BATCH):
        began_s, taken = process_time(), []
        for offset, value in enumerate(log[begin : begin + RECORDS_A_BATCH], begin):
            line = decode_log_line(value)
            taken.append((offset, line, value, fold.apply(offset, line)))
        folded_s = process_time()
        if archive is not None:
            for one in taken:
                archive.take(*one)
            archive.write_to(outbox)
        sealed_s = process_time()
        for key, packed, headers in rows.drain():
            outbox.add("customers", 0, key=key, value=packed, headers=headers)
        outbox.discard()
        fold_s += folded_s - began_s
        archive_s += sealed_s - folded_s
        rows_s += process_time() - sealed_s
    return Round(fold_s, archive_s, rows_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    log = log_of(arguments.customers)
    rounds: dict[bool, list[Round]] = {True: [], False: []}
    for _ in range(arguments.rounds):
        for has_archive, found in rounds.items():
            found.append(folded(log, has_archive=has_archive))

    def us(seconds: float) -> str:
        return f"{seconds / len(log) * 1e6:.2f} µs"

    mean_bytes = sum(map(len, log)) / len(log)
    print(f"{len(log):,} events of {mean_bytes:.0f} bytes, {arguments.rounds} rounds each, best:")
    print(f"folding {us(min(one.fold_s for one in rounds[False]))} an event")
    print(f"sealing {us(min(one.archive_s for one in rounds[True]))} an event")
    written = {has: min(one.rows_s for one in found) for has, found in rounds.items()}
    print(
        f"writing rows {us(written[False])} an event, with their customers' keys "
        f"{us(written[True])}"
    )


if __name__ == "__main__":
    main()
