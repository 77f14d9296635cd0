"""An id that was linked and has left is as if it had never been linked, whatever happened in
between.
"""

from random import Random
from typing import Any

from hypothesis import given, note
from hypothesis import strategies as st
from msgspec.structs import replace

from config.duration import DAY_MS, HOUR_MS
from models import engine, identity
from models.customer.registry import PARTS
from models.customer.row import NO_IDS, Row, decode_row, encode_row
from models.events.event import Event
from models.events.rejection import Rejected
from models.learning.population import Population
from tests.contract.lives import life
from tests.contract.parts import present
from tests.models.events_alone import parts_of_events, timers_of_events
from tests.models.lines import START_MS

PERSON, VISITORS = "ada", ("anon-1", "anon-2")
IDS = (PERSON, *VISITORS)


class Alone:
    """Every id by itself, as if none had ever been linked."""

    def __init__(self) -> None:
        self.rows = {id_: Row() for id_ in IDS}
        self.context, self.plan = present(START_MS).present, present().plan

    def happens(self, event: Event) -> None:
        row = self.rows[event.customer]
        try:
            engine.step(row, event, self.context, self.plan)
        except Rejected:
            return

    def clock(self, clock_ms: int) -> None:
        self.context.clock_ms = clock_ms
        for id_, row in self.rows.items():
            identity.run_due(row, id_, clock_ms + 1, self.context, self.plan)

    def adopt(self, gap_days: float) -> None:
        """Adopt a snapshot with other figures for what is usual."""
        population = replace(self.context.snapshot.of(Population), gap_days=gap_days)
        self.context.snapshot = self.context.snapshot.replace(population)

    def stored(self) -> None:
        """A worker that takes over reads every row back."""
        self.rows = {id_: decode_row(encode_row(row)) for id_, row in self.rows.items()}


class Linked(Alone):
    """The same ids, linked to ada and split from her now and then."""

    def happens(self, event: Event) -> None:
        person = self.rows[PERSON]
        if event.customer not in person.ids:
            return super().happens(event)
        try:
            identity.advance(person, PERSON, event, self.context, self.plan)
        except Rejected:
            return None

    def link(self, id_: str) -> None:
        joining = self.rows.pop(id_)
        at_ms = self.context.clock_ms
        identity.link(self.rows[PERSON], PERSON, id_, joining, at_ms, self.context, self.plan)

    def split(self, id_: str) -> None:
        at_ms = self.context.clock_ms
        self.rows[id_], _ = identity.split(
            self.rows[PERSON], PERSON, id_, at_ms, self.context, self.plan
        )


def made_of_events(row: Row) -> dict[str, Any]:
    """All of a row except decisions, labels, and its place in the log; parts as bytes."""
    parts, timers = parts_of_events(row), timers_of_events(row)
    return {**parts, "timers": timers, "messages": row.messages, "latest": row.latest_ms}


def _events(rng: Random, size: int) -> list[Event]:
    """Events of all ids, sometimes again or under another id, in nearly any order."""
    events: list[Event] = []
    for part in rng.sample(PARTS, 3):
        whole = life(part, rng, size=size, message=part.name, span_ms=20 * DAY_MS)
        events += [replace(event, customer=rng.choice(IDS)) for event in whole]
    events += [
        replace(one, customer=rng.choice(IDS)) for one in rng.sample(events, len(events) // 5)
    ]
    events.sort(
        key=lambda one: one.occurred_at_ms + rng.choice((0, 0, 0, 50 * HOUR_MS, 90 * HOUR_MS))
    )
    return events


@given(seed=st.integers(0, 2**32), size=st.integers(1, 12))
def test_linked_and_split_is_as_never_linked(seed: int, size: int) -> None:
    rng = Random(seed)
    alone, linked = Alone(), Linked()

    clock_ms = START_MS
    for event in _events(rng, size):
        id_ = rng.choice(VISITORS)
        if rng.random() < 0.4:
            is_linked = id_ in linked.rows[PERSON].ids
            note(f"{'split' if is_linked else 'link'} {id_}")
            (linked.split if is_linked else linked.link)(id_)
        if rng.random() < 0.1:
            linked.stored()
        if rng.random() < 0.1:
            gap_days = rng.choice((2.0, 20.0))
            alone.adopt(gap_days)
            linked.adopt(gap_days)
        clock_ms = max(clock_ms, event.occurred_at_ms - rng.choice((0, HOUR_MS)))
        note(f"clock {clock_ms}; {event.customer} {event.occurred_at_ms} {event.name}")
        for world in (alone, linked):
            world.clock(clock_ms)
            world.happens(event)
    # What the last event made due at once.
    for world in (alone, linked):
        world.clock(clock_ms)
    for id_ in [*linked.rows[PERSON].ids]:
        if id_ != PERSON:
            linked.split(id_)

    _forget_what_is_late(alone, linked)
    for id_ in VISITORS:
        assert made_of_events(alone.rows[id_]) == made_of_events(linked.rows[id_])
    assert linked.rows[PERSON].ids is NO_IDS
    assert _states(alone.rows[PERSON]) == _states(linked.rows[PERSON])


def _forget_what_is_late(alone: Alone, linked: Alone) -> None:
    """Give rows the same remembered messages: old ones are dropped when a timer runs, and the
    timers of labels run for the person.
    """
    for id_ in IDS:
        one, other = alone.rows[id_], linked.rows[id_]
        if one.messages.endswith(other.messages) or other.messages.endswith(one.messages):
            one.messages = other.messages = b""


def _states(row: Row) -> dict[str, Any]:
    """As `made_of_events`, for a person: when sums were last reported belongs to the person."""
    return {name: state for name, state in made_of_events(row).items() if name != "loyalty"}
