"""Persons with decisions of both groups, because their ids differ in group, are marked and
counted.
"""

import functools
from operator import add
from random import Random
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import example, given, note
from hypothesis import strategies as st
from msgspec.structs import replace

from models.customer.contacts import CONTACTS, Contacts
from models.customer.holdout import CONTROL, TREATED, is_control
from models.customer.identities import IDENTITIES
from models.customer.loyalty import LOYALTY
from models.customer.profile import encode_profile
from models.decisions.trigger import Decision, decode_decision, encode_decision
from models.events.erasure_record import ERASE_REQUESTED
from models.events.times import iso
from models.identity import is_mirror
from streams.cloud_events import decision_headers
from tests.models.persons import LINKING, Deployment, said_by
from tests.models.test_persons import logged_in, merged, minute, page, put_in_cart, split
from tests.properties.test_persons import PARTITIONS, stories, time_of

HALF = replace(LINKING, actions=replace(LINKING.actions, holdout=0.5))
_NAMES = [f"anon-{number}" for number in range(50)]
IS_CONTROL = is_control("ada", 0.5)
LIKE_ADA = next(name for name in _NAMES if is_control(name, 0.5) is IS_CONTROL)
APART = next(name for name in _NAMES if is_control(name, 0.5) is not IS_CONTROL)


@pytest.fixture(params=PARTITIONS, ids="{0} partitions".format)
def shop(request: pytest.FixtureRequest) -> Deployment:
    return Deployment(request.param, HALF)


def reminded(shop: Deployment, minutes: float, **who: str) -> None:
    """Let a cart of theirs be abandoned, so that a decision follows."""
    shop.tell(put_in_cart(minutes, **who))
    shop.tick(minute(minutes + 61))


def told_of(shop: Deployment, customer: str) -> list[Any]:
    """The customer's decisions, as their readers get them."""
    found = [one for one in shop.effects if isinstance(one, Decision)]
    return [orjson.loads(encode_decision(one)) for one in found if one.user_id == customer]


def holdout(shop: Deployment, customer: str) -> Any:
    return msgspec.json.decode(encode_profile(shop.profile(customer)))["holdout"]


def counted(shop: Deployment) -> int:
    return shop.sums()["contacts", "contaminated", 0]


def test_whoever_was_decided_for_in_both_groups_is_marked_from_the_link_on(
    shop: Deployment,
) -> None:
    reminded(shop, 0, visitor=APART)
    shop.tell(logged_in(70, visitor=APART))
    reminded(shop, 60 * 24 * 30, user="ada")

    assert {False} == {"contaminated" in told for told in told_of(shop, APART)}
    assert {True} == {told.get("contaminated") for told in told_of(shop, "ada")}
    group = CONTROL if IS_CONTROL else TREATED
    assert {"group": group, "contaminatedSince": iso(minute(70))} == holdout(shop, "ada")
    assert 1 == counted(shop)


def test_readers_that_do_not_open_decisions_are_told_in_a_header(shop: Deployment) -> None:
    reminded(shop, 0, visitor=APART)
    shop.tell(logged_in(70, visitor=APART))
    reminded(shop, 60 * 24 * 30, user="ada")

    for told in (one for one in shop.effects if isinstance(one, Decision)):
        again = decode_decision(encode_decision(told))
        assert told == again
        headers = dict(decision_headers(again, "a type", None))
        expected = b"true" if told.user_id == "ada" else None
        assert expected == headers.get("ce_contaminated")


@pytest.mark.parametrize(
    ("visitor", "is_reminded"),
    [(LIKE_ADA, True), (APART, False)],
    ids=["drawn alike", "nothing was decided"],
)
def test_a_link_that_changes_nobodys_treatment_marks_nobody(
    shop: Deployment, visitor: str, *, is_reminded: bool
) -> None:
    shop.tell(page(0, visitor=visitor))
    if is_reminded:
        reminded(shop, 0, visitor=visitor)
    shop.tell(logged_in(70, visitor=visitor))
    reminded(shop, 60 * 24 * 30, user="ada")

    assert told_of(shop, "ada")
    assert {False} == {"contaminated" in told for told in told_of(shop, "ada")}
    assert holdout(shop, "ada")["contaminatedSince"] is None
    assert 0 == counted(shop)


def test_the_mark_stays_with_the_decisions_when_the_id_leaves(shop: Deployment) -> None:
    reminded(shop, 0, visitor=APART)
    shop.tell(logged_in(70, visitor=APART), split(80, APART))

    assert holdout(shop, APART)["contaminatedSince"] is None
    assert iso(minute(70)) == holdout(shop, "ada")["contaminatedSince"]
    assert 1 == counted(shop)


def test_who_was_erased_is_counted_no_more(shop: Deployment) -> None:
    reminded(shop, 0, visitor=APART)
    shop.tell(logged_in(70, visitor=APART), said_by(ERASE_REQUESTED, minute(90), user="ada"))

    assert {} == shop.people()
    assert 0 == counted(shop)


def test_whoever_is_merged_into_somebody_marked_is_counted_with_them(shop: Deployment) -> None:
    other = next(name for name in _NAMES if name != APART and _are_apart(name, "bob"))
    for first, user, visitor in ((0, "ada", APART), (100, "bob", other)):
        reminded(shop, first, visitor=visitor)
        shop.tell(logged_in(first + 70, user=user, visitor=visitor))
    assert 2 == counted(shop)

    shop.tell(merged(180, "ada", "bob"))
    assert 1 == counted(shop)
    shop.tell(split(190, "bob"))
    assert 2 == counted(shop)


def _are_apart(name: str, other: str) -> bool:
    return is_control(name, 0.5) is not is_control(other, 0.5)


def test_a_row_of_the_release_before_is_of_nobody_marked() -> None:
    content = msgspec.msgpack.encode([[], {"cart-abandoned": 5}, [], [], [], []])
    assert 0 == CONTACTS.older[4](content).contaminated_ms
    assert isinstance(CONTACTS.older[4](content), Contacts)


def test_a_shared_id_is_counted_until_it_is_somebodys_again(shop: Deployment) -> None:
    def shared() -> int:
        return shop.sums()["identities", "shared", 0]

    shop.tell(page(0, visitor="tablet"), logged_in(1, "ada", "tablet"))
    assert 0 == shared()
    shop.tell(logged_in(3, "bob", "tablet"))
    assert 1 == shared()
    shop.tell(logged_in(5, "cleo", "tablet"))
    assert 1 == shared()
    shop.tell(split(9, "tablet"))
    assert 0 == shared()


def _disorderly(rng: Random, size: int, *, erases: bool) -> Deployment:
    """Partitions that fold a story, each at its own pace."""
    shop = Deployment(rng.choice(PARTITIONS), HALF)
    for event in stories(rng, size, erases=erases):
        note(event.decode())
        shop.publish(event)
        for number in rng.sample(range(len(shop.logs)), len(shop.logs)):
            shop.fold(number, rng.choice((0, 1, 3)))
        if rng.random() < 0.3:
            shop.clock(time_of(event))
    shop.settle()
    return shop


@given(seed=st.integers(0, 2**32), size=st.integers(1, 60))
def test_what_is_counted_is_what_the_rows_say(seed: int, size: int) -> None:
    """After links, merges, splits and erasures, with partitions in any order, also with repeats."""
    shop = _disorderly(Random(seed), size, erases=True)

    rows = [row for one in shop.rows for row in one.rows.values()]
    marked = [row for row in rows if row.read(CONTACTS).contaminated_ms and not is_mirror(row)]
    assert len(marked) == counted(shop)
    apart = [row for row in rows if row.read(IDENTITIES).is_apart]
    assert len(apart) == shop.sums()["identities", "shared", 0]


@given(seed=st.integers(0, 2**32), size=st.integers(1, 60))
@example(seed=401, size=40)
@example(seed=463, size=40)
def test_what_is_told_of_all_customers_is_what_each_has_told(seed: int, size: int) -> None:
    """Also for an id that leaves a person while another id is about to join them."""
    shop = _disorderly(Random(seed), size, erases=False)

    told = [row.read(LOYALTY).told for _, row in shop.everybody()]
    expected = [functools.reduce(add, (one[n] for one in told), 0) for n in range(5)]
    keys = ("members", "active", "pending", "redeemed", "earned")
    assert expected == [shop.sums()[LOYALTY.name, key, 0] for key in keys]
