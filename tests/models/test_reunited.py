"""What follows from a state that was made anew of several ids': deadlines as of one customer, and
sums of all customers in which a person counts once.
"""

from collections import Counter
from collections.abc import Iterable
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from models import engine, identity
from models.customer.cart import CART
from models.customer.churn import CHURN
from models.customer.consent import CONSENT
from models.customer.lifecycle import LIFECYCLE
from models.customer.loyalty import LOYALTY
from models.customer.part import Part
from models.customer.prices import PRICES
from models.customer.purchases import PURCHASES
from models.customer.risk import RISK
from models.customer.row import Row
from models.customer.satisfaction import SATISFACTION
from models.customer.support import SUPPORT
from models.engine import Effect
from models.events.event import Event
from models.events.rejection import Rejected
from models.learning.lessons import Tally
from tests.contract.lives import SPAN_MS, folded, heard_by, life
from tests.contract.parts import present, timers_of
from tests.models.lines import START_MS

CONTEXT, PLAN = present(START_MS).present, present().plan
NOW_MS = START_MS + SPAN_MS
IDS = ("ada", "anon-1")

every_teller = pytest.mark.parametrize(
    "part",
    [CONSENT, LIFECYCLE, LOYALTY, PRICES, RISK, SATISFACTION],
    ids=lambda part: part.name,
)


def told_of(effects: Iterable[Effect], part: Part[Any]) -> dict[tuple[str, int], int]:
    sums: Counter[tuple[str, int]] = Counter()
    for effect in effects:
        if isinstance(effect, Tally) and effect.part == part.name:
            for key, day, amount in effect.sums:
                sums[key, day] += amount
    return {key: amount for key, amount in sums.items() if amount}


def lives_of(part: Part[Any], seed: int) -> list[Event]:
    """What two ids did, as the part hears it, so that it tells something; each has its orders."""
    rng, kinds, homes = Random(f"{part.name} {seed}"), heard_by(part), dict[str, str]()
    while True:
        events = []
        for event in life(part, rng, size=40):
            if event.kind in kinds or event.kind in heard_by(CONSENT):
                id_, order = rng.choice(IDS), getattr(event.properties, "order_id", None)
                id_ = homes.setdefault(order, id_) if order is not None else id_
                events.append(replace(event, customer=id_))
        if part.population is None or told_of(alone(events)[1], part):
            return events


def stepped(row: Row, event: Event) -> list[Effect]:
    try:
        return engine.step(row, event, CONTEXT, PLAN)[1]
    except Rejected:
        return []


def alone(events: list[Event]) -> tuple[dict[str, Row], list[Effect]]:
    rows = {id_: Row() for id_ in IDS}
    effects = [effect for event in events for effect in stepped(rows[event.customer], event)]
    for id_, row in rows.items():
        effects += engine.run_due(row, id_, NOW_MS, CONTEXT, PLAN)
    return rows, effects


@every_teller
@pytest.mark.parametrize("seed", range(12))
def test_after_a_link_and_a_split_all_is_told_as_before(part: Part[Any], seed: int) -> None:
    events = lives_of(part, seed)
    rows, effects = alone(events)
    before, ada, visitor = told_of(effects, part), rows["ada"], rows["anon-1"]

    linked = identity.link(ada, "ada", "anon-1", visitor, NOW_MS, CONTEXT, PLAN)
    left, split = identity.split(ada, "ada", "anon-1", NOW_MS, CONTEXT, PLAN)
    ends = [
        *engine.run_due(ada, "ada", NOW_MS, CONTEXT, PLAN),
        *engine.run_due(left, "anon-1", NOW_MS, CONTEXT, PLAN),
    ]

    assert before == told_of([*effects, *linked, *split, *ends], part)


@pytest.mark.parametrize("part", [CART, CHURN, LOYALTY, PURCHASES, SUPPORT], ids=repr)
@pytest.mark.parametrize("seed", range(12))
def test_deadlines_are_those_of_one_customer_who_did_it_all(part: Part[Any], seed: int) -> None:
    events = lives_of(part, seed)
    ada, visitor = (
        folded([event for event in events if event.customer == id_], START_MS) for id_ in IDS
    )
    whole = folded([replace(event, customer="ada") for event in events], START_MS)

    identity.link(ada, "ada", "anon-1", visitor, START_MS, CONTEXT, PLAN)

    assert timers_of(whole, part) == timers_of(ada, part)


@every_teller
def test_a_person_is_counted_once(part: Part[Any]) -> None:
    """Ids that said the same are one person who said it once: an order has two sums of one."""
    once = [replace(event, customer="ada") for event in lives_of(part, 0)]
    _, expected = alone(once)
    rows, effects = alone([*once, *(replace(event, customer="anon-1") for event in once)])
    effects += identity.link(rows["ada"], "ada", "anon-1", rows["anon-1"], NOW_MS, CONTEXT, PLAN)

    found, wanted = told_of(effects, part), told_of(expected, part)
    if part is SATISFACTION:
        # How many answer is told of every survey that was sent.
        found = {key: amount for key, amount in found.items() if ":all:" not in key[0]}
        wanted = {key: amount for key, amount in wanted.items() if ":all:" not in key[0]}

    assert found == wanted
