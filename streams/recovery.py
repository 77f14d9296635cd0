"""Recovering a partition of the customers table from its changelog."""

import asyncio
import logging
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from aiokafka import AIOKafkaConsumer, TopicPartition

from config.settings import Settings
from config.topics import ARCHIVE_TOPICS, CUSTOMER_EVENTS, CUSTOMERS
from models.customer.registry import VERSIONS
from models.customer.row_formats import NewerRow, OlderRow, RowError
from models.customer.row_layout import check_row, place_of, require_known
from models.events.foreign import UNREADABLE
from models.events.ids import is_id
from models.partition_state import PartitionState, decode_state, rehearsing_state
from streams.bulk_reading import BareRecord, next_batches
from streams.changelog import GRAVE_KEY, STATE_KEY, UNKNOWN_ORIGIN, Headers, Marks, Origin, marks_of
from streams.customer_keys import Secrets, is_kept
from streams.customers_table import CustomerRows
from streams.graves import CustomerGraves
from streams.kafka_clients import END_RETRY_S, END_TRIES, new_reader, running
from streams.row_file import RowFile
from streams.row_keys import RowsWithKeys
from streams.set_aside import SetAside
from streams.topic_identity import topic_ids

log = logging.getLogger(__name__)

STALL_S = 30.0
POLL_S = 1.0
#: How long the broker holds a fetch that finds no records. At the end of the changelog one is in
#: flight, and the next request on the same connection waits for it.
FETCH_HELD_MS = 10
#: Small enough that the rows of one fetch are folded while they are in the processor's cache.
FETCH_BYTES = 1024 * 1024


class RecoveryError(RuntimeError):
    """A partition can't be recovered; the message says why and what to do."""


@dataclass(slots=True)
class Recovered:
    """A partition restored from its changelog. ``records``: how many were read; ``quarantined`` of
    them were foreign or damaged, and skipped. ``origin``: the present topics. ``secrets``: the
    partition's archive secrets, None before it has any. ``gone``: customers erased recently, of
    whom something may still be shown.
    """

    rows: CustomerRows
    state: PartitionState
    records: int
    quarantined: int
    seconds: float
    origin: Origin = UNKNOWN_ORIGIN
    secrets: Secrets | None = None
    graves: CustomerGraves = field(default_factory=CustomerGraves)
    gone: set[str] = field(default_factory=set)


@dataclass(slots=True)
class ChangelogFold:
    """The latest row of every customer: the one with the highest applied position.

    After a takeover the old owner may still write rows after the new one, so the applied position
    decides, not the order of records. Rows with the same position are equal.

    ``origin``: the topics that the state names as its own. ``damaged``: customers with a damaged
    row and no sound row after it; ``packed`` has an earlier row, or one continued from it.
    ``gone``: customers of whom the changelog still says that they were erased. ``strays``: those of
    them who still have a row in it, with the offset of the record that erased them.
    """

    packed: MutableMapping[str, bytes] = field(default_factory=dict)
    graves: CustomerGraves = field(default_factory=CustomerGraves)
    gone: set[str] = field(default_factory=set)
    strays: dict[str, int] = field(default_factory=dict)
    state: PartitionState = field(default_factory=rehearsing_state)
    origin: Origin = UNKNOWN_ORIGIN
    quarantined: int = 0
    damaged: set[str] = field(default_factory=set)
    secrets: bytes = b""
    keys: RowsWithKeys | None = None

    def __post_init__(self) -> None:
        if isinstance(self.packed, RowsWithKeys):
            self.keys = self.packed

    def add(self, key: bytes | None, value: bytes | None, headers: Headers = ()) -> None:
        """Take one record. Raises `NewerRow` or `OlderRow` for another release's format."""
        told = marks_of(key, value, headers)
        try:
            if not told.is_intact:
                raise RowError("its checksum is another")
            if key == STATE_KEY:
                self._add_state(value, told)
            elif key is not None and key.startswith(GRAVE_KEY):
                self._add_grave(key.removeprefix(GRAVE_KEY), value, told)
            else:
                self._add_row((key or b"").decode(), value, told)
        except (NewerRow, OlderRow):
            raise
        except (RowError, *UNREADABLE):
            self.quarantined += 1
            self._note_damage(key)

    def take(self, record: BareRecord, partition: int, set_aside: SetAside) -> None:
        """`add`, but a record that is set aside counts as damaged instead of raising."""
        try:
            self.add(record.key, record.value, record.headers)
        except (NewerRow, OlderRow) as error:
            set_aside.require(CUSTOMERS, partition, record.offset, error)
            self.quarantined += 1
            self._note_damage(record.key)

    def _note_damage(self, key: bytes | None) -> None:
        customer = (key or b"").decode(errors="replace")
        if is_id(customer):
            self.damaged.add(customer)

    def _add_state(self, value: bytes | None, told: Marks) -> None:
        state = decode_state(value or b"")
        if state.applied >= self.state.applied:
            # Until the first record is applied, the first secrets count: two workers may have drawn
            # some at the same time. Later secrets follow from the log.
            is_drawn = bool(self.secrets) and state.applied == self.state.applied
            self.secrets = self.secrets if is_drawn else told.secrets
            self.state, self.origin = state, told.origin

    def _add_row(self, customer: str, value: bytes | None, told: Marks) -> None:
        if not told.is_known:
            _require_row(customer, value, told)
        if value is None:
            self._remove(customer, told.erased)
            return
        if self.graves and self._is_of_the_past(customer, value):
            return
        before = self.packed.get(customer)
        if before is None or place_of(value).applied >= place_of(before).applied:
            self._keep(customer, value, told.key)
            if not told.is_sound:
                self.damaged.add(customer)
            elif self.damaged:
                self.damaged.discard(customer)

    def _keep(self, customer: str, packed: bytes, kept: bytes) -> None:
        if self.keys is None or not kept:
            self.packed[customer] = packed
            return
        # A damaged key makes the row damaged; its key is then read from `customer-keys`.
        if not is_kept(kept, customer.encode()):
            raise RowError("its customer's key is another's")
        self.keys.put(customer, packed, kept)

    def _add_grave(self, fingerprint: bytes, value: bytes | None, told: Marks) -> None:
        if told.salt != self.graves.fingerprints.salt_mark:
            raise RecoveryError(
                "customers were erased here with another KEEPSTREAM_ERASURE_SALT, so that they "
                "would not be known again: set the salt that was set then"
            )
        self.graves.restore(fingerprint, value or b"")

    def _remove(self, customer: str, erased: int | None) -> None:
        """Delete a customer, with all earlier rows."""
        before = self.packed.get(customer)
        if erased is not None and before is not None and place_of(before).applied >= erased:
            # A replaced worker wrote this deletion late, after a newer row. A row with this very
            # offset is what the erasure left of an id that others share.
            return
        self.packed.pop(customer, None)
        self.damaged.discard(customer)
        self.strays.pop(customer, None)
        if erased is not None:
            self.gone.add(customer)

    def _is_of_the_past(self, customer: str, value: bytes) -> bool:
        """Whether the row is of somebody who was erased after it; a worker wrote it that did not
        know.
        """
        self.gone.discard(customer)
        self.strays.pop(customer, None)
        applied = place_of(value).applied
        if applied >= self.graves.last_erased:
            return False
        grave = self.graves.get(customer)
        if grave is None or applied >= grave.erased:
            return False
        before = self.packed.get(customer)
        if before is None or place_of(before).applied < grave.erased:
            # Otherwise the present row belongs to whoever came later, or shares the id.
            self.gone.add(customer)
            self.strays[customer] = grave.erased
        return True

    def bury(self) -> None:
        """After the last record: remove rows whose graves were written, but not their deletions."""
        late = self.graves.erased_after(self.state.applied)
        if not late:
            return
        for customer, packed in [*self.packed.items()]:
            erased = late.get(self.graves.fingerprints.of(customer))
            if erased is not None and place_of(packed).applied < erased:
                self._remove(customer, erased)
                self.strays[customer] = erased

    @property
    def applied(self) -> int:
        """The last offset applied to any row or grave; after a crash, rows may be ahead of the
        state.
        """
        rows = (place_of(packed).applied for packed in self.packed.values())
        return max(self.state.applied, self.graves.applied, max(rows, default=-1))


def _require_row(customer: str, value: bytes | None, told: Marks) -> None:
    """Raise `RowError` unless this is a customer's row. For rows of other releases, raise as
    `check_row` does; a row of this release passes.
    """
    if not is_id(customer):
        raise RowError("neither a row nor a state")
    if value is not None and told.is_verified:
        # Written by Keepstream and intact: the row's own checksums would only repeat that.
        require_known(value, VERSIONS)
    elif value is not None:
        check_row(value, VERSIONS)


async def recover(settings: Settings, partition: int, *, needs_archive: bool = True) -> Recovered:
    """Read the changelog of ``partition`` to its present end. With ``needs_archive``, and if the
    archive is on, the archive that the state names must still exist.

    Raises `RecoveryError` when reading makes no progress, or when the state is ahead of the log of
    events, which means that the log's topic was recreated.
    """
    started_s = monotonic()
    new = new_reader(
        settings, fetch_max_wait_ms=FETCH_HELD_MS, max_partition_fetch_bytes=FETCH_BYTES
    )
    async with running(new, settings) as reader:
        changelog = TopicPartition(settings.topic(CUSTOMERS), partition)
        events = TopicPartition(settings.topic(CUSTOMER_EVENTS), partition)
        # Both are assigned, so that the client finds both leaders at once; only one is read.
        reader.assign([changelog, events])
        reader.pause(events)
        ends = await reader.end_offsets([changelog, events])
        origin = await present_origin(reader, settings)
        fold = ChangelogFold(
            _place_for_rows(settings), graves=CustomerGraves(settings.erasure_salt)
        )
        records = await fold_up_to(reader, changelog, ends[changelog], fold, SetAside.of(settings))
        _require_origin(fold.origin, origin, events, changelog)
        if needs_archive:
            _require_archive(fold.origin, origin, settings)
        await require_events(reader, events, fold.state.applied)
    # From here on only the rows are needed, not the positions that chose them.
    return Recovered(
        rows=CustomerRows(fold.packed, fold.damaged, fold.strays),
        graves=fold.graves,
        gone=fold.gone,
        state=fold.state,
        records=records,
        quarantined=fold.quarantined,
        seconds=monotonic() - started_s,
        origin=origin,
        secrets=Secrets.read(fold.secrets) if fold.secrets else None,
    )


async def present_origin(reader: AIOKafkaConsumer, settings: Settings) -> Origin:
    """The topics that exist now, by the broker's ids."""
    topics = (CUSTOMER_EVENTS, CUSTOMERS, *(ARCHIVE_TOPICS if settings.has_archive else ()))
    names = [settings.topic(name) for name in topics]
    ids = await topic_ids(reader, names)
    return Origin(*(ids.get(name, "") for name in names))


def _place_for_rows(settings: Settings) -> MutableMapping[str, bytes]:
    rows: MutableMapping[str, bytes] = {}
    if settings.rows_dir:
        rows = RowFile(Path(settings.rows_dir))
    return RowsWithKeys(rows) if settings.has_archive else rows


async def folded(
    reader: AIOKafkaConsumer, changelog: TopicPartition, end: int, settings: Settings
) -> ChangelogFold:
    """Fold the changelog up to ``end``. Raises `RecoveryError`."""
    fold = ChangelogFold(graves=CustomerGraves(settings.erasure_salt))
    await fold_up_to(reader, changelog, end, fold, SetAside.of(settings))
    return fold


async def fold_up_to(
    reader: AIOKafkaConsumer,
    changelog: TopicPartition,
    end: int,
    fold: ChangelogFold,
    set_aside: SetAside,
) -> int:
    """Add the changelog up to ``end`` to ``fold``; return how many records were read. Raises
    `RecoveryError`.
    """
    records, progress_s = 0, monotonic()
    await reader.seek_to_beginning(changelog)
    while await _position(reader, changelog) < end:
        batches = await next_batches(reader, changelog, POLL_S)
        for batch in batches:
            for record in batch:
                fold.take(record, changelog.partition, set_aside)
                records += 1
            # Let heartbeats and health answers run between batches of a large table, and let the
            # client take in what the broker has sent.
            await asyncio.sleep(0)
        if batches:
            progress_s = monotonic()
        elif monotonic() - progress_s > STALL_S:
            raise _stalled(changelog, f"no record before its end at {end}")
    fold.bury()
    return records


async def _position(reader: AIOKafkaConsumer, changelog: TopicPartition) -> int:
    """The reader's position. Without the time limit it would wait for ever for a broker that
    doesn't say where the partition begins.
    """
    try:
        async with asyncio.timeout(STALL_S):
            return int(await reader.position(changelog))
    except TimeoutError:
        raise _stalled(changelog, "no position") from None


def _stalled(changelog: TopicPartition, what: str) -> RecoveryError:
    return RecoveryError(
        f"{changelog.topic}-{changelog.partition} gave {what} for {STALL_S:.0f} s: check the "
        f"broker, then start the worker again"
    )


async def require_events(reader: AIOKafkaConsumer, events: TopicPartition, applied: int) -> None:
    """Raise `RecoveryError` unless ``events`` still has the record that was applied last.

    Ask for the end only after reading the state: a worker that owned the partition meanwhile may
    have applied records that were not there before. Ask again if needed: a new leader may report
    an older end until its followers answer.
    """
    for tries_left in reversed(range(END_TRIES)):
        end = (await reader.end_offsets([events]))[events]
        if applied < end:
            return
        if tries_left:
            await asyncio.sleep(END_RETRY_S)
    raise RecoveryError(
        f"the state of partition {events.partition} has applied offset {applied}, but "
        f"{events.topic} ends at {end}, also when asked {END_TRIES} times. Most likely the topic "
        f"was deleted and created again, or its brokers lost its last records: the state belongs "
        f"to events that are gone. Nothing was changed. If all brokers are up and it stays so, "
        f"restore the topic, or set another KEEPSTREAM_TOPIC_PREFIX to start afresh beside it"
    )


def _require_origin(
    named: Origin, present: Origin, events: TopicPartition, changelog: TopicPartition
) -> None:
    """Raise `RecoveryError` if the state names topics other than the present ones."""
    if named.log and present.log and named.log != present.log:
        raise RecoveryError(
            f"the state of partition {events.partition} is of a {events.topic} with the id "
            f"{named.log}, and the topic's id is {present.log}: the topic was deleted and created "
            f"again, or is a copy, so the state belongs to events that are gone. Restore the "
            f"topic, or set another KEEPSTREAM_TOPIC_PREFIX to start afresh beside it"
        )
    if named.table and present.table and named.table != present.table:
        raise RecoveryError(
            f"the state in {changelog.topic}-{changelog.partition} was written when the topic had "
            f"the id {named.table}, and now it is {present.table}: it was deleted and created "
            f"again, and the rows of customers who sent nothing since are gone. Stop the workers "
            f"and run `keepstream rebuild --all`, which makes them anew from {events.topic}"
        )


def _require_archive(named: Origin, present: Origin, settings: Settings) -> None:
    """Raise `RecoveryError` if the state names an archive other than the present one."""
    for name, of_state, there in zip(ARCHIVE_TOPICS, named[2:], present[2:], strict=True):
        if of_state and there and of_state != there:
            raise RecoveryError(
                f"{settings.topic(name)} had the id {of_state} when it was last written, and now "
                f"it is {there}: it was deleted and created again, and what it had is gone. While "
                f"{settings.topic(CUSTOMER_EVENTS)} begins at offset 0, stop the workers and run "
                f"`keepstream archive fill`; else restore the topic, or set KEEPSTREAM_ARCHIVE=off"
            )
