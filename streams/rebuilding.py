"""Rebuilds rows: folds the log again and compares the result with the changelog.

Rows are a function of `customer-events`, so lost or damaged rows can be computed again. Nobody else
may write to the changelog meanwhile, so no worker may run.
"""

from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple

from aiokafka import ConsumerRecord

from config.parameters import Parameters
from config.settings import Settings
from config.topics import CUSTOMER_EVENTS, CUSTOMERS
from models.comparison import has_content
from models.customer.row_layout import place_of
from models.events.rejection import Rejected
from models.learning.snapshot import prior_snapshot
from models.partition import Partition
from models.partition_state import PartitionState, encode_state, rehearsing_state
from models.parts_in_force import known, replaced
from models.plan import Plan, plan_for
from streams.archive.key_reading import Keys
from streams.archive.unsealing import Unsealed
from streams.archive.whole_log import WholeLog
from streams.changelog import ChangelogRecord, Origin, grave_record, row_record, state_record
from streams.customer_keys import Secrets
from streams.customers_table import CustomerRows
from streams.graves import CustomerGraves
from streams.kafka_clients import new_admin, new_reader, running
from streams.log_records import log_line_of
from streams.outbox import Outbox, flush_or_explain, new_outbox_producer
from streams.recovery import ChangelogFold, folded, present_origin
from streams.set_aside import SetAside
from streams.snapshot_store import SnapshotStore
from streams.topic_scan import Span, spans_of
from streams.worker_group import GroupUnanswered, committed_offsets, described

#: ``on_progress(done, total)`` counts records of the log.
OnProgress = Callable[[int, int], object]
#: Rows written before waiting until they are durable.
ROWS_PER_FLUSH = 5_000
#: What to do when writing was interrupted: by then the damaged rows may already be replaced.
AGAIN = "run `keepstream rebuild --all` before any worker starts"


class RebuildError(RuntimeError):
    """Rows cannot be rebuilt; the message says why."""


class Rebuilt(NamedTuple):
    """What was found in a partition. ``different``: how many rows do not follow from the log; they
    were rewritten if ``writes`` is on. ``damaged``: how many were known to be damaged before.
    ``gone``: the records of erased customers, in words.
    """

    partition: int
    records: int
    customers: int
    damaged: int
    different: int
    gone: str = ""


class _Made(NamedTuple):
    """A partition as the log gives it, and what the archive contributed."""

    rows: CustomerRows
    graves: CustomerGraves
    fold: Partition
    keys: Keys
    gone: Unsealed | None


class Rebuilding:
    """Rebuilds the partitions of a deployment whose workers are stopped."""

    def __init__(self, settings: Settings, parameters: Parameters, *, writes: bool = True) -> None:
        """``parameters``: the workers' own; with others, rows would differ. With ``writes=False``
        it only looks.
        """
        self._settings = settings
        self._parameters = parameters
        self._plan = plan_for(parameters)
        self._writes = writes

    async def run(self, *, whole: bool, on_progress: OnProgress) -> list[Rebuilt]:
        """Rebuild the partitions with damaged rows, or with ``whole`` all of them.

        Raises `RebuildError` if the log does not go back to its beginning.
        """
        committed = _committed(self._settings)
        found: list[Rebuilt] = []
        async with running(new_reader(self._settings), self._settings) as reader:
            whole_log = WholeLog(reader, self._settings)
            logs = await whole_log.spans()
            tables = await spans_of(reader, CUSTOMERS, self._settings)
            origin = await present_origin(reader, self._settings)
            for log, table in zip(logs, tables, strict=True):
                reader.assign([table.partition])
                stored = await folded(reader, table.partition, table.end, self._settings)
                if not (whole or stored.damaged):
                    continue
                end = max(stored.applied + 1, committed.get(log.partition.partition, 0))
                span = _whole(log, end)
                made = await self._folded(whole_log, span, on_progress)
                found.append(await self._compared(stored, made, span, origin))
        return found

    async def _folded(self, whole_log: WholeLog, span: Span, on_progress: OnProgress) -> "_Made":
        """The partition that follows from ``span`` of the log."""
        rows, graves = CustomerRows(), CustomerGraves(self._settings.erasure_salt)
        snapshots = SnapshotStore(self._settings, prior_snapshot(self._parameters))
        fold = _fold(span.partition.partition, rows, graves, snapshots, self._plan)
        set_aside = SetAside.of(self._settings)
        async for records in whole_log.scan(span):
            for record in records:
                await _apply(fold, record, snapshots, set_aside)
            # Draining packs the rows that changed.
            for _ in rows.drain():
                pass
            on_progress(fold.state.applied + 1, span.end)
        gone = _require_all(whole_log, fold.number)
        return _Made(rows, graves, fold, await self._keys(whole_log, fold.number), gone)

    async def _keys(self, whole_log: WholeLog, number: int) -> Keys:
        return await whole_log.keys(number) if self._settings.has_archive else Keys()

    async def _compared(
        self, stored: ChangelogFold, anew: "_Made", span: Span, origin: Origin
    ) -> Rebuilt:
        """Compare graves and rows; write those that differ, and then the state."""
        fold, made, keys = anew.fold, anew.rows.all_packed(), anew.keys.by_customer()
        graves = [
            grave_record(name, packed, anew.graves.fingerprints.salt_mark)
            for name, packed in anew.graves.all_packed().items()
            if stored.graves.all_packed().get(name) != packed
        ]
        gone = (stored.packed.keys() | stored.damaged) - made.keys()
        different = [
            customer
            for customer, packed in made.items()
            if customer in stored.damaged or not _is_stored(stored, customer, packed)
        ]
        if self._writes:
            async with running(new_outbox_producer(self._settings), self._settings) as producer:
                outbox, number = Outbox(producer, self._settings), fold.number
                for key, value, headers in graves:
                    outbox.add(CUSTOMERS, number, key=key, value=value, headers=headers)
                for index, customer in enumerate([*different, *sorted(gone)], 1):
                    secret = keys.get(customer.encode())
                    for key, value, headers in _row_anew(
                        customer, made.get(customer), stored.packed.get(customer), secret
                    ):
                        outbox.add(CUSTOMERS, number, key=key, value=value, headers=headers)
                    if not index % ROWS_PER_FLUSH:
                        await flush_or_explain(outbox, self._settings, AGAIN)
                _note_what_was_replaced(fold.state, stored.state)
                key, value, headers = state_record(
                    encode_state(fold.state), origin, 0, _secrets(stored, anew.keys)
                )
                outbox.add(CUSTOMERS, number, key=key, value=value, headers=headers)
                await flush_or_explain(outbox, self._settings, AGAIN)
        return Rebuilt(
            partition=fold.number,
            records=span.end,
            customers=len(made),
            damaged=len(stored.damaged),
            different=len(different) + len(gone) + len(graves),
            gone=str(anew.gone) if anew.gone is not None and anew.gone.gone else "",
        )


def _note_what_was_replaced(anew: PartitionState, before: PartitionState) -> None:
    """Note the parts in force so far: past decisions and lessons came from rows with those."""
    noted, until = known(before.in_force, before.applied), before.applied + 1
    anew.replaced = replaced(before.replaced, noted, until, anew.in_force)


def _is_stored(stored: ChangelogFold, customer: str, packed: bytes) -> bool:
    written = stored.packed.get(customer)
    return written is not None and has_content(written, packed)


def _row_anew(
    customer: str, packed: bytes | None, written: bytes | None, key: bytes | None
) -> list[ChangelogRecord]:
    """The records that replace the customer's row by the one that follows from the log."""
    anew = row_record(customer, packed, key=key)
    if packed is None or written is None:
        return [anew]
    if place_of(packed).applied >= place_of(written).applied:
        return [anew]
    # With other rules or parts, a timer changed the stored row later than the new one. Readers of
    # the changelog take the row with the later position, so delete the stored one first.
    return [row_record(customer, None), anew]


def _whole(log: Span, end: int) -> Span:
    """The log from its beginning to ``end``. Raises `RebuildError` if some of it is missing."""
    name = f"{log.partition.topic}-{log.partition.partition}"
    if log.begin:
        what = f"begins at offset {log.begin}: the events before it are gone"
    elif end > log.end:
        what = f"ends at offset {log.end}, but {end - 1} was applied: it was cut, or created again"
    else:
        return log._replace(end=end)
    raise RebuildError(
        f"{name} {what}, so rows do not follow from it. Restore the topic, or start over with "
        f"empty state beside it: set another KEEPSTREAM_TOPIC_PREFIX"
    )


def _require_all(whole_log: WholeLog, number: int) -> Unsealed | None:
    """What the archive contributed. Raises `RebuildError` if log and archive together have gaps."""
    found = whole_log.outcome.get(number)
    if found is not None and found.missing:
        raise RebuildError(
            f"{found.missing:,} records of partition {number} are neither in customer-events nor "
            f"in the archive ({found.foreign:,} records there are not ours), so rows do not follow "
            f"from them. Restore the topics"
        )
    return found


def _secrets(stored: ChangelogFold, keys: Keys) -> bytes:
    """New archive secrets; no running worker has the old ones. None if there were none before: then
    the archive may have a gap.
    """
    return Secrets.drawn(keys.frame).kept() if stored.secrets and keys.frame else b""


def _fold(
    number: int, rows: CustomerRows, graves: CustomerGraves, snapshots: SnapshotStore, plan: Plan
) -> Partition:
    state = rehearsing_state()
    return Partition(number, rows, snapshots.prior, plan, snapshots.get, state, graves)


async def _apply(
    fold: Partition, record: ConsumerRecord, snapshots: SnapshotStore, set_aside: SetAside
) -> None:
    """Apply a record as the worker did, without writing its effects: they exist already."""
    try:
        line = log_line_of(record, set_aside)
        if line.type == "model":
            await snapshots.fetch(line.version or 0, line.sha256 or "")
        fold.apply(record.offset, line)
    except Rejected:
        fold.skip(record.offset)


def _committed(settings: Settings) -> dict[int, int]:
    """The group's next offset by partition of `customer-events`. Raises `RebuildError` when a
    worker runs, or when the broker does not say whether one does.
    """
    group, name = settings.group_id, settings.topic(CUSTOMER_EVENTS)
    with closing(new_admin(settings)) as admin:
        try:
            members = described(admin, group)["members"]
            offsets = committed_offsets(admin, group)
        except GroupUnanswered as error:
            raise RebuildError(str(error)) from None
    if members:
        raise RebuildError(
            f"workers in the group {group}: {len(members)}. They write rows themselves: stop them, "
            f"run this again, then start them"
        )
    return {tp.partition: at.offset for tp, at in offsets.items() if tp.topic == name}
