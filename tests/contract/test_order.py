"""C1, C2, C6: the order of arrival, repeats, and several ids do not change what is known."""

from collections.abc import Iterable
from random import Random
from typing import Any

from hypothesis import note

from config.duration import DAY_MS
from models import engine
from models.customer.part import Part
from models.customer.registry import PARTS
from models.customer.row import Row, encode_row
from models.engine import Fate
from models.events.event import Event
from tests.contract.exceptions import (
    AGED,
    NOT_ADDITIVE,
    NOT_OF_EVENTS,
    REFUNDS,
    STATELESS,
)
from tests.contract.lives import (
    Chance,
    by_chance,
    few_texts,
    folded,
    life,
    past_of,
    shuffled,
    some_life,
    some_past,
    stepped,
)
from tests.contract.parts import (
    ALL_ON,
    alike,
    every_part,
    plain,
    present,
    state_of,
    timers_of,
)
from tests.models.lines import START_MS


@every_part
@by_chance
def test_the_order_of_arrival_makes_no_difference_within_the_lateness(
    part: Part[Any], chance: Chance
) -> None:
    past = some_past(part, chance)
    # Right after it, or when nothing that is known can be changed by a late event any more.
    is_settled = chance.rng.random() < 0.5
    begin_ms = past.until_ms + (10 * DAY_MS if is_settled else 0)
    events = some_life(part, chance, begin_ms=begin_ms, texts=few_texts(past.ids))
    events = [event for event in events if not _is_in_two_currencies(event, events)]

    one = folded(events, begin_ms, past.row)
    other = folded(shuffled(events, chance), begin_ms, past.row)

    assert alike(state_of(one, part), state_of(other, part))
    assert timers_of(one, part) == timers_of(other, part)


def _is_in_two_currencies(event: Event, events: Iterable[Event]) -> bool:
    """Whether an order had a price in another currency, too, in the same millisecond. In which one
    a third price of that time is, without a currency, nobody knows.
    """
    said = event.properties
    mine = _currency(said)
    return bool(mine) and any(
        other.occurred_at_ms == event.occurred_at_ms
        and getattr(other.properties, "order_id", None) == getattr(said, "order_id", None)
        and _currency(other.properties) not in ("", mine)
        for other in events
    )


def _currency(said: Any) -> str:
    return str(getattr(said, "currency", None) or "").strip().upper()


@every_part
@by_chance
def test_an_event_that_comes_twice_counts_once(part: Part[Any], chance: Chance) -> None:
    events = some_life(part, chance)
    row, within = Row(), present(START_MS)

    for event in events:
        assert engine.step(row, event, within.present, within.plan)[0] is Fate.APPLIED
        once = encode_row(row)
        assert (Fate.DUPLICATE, []) == engine.step(row, event, within.present, within.plan)
        assert once == encode_row(row)
    once = encode_row(row)
    assert [] == stepped(shuffled(events, chance), row, clock_ms=START_MS)
    assert once == encode_row(row)


def spread(part: Part[Any], events: list[Event], chance: Chance) -> list[list[Event]]:
    """The events under three ids, in order of arrival. Where a part needs it, all news of an order
    come under one id.
    """
    ids: list[list[Event]] = [[], [], []]
    homes: dict[str, list[Event]] = {}
    for event in events:
        home = chance.rng.choice(ids)
        order = getattr(event.properties, "order_id", None)
        if order is not None and part.name in NOT_ADDITIVE:
            home = homes.setdefault(order, home)
        home.append(event)
    note(f"by id: {[[events.index(event) for event in of_id] for of_id in ids]}")
    return ids


@every_part
@by_chance
def test_one_person_with_several_ids_is_as_one_with_one_id(part: Part[Any], chance: Chance) -> None:
    events = some_life(part, chance)
    states = [folded(of_id, START_MS).read(part) for of_id in spread(part, events, chance)]

    whole, united = folded(events, START_MS).read(part), part.united(states, ALL_ON)

    if part.name in NOT_ADDITIVE:
        exception = NOT_ADDITIVE[part.name]
        assert exception.holds(states, united, ALL_ON)
        whole, united = exception.rest(whole), exception.rest(united)
    assert alike(plain(part, whole), plain(part, united))


@every_part
def test_events_make_a_state_or_it_is_said_what_does(part: Part[Any]) -> None:
    events = [event for seed in range(20) for event in life(part, Random(seed), size=10)]

    is_made = part.pack(folded(events, START_MS).read(part)) != part.empty

    assert is_made != (part.name in {*NOT_OF_EVENTS, *STATELESS})


@every_part
def test_ids_are_united_without_being_changed(part: Part[Any]) -> None:
    pasts_of_ids = [past_of(part, number) for number in range(3)]
    states = [past.row.read(part) for past in pasts_of_ids]
    before = [part.pack(state) for state in states]

    united = part.united(states, ALL_ON)

    assert before == [part.pack(state) for state in states]
    assert alike(plain(part, united), plain(part, part.united(states, ALL_ON)))


@every_part
def test_one_id_or_nobody_is_united_to_the_same(part: Part[Any]) -> None:
    state, nobody = past_of(part).row.read(part), part.state()

    assert part.empty == part.pack(part.united([], ALL_ON))
    assert part.empty == part.pack(part.united([nobody, part.state()], ALL_ON))
    assert alike(plain(part, state), plain(part, part.united([state], ALL_ON)))
    assert alike(plain(part, state), plain(part, part.united([nobody, state], ALL_ON)))
    assert alike(plain(part, state), plain(part, part.united([state, nobody], ALL_ON)))


@every_part
def test_it_makes_no_difference_which_id_comes_first(part: Part[Any]) -> None:
    states = [past_of(part, number).row.read(part) for number in range(3)]
    one = part.united(states, ALL_ON)
    other = part.united(states[::-1], ALL_ON)

    if part.name in NOT_OF_EVENTS:
        holds = NOT_OF_EVENTS[part.name].holds
        assert holds(states, one, ALL_ON)
        assert holds(states, other, ALL_ON)
    else:
        assert alike(plain(part, one), plain(part, other))


@every_part
def test_exceptions_are_said_where_ids_are_united(part: Part[Any]) -> None:
    said = " ".join(str(part.united.__doc__).split())
    reasons = [NOT_OF_EVENTS[part.name].reason] if part.name in NOT_OF_EVENTS else []
    reasons += NOT_ADDITIVE[part.name].reasons if part.name in NOT_ADDITIVE else ()

    assert [] == [reason for reason in reasons if reason not in said]


def test_exceptions_are_of_parts_there_are() -> None:
    tables = (AGED, NOT_OF_EVENTS, NOT_ADDITIVE, STATELESS, REFUNDS)

    assert set() == {name for table in tables for name in table} - {part.name for part in PARTS}
