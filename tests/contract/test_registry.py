"""What the registry refuses, and that a part without events to hear costs nothing."""

from random import Random
from typing import Any

import pytest
from msgspec import Struct

from models import engine
from models.catalogue import KINDS, MISSPELT, kind_of
from models.customer.order_news import COMPLETED
from models.customer.part import (
    EVERYTHING,
    INTERACTIONS,
    NAMED_BY_RULES,
    Fact,
    Part,
    ProfileSection,
    Timer,
)
from models.customer.purchases import purchases
from models.customer.registry import PARTS, RegistryError, check_parts
from models.customer.row import Row
from models.customer.scene import Scene
from models.events.event import Event, EventType
from models.plan import plan_for
from tests.contract.fakes import Count, fake
from tests.contract.lives import heard_by, some_event
from tests.contract.parts import ALL_ON, NAMING, every_part, present
from tests.models.lines import START_MS, happened

_UNHEARD = "Lead Lost"


def first(_scene: Scene) -> float:
    """A reading offered by one part."""
    return 1.0


def second(_scene: Scene) -> float:
    """A reading offered by another part."""
    return 2.0


class Price(Struct):
    price: float = 0.0


_FACT = Fact(first, "{}", "a fact")
_SECTION = ProfileSection("a", float, first)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([fake("a"), fake("a", "y")], "name 'a' belongs to a twice: name one of them otherwise"),
        ([fake("a", "z"), fake("b", "z")], "code 'z' belongs to both a and b: name one of them"),
        (
            [fake("a", facts={"f": _FACT}), fake("b", facts={"f": _FACT})],
            "fact 'f' belongs to both a and b: name one of them otherwise",
        ),
        (
            [fake("a", timers=(Timer("t", print),)), fake("b", timers=(Timer("t", print),))],
            "timer 't' belongs to both a and b: name one of them otherwise",
        ),
        (
            [fake("a", timers=(Timer("t", print), Timer("t", print)))],
            "timer 't' belongs to a twice: name one of them otherwise",
        ),
        (
            [fake("a", moments={"m": "then"}), fake("b", moments={"m": "then"})],
            "moment 'm' belongs to both a and b: name one of them otherwise",
        ),
        (
            [fake("a", sections=(_SECTION,)), fake("b", sections=(_SECTION,))],
            "section 'a' belongs to both a and b: name one of them otherwise",
        ),
        (
            [
                fake("a", events={COMPLETED: EventType()}),
                fake("b", events={COMPLETED: EventType()}),
            ],
            "event 'Order Completed' belongs to both a and b: name one of them otherwise",
        ),
        (
            [
                fake("a", events={COMPLETED: EventType(shape=Price)}),
                fake("b", adds={COMPLETED: Price}),
            ],
            "property of Order Completed 'price' belongs to both a and b: name one of them",
        ),
        (
            [fake("a", events={"Coffee Drunk": EventType()})],
            "a declares Coffee Drunk, which has no topic: say where it is published",
        ),
        (
            [fake("a", listens=frozenset({"Order Complete"}))],
            "a knows of 'Order Complete', which is no event; did you mean Order Completed?",
        ),
        (
            [fake("a", adds={"Coffee Drunk": Price})],
            "a knows of 'Coffee Drunk', which is no event; a part has to declare it",
        ),
        (
            [fake("a", reads=(first,)), fake("b", offers=(first,))],
            "a reads first of b, which is listed after it: list a after b",
        ),
        (
            [
                fake("a", offers=(first,), reads=(second,)),
                fake("b", offers=(second,), reads=(first,)),
            ],
            "a reads second of b, .* unless b reads a too: such a cycle must go",
        ),
        (
            [fake("a", offers=(first,)), fake("b", reads=(second,))],
            "b reads second, which no part offers: add it to its part's offers",
        ),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(parts: list[Part[Any]], message: str) -> None:
    with pytest.raises(RegistryError, match=message.replace("?", r"\?")):
        check_parts(parts)


def test_parts_that_fit_together_are_not() -> None:
    check_parts(PARTS)
    check_parts([*PARTS, fake("a", offers=(first,)), fake("b", reads=(first, purchases))])


def test_every_event_goes_to_the_parts_that_listen_to_it_in_their_order() -> None:
    routes, named = present().plan.routes, {kind_of(name) for name in NAMING.events}

    for kind in KINDS:
        assert [part.name for part in routes[kind.number]] == [
            part.name
            for part in PARTS
            if kind.name in part.listens
            or (part.listens == INTERACTIONS and not kind.is_passive)
            or (part.listens == EVERYTHING and kind is not MISSPELT)
            or (part.listens == NAMED_BY_RULES and kind in named)
        ]


@every_part
def test_a_part_has_a_sentence_and_something_to_do(part: Part[Any]) -> None:
    assert part.about.endswith(".")
    assert heard_by(part) or part.timers or part.look
    assert all(part.moments.values())


@every_part
def test_an_empty_state_takes_no_room_and_is_read_back(part: Part[Any]) -> None:
    row = Row()
    row.edit(part)

    assert {} == row.packed()
    assert part.empty == part.pack(part.unpack(part.empty))
    assert part.empty == part.pack(part.state())


@every_part
def test_a_part_tells_of_all_customers_what_it_says_it_does(part: Part[Any]) -> None:
    told = part.population
    if told is None:
        return
    keys = told.keys(ALL_ON)
    samples = list(told.samples(dict.fromkeys(keys, 1), ALL_ON))

    assert 0 < len(keys) <= told.keys_max <= 1_024
    assert {sample.measure for sample in samples} <= set(told.measures)
    assert [] == [one for one in samples if len(one.labels) != len(one.measure.labels)]
    assert [] == list(told.samples({}, ALL_ON)) or samples


def test_thirty_more_parts_are_not_visited_by_an_event_they_do_not_listen_to() -> None:
    visited: list[str] = []

    def visit(_state: Count, event: Event, _scene: Scene) -> None:
        visited.append(event.name)

    more = [fake(f"empty-{n}", record=visit, listens=frozenset({COMPLETED})) for n in range(30)]
    plan, plain = plan_for(ALL_ON, (*PARTS, *more)), present().plan
    context = plan.context(present().snapshot)

    everything = tuple(part for part in PARTS if part.listens is EVERYTHING)
    assert everything == plan.routes[kind_of(_UNHEARD).number]
    for kind in KINDS:
        if kind.name != COMPLETED:
            assert plain.routes[kind.number] == plan.routes[kind.number]
            event = some_event(kind, START_MS, "m", Random(kind.name), tries=100)
            assert event is not None
            engine.step(Row(), event, context, plan)
    # They are there: what they do listen to visits each of them once.
    assert [] == visited
    engine.step(Row(), happened(COMPLETED, START_MS, revenue=1), context, plan)
    assert [COMPLETED] * 30 == visited
