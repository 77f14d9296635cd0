"""The lessons of a person with several ids: the ids teach nothing themselves, and on leaving take
away what they contributed.
"""

from typing import Any

from msgspec.structs import replace

from models import engine, identity
from models.customer.churn import CHURN
from models.customer.purchases import PURCHASES
from models.customer.row import Row, decode_row, encode_row
from models.engine import Effect
from models.events.event import Event
from models.learning.lessons import Example, Observation
from models.learning.population import Population
from models.learning.snapshot import Snapshot
from tests.models.lines import PRIOR, at, context, happened

_PLAN = context().plan


def clock(ms: int, snapshot: Snapshot = PRIOR) -> Any:
    return context(ms, snapshot=snapshot).present


def ordered(id_: str, day: int) -> Event:
    event = happened("Order Completed", at(day, 10), order_id=f"{id_}-{day}", revenue=30.0)
    return replace(event, customer=id_)


def waited(row: Row, id_: str, day: float, snapshot: Snapshot = PRIOR) -> list[Effect]:
    return identity.run_due(row, id_, at(day) + 1, clock(at(day), snapshot), _PLAN)


def buyer(id_: str, *days: int) -> Row:
    """A customer who bought on these days, and for whom everything due by then is settled."""
    row = Row()
    for day in days:
        waited(row, id_, day)
        engine.step(row, ordered(id_, day), clock(at(day, 10)), _PLAN)
    waited(row, id_, days[-1] + 1.5)
    return row


def linked(ada: Row, id_: str, joining: Row, day: float) -> list[Effect]:
    return identity.link(ada, "ada", id_, joining, at(day), clock(at(day)), _PLAN)


def left(ada: Row, id_: str, day: float) -> Row:
    return identity.split(ada, "ada", id_, at(day), clock(at(day)), _PLAN)[0]


def observed(effects: list[Effect]) -> list[Observation]:
    return [effect for effect in effects if isinstance(effect, Observation)]


def cells(*rows: Row) -> list[Any]:
    """The content of the count tables for these customers."""
    counted = (row.read(CHURN).counted for row in rows)
    return sorted(cell for cell in counted if cell is not None)


def moved(effects: list[Effect], held: list[Any]) -> list[Any]:
    """The cells in the count tables after these lessons."""
    after = [*held]
    for lesson in observed(effects):
        if lesson.leaves is not None:
            after.remove(lesson.leaves)
        after.append(lesson.enters)
    return sorted(after)


def test_labels_of_an_id_that_leaves_are_not_answered_by_the_persons_orders() -> None:
    visitor, ada = buyer("anon-1", 0, 5, 9), Row()
    brought = visitor.read(CHURN).waiting()
    assert brought

    linked(ada, "anon-1", visitor, 12)
    waited(ada, "ada", 20)
    visitor = left(ada, "anon-1", 20)

    assert brought == visitor.read(CHURN).waiting()
    assert [] == ada.read(CHURN).waiting()
    assert [] == ada.read(PURCHASES).orders
    taught = [one for one in waited(ada, "ada", 200) if isinstance(one, Example)]
    assert [] == taught


def test_a_label_is_taught_once_whoever_waited_for_it() -> None:
    alone, visitor, ada = buyer("anon-1", 0, 5, 9), buyer("anon-1", 0, 5, 9), Row()
    brought = [one.due_ms for one in visitor.read(CHURN).waiting()]

    # Some of them are answered while it is linked, the others after it has left.
    effects = linked(ada, "anon-1", visitor, 12) + waited(ada, "ada", 35)
    visitor = left(ada, "anon-1", 35)
    effects += waited(ada, "ada", 60) + waited(visitor, "anon-1", 60)

    taught = [one for one in effects if isinstance(one, Example) and one.timestamp_ms in brought]
    as_alone = [one for one in waited(alone, "anon-1", 60) if isinstance(one, Example)]
    assert brought == [one.timestamp_ms for one in taught]
    assert [one for one in as_alone if one.timestamp_ms in brought] == taught


def test_what_falls_due_of_an_id_is_judged_by_the_model_of_its_time() -> None:
    alone, visitor, ada = buyer("anon-1", 0, 5, 9), buyer("anon-1", 0, 5, 9), Row()
    population = replace(PRIOR.of(Population), gap_days=3.0)
    later = PRIOR.replace(population, version=1)
    linked(ada, "anon-1", visitor, 11)

    for row, id_ in ((alone, "anon-1"), (ada, "ada")):
        waited(row, id_, 40)
        waited(row, id_, 60, later)
    visitor = left(ada, "anon-1", 60)

    assert alone.due("overdue") == visitor.due("overdue")
    assert alone.due("decision") == visitor.due("decision")


def test_who_is_woken_for_an_id_is_found_without_unpacking_the_row() -> None:
    visitor, ada = Row(), buyer("ada", 0)
    put_in = happened("Product Added", at(1.4), product_id="p", price=5.0)
    engine.step(visitor, replace(put_in, customer="anon-1"), clock(at(1.4)), _PLAN)
    # It is looked at in an hour, when its cart would be, and its visit is told of an hour later; so
    # it views the cart after that.
    waited(visitor, "anon-1", 1.4 + 2 / 24)
    viewed = happened("Cart Viewed", at(1.4, hours=2))
    engine.step(visitor, replace(viewed, customer="anon-1"), clock(at(1.49)), _PLAN)
    cart_ms = visitor.due("cart").due_ms
    linked(ada, "anon-1", visitor, 1.49)
    engine.step(ada, ordered("ada", 1), clock(at(1.49)), _PLAN)
    # The person, too, is looked at in an hour.
    waited(ada, "ada", 1.5)

    assert cart_ms == ada.wakes_ms < ada.next_due_ms
    again = decode_row(encode_row(ada))
    assert (ada.wakes_ms, ada.next_due_ms) == (again.wakes_ms, again.next_due_ms)


def test_a_buyer_who_was_linked_and_left_is_acquired_once() -> None:
    visitor, ada = buyer("anon-1", 0), Row()
    first = observed(waited(visitor, "anon-1", 30))
    assert 1 == len([one for one in first if one.acquired is not None])

    effects = linked(ada, "anon-1", visitor, 30) + waited(ada, "ada", 45)
    visitor = left(ada, "anon-1", 45)
    effects += waited(visitor, "anon-1", 75)

    assert observed(effects)
    assert [] == [one for one in observed(effects) if one.acquired is not None]


def test_every_cell_of_the_count_tables_is_some_customers_however_ids_come_and_go() -> None:
    rows = {id_: buyer(id_, day) for day, id_ in enumerate(("anon-1", "anon-2", "anon-3"))}
    held: list[Any] = []
    for id_, row in rows.items():
        held = moved(waited(row, id_, 30), held)
    ada = Row()

    # The second to come was linked first: it is the one whose cell the person goes on with.
    for id_, since in (("anon-2", 32), ("anon-1", 31), ("anon-3", 33)):
        linked(ada, id_, rows.pop(id_), since)
    held = moved(waited(ada, "ada", 50), held)
    for id_, day in (("anon-1", 50), ("anon-3", 60), ("anon-2", 70)):
        held = moved(waited(ada, "ada", day), held)
        rows[id_] = left(ada, id_, day)
        held = moved(waited(ada, "ada", day + 8), held)
    for id_, row in rows.items():
        held = moved(waited(row, id_, 90), held)

    assert cells(ada, *rows.values()) == held


def test_a_person_who_was_counted_as_one_stays_counted_when_others_join() -> None:
    early, late, ada = buyer("anon-1", 0), buyer("anon-2", 1), Row()
    linked(ada, "anon-1", early, 3)
    held = moved(waited(ada, "ada", 30), [])
    held = moved(waited(late, "anon-2", 30), held)

    linked(ada, "anon-2", late, 31)
    held = moved(waited(ada, "ada", 45), held)
    late = left(ada, "anon-2", 45)
    held = moved(waited(late, "anon-2", 75) + waited(ada, "ada", 75), held)

    assert cells(ada, late) == held
