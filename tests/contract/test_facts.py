"""C7, C13: facts are known or say that they are not, and refunded money does not count."""

from collections.abc import Iterable, Iterator
from math import isfinite, isnan
from string import Formatter
from typing import Any

import msgspec
import pytest

from config.duration import DAY_MS, HOUR_MS
from models import engine
from models.customer.order_news import CANCELLED, COMPLETED, REFUNDED, UPDATED
from models.customer.part import Part
from models.customer.registry import PARTS
from models.customer.row import Row
from models.customer.scene import Scene
from models.events.event import Event
from models.events.times import iso
from tests.contract.exceptions import KNOWN_OF_NOBODY, REFUNDS
from tests.contract.lives import SPAN_MS, Chance, by_chance, folded, heard_by, some_life
from tests.contract.parts import ALL_ON, alike, every_part, facts_of, present, timers_of
from tests.models.lines import START_MS, happened

_ORDERS = frozenset({COMPLETED, UPDATED, REFUNDED, CANCELLED})
_END_MS = START_MS + SPAN_MS
_BUYS = [part for part in PARTS if _ORDERS.intersection(kind.name for kind in heard_by(part))]


def scenes(events: Iterable[Event]) -> Iterator[Scene]:
    """A customer at each of their events: with the event, and in silence before and after it."""
    row, within = Row(), present(START_MS)
    for event in events:
        engine.step(row, event, within.present, within.plan)
        at_ms = event.occurred_at_ms
        yield Scene(row, "ada", at_ms, within.present, event)
        for later_ms in (-HOUR_MS, DAY_MS, 400 * DAY_MS):
            yield Scene(row, "ada", at_ms + later_ms, within.present)


def is_known(value: float | str) -> bool:
    return bool(value) if isinstance(value, str) else not isnan(value)


@every_part
@by_chance
def test_a_fact_is_a_number_or_a_text_and_has_words_once_it_is_known(
    part: Part[Any], chance: Chance
) -> None:
    for scene in scenes(some_life(part, chance, span_ms=60 * DAY_MS)):
        for name, fact in part.facts.items():
            value = scene[name]
            assert type(value) is fact.kind, name
            assert isinstance(value, str) or isnan(value) or isfinite(value), name
            if is_known(value):
                allowed = fact.values(ALL_ON) if fact.values is not None else None
                assert allowed is None or value in allowed, name
                assert isinstance(value, str) or fact.least <= value <= fact.most, name
                assert fact.told(value).strip(), name


@every_part
@by_chance
def test_a_profile_says_what_it_is_declared_to_and_has_words(
    part: Part[Any], chance: Chance
) -> None:
    for scene in scenes(some_life(part, chance, span_ms=60 * DAY_MS)):
        as_of, currency = iso(scene.at_ms), ALL_ON.money.currency
        for section in part.sections:
            value = section.read(scene)
            assert value == msgspec.convert(msgspec.to_builtins(value), section.view)
            if value is not None and section.in_words is not None:
                lines = section.in_words(value, as_of, currency)
                assert all(line.name and line.words for line in lines), section.name


@every_part
def test_words_have_one_place_for_the_value(part: Part[Any]) -> None:
    for name, fact in part.facts.items():
        places = [field for _, field, _, _ in Formatter().parse(fact.words) if field is not None]
        assert [""] == places, name
        assert fact.about, name
        is_yes_or_no = (fact.least, fact.most, fact.words.count("{}")) == (0, 1, 1)
        assert fact.answers is None or is_yes_or_no, name
        assert fact.moment is None or fact.moment in part.moments, name


@every_part
def test_of_nobody_nothing_is_known_but_that_there_is_nothing(part: Part[Any]) -> None:
    facts = facts_of(part, Row(), START_MS)

    # A count of nothing is 0; of what cannot be known, NaN or an empty text.
    known = {name for name, value in facts.items() if is_known(value) and value != 0}

    assert known == KNOWN_OF_NOBODY.keys() & part.facts.keys()


def _is_paid_after_all(cancelled: Event, events: Iterable[Event]) -> bool:
    """Whether this is the cancellation of an order that was placed once more: it is none then, and
    without the order it would be one.
    """
    return cancelled.name == CANCELLED and any(
        event.name in {COMPLETED, UPDATED}
        and event.properties.order_id == cancelled.properties.order_id
        and event.occurred_at_ms >= cancelled.occurred_at_ms
        for event in events
    )


@pytest.mark.parametrize("part", _BUYS, ids=[part.name for part in _BUYS])
@by_chance
def test_somebody_who_was_given_everything_back_is_as_one_who_never_bought(
    part: Part[Any], chance: Chance
) -> None:
    # An order without an id cannot be spoken of again.
    events = [
        event
        for event in some_life(part, chance)
        if event.name not in _ORDERS or event.properties.order_id
    ]
    events = [event for event in events if not _is_paid_after_all(event, events)]
    orders = sorted({event.properties.order_id for event in events if event.name in _ORDERS})
    end = CANCELLED if chance.rng.random() < 0.5 else REFUNDED
    given_back = [
        happened(end, _END_MS, message=f"back-{order}", order_id=order) for order in orders
    ]
    never = [event for event in events if event.name not in _ORDERS]

    if part.name in REFUNDS:
        never = REFUNDS[part.name].as_after(events, given_back)

    bought, other = folded([*events, *given_back], _END_MS), folded(never, _END_MS)

    for at_ms in (_END_MS, _END_MS + 40 * DAY_MS):
        assert alike(facts_of(part, bought, at_ms), facts_of(part, other, at_ms))
    assert timers_of(bought, part) == timers_of(other, part)
