"""A partition: positions, fates, the clock and the model, and what a repeat may not do."""

from collections.abc import Iterable

import orjson
import pytest

from config.duration import DAY_MS
from models.applied import Applied
from models.customer.part import Part, Timer
from models.customer.registry import PARTS
from models.customer.row import Row, decode_row, encode_row
from models.customer.scene import Scene
from models.decisions.trigger import Trigger
from models.engine import Fate
from models.events.event import Event, Source
from models.events.rejection import Reason, Rejected
from models.events.times import iso
from models.events.wire import decode_line, encode_event
from models.learning.day_ends import day_end_ms
from models.learning.lessons import Lesson, Observation
from models.learning.population import Population
from models.learning.snapshot import Snapshot, UnknownSnapshot
from models.partition import Partition
from models.partition_state import PartitionState
from models.plan import Plan, plan_for
from tests.models.lines import MINUTE_MS, PARAMETERS, PRIOR, at, happened, line, of

PLAN = plan_for(PARAMETERS)
#: The hash of a snapshot that is announced, but not there.
NOBODYS = "ff"


class HotRows:
    """Rows as a worker keeps them: stored, in memory once they are asked for, and which of them
    were written.
    """

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.rows: dict[str, Row] = {}
        self.written: list[str] = []

    def get(self, customer: str) -> Row | None:
        if customer not in self.rows and customer in self.stored:
            self.rows[customer] = decode_row(self.stored[customer])
        return self.rows.get(customer)

    def put(self, customer: str, row: Row) -> None:
        self.rows[customer] = row
        self.stored[customer] = encode_row(row)
        self.written.append(customer)

    def forget(self, customer: str) -> None:
        self.rows.pop(customer, None)

    def remove(self, customer: str, _offset: int) -> None:
        self.rows.pop(customer, None)
        self.stored.pop(customer, None)

    def due(self) -> Iterable[tuple[int, str]]:
        return [(row.wakes_ms, key) for key, row in self.rows.items() if row.wakes_ms]

    def applied(self) -> Iterable[tuple[int, str]]:
        return [(row.applied, key) for key, row in self.rows.items()]


class Log:
    """A partition and the records appended to it."""

    def __init__(self, plan: Plan = PLAN) -> None:
        self.rows = HotRows()
        self.asked_for: list[tuple[int, str]] = []
        self.partition = Partition(3, self.rows, PRIOR, plan, self._snapshot)

    def _snapshot(self, version: int, sha256: str) -> Snapshot:
        self.asked_for.append((version, sha256))
        if sha256 == NOBODYS:
            raise UnknownSnapshot("it is not there")
        cuts = (1.0, 2.0, 3.0, 4.0)
        return PRIOR.replace(Population(cuts, cuts, cuts, 30.0, 5_000.0), version=version)

    @property
    def state(self) -> PartitionState:
        return self.partition.state

    def append(self, content: bytes) -> Applied:
        return self.partition.apply(self.state.applied + 1, decode_line(content))

    def clock(self, at_ms: int) -> list[str]:
        applied = self.append(orjson.dumps({"type": "clock", "timestamp": iso(at_ms)}))
        return [f"{e.user_id} {e.kind}" for e in applied.effects if isinstance(e, Trigger)]

    def model(self, version: object, sha256: str = "ab") -> None:
        self.append(orjson.dumps({"type": "model", "version": version, "sha256": sha256}))


@pytest.fixture
def log() -> Log:
    return Log()


def page(at_ms: int, message: str = "m-1") -> bytes:
    return line("page", at_ms, message=message)


def put(at_ms: int, customer: str = "ada") -> bytes:
    return line("Product Added", at_ms, customer=customer, properties={"product_id": "P"})


def from_source(offset: int, message: str, topic: str = "clickstream", partition: int = 0) -> bytes:
    source = Source(topic=topic, partition=partition, offset=offset, received_at=at())
    event = happened("page", at(), message=message)
    return (
        encode_event(event)[:-1]
        + b',"source":'
        + orjson.dumps(
            {
                "topic": source.topic,
                "partition": source.partition,
                "offset": source.offset,
                "receivedAt": source.received_at,
            }
        )
        + b"}"
    )


def test_every_event_has_one_fate(log: Log) -> None:
    assert Fate.APPLIED is log.append(page(at(days=9))).fate
    log.clock(at(days=9))

    assert Fate.DUPLICATE is log.append(page(at(days=9))).fate
    assert Fate.LATE is log.append(page(at(days=6, ms=-1), "m-2")).fate
    assert Fate.APPLIED is log.append(page(at(days=6), "m-3")).fate
    assert 2 == of(log.rows.rows["ada"]).engagement.interactions


def test_a_message_is_a_repeat_of_a_whole_one_only(log: Log) -> None:
    remembered = PARAMETERS.bounds.messages
    count = remembered + 136
    fates = [log.append(page(at(ms=n), f"m-{n}")).fate for n in range(count)]

    assert {Fate.APPLIED} == set(fates)
    assert Fate.DUPLICATE is log.append(page(at(), f"m-{count - 1}")).fate
    assert Fate.DUPLICATE is log.append(page(at(), f"m-{count - remembered}")).fate
    assert Fate.APPLIED is log.append(page(at(), f"m-{count - 1 - remembered}")).fate


def test_eight_bytes_across_two_messages_are_none_of_them(log: Log) -> None:
    log.append(page(at(), "m-1"))
    row = log.rows.rows["ada"]
    # As if two messages met so that a third one's bytes lie across them.
    across = b"\0\0\0" + row.messages + b"\0\0\0\0\0"
    log.rows.rows["ada"] = Row()
    log.rows.rows["ada"].messages = across

    assert Fate.APPLIED is log.append(page(at(), "m-1")).fate
    assert Fate.DUPLICATE is log.append(page(at(), "m-1")).fate


def test_what_ingest_repeats_after_a_crash_is_dropped_by_its_source(log: Log) -> None:
    fates = [
        log.append(from_source(*place)).fate
        for place in (
            (5, "m-1"),
            (6, "m-2"),
            (5, "m-3"),
            (6, "m-4"),
            (7, "m-5"),
        )
    ]

    applied, duplicate = Fate.APPLIED, Fate.DUPLICATE
    assert [applied, applied, duplicate, duplicate, applied] == fates
    assert applied is log.append(from_source(5, "m-6", partition=1)).fate
    assert applied is log.append(from_source(5, "m-7", topic="support")).fate
    assert {"clickstream-0": 7, "clickstream-1": 5, "support-0": 5} == log.state.sources


def test_a_record_that_is_folded_in_does_nothing_again(log: Log) -> None:
    log.append(put(at()))
    log.rows.written.clear()

    again = log.partition.apply(0, decode_line(put(at())))

    assert ([], None, None) == (again.effects, again.fate, again.event)
    assert [] == log.rows.written


def test_a_repeat_and_a_late_event_write_no_row(log: Log) -> None:
    log.append(page(at()))
    log.clock(at(days=30))
    log.rows.written.clear()

    log.append(page(at()))
    log.append(page(at(), "m-2"))

    assert [] == log.rows.written
    assert 3 == log.state.applied


def test_a_row_carries_the_offset_of_its_last_change(log: Log) -> None:
    log.append(put(at()))
    log.append(line("page", at(minutes=10), customer="bob"))
    log.clock(at(minutes=59))
    assert (0, 1) == (log.rows.rows["ada"].applied, log.rows.rows["bob"].applied)

    log.clock(at(minutes=60))
    assert (3, 1) == (log.rows.rows["ada"].applied, log.rows.rows["bob"].applied)


def test_what_is_no_record_of_the_log_is_refused_and_can_be_skipped(log: Log) -> None:
    log.append(page(at()))
    for content, reason in (
        (b'{"type":"score"}', Reason.UNKNOWN_EVENT),
        (b'{"type":"clock"}', Reason.REQUIRED_MISSING),
    ):
        with pytest.raises(Rejected) as refused:
            log.append(content)
        assert reason is refused.value.reason
        assert 0 == log.state.applied

    log.partition.skip(1)
    log.partition.skip(0)
    assert 1 == log.state.applied


def test_the_clock_runs_what_is_due_in_the_order_of_deadline_and_customer(log: Log) -> None:
    for customer, minute in (("eve", 1), ("bob", 2), ("ada", 2), ("dan", 3), ("joe", 9)):
        log.append(put(at(minutes=minute), customer))

    assert [] == log.clock(at(minutes=60))
    assert [f"{name} cart-abandoned" for name in ("eve", "ada", "bob", "dan")] == log.clock(
        at(minutes=63)
    )
    assert [] == log.clock(at(minutes=63))
    assert ["joe cart-abandoned"] == log.clock(at(days=2))


def test_a_deadline_that_moves_is_run_when_it_is_due_and_not_before(log: Log) -> None:
    log.append(put(at()))
    log.append(line("Cart Viewed", at(minutes=30)))
    assert [] == log.clock(at(minutes=60))
    assert ["ada cart-abandoned"] == log.clock(at(minutes=90))


def test_a_deadline_that_comes_first_after_all_is_run_first(log: Log) -> None:
    log.append(line("Order Completed", at(), properties={"revenue": 1}))
    log.append(put(at(minutes=1)))

    assert ["ada cart-abandoned"] == log.clock(at(minutes=61))


def test_the_clock_never_goes_back(log: Log) -> None:
    log.clock(at(days=2))
    log.append(put(at(days=1)))

    assert [] == log.clock(at(days=1, hours=5))
    assert at(days=2) == log.state.clock_ms
    assert ["ada cart-abandoned"] == log.clock(at(days=2))


def test_profiles_are_as_of_the_clock_or_of_an_event_ahead_of_it(log: Log) -> None:
    log.clock(at(days=1))
    assert at(days=1) == log.partition.as_of_ms
    log.append(page(at(days=1, minutes=1)))
    assert at(days=1) + MINUTE_MS == log.partition.as_of_ms
    log.append(page(at(), "m-2"))
    assert at(days=1) + MINUTE_MS == log.partition.as_of_ms


@pytest.mark.parametrize(
    ("announced", "asked_for", "version"),
    [
        ([1], [(1, "ab")], 1),
        ([1, 1], [(1, "ab")], 1),
        ([2, 1], [(2, "ab")], 2),
        ([1, 5], [(1, "ab"), (5, "ab")], 5),
        ([0], [], 0),
        ([None], [], 0),
        (["1"], [], 0),
    ],
)
def test_a_model_is_adopted_once_and_never_an_older_one(
    log: Log, announced: list[object], asked_for: list[tuple[int, str]], version: int
) -> None:
    for number in announced:
        log.model(number)

    assert asked_for == log.asked_for
    assert (version, version) == (log.state.model_version, log.partition.snapshot.version)


def test_an_older_snapshot_is_not_adopted(log: Log) -> None:
    log.partition.adopt(PRIOR.replace(version=3), "cd")
    log.partition.adopt(PRIOR.replace(version=2), "ef")

    assert (3, "cd") == (log.state.model_version, log.state.model_sha256)
    assert 3 == log.partition.snapshot.version


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_a_model_that_is_not_newer_is_not_even_asked_for(log: Log, version: int) -> None:
    """It may be gone, or be named by a hash that no snapshot has."""
    log.model(3)
    line = decode_line(orjson.dumps({"type": "model", "version": version, "sha256": "ab"}))
    assert not log.partition.adopts(log.state.applied + 1, line)
    log.model(version)
    assert [(3, "ab")] == log.asked_for


@pytest.mark.parametrize(
    ("version", "sha256", "words"),
    [(4, NOBODYS, "has no such snapshot"), (3, NOBODYS, "another snapshot of this version")],
)
def test_a_model_that_nobody_drew_does_not_rule(
    log: Log, version: int, sha256: str, words: str
) -> None:
    log.model(3)
    with pytest.raises(Rejected, match=words) as refused:
        log.model(version, sha256)
    assert (Reason.OUT_OF_RANGE, "$.sha256") == (refused.value.reason, refused.value.path)
    assert (3, "ab") == (log.state.model_version, log.state.model_sha256)
    log.model(4)
    assert 4 == log.state.model_version


def test_decisions_name_the_model_that_was_adopted_before_them(log: Log) -> None:
    log.append(put(at()))
    log.append(line("Order Completed", at(), customer="bob", properties={"revenue": 1}))
    log.clock(at(minutes=60))
    log.model(1)
    applied = log.append(orjson.dumps({"type": "clock", "timestamp": iso(at(days=200))}))

    versions = {e.user_id: e.model_version for e in applied.effects if isinstance(e, Trigger)}
    assert {"ada": 1, "bob": 1} == versions


def test_an_observation_names_its_place_in_the_log(log: Log) -> None:
    for customer in ("ada", "bob"):
        log.append(line("Order Completed", at(), customer=customer, properties={"revenue": 1}))
    moved = orjson.dumps({"type": "clock", "timestamp": iso(at() + 8 * DAY_MS)})
    effects = log.append(moved).effects

    taught = [e for e in effects if isinstance(e, Lesson)]
    assert [(3, 2, index) for index, _ in enumerate(taught)] == [
        (e.partition, e.offset, e.index) for e in taught
    ]
    assert 2 == len([e for e in taught if isinstance(e, Observation)])


def test_the_end_of_a_day_is_told_once_and_after_all_lessons_up_to_it(log: Log) -> None:
    for customer in ("ada", "bob"):
        log.append(line("Order Completed", at(), customer=customer, properties={"revenue": 1}))

    def moved(at_ms: int) -> list[str]:
        effects = log.append(orjson.dumps({"type": "clock", "timestamp": iso(at_ms)})).effects
        return [type(one).__name__ for one in effects if isinstance(one, Lesson)]

    end_ms = day_end_ms(at() + 7 * DAY_MS)
    moved(end_ms - 1)
    assert ["Observation", "Observation", "DayEnd"] == moved(end_ms)
    assert [] == moved(end_ms + DAY_MS - 1)
    assert ["DayEnd"] == moved(end_ms + 3 * DAY_MS)


class Broken:
    """The state of a part that fails."""

    def __init__(self) -> None:
        self.heard = 0


def _break(state: Broken, event: Event, scene: Scene) -> None:
    state.heard += 1
    scene.row.set_due("broken", event.occurred_at_ms + 5 * MINUTE_MS)
    if event.name == "Product Viewed":
        raise RuntimeError("a part is broken")


def _break_in_silence(scene: Scene) -> None:
    scene.row.edit(BROKEN).heard += 1
    raise RuntimeError("a timer is broken")


def _unpack_broken(content: bytes) -> Broken:
    state = Broken()
    state.heard = len(content)
    return state


#: Fails when a product is viewed, and five minutes after somebody signed in.
BROKEN: Part[Broken] = Part(
    name="broken",
    code="zz",
    about="Fails.",
    state=Broken,
    pack=lambda state: b"x" * state.heard,
    unpack=_unpack_broken,
    united=lambda _states, _parameters: Broken(),
    listens=frozenset({"Product Viewed", "Signed In"}),
    record=_break,
    timers=(Timer("broken", _break_in_silence),),
)


@pytest.fixture
def fragile() -> Log:
    return Log(plan_for(PARAMETERS, parts=(*PARTS, BROKEN)))


def test_a_step_that_fails_leaves_the_stored_row_as_it_was(fragile: Log) -> None:
    fragile.append(put(at()))
    stored = dict(fragile.rows.stored)

    with pytest.raises(RuntimeError, match="a part is broken"):
        fragile.append(line("Product Viewed", at(minutes=90)))

    kept = fragile.rows.get("ada")
    assert kept is not None
    assert stored == fragile.rows.stored == {"ada": encode_row(kept)}
    assert 0 == fragile.state.applied
    # The silence that the failed step had dealt with is decided for all the same.
    told = fragile.append(page(at(minutes=91))).effects
    assert ["cart-abandoned"] == [e.kind for e in told if isinstance(e, Trigger)]


def test_a_first_step_that_fails_makes_no_row(fragile: Log) -> None:
    with pytest.raises(RuntimeError, match="a part is broken"):
        fragile.append(line("Product Viewed", at()))

    assert fragile.rows.get("ada") is None
    assert {} == fragile.rows.stored


def test_a_timer_that_fails_leaves_the_stored_row_as_it_was(fragile: Log) -> None:
    fragile.append(line("Signed In", at()))
    fragile.append(line("page", at(), customer="bob"))
    stored = dict(fragile.rows.stored)

    with pytest.raises(RuntimeError, match="a timer is broken"):
        fragile.clock(at(minutes=5))

    kept = fragile.rows.get("ada")
    assert kept is not None
    assert stored == fragile.rows.stored
    assert stored["ada"] == encode_row(kept)
    assert at(minutes=5) == kept.next_due_ms
    assert 1 == kept.read(BROKEN).heard


def timers_told(steps: int) -> list[tuple[int, str]]:
    """What timers of ninety days tell of four customers, the clock moved in so many steps."""
    log, told = Log(), []
    for number in (7, 3, 5, 1):
        order = {"order_id": f"o-{number}", "revenue": 10 * number}
        placed_ms, who = at(hours=number % 4), f"c-{number}"
        log.append(line("Order Completed", placed_ms, customer=who, message=who, properties=order))
    for step in range(1, steps + 1):
        moved = {"type": "clock", "timestamp": iso(at() + 90 * DAY_MS * step // steps)}
        effects = log.append(orjson.dumps(moved)).effects
        told += [(e.timestamp_ms, e.features) for e in effects if isinstance(e, Observation)]
    return told


def test_timers_run_in_the_same_order_however_far_the_clock_moves_at_once() -> None:
    """By (time, customer), whether they were months away or near when they were set."""
    told = timers_told(steps=1)
    assert told == timers_told(steps=3) == timers_told(steps=700)
    assert len(told) >= 4 * 90 // 14
    assert sorted(moment for moment, _ in told) == [moment for moment, _ in told]
