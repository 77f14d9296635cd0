"""What one person did under several ids is one history; an id that leaves takes its own with it."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from models import engine, identity
from models.customer.cart import CART
from models.customer.contacts import CONTACTS
from models.customer.engagement import ENGAGEMENT
from models.customer.identities import IDENTITIES
from models.customer.purchases import PURCHASES
from models.customer.registry import VERSIONS
from models.customer.row import NO_IDS, Row, decode_row, encode_row
from models.customer.row_formats import NewerRow, RowError
from models.customer.row_layout import check_row, place_of, require_known
from models.decisions.trigger import Trigger
from models.engine import Effect
from models.events.event import Event
from models.events.times import iso
from models.identity import NotLinked
from tests.models.lines import MINUTE_MS, at, context, happened

TEN = at(hours=10)
_PLAN = context(TEN).plan


def clock(minutes: int) -> Any:
    """The context, so many minutes after ten."""
    return context(TEN + minutes * MINUTE_MS).present


def by(id_: str, name: str, minutes: int, **said: Any) -> Event:
    return replace(happened(name, TEN + minutes * MINUTE_MS, **said), customer=id_)


def put_in(id_: str, minutes: int) -> Event:
    return by(id_, "Product Added", minutes, channel="web", product_id="p1", price=30.0, quantity=1)


def ordered(id_: str, minutes: int) -> Event:
    return by(id_, "Order Completed", minutes, order_id="o1", revenue=30.0)


def fired(effects: Sequence[Effect]) -> list[tuple[str, str]]:
    return [(one.kind, one.user_id) for one in effects if isinstance(one, Trigger)]


def visitor_and_user() -> tuple[Row, Row]:
    """A visitor who put something into the cart at five past ten, and ada, who has no events
    yet.
    """
    visitor, ada = Row(), Row()
    engine.step(visitor, by("anon-1", "page", 0), clock(0), _PLAN)
    engine.step(visitor, put_in("anon-1", 5), clock(5), _PLAN)
    return visitor, ada


def bought_after_login() -> tuple[Row, list[Effect]]:
    """The visitor logs in as ada at seven past ten, and ada buys at twenty past."""
    visitor, ada = visitor_and_user()
    effects = identity.link(ada, "ada", "anon-1", visitor, clock(7).clock_ms, clock(7), _PLAN)
    for event in (by("ada", "identify", 7), ordered("ada", 20)):
        effects += identity.advance(ada, "ada", event, clock(20), _PLAN)[1]
    return ada, effects


def test_who_bought_after_the_login_is_not_reminded_of_the_visitors_cart() -> None:
    ada, effects = bought_after_login()

    effects += identity.run_due(ada, "ada", TEN + 180 * MINUTE_MS, clock(180), _PLAN)

    assert [] == fired(effects)
    assert ada.read(CART).is_empty
    assert 1 == len(ada.read(ENGAGEMENT).sessions)
    assert "web" == ada.read(ENGAGEMENT).first_channel
    assert 1 == len(ada.read(PURCHASES).orders)


def test_a_visitor_who_leaves_has_the_cart_that_lay_there_all_the_time() -> None:
    ada, effects = bought_after_login()

    visitor, more = identity.split(ada, "ada", "anon-1", clock(30).clock_ms, clock(30), _PLAN)
    more += identity.run_due(ada, "ada", TEN + 180 * MINUTE_MS, clock(180), _PLAN)
    reminded = engine.run_due(visitor, "anon-1", TEN + 180 * MINUTE_MS, clock(180), _PLAN)

    assert [] == fired([*effects, *more])
    assert [("cart-abandoned", "anon-1")] == fired(reminded)
    [trigger] = [one for one in reminded if isinstance(one, Trigger)]
    assert iso(TEN + 65 * MINUTE_MS) == trigger.timestamp
    assert 1 == len(ada.read(PURCHASES).orders)
    assert 0 == ada.read(ENGAGEMENT).views
    assert [] == visitor.read(PURCHASES).orders


def test_a_cart_of_several_ids_is_idle_after_its_last_touch() -> None:
    visitor, ada = visitor_and_user()
    engine.step(ada, by("ada", "Product Added", 50, product_id="p2", price=9.0), clock(50), _PLAN)

    identity.link(ada, "ada", "anon-1", visitor, clock(51).clock_ms, clock(51), _PLAN)

    assert TEN + 110 * MINUTE_MS == ada.due("cart").due_ms
    assert 2 == len(ada.read(CART).contents())


def test_what_was_dealt_with_for_the_visitor_is_not_done_again_for_the_user() -> None:
    visitor, ada = visitor_and_user()
    reminded = engine.run_due(visitor, "anon-1", TEN + 70 * MINUTE_MS, clock(70), _PLAN)

    effects = identity.link(ada, "ada", "anon-1", visitor, clock(71).clock_ms, clock(71), _PLAN)
    effects += identity.run_due(ada, "ada", TEN + 300 * MINUTE_MS, clock(300), _PLAN)

    assert [("cart-abandoned", "anon-1")] == fired(reminded)
    assert [] == fired(effects)
    assert ada.read(CONTACTS).fired_ms == visitor.read(CONTACTS).fired_ms


def test_what_was_decided_for_the_person_stays_with_them() -> None:
    visitor, ada = visitor_and_user()
    identity.link(ada, "ada", "anon-1", visitor, clock(7).clock_ms, clock(7), _PLAN)
    reminded = identity.run_due(ada, "ada", TEN + 70 * MINUTE_MS, clock(70), _PLAN)

    left, _ = identity.split(ada, "ada", "anon-1", clock(80).clock_ms, clock(80), _PLAN)

    assert [("cart-abandoned", "ada")] == fired(reminded)
    assert {"cart-abandoned": TEN + 65 * MINUTE_MS} == ada.read(CONTACTS).fired_ms
    assert {} == left.read(CONTACTS).fired_ms
    # It fell due while it was ada's.
    assert [] == fired(engine.run_due(left, "anon-1", TEN + 300 * MINUTE_MS, clock(300), _PLAN))


def test_a_repeat_under_the_other_id_counts_once_for_the_person() -> None:
    ada, _ = bought_after_login()

    fate, _ = identity.advance(ada, "ada", put_in("anon-1", 5), clock(20), _PLAN)

    assert engine.Fate.DUPLICATE == fate
    assert ada.read(CART).is_empty


@pytest.mark.parametrize("id_", ["ada", "anon-1"])
def test_who_cannot_be_linked_changes_nothing(id_: str) -> None:
    ada, _ = bought_after_login()
    before = encode_row(ada)

    with pytest.raises(NotLinked, match=f"{id_} is "):
        identity.link(ada, "ada", id_, Row(), clock(30).clock_ms, clock(30), _PLAN)

    assert before == encode_row(ada)


@pytest.mark.parametrize("id_", ["ada", "anon-2"])
def test_who_cannot_leave_changes_nothing(id_: str) -> None:
    ada, _ = bought_after_login()
    before = encode_row(ada)

    with pytest.raises(NotLinked, match=f"{id_} is "):
        identity.split(ada, "ada", id_, clock(30).clock_ms, clock(30), _PLAN)

    assert before == encode_row(ada)


def test_a_row_of_several_ids_is_read_back_as_it_was() -> None:
    ada, _ = bought_after_login()
    stored = encode_row(ada)

    again = decode_row(stored)

    require_known(stored, VERSIONS)
    assert check_row(stored, VERSIONS).next_due_ms == again.wakes_ms == ada.wakes_ms
    assert place_of(stored).next_due_ms == ada.wakes_ms
    assert again.next_due_ms == ada.next_due_ms
    assert ["ada", "anon-1"] == sorted(again.ids)
    assert clock(7).clock_ms == again.ids["anon-1"].since_ms
    assert stored == encode_row(again)
    left = [
        encode_row(identity.split(row, "ada", "anon-1", 0, clock(30), _PLAN)[0])
        for row in (ada, again)
    ]
    assert left[0] == left[1]


def test_every_byte_of_several_ids_is_covered_by_a_checksum() -> None:
    stored = encode_row(bought_after_login()[0])

    for place in range(len(stored)):
        damaged = stored[:place] + bytes([stored[place] ^ 1]) + stored[place + 1 :]
        with pytest.raises(RowError):
            check_row(damaged, VERSIONS)


def test_a_part_of_a_newer_release_is_noticed_in_any_id() -> None:
    stored, older = encode_row(bought_after_login()[0]), {**VERSIONS, CART.code: 0}

    for check in (check_row, require_known):
        with pytest.raises(NewerRow):
            check(stored, older)


def test_only_rows_of_several_ids_have_any_to_store() -> None:
    visitor, ada = visitor_and_user()
    before = [_fields_of(visitor), _fields_of(ada)]

    identity.link(ada, "ada", "anon-1", visitor, clock(7).clock_ms, clock(7), _PLAN)
    assert before[1] + 1 == _fields_of(ada)

    visitor, _ = identity.split(ada, "ada", "anon-1", clock(9).clock_ms, clock(9), _PLAN)
    assert before == [_fields_of(visitor), _fields_of(ada)]
    assert ada.ids is NO_IDS


def _fields_of(row: Row) -> int:
    return len(msgspec.msgpack.decode(encode_row(row)))


def test_a_part_that_was_made_ready_for_a_change_and_is_empty_is_none() -> None:
    """Otherwise a row's content would depend on whether it was packed in between."""
    row = Row()

    row.edit(IDENTITIES)

    assert not row.has(IDENTITIES)
    assert not decode_row(encode_row(row)).has(IDENTITIES)
