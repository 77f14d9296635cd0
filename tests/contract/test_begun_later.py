"""A part that an earlier release did not know, or that was off for a while, is audited exactly.

After an upgrade the audit must be right: folding the whole log, with the parts that the state says
were in force, gives the same bytes, decisions and lessons. So it must be with any future part.
"""

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any, NamedTuple, cast

import pytest
from msgspec.structs import replace

from agents.words.profile import lines
from config.duration import DAY_MS
from models.applied import Applied
from models.customer.engagement import ENGAGEMENT
from models.customer.part import Part
from models.customer.profile import profile
from models.customer.registry import PARTS
from models.decisions.trigger import Decision, encode_decision
from models.engine import Effect
from models.events.event import Event
from models.events.wire import decode_line, encode_event
from models.graves import Grave
from models.learning.lessons import Lesson, encode_lesson
from models.partition import Partition
from models.partition_state import PartitionState, decode_state, encode_state, rehearsing_state
from models.parts_in_force import InForce, replaced
from models.plan import Plan, plan_for
from streams.auditing.refold import Refold, parts_of_others, refolds
from streams.auditing.report import Audit
from streams.log_records import clock_record, live_record
from streams.snapshot_store import SnapshotStore
from tests.contract.lives import life
from tests.contract.parts import ALL_ON
from tests.models.lines import PRIOR, START_MS
from tests.properties.histories import StoredRows

_SWITCHED = [part for part in PARTS if part.has_switch]
every_switched_part = pytest.mark.parametrize("part", _SWITCHED, ids=[p.name for p in _SWITCHED])
#: Those that each release has had, and that a fold cannot do without.
_ALWAYS = {
    *("acquisition", "cart", "churn", "consent", "contacts", "engagement", "evidence"),
    *("identities", "named_events", "purchases", "support"),
}
_PRESENT = plan_for(ALL_ON)


class _Snapshots:
    prior = PRIOR

    def get(self, *_: object) -> object:
        return PRIOR


SNAPSHOTS = cast(SnapshotStore, _Snapshots())


class Left(NamedTuple):
    """What workers leave behind."""

    rows: dict[str, bytes]
    state: PartitionState
    effects: list[bytes]


def log_of(part: Part[Any], seed: int) -> list[bytes]:
    """Half a year of three customers, with clock records."""
    rng, records = Random(seed), [live_record(START_MS)]
    for month in range(6):
        begin_ms = START_MS + month * 30 * DAY_MS
        events: list[Event] = []
        for one in (part, rng.choice(PARTS)):
            message = f"{month}-{one.name}"
            whole = life(one, rng, size=12, begin_ms=begin_ms, span_ms=DAY_MS, message=message)
            events += [replace(e, customer=rng.choice(("ada", "bob", "cleo"))) for e in whole]
        records += map(encode_event, sorted(events, key=lambda one: one.occurred_at_ms))
        records.append(clock_record(begin_ms + 29 * DAY_MS))
    return records


def told(effects: Iterable[Effect]) -> list[bytes]:
    decided = [encode_decision(one) for one in effects if isinstance(one, Decision)]
    return decided + [encode_lesson(one) for one in effects if isinstance(one, Lesson)]


def worked(log: Sequence[bytes], turns: Sequence[tuple[int, Plan]]) -> Left:
    """What several workers leave behind, each of which folds up to an offset, with a plan of its
    own.
    """
    rows, state, effects = StoredRows({}), encode_state(rehearsing_state()), list[bytes]()
    graves: dict[str, Grave] = {}
    for until, plan in turns:
        rows = StoredRows(rows.stored)
        fold = Partition(0, rows, PRIOR, plan, lambda *_: PRIOR, decode_state(state), graves)
        for offset in range(fold.state.applied + 1, until):
            effects += told(fold.apply(offset, decode_line(log[offset])).effects)
        state = encode_state(fold.state)
    return Left(dict(rows.stored), decode_state(state), effects)


def folded(log: Sequence[bytes], state: PartitionState, plan: Plan) -> tuple[Refold, list[bytes]]:
    """The log folded again, as an audit does it."""
    every = refolds(0, state, plan, SNAPSHOTS, "")
    effects: list[bytes] = []
    for offset, record in enumerate(log):
        while every[0].until <= offset:
            del every[0]
        outcomes = [refold.apply(offset, decode_line(record)) for refold in every]
        assert isinstance(outcomes[0], Applied)
        effects += told(outcomes[0].effects)
    every[-1].pack()
    return every[-1], effects


def earlier(part: Part[Any]) -> Plan:
    """The plan of a release without the part; its rules and other parts do not refer to it."""
    without = part.switched(ALL_ON, on=False)
    plan = plan_for(without, tuple(one for one in PARTS if one is not part))
    return plan._replace(facts=plan_for(without).facts)


def test_a_part_that_is_new_can_be_folded_without() -> None:
    """Any other part needs `enabled` among its parameters."""
    assert {part.name for part in PARTS if not part.has_switch} == _ALWAYS


@every_switched_part
def test_after_an_upgrade_everything_follows_from_the_log(part: Part[Any]) -> None:
    for seed in range(1, 9):
        log = log_of(part, seed)
        most = len(log) * 9 // 10
        left = worked(log, [(most, earlier(part)), (len(log), _PRESENT)])
        whole = worked(log, [(len(log), _PRESENT)])

        refold, effects = folded(log, left.state, _PRESENT)

        assert left.rows == refold.rows.all_packed()
        assert left.effects == effects
        assert left.state == refold.fold.state
        if (left.rows, left.effects) != (whole.rows, whole.effects):
            # There was something to get wrong.
            return
    raise AssertionError("in none of these logs is there something to get wrong")


@every_switched_part
def test_back_and_forth_too(part: Part[Any]) -> None:
    log = log_of(part, 2)
    cuts = [len(log) * share // 5 for share in (1, 2, 3, 4, 5)]
    releases = (_PRESENT, earlier(part), _PRESENT, earlier(part), _PRESENT)
    left = worked(log, list(zip(cuts, releases, strict=True)))

    refold, effects = folded(log, left.state, _PRESENT)

    assert left.rows == refold.rows.all_packed()
    assert left.effects == effects
    assert left.state == refold.fold.state
    assert [0, *cuts[:-1]] == [one.since for one in left.state.in_force]


@every_switched_part
def test_a_switch_is_an_upgrade(part: Part[Any]) -> None:
    log, off = log_of(part, 3), plan_for(part.switched(ALL_ON, on=False))
    third = len(log) // 3
    left = worked(log, [(third, _PRESENT), (2 * third, off), (len(log), _PRESENT)])

    # Also for whoever is told that it is off.
    for plan in (_PRESENT, off):
        refold, effects = folded(log, left.state, plan)
        assert left.rows == refold.rows.all_packed()
        assert left.effects == effects


@every_switched_part
def test_a_section_says_since_when_it_is_complete(part: Part[Any]) -> None:
    log = log_of(part, 4)
    half = len(log) // 2
    left = worked(log, [(half, earlier(part)), (len(log), _PRESENT)])
    refold, _ = folded(log, left.state, _PRESENT)
    begun_ms = left.state.in_force[-1].at_ms
    assert START_MS < begun_ms < START_MS + 180 * DAY_MS
    were_there = 0

    for customer in refold.rows.customers():
        row = refold.rows.peek(customer)
        assert row is not None
        shown = profile(customer, row, refold.fold.as_of_ms, refold.fold.context)
        since = {name: one.complete_since for name, one in shown.sections.items()}
        # Whoever was erased since then is known only from then on.
        was_there = row.read(ENGAGEMENT).first_at_ms <= begun_ms
        were_there += was_there
        names = {"".join(_camel(section.name)) for section in part.sections if was_there}
        assert names == {name for name, one in since.items() if one is not None}
        told = [line.words for line in lines(shown, "EUR") if line.name == "kept only since"]
        assert len(told) == bool(names)
        assert all(name in words for name in names for words in told)
    assert were_there


def _camel(name: str) -> list[str]:
    first, *rest = name.split("_")
    return [first, *(word.capitalize() for word in rest)]


def test_after_a_rebuild_what_was_told_before_is_as_it_was_told() -> None:
    part = next(part for part in PARTS if part.name == "lifecycle")
    log = log_of(part, 5)
    third, two = len(log) // 3, 2 * len(log) // 3
    upgraded = worked(log[:two], [(third, earlier(part)), (two, _PRESENT)])
    rebuilt = worked(log[:two], [(two, _PRESENT)])
    assert upgraded.rows != rebuilt.rows
    assert upgraded.effects != rebuilt.effects

    past = replaced((), upgraded.state.in_force, two, rebuilt.state.in_force)
    refold, effects = folded(log[:two], replace(rebuilt.state, replaced=past), _PRESENT)

    assert rebuilt.rows == refold.rows.all_packed()
    assert upgraded.effects == effects
    assert {} == refold.fold.context.begun_ms


def test_a_release_that_knows_less_leaves_it_to_the_other() -> None:
    noted = (InForce(0, 0, ("ca", "zz")), InForce(5, 1, ("ca",)))
    state = PartitionState(applied=7, in_force=noted)
    assert ["zz"] == parts_of_others(state)
    assert [] == parts_of_others(PartitionState(applied=7))


def test_rows_that_lack_the_same_are_one_line() -> None:
    outcome = Audit()
    for begun_ms in (START_MS + DAY_MS, START_MS):
        outcome.lacks({"tiers": begun_ms, "risk": begun_ms, "segments": begun_ms})
    outcome.lacks({"risk": START_MS})

    said = [
        str(one).partition(" since 2026-01-01T00:00:00.000Z, ")[0] for one in outcome.incomplete
    ]
    assert ["2 rows have risk, segments and tiers", "1 rows have risk"] == said
    assert outcome.is_exact
