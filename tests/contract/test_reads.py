"""A part reads its own state; of others, what they offer and it declares that it reads."""

import pkgutil
from importlib import import_module
from random import Random
from typing import Any

import pytest

import models.customer
from config.duration import DAY_MS
from models import engine
from models.customer import registry
from models.customer.order_news import COMPLETED
from models.customer.part import Part, Timer
from models.customer.purchases import PURCHASES, purchases
from models.customer.registry import PARTS
from models.customer.row import Row
from models.customer.scene import Scene
from models.events.event import Event
from models.plan import Plan
from tests.contract.fakes import fake
from tests.contract.lives import life, past_of
from tests.contract.parts import every_part, present
from tests.contract.watched import FreshScene, WatchedRow
from tests.models.lines import START_MS, happened


def recorded(part: Part[Any], row: WatchedRow, event: Event) -> None:
    """Take the event in, with an eye on this part."""
    within = present(event.occurred_at_ms)
    for heard_by in within.plan.routes[event.kind.number]:
        state = row.edit(heard_by)
        row.reader = part if heard_by.name == part.name else None
        heard_by.record(state, event, FreshScene(row, "ada", row.latest_ms, within.present, event))
        row.reader = None


def looked_at(part: Part[Any], row: WatchedRow, at_ms: int, event: Event | None = None) -> None:
    """Read everything that the part shows of itself."""
    read = [fact.read for fact in part.facts.values()]
    for reading in (*read, *(section.read for section in part.sections), *part.offers):
        row.reader = part
        reading(FreshScene(row, "ada", at_ms, present(at_ms).present, event))
        row.reader = None


def watched_timers(part: Part[Any], plan: Plan) -> Plan:
    """The plan with an eye on what this part's timers and looks do, and on how it begins anew; they
    raise no moments.
    """

    def eyed(timer: Timer) -> Timer:
        def run(scene: Scene) -> None:
            row = scene.row
            assert isinstance(row, WatchedRow)
            row.reader = part
            timer.run(FreshScene(row, "ada", scene.at_ms, scene.context))
            row.reader = None

        return timer._replace(run=run)

    own = {timer.code: eyed(timer) for timer in part.timers}
    looks = {} if part.look is None else {part.name: eyed(Timer("look", part.look)).run}
    anew = {} if part.take_up is None else {part.code: eyed(Timer("anew", part.take_up)).run}
    return plan._replace(timers={**plan.timers, **own}, looks=looks, takes_up=anew)


def watched(part: Part[Any]) -> WatchedRow:
    """A customer of some months to whom more happens, with an eye on this part."""
    past = past_of(part)
    row = WatchedRow(past.row)
    looked_at(part, row, past.until_ms)
    events = life(part, Random(part.name), size=120, begin_ms=past.until_ms, message="watched")
    for event in events:
        recorded(part, row, event)
        looked_at(part, row, event.occurred_at_ms, event)
    plan, until_ms = watched_timers(part, present().plan), past.until_ms + 120 * DAY_MS
    context = plan.context(present().snapshot, clock_ms=until_ms)
    engine.run_due(row, "ada", until_ms, context, plan)
    engine.take_up(row, "ada", until_ms, {part.code}, context, plan)
    looked_at(part, row, until_ms)
    return row


@every_part
def test_a_part_reads_nothing_of_others_but_what_it_declares(part: Part[Any]) -> None:
    assert set() == watched(part).problems


def test_a_part_is_imported_by_the_registry_alone() -> None:
    """Whoever has the part could read its state."""
    modules = [
        import_module(f"models.customer.{found.name}")
        for found in pkgutil.iter_modules(models.customer.__path__)
    ]
    parts_of = {
        module.__name__: [value.name for value in vars(module).values() if isinstance(value, Part)]
        for module in modules
        if module is not registry
    }

    assert {} == {module: names for module, names in parts_of.items() if len(names) > 1}
    assert sorted(part.name for part in PARTS) == sorted(
        name for names in parts_of.values() for name in names
    )


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (lambda _state, _event, scene: scene.row.read(PURCHASES), "x reads the state of purchases"),
        (
            lambda _state, _event, scene: scene.of(purchases),
            "x reads purchases of purchases, undeclared",
        ),
        (lambda _state, _event, scene: scene.row.edit(PURCHASES), "x edits the state of purchases"),
        (
            lambda _state, event, scene: scene.row.set_due("overdue", event.occurred_at_ms),
            "x has to do with the timer overdue",
        ),
    ],
)
def test_what_a_part_has_no_right_to_is_noticed(record: Any, problem: str) -> None:
    part, row, within = fake("x", record=record), WatchedRow(Row()), present()
    event = happened(COMPLETED, START_MS, revenue=1)
    row.reader = part

    record(None, event, FreshScene(row, "ada", START_MS, within.present, event))

    assert problem in row.problems
