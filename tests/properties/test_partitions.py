"""Wherever a log is cut, and whatever was written before a crash, the outcome is the same."""

from collections.abc import Iterable
from itertools import pairwise
from random import Random
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from config.duration import DAY_MS
from models.customer.row import Row, decode_row
from models.decisions.trigger import (
    ActionWithdrawn,
    Decision,
    NextBestAction,
    Trigger,
    encode_decision,
)
from models.engine import Effect
from models.events.rejection import Rejected
from models.events.wire import decode_line
from models.learning.bgnbd import BgNbd
from models.learning.churn_models import ChurnModels, ChurnScoring, LinearModel
from models.learning.feature_names import NAMES
from models.learning.lessons import DayEnd, Example, Observation, Tally, encode_lesson
from models.learning.population import Population
from models.learning.snapshot import Snapshot
from models.learning.trainer import Trainer
from models.partition import Partition
from models.partition_state import PartitionState, decode_state, encode_state
from models.plan import plan_for
from tests.examples import drawn
from tests.models.lines import MINUTE_MS, PRIOR, START_MS, line, of
from tests.models.lines import PARAMETERS as SHIPPED
from tests.properties.histories import CUSTOMERS, StoredRows, canonical_log, canonical_logs

#: So few messages are remembered that positions must tell what was folded in already.
PARAMETERS = replace(SHIPPED, bounds=replace(SHIPPED.bounds, messages=1))
PLAN = plan_for(PARAMETERS)


def snapshot_of(version: int, sha256: str = "") -> Snapshot:
    """Models that differ, so that it matters which of them made a decision."""
    size = len(NAMES)
    weights = LinearModel(0.4, tuple(0.3 * (-1) ** (n + version) for n in range(size)))
    models = ChurnModels(
        means=(1.0,) * size,
        deviations=(2.0,) * size,
        logistic=weights,
        bayesian=weights,
        shift=0.1,
        champion="baseline" if version % 2 else "blend",
        examples=500,
    )
    population = replace(
        PRIOR.of(Population),
        gap_days=2.0 + 9.0 * version,
        bgnbd=BgNbd(0.5, 2.0 + version, 0.8, 1.5),
    )
    return PRIOR.replace(population, ChurnScoring({"28": models}), version=version)


class Stored(NamedTuple):
    """What a worker leaves behind when it stops."""

    rows: dict[str, bytes]
    state: bytes


NOTHING = Stored({}, encode_state(PartitionState()))


class Run(NamedTuple):
    effects: list[Effect]
    stored: Stored
    #: Stored after each record; the first is what the run began with.
    history: list[Stored]


def run(records: Iterable[bytes], start: Stored = NOTHING) -> Run:
    """Fold the records of one partition from its beginning, skipping those that are folded in
    already.
    """
    rows = StoredRows(start.rows)
    state = decode_state(start.state)
    partition = Partition(0, rows, snapshot_of(state.model_version), PLAN, snapshot_of, state)
    effects: list[Effect] = []
    history = [Stored(dict(rows.stored), encode_state(state))]
    for offset, content in enumerate(records):
        try:
            effects += partition.apply(offset, decode_line(content)).effects
        except Rejected:
            partition.skip(offset)
        history.append(Stored(dict(rows.stored), encode_state(partition.state)))
    return Run(effects, history[-1], history)


def states(run: Run) -> list[bytes]:
    return [stored.state for stored in run.history]


def decided(effects: Iterable[Effect]) -> list[bytes]:
    """Triggers and next best actions, as they are emitted."""
    return [encode_decision(e) for e in effects if isinstance(e, Decision)]


def learnt(effects: Iterable[Effect]) -> list[bytes]:
    """The lessons that a trainer accepts, which drops those whose offset it has seen."""
    trainer = Trainer(PARAMETERS)
    lessons = [e for e in effects if isinstance(e, Observation | Example)]
    return [encode_lesson(lesson) for lesson in lessons if trainer.learn(lesson)]


def kept(row: Row) -> dict[str, object]:
    """A row's decisions and waiting labels."""
    contacts, labels = of(row).contacts, of(row).labels
    return {
        "decisions": contacts.latest,
        "at_risk": contacts.at_risk,
        "fired_ms": contacts.fired_ms,
        "waiting": labels.waiting(),
        "counted": labels.counted,
    }


def test_the_logs_bring_about_everything_that_can_be() -> None:
    kinds: set[str] = set()
    effects: set[type] = set()
    parts: set[str] = set()
    for seed in range(30):
        whole = run(canonical_log(seed, 50))
        effects |= {type(effect) for effect in whole.effects}
        kinds |= {effect.kind for effect in whole.effects if isinstance(effect, Trigger)}
        for stored in whole.history:
            rows = [decode_row(content) for content in stored.rows.values()]
            parts |= {part for row in rows for part, value in kept(row).items() if value}

    decided, taught = (
        {Trigger, NextBestAction, ActionWithdrawn},
        {Observation, Example, Tally, DayEnd},
    )
    assert decided | taught == effects
    # Thinning out takes a history of months, a word on points takes larger orders, to depend on
    # prices takes three orders with a discount, ranks take many customers, and years, contacts and
    # channels take long.
    rare = {
        "silent-churn",
        "points-earned",
        "points-expiring",
        "level-near",
        "level-changed",
        "price-dependent",
        "drifting",
        "improved-for-them",
        "became-vip",
        "vip-slipping",
        "became-key-customer",
        "key-customer-slipping",
        "relationship-fell",
        "anniversary",
        "contact-due",
        "channel-shift",
    }
    assert {rule.name for rule in PARAMETERS.triggers.triggers} - rare == kinds - rare
    assert kept(Row()).keys() == parts


@given(records=canonical_logs(), data=st.data())
def test_a_partition_resumed_from_what_it_stored_goes_on_as_if_never_stopped(
    records: list[bytes], data: st.DataObject
) -> None:
    whole = run(records)
    cut = data.draw(st.integers(0, len(records)))
    before = run(records[:cut])
    after = run(records, start=before.stored)

    assert whole.history[cut:] == after.history[cut:]
    assert whole.effects == [*before.effects, *after.effects]


@given(records=canonical_logs(), data=st.data())
@drawn(times=6)
def test_rows_ahead_of_their_partition_after_a_crash_change_nothing(
    records: list[bytes], data: st.DataObject
) -> None:
    whole = run(records)
    begun = data.draw(st.integers(0, len(records)), label="state as of")
    reached = min(begun + data.draw(st.integers(0, 12), label="a batch of"), len(records))
    # Effects go out before rows, and rows before the state: each row is as of some record between.
    crashed = dict(whole.history[begun].rows)
    rng = Random(data.draw(st.integers(0, 2**64), label="rows as of"))
    for customer in CUSTOMERS:
        written = whole.history[rng.randint(begun, reached)].rows
        if customer in written:
            crashed[customer] = written[customer]
    out_before = run(records[:reached]).effects
    again = run(records, start=Stored(crashed, whole.history[begun].state))

    assert whole.history[reached:] == again.history[reached:]
    assert states(whole)[begun:] == states(again)[begun:]
    together = [*out_before, *again.effects]
    assert set(decided(whole.effects)) == set(decided(together))
    assert learnt(whole.effects) == learnt(together)


@given(records=canonical_logs())
def test_records_read_again_do_nothing(records: list[bytes]) -> None:
    whole = run(records)
    again = run(records, start=whole.stored)

    assert ([], whole.stored) == (again.effects, again.stored)


@given(records=canonical_logs())
def test_a_position_never_goes_back(records: list[bytes]) -> None:
    for before, after in pairwise(run(records).history):
        for customer, content in before.rows.items():
            assert decode_row(content).applied <= decode_row(after.rows[customer]).applied
        assert decode_state(before.state).applied < decode_state(after.state).applied
        assert decode_state(before.state).clock_ms <= decode_state(after.state).clock_ms


@given(records=canonical_logs())
def test_every_decision_has_an_id_of_its_own(records: list[bytes]) -> None:
    ids = [e.id for e in run(records).effects if isinstance(e, Decision)]

    assert len(ids) == len(set(ids))


@given(records=canonical_logs())
def test_every_moment_with_a_trigger_has_one_decision_that_accounts_for_every_action(
    records: list[bytes],
) -> None:
    """At most one of all actions is chosen; each of the others is outranked or rejected, once."""
    fired: list[Trigger] = []
    names = sorted(action.name for action in PARAMETERS.actions.actions)
    for effect in run(records).effects:
        if isinstance(effect, Trigger):
            fired.append(effect)
        if not isinstance(effect, NextBestAction):
            continue
        assert {(effect.user_id, effect.timestamp, effect.group)} == {
            (trigger.user_id, trigger.timestamp, trigger.group) for trigger in fired
        }
        assert effect.triggers == tuple(trigger.kind for trigger in fired)
        told = [o.action for o in effect.outranked] + [o.action for o in effect.suppressed]
        assert names == sorted(told if effect.action is None else [*told, effect.action])
        assert effect.action is not None or not effect.outranked
        fired = []

    assert [] == fired


@given(records=canonical_logs())
def test_lessons_are_in_the_order_of_their_places(records: list[bytes]) -> None:
    observed = [e for e in run(records).effects if isinstance(e, Observation | Example)]
    places = [(o.offset, o.index) for o in observed]

    assert sorted(set(places)) == places


@given(seed=st.integers(0, 2**32), hours=st.integers(1, 24 * 90))
def test_what_silence_brings_comes_in_the_order_of_deadline_and_customer(
    seed: int, hours: int
) -> None:
    rng = Random(seed)
    rows = StoredRows()
    partition = Partition(0, rows, PRIOR, PLAN, snapshot_of)
    names = [f"c-{number}" for number in range(12)]
    offset = 0
    for name in rng.sample(names, len(names)):
        # Few moments, so that customers share deadlines.
        at_ms = START_MS + rng.randrange(3) * MINUTE_MS
        for event, properties in (
            ("Product Added", {"product_id": "P", "price": 1.0}),
            ("Ticket Opened", {"ticket_id": "T", "priority": rng.choice(["urgent", "low"])}),
        ):
            if rng.random() < 0.7:
                content = line(event, at_ms, customer=name, properties=properties)
                partition.apply(offset, decode_line(content))
                offset += 1
    told = [
        effect
        for effect in partition.advance_clock(offset, START_MS + hours * 60 * MINUTE_MS).effects
        if isinstance(effect, Trigger)
    ]
    order = [(trigger.timestamp, trigger.user_id) for trigger in told]

    assert sorted(order) == order
    assert [] == partition.advance_clock(offset + 1, START_MS + hours * 60 * MINUTE_MS).effects


@given(records=canonical_logs(), days=st.integers(1, 400))
def test_the_clock_in_one_leap_or_in_many_steps_decides_the_same(
    records: list[bytes], days: int
) -> None:
    end = run(records)
    clock_ms = decode_state(end.stored.state).clock_ms

    def silence(moments: list[int]) -> tuple[list[bytes], list[bytes]]:
        rows = StoredRows(end.stored.rows)
        state = decode_state(end.stored.state)
        snapshot = snapshot_of(state.model_version)
        partition = Partition(0, rows, snapshot, PLAN, snapshot_of, state)
        effects: list[Effect] = []
        for number, moment in enumerate(moments):
            effects += partition.advance_clock(len(records) + number, moment).effects
        lessons = [e for e in effects if isinstance(e, Observation | Example)]
        # But for their places, which follow from how many steps there were.
        return decided(effects), [
            encode_lesson(replace(lesson, offset=0, index=0)) for lesson in lessons
        ]

    steps = [clock_ms + day * DAY_MS for day in range(1, days + 1)]
    assert silence(steps[-1:]) == silence(steps)
