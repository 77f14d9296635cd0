"""Folds one partition of the log again and compares it with the rows that workers wrote.

The effects of the fold go to the spool of effects, to be compared with those on their topics.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from aiokafka import ConsumerRecord
from msgspec.structs import replace

from config.topics import (
    CUSTOMER_EVENTS,
    DEAD_LETTERS,
    DECISION_LEDGER,
    DELIVERED_TOPICS,
    LABELLED_EXAMPLES,
)
from models.admission import event_of
from models.applied import Applied
from models.comparison import different_parts, has_content
from models.customer.labels import LabelsDropped
from models.customer.profile import begun_after, encode_profile, profile
from models.customer.registry import PARTS, VERSIONS
from models.customer.row_layout import check_row
from models.customer.scene import Context, Scene
from models.engine import Effect as FoldEffect
from models.engine import Fate, Rehearsed
from models.events.erasure_record import Erased, encode_notice, notice_of
from models.events.event import Source
from models.events.line import GONE, LINK_TYPES, NULL, Line
from models.events.link_record import LinkRecord
from models.events.rejection import Reason, Rejected
from models.graves import decode_grave, is_same_grave
from models.learning.lessons import Lesson, Taught, encode_lesson
from models.learning.snapshot import SnapshotError
from models.links import is_told
from models.partition import Partition
from models.partition_state import GRAVES_FORMAT, PartitionState
from models.plan import Plan
from models.repeats import is_behind, is_repeated
from streams.auditing.passed_on import PassedOn
from streams.auditing.raw_audit import digest_without_traits
from streams.auditing.refold import parts_of_others, refolds
from streams.auditing.report import Audit
from streams.auditing.spools import (
    DROPPED,
    IN_LOG,
    Effect,
    EffectSpool,
    RawFates,
    digest_of,
)
from streams.graves import CustomerGraves
from streams.log_records import log_line_of
from streams.outputs import OUTPUTS
from streams.recovery import ChangelogFold
from streams.set_aside import SetAside
from streams.snapshot_store import SnapshotStore

#: Records folded before the changed rows are packed, as in a worker's batch.
PACK_EVERY_RECORDS = 1_000


class Scope(NamedTuple):
    """What the audits of all partitions share. ``fates``: by (raw topic, partition)."""

    plan: Plan
    snapshots: SnapshotStore
    fates: Mapping[tuple[str, int], RawFates]
    spool: EffectSpool
    audit: Audit
    passed_on: PassedOn
    set_aside: SetAside = SetAside()
    salt: str = ""


class PartitionAudit:
    """Takes the log of one partition record by record, then reports the differences.

    ``committed``: the group's committed offset, asked for before anything else. Effects of records
    before it must exist, those of later ones may. ``log_end``: where the log ended, asked for
    before the raw topics' ends. ``fates``: by (topic, partition).
    """

    def __init__(
        self,
        number: int,
        stored: ChangelogFold,
        *,
        committed: int,
        log_end: int,
        scope: Scope,
    ) -> None:
        self._number = self.number = number
        self._stored = stored
        self._committed = committed
        self._log_end = log_end
        self._snapshots = snapshots = scope.snapshots
        self._fates = scope.fates
        self._spool = scope.spool
        self._audit = scope.audit
        self._passed_on = scope.passed_on
        self._plan = scope.plan
        self._set_aside = scope.set_aside
        self._reader: Context | None = None
        #: The hash of each model that the partition used, by version.
        self.adopted: dict[int, str] = {}
        self._refolds = refolds(number, stored.state, scope.plan, snapshots, scope.salt)
        self._fold: Partition | None = self._refolds[-1].fold
        self._rows, self._graves = self._refolds[-1].rows, self._refolds[-1].graves
        if others := parts_of_others(stored.state):
            self._fold = None
            self._audit.unchecked.append(
                f"the customers of partition {number}: a release wrote them that knows parts "
                f"which this one does not ({', '.join(others)}), so its audit is the right one"
            )
        self._ahead = _rows_ahead(stored)
        self._expected: list[tuple[Effect, int, bool]] = []
        self._sources: dict[str, int] = {}
        self._generations: dict[str, tuple[str, ...]] = {}
        self._is_compared = False
        self.without_source = self.of_older_release = 0
        #: How many records have lost their content.
        self.gone = 0
        if stored.state.applied < 0:
            self._compare()

    @property
    def is_whole(self) -> bool:
        """Whether the whole log was folded, so that effects can be compared."""
        return self._fold is not None

    @property
    def as_of_ms(self) -> int:
        """The time at which profiles are read after the last record."""
        return self._fold.as_of_ms if self._fold is not None else 0

    def customers(self) -> list[str]:
        """The customers that the log gives."""
        return list(self._rows.customers())

    def applied_to(self, customer: str) -> int | None:
        """The offset of the last record that changed the customer's row; None without a row, and
        for an id without a profile of its own.
        """
        row = self._rows.peek(customer)
        return None if row is None or not is_told(row) else row.applied

    async def profile_of(self, customer: str, at_ms: int, version: int) -> bytes | None:
        """The profile as of ``at_ms`` by a model; None if the partition never used that model."""
        if self._reader is None or self._reader.snapshot.version != version:
            if version and version not in self.adopted:
                return None
            sha256 = self.adopted.get(version, "")
            await self._snapshots.fetch(version, sha256)
            found = self._snapshots.get(version, sha256)
            self._reader = self._plan.context(found)
            if self._fold is not None:
                self._reader.begun_ms = self._fold.context.begun_ms
        row = self._rows.peek(customer)
        return None if row is None else encode_profile(profile(customer, row, at_ms, self._reader))

    def do_not_fold(self, reason: str) -> None:
        """Only look for the raw records in the log; report why it can't be folded."""
        self._fold = None
        self._audit.broken.append(reason)

    async def take(self, record: ConsumerRecord) -> None:
        """Take the next record of the log."""
        self._audit.checked["logRecords"] += 1
        offset = record.offset
        try:
            line = log_line_of(record, self._set_aside)
        except Rejected:
            # A record that ingest did not write: it changes nothing.
            if self._fold is not None:
                self._told_by(offset, None)
        else:
            if line.type == GONE:
                self._find_gone(offset, line)
            elif line.type in LINK_TYPES and line.source is not None:
                self._find_told(line.source, record.value or b"")
            elif line.source is not None:
                self._find_raw(record, line)
            if self._fold is not None:
                await self._apply(self._fold, record, line)
        if not (offset + 1) % PACK_EVERY_RECORDS:
            self._pack()
        if self._fold is not None:
            self._compare_if_due(offset)

    def finish(self) -> None:
        """Hand over what is expected, and report which parts of the state were not compared."""
        self._pack()
        if self._fold is not None:
            self._passed_on.folded(self._number, self._fold.state.applied + 1)
        if self._fold is not None:
            self._note_what_is_incomplete(self._fold.context)
        if self._fold is not None and not self._is_compared:
            self._audit.differs(
                "rows",
                "the rows are ahead of the log: customer-events was cut, or deleted and created "
                "again",
                f"partition {self._number} has applied {self._stored.state.applied}, the log ends "
                f"at {self._fold.state.applied}",
            )

    def _note_what_is_incomplete(self, context: Context) -> None:
        """Count the rows that lack the time before a part was in force."""
        if not context.begun_ms:
            return
        for customer in self._rows.customers():
            row = self._rows.peek(customer)
            assert row is not None
            scene = Scene(row, customer, self.as_of_ms, context)
            begun = {p.name: since for p in PARTS if (since := begun_after(scene, p))}
            if begun:
                self._audit.lacks(begun)

    async def _apply(self, fold: Partition, record: ConsumerRecord, line: Line) -> None:
        offset = record.offset
        try:
            if line.type == "model":
                await self._snapshots.fetch(line.version or 0, line.sha256 or "")
            clock_ms = fold.state.clock_ms
            applied = self._told_by(offset, line)
            if self.gone and fold.state.clock_ms > clock_ms:
                # Deadlines of customers erased since may have been due then.
                self._loosen(offset)
        except SnapshotError as error:
            self.do_not_fold(
                f"partition {self._number} was compared only up to offset {offset}: {error}. "
                f"Its customers and what was decided for them are unchecked"
            )
            self._spool.forget()
            self._expected.clear()
            return
        if isinstance(applied, Rejected):
            self._expect_letter(line, applied, offset)
            return
        if fold.state.model_version:
            self.adopted.setdefault(fold.state.model_version, fold.state.model_sha256)
        if applied.refused is not None:
            self._expect_letter(line, applied.refused, offset)
        if applied.fate is Fate.LATE:
            self._expect_letter(line, Rejected(Reason.TOO_LATE, "", ""), offset)
        if applied.fate is not None:
            self._audit.checked[f"events:{applied.fate}"] += 1
        for effect in applied.effects:
            self._expect_all_of(effect, offset)

    def _told_by(self, offset: int, line: Line | None) -> Applied | Rejected:
        """Fold the record; return what it did to the rows of that time."""
        while self._refolds[0].until <= offset:
            del self._refolds[0]
        outcomes = [refold.apply(offset, line) for refold in self._refolds]
        return outcomes[0]

    def _expect_all_of(self, effect: FoldEffect, offset: int) -> None:
        if isinstance(effect, LinkRecord):
            self._passed_on.ask(effect, is_due=offset < self._committed)
            return
        if isinstance(effect, Erased):
            notice = notice_of(effect, self._graves.fingerprints.of(effect.customer))
            digest = digest_of(encode_notice(notice))
            for topic in DELIVERED_TOPICS:
                self._expect(Effect(topic, notice.id, digest), offset)
            return
        for expected in effects_of(effect):
            self._expect(expected, offset)

    def _find_told(self, source: Source, value: bytes) -> None:
        """Note a record from another partition. If it is one that the fold drops as a repeat, skip
        it: after a crash it may stand at the place of another record.
        """
        if self._fold is None or not is_behind(source, self._fold.state.sources):
            self._passed_on.find(source, value)

    def _loosen(self, offset: int, letter: str | None = None) -> None:
        self._spool.loosen(offset, letter)
        self._passed_on.loosen(self._number, offset)

    def _find_gone(self, offset: int, line: Line) -> None:
        """Note a record without content: it names its source, but its own effects are unknown."""
        self.gone += 1
        source = line.source
        self._loosen(offset, source.message_id if source is not None else None)
        if source is None:
            return
        if source.topic == CUSTOMER_EVENTS:
            self._passed_on.find(source, None)
            return
        is_repeated(source, self._sources, self._generations)
        fates = self._fates.get((source.topic, source.partition))
        if fates is not None and fates.has(source):
            fates.mark(source.offset, IN_LOG)
        else:
            self.without_source += 1

    def _find_raw(self, record: ConsumerRecord, line: Line) -> None:
        source = line.source
        assert source is not None
        is_again = is_repeated(source, self._sources, self._generations)
        fates = self._fates.get((source.topic, source.partition))
        if fates is None or not fates.has(source):
            self._miss_source(source, fates, record.offset)
            return
        if is_again and not fates.marks(source.offset) & IN_LOG:
            fates.mark(source.offset, DROPPED)
        expected = fates.mark(source.offset, IN_LOG)
        found = digest_of(record.value or b"", self._number)
        if expected == found or fates.is_of_earlier(source.offset, found):
            return
        if line.traits != NULL:
            rest = digest_without_traits(event_of(line, message_id=""), self._number)
            if fates.is_of_earlier(source.offset, rest):
                return
        if source.generation != fates.generation:
            self.of_older_release += 1
        else:
            self._audit.differs(
                "events",
                "events of the log are not what the raw records give with these parameters",
                f"{source.message_id}, in partition {self._number} at {record.offset}",
            )

    def _miss_source(self, source: Source, fates: RawFates | None, at: int) -> None:
        """The raw record is not there. It was deleted, by retention or with its topic; or it was
        written since; or it never existed.
        """
        is_of_another = fates is not None and source.generation not in (None, fates.generation)
        if is_of_another or (fates is not None and source.offset < fates.begin):
            self.without_source += 1
        elif fates is None or at < self._log_end:
            self._audit.differs(
                "events",
                "the log names raw records that are not there: a raw topic was cut, or somebody "
                "else writes to customer-events",
                f"{source.message_id}, in partition {self._number} at {at}",
            )

    def _expect_letter(self, line: Line, rejected: Rejected, offset: int) -> None:
        if line.source is not None:
            source = line.source
            digest = digest_of(str(rejected.reason).encode())
            self._expect(Effect(DEAD_LETTERS, source.message_id, digest), offset)

    def _expect(self, effect: Effect, offset: int) -> None:
        is_due = offset < self._committed
        self._audit.checked[effect.topic] += is_due
        self._expected.append((effect, offset, is_due))

    def _pack(self) -> None:
        for refold in self._refolds:
            refold.pack()
        self._spool.expect(self._expected)
        self._expected.clear()

    def _compare_if_due(self, offset: int) -> None:
        """Compare when the fold has reached the rows: all rows at the state's offset, and rows of a
        half-written batch at their own.
        """
        if offset == self._stored.state.applied:
            self._compare()
        for customer in self._ahead.pop(offset, ()):
            self._pack()
            self._compare_row(customer)

    def _compare(self) -> None:
        self._is_compared = True
        self._pack()
        assert self._fold is not None
        stored = self._stored
        expected = _as_known_to(stored.state, self._fold.state, stored.graves)
        if stored.state != expected:
            self._audit.differs(
                "rows",
                "the state of a partition is not what the log gives",
                f"partition {self._number}: {_unequal(stored.state, expected)}",
            )
        ahead = {customer for customers in self._ahead.values() for customer in customers}
        late = stored.graves.erased_after(stored.state.applied)
        for customer in self._rows.customers():
            is_buried = late and stored.graves.fingerprints.of(customer) in late
            if customer not in stored.packed and not is_buried:
                self._audit.differs("rows", "customers have no row", customer)
        for customer in stored.packed:
            if customer not in ahead:
                self._compare_row(customer)
        self._compare_graves()

    def _compare_graves(self) -> None:
        """Compare the graves of customers erased up to the state's offset."""
        stored, expected = self._stored.graves.all_packed(), self._graves.all_packed()
        late = self._stored.state.applied
        for name in stored.keys() | expected.keys():
            written, made = stored.get(name), expected.get(name)
            if written is not None and decode_grave(written).applied > late:
                continue
            self._audit.checked["erased"] += 1
            if not is_same_grave(written, made):
                self._audit.differs(
                    "rows",
                    "who was erased is not what the log gives",
                    f"partition {self._number}: {name.hex()}",
                )

    def _compare_row(self, customer: str) -> None:
        self._audit.checked["customers"] += 1
        written, expected = self._stored.packed[customer], self._rows.packed(customer)
        if expected is None:
            self._audit.differs("rows", "the log has no such customers", customer)
        elif not has_content(written, expected):
            words = ", ".join(different_parts(written, expected))
            self._audit.differs(
                "rows", "customers have another row than the log gives", f"{customer} ({words})"
            )


def effects_of(effect: FoldEffect) -> Iterator[Effect]:
    """The records that an effect becomes on its topics."""
    if isinstance(effect, Rehearsed | LabelsDropped | LinkRecord | Erased):
        return
    output = OUTPUTS[type(effect)]
    if isinstance(effect, Taught):
        yield lesson_effect(effect)
        return
    digest = digest_of(output.encode(effect))
    yield Effect(output.topic, effect.id, digest)
    if output.ledger_key is not None:
        yield Effect(DECISION_LEDGER, effect.id, digest)


def lesson_effect(lesson: Lesson) -> Effect:
    """A lesson as an effect. Its name is its place in its partition of the log; its digest leaves
    out its number among the lessons of its record.
    """
    said = digest_of(encode_lesson(replace(lesson, index=0)))
    name = f"{lesson.offset}-{lesson.index}"
    return Effect(LABELLED_EXAMPLES, name, said, offset=lesson.offset)


def _rows_ahead(stored: ChangelogFold) -> dict[int, list[str]]:
    """Customers whose rows are later than the partition's state, by the rows' offsets."""
    ahead: dict[int, list[str]] = {}
    for customer, packed in stored.packed.items():
        applied = check_row(packed, VERSIONS).applied
        if applied > stored.state.applied:
            ahead.setdefault(applied, []).append(customer)
    return ahead


def _as_known_to(
    stored: PartitionState, expected: PartitionState, graves: CustomerGraves
) -> PartitionState:
    """The state that must be stored, where it may differ from the folded one.

    ``rehearsed`` is only for people, and after a crash lacks the batch in flight. An older release
    that knew no generations did not write any; the source's next record restores its only one.
    Since when segments are those of now follows from when a worker was started with them. A
    grave written before its state sets the format of the next state.
    """
    generations = {
        name: known
        for name, known in expected.generations.items()
        if name in stored.generations or len(known) > 1
    }
    written = expected.format
    noted = expected.in_force if stored.in_force else ()
    if len(graves):
        written = stored.format if graves.applied > stored.applied else GRAVES_FORMAT
    return replace(
        expected,
        format=written,
        rehearsed=stored.rehearsed,
        generations=generations,
        in_force=noted,
        replaced=stored.replaced,
        watched=stored.watched,
    )


def _unequal(stored: PartitionState, expected: PartitionState) -> str:
    return ", ".join(
        f"{field} is {getattr(stored, field)}, and should be {getattr(expected, field)}"
        for field in PartitionState.__struct_fields__
        if getattr(stored, field) != getattr(expected, field)
    )
