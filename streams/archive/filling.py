"""Seals the part of a log that was written before the archive was on, or while it was off.

No worker may run meanwhile: it would continue an archive with a gap.
"""

from collections.abc import Callable, Collection
from contextlib import closing
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from config.settings import Settings
from config.topics import CUSTOMER_EVENTS, CUSTOMER_KEYS, CUSTOMERS
from models.applied import ALREADY_APPLIED
from models.events.line import Line
from models.events.rejection import Rejected
from models.partition_state import encode_state
from streams.archive.key_reading import Keys
from streams.archive.opening import ArchiveError
from streams.archive.unsealing import Unsealed, Unsealing
from streams.archive.whole_log import WholeLog
from streams.archive.writing import ArchiveWriter
from streams.changelog import state_record
from streams.customer_keys import CustomerKey, Secrets
from streams.customers_table import CustomerRows
from streams.kafka_clients import new_admin, new_reader, running
from streams.log_records import log_line_of
from streams.outbox import Outbox, flush_or_explain, new_outbox_producer
from streams.recovery import Recovered, recover
from streams.set_aside import SetAside
from streams.topic_scan import Span, scan, spans_of
from streams.worker_group import GroupUnanswered, described

#: ``on_progress(done, total)`` counts records of the log.
OnProgress = Callable[[int, int], object]
#: Rows written before waiting until they are durable.
ROWS_PER_FLUSH = 5_000
AGAIN = "run `keepstream archive fill` again: it goes on where it was"


class Filled(NamedTuple):
    """What was found in a partition. ``sealed``: how many records were added. ``applied``: the
    offset up to which the archive is now complete. ``found``: what it had before. ``outlived``: how
    many keys of erased customers were still stored, and are deleted now. Without ``writes``,
    nothing was added or deleted.
    """

    partition: int
    applied: int
    sealed: int
    found: Unsealed
    outlived: int = 0


class Filling:
    """Fills the archive of a deployment whose workers are stopped."""

    def __init__(self, settings: Settings, *, writes: bool = True) -> None:
        """With ``writes=False`` it only looks, and workers may run."""
        self._settings = settings
        self._set_aside = SetAside.of(settings)
        self._writes = writes

    async def run(self, on_progress: OnProgress = lambda *_: None) -> list[Filled]:
        """Fill every partition. Raises `ArchiveError` for one that can't be filled any more."""
        if self._writes:
            _require_stopped(self._settings)
        async with (
            running(new_reader(self._settings), self._settings) as reader,
            running(new_outbox_producer(self._settings), self._settings) as producer,
        ):
            logs = await spans_of(reader, CUSTOMER_EVENTS, self._settings)
            outbox = Outbox(producer, self._settings)
            return [await self._filled(reader, outbox, log, on_progress) for log in logs]

    async def _filled(
        self, reader: AIOKafkaConsumer, outbox: Outbox, log: Span, on_progress: OnProgress
    ) -> Filled:
        number = log.partition.partition
        recovered = await recover(self._settings, number, needs_archive=False)
        whole_log = WholeLog(reader, self._settings)
        keys = await whole_log.keys(number)
        found, reached = await self._looked_at(reader, number, keys)
        applied = recovered.state.applied
        is_known = recovered.secrets is not None or applied < 0
        _require_fillable(recovered, log, found, min(reached, applied + 1))
        outlived = keys.outlived(recovered.graves)
        filled = Filled(number, applied, max(applied + 1 - reached, 0), found, len(outlived))
        if self._writes and outlived:
            for name in outlived:
                outbox.add(CUSTOMER_KEYS, number, key=name, value=None)
            await flush_or_explain(outbox, self._settings, AGAIN)
        if self._writes and not (is_known and not filled.sealed):
            await self._fill(
                reader, outbox, log._replace(begin=reached), recovered, keys, on_progress
            )
        return filled

    async def _looked_at(
        self, reader: AIOKafkaConsumer, number: int, keys: Keys
    ) -> tuple[Unsealed, int]:
        """What the archive has, and the next offset of the log that it lacks."""
        span = (await WholeLog(reader, self._settings).archives())[number]
        found = Unsealed(foreign=keys.foreign)
        unsealing = Unsealing(number, keys, found)
        async for frames in scan(reader, span, self._settings):
            for frame in frames:
                for _ in unsealing.take(frame.value):
                    pass
        return found, unsealing.next_offset

    async def _fill(
        self,
        reader: AIOKafkaConsumer,
        outbox: Outbox,
        log: Span,
        recovered: Recovered,
        keys: Keys,
        on_progress: OnProgress,
    ) -> None:
        """Seal ``log`` from its beginning, write each row with its key, and last the state, which
        says that nothing is missing.
        """
        number, rows, end = log.partition.partition, recovered.rows, recovered.state.applied + 1
        assert rows.keys is not None
        known = keys.by_customer()
        for customer in rows.customers():
            kept = known.get(customer.encode())
            if kept is not None and rows.keys.key_of(customer) is None:
                rows.keys.set_key(customer, kept)
                await self._write_with_key(outbox, rows, customer, number)
        self._write_lost_keys(outbox, rows, known.keys(), number)
        secrets = recovered.secrets or Secrets.drawn(keys.frame or None)
        writer = ArchiveWriter(
            number, rows, rows.keys, recovered.graves, secrets, is_first=not keys.frame
        )
        async for records in scan(reader, log._replace(end=min(log.end, end)), self._settings):
            for record in records:
                self._take(writer, record)
            # Keys first: no frame may be durable before the keys that open it.
            writer.write_keys_to(outbox)
            await flush_or_explain(outbox, self._settings, AGAIN)
            writer.write_frames_to(outbox)
            await flush_or_explain(outbox, self._settings, AGAIN)
            await self._write_rows(outbox, rows, number)
            on_progress(records[-1].offset + 1 if records else end, end)
        await self._write_rows(outbox, rows, number)
        state = encode_state(recovered.state)
        key, value, headers = state_record(state, recovered.origin, 0, writer.secrets.kept())
        outbox.add(CUSTOMERS, number, key=key, value=value, headers=headers)
        await flush_or_explain(outbox, self._settings, AGAIN)

    def _take(self, writer: ArchiveWriter, record: ConsumerRecord) -> None:
        line: Line | None = None
        try:
            line = log_line_of(record, self._set_aside)
            writer.take(record.offset, line, record.value or b"", ALREADY_APPLIED)
        except Rejected:
            writer.skip(record.offset, line)

    @staticmethod
    def _write_lost_keys(
        outbox: Outbox, rows: CustomerRows, known: Collection[bytes], number: int
    ) -> None:
        """Write the keys that rows have and `customer-keys` lacks, because it was created anew."""
        assert rows.keys is not None
        for customer in rows.customers():
            name, kept = customer.encode(), rows.keys.key_of(customer)
            if kept is not None and name not in known:
                key = CustomerKey.read(kept, name)
                outbox.add(CUSTOMER_KEYS, number, key=key.name(name), value=kept)

    async def _write_with_key(
        self, outbox: Outbox, rows: CustomerRows, customer: str, number: int
    ) -> None:
        row = rows.get(customer)
        assert row is not None
        rows.put(customer, row)
        if rows.live >= ROWS_PER_FLUSH:
            await self._write_rows(outbox, rows, number)

    async def _write_rows(self, outbox: Outbox, rows: CustomerRows, number: int) -> None:
        for key, value, headers in rows.drain():
            outbox.add(CUSTOMERS, number, key=key, value=value, headers=headers)
        await flush_or_explain(outbox, self._settings, AGAIN)


def _require_fillable(recovered: Recovered, log: Span, found: Unsealed, reached: int) -> None:
    name = f"{log.partition.topic}-{log.partition.partition}"
    if recovered.rows.damaged:
        raise ArchiveError(
            f"rows of {name} are damaged, and whose records are to be sealed is read from rows: "
            f"run `keepstream rebuild` first"
        )
    if found.missing:
        raise ArchiveError(
            f"the archive of {name} lacks {found.missing:,} records in its middle, which cannot be "
            f"added: restore it, or, while the log begins at offset 0, delete customer-archive and "
            f"customer-keys, run `keepstream topics create` and then this again"
        )
    if reached < log.begin:
        raise ArchiveError(
            f"{name} begins at offset {log.begin:,}, and its archive ends before {reached:,}: what "
            f"was between is gone, so the archive cannot be complete. Set KEEPSTREAM_ARCHIVE=off, "
            f"or restore the topic"
        )


def _require_stopped(settings: Settings) -> None:
    with closing(new_admin(settings)) as admin:
        try:
            members = described(admin, settings.group_id)["members"]
        except GroupUnanswered as error:
            raise ArchiveError(str(error)) from None
    if members:
        raise ArchiveError(
            f"workers in the group {settings.group_id}: {len(members)}. They write what this does: "
            f"stop them, run this again, then start them"
        )
