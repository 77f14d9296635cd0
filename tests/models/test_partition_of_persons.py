"""A partition folds a person with several ids like any customer, and each of the ids on time."""

from typing import Any

import pytest
from msgspec.structs import replace

from models import engine, identity, partition
from models.customer.cart import CART
from models.customer.fingerprint import fingerprint_bytes
from models.customer.purchases import PURCHASES
from models.customer.row import Row, decode_row, encode_row
from models.decisions.trigger import Trigger
from models.engine import Fate
from models.events.event import Event
from models.plan import Plan, plan_for
from tests.models.lines import HOUR_MS, PARAMETERS, PRIOR, at, happened, line
from tests.models.test_partition import Log

PLAN = plan_for(PARAMETERS)
_FEW = replace(PARAMETERS, bounds=replace(PARAMETERS.bounds, orders=6, order_records=4))


def lived(id_: str, events: list[Event], plan: Plan = PLAN) -> Row:
    row = Row()
    for event in events:
        present = plan.context(PRIOR, clock_ms=event.occurred_at_ms)
        fate, _ = engine.step(row, replace(event, customer=id_), present, plan)
        assert fate is Fate.APPLIED
    return row


def with_cart(hours: float) -> list[Event]:
    return [happened("Product Added", at(hours=hours), product_id="p", price=5.0)]


def log_of(ada: Row, visitor: Row, plan: Plan = PLAN) -> Log:
    """A log whose partition has stored ada, with the visitor linked to her."""
    present = plan.context(PRIOR, clock_ms=at())
    identity.link(ada, "ada", "anon-1", visitor, at(), present, plan)
    return of_rows({"ada": ada}, plan)


def of_rows(rows: dict[str, Row], plan: Plan = PLAN) -> Log:
    stored = Log(plan)
    for id_, row in rows.items():
        stored.rows.put(id_, row)
    log = Log(plan)
    log.rows = stored.rows
    log.partition = partition.Partition(3, log.rows, PRIOR, plan, log._snapshot)
    return log


def again(log: Log) -> None:
    """A worker takes over: it only has what was stored."""
    log.rows.rows = {key: decode_row(row) for key, row in log.rows.stored.items()}


def person(log: Log) -> Row:
    row = log.rows.get("ada")
    assert row is not None
    return row


def bought(id_: str, days: tuple[int, ...]) -> Row:
    return lived(
        id_,
        [happened("Order Completed", at(day), order_id=f"o{day}", revenue=9.0) for day in days],
    )


def test_an_id_that_left_has_lived_by_the_same_clock_and_models_as_alone() -> None:
    alone = of_rows({"anon-1": bought("anon-1", (-9, -4, -1))})
    # Her check-ins are on other days than those of the visitor alone.
    log = log_of(bought("ada", (-12,)), bought("anon-1", (-9, -4, -1)))

    for world in (alone, log):
        world.clock(at(days=30))
        world.model(1)
        world.clock(at(days=90))
    present = PLAN.context(log.partition.snapshot, clock_ms=at(days=90))
    left, _ = identity.split(person(log), "ada", "anon-1", at(days=90), present, PLAN)

    never_linked = alone.rows.get("anon-1")
    assert never_linked is not None
    packed = [PURCHASES.pack(row.read(PURCHASES)) for row in (never_linked, left)]
    assert packed[0] == packed[1]
    for code in ("overdue", "decision", "loyalty"):
        assert never_linked.due(code) == left.due(code)


def test_a_worker_that_takes_over_wakes_an_id_on_time() -> None:
    log = log_of(Row(), lived("anon-1", with_cart(-0.5)))
    # Of the person nothing is due any more: she has bought what lay in the cart.
    log.append(line("Order Completed", at(), properties={"order_id": "o", "revenue": 5.0}))
    again(log)
    log.partition = partition.Partition(3, log.rows, PRIOR, PLAN, log._snapshot, log.state)

    assert [] == [one for one in log.clock(at(hours=1)) if "cart" in one]

    visitor = person(log).ids["anon-1"].row
    assert at(hours=0.5) == visitor.due("cart").handled_ms
    assert not visitor.read(CART).is_empty
    assert encode_row(person(log)) == log.rows.stored["ada"]


def test_the_person_is_told_of_once_and_by_their_own_name() -> None:
    log = log_of(Row(), lived("anon-1", with_cart(-0.5)))

    told = log.clock(at(hours=3)) + log.clock(at(hours=6))

    assert ["ada cart-abandoned"] == told


def test_what_a_person_knows_already_is_news_of_the_id_and_kept() -> None:
    known = happened("page", at(hours=-1), message="m-1")
    log = log_of(Row(), lived("anon-1", [known]))

    applied = log.append(line("page", at(hours=-1), message="m-1"))

    assert Fate.DUPLICATE is applied.fate
    again(log)
    assert person(log).ids["ada"].row.has_seen(fingerprint_bytes("m-1"))


def test_what_the_person_refuses_may_be_said_of_the_id_and_is_kept() -> None:
    plan = plan_for(_FEW)
    days = tuple(range(-20, 0))
    orders = [happened("Order Completed", at(d), order_id=f"o{d}", revenue=9.0) for d in days]
    log = log_of(Row(), lived("anon-1", orders, plan), plan)
    refund: dict[str, Any] = {"order_id": "of another shop", "total": 9.0}

    applied = log.append(line("Order Refunded", at(), message="m-2", properties=refund))

    assert applied.refused is not None
    assert applied.fate is None
    again(log)
    assert person(log).ids["ada"].row.has_seen(fingerprint_bytes("m-2"))
    assert not person(log).has_seen(fingerprint_bytes("m-2"))


def test_a_step_that_fails_leaves_the_stored_person_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = log_of(Row(), lived("anon-1", with_cart(-0.5)))
    stored = log.rows.stored["ada"]

    def fails(row: Row, *_: object) -> None:
        row.ids["ada"].row.latest_ms = at() + HOUR_MS
        raise RuntimeError("broken")

    monkeypatch.setattr(identity, "advance", fails)
    with pytest.raises(RuntimeError):
        log.append(line("page", at()))

    assert stored == encode_row(person(log)) == log.rows.stored["ada"]


def test_a_record_that_is_folded_in_does_nothing_again() -> None:
    log = log_of(Row(), lived("anon-1", with_cart(-0.5)))
    applied = log.append(line("page", at(), message="m-3"))
    stored = log.rows.stored["ada"]
    assert Fate.APPLIED is applied.fate
    assert [] == [one for one in applied.effects if isinstance(one, Trigger)]

    log.state.applied -= 1
    again(log)
    repeated = log.append(line("page", at(), message="m-3"))

    assert partition.ALREADY_APPLIED is repeated
    assert stored == log.rows.stored["ada"]
