"""Persons of several ids, in logs of one or several partitions."""

from itertools import permutations

import orjson
import pytest

from models.customer.cart import CART
from models.customer.engagement import ENGAGEMENT
from models.customer.identities import IDENTITIES
from models.customer.purchases import PURCHASES
from models.customer.row import encode_row
from models.customer_list import Search, question
from models.decisions.trigger import ActionWithdrawn, NextBestAction
from models.identity import is_mirror
from models.links import is_told
from tests.models.events_alone import without_cohort
from tests.models.lines import MINUTE_MS, at
from tests.models.persons import APART, LINKING, Deployment, said_by
from tests.models.test_withdrawal import TREATED

TEN = at(hours=10)
REMINDERS = ("cart-abandoned",)


def minute(count: float) -> int:
    return TEN + round(count * MINUTE_MS)


@pytest.fixture(params=[1, 2, 4, 7], ids="{0} partitions".format)
def shop(request: pytest.FixtureRequest) -> Deployment:
    return Deployment(request.param)


def page(minutes: float, **who: str) -> bytes:
    return said_by("page", minute(minutes), channel="web", **who)


def put_in_cart(minutes: float, **who: str) -> bytes:
    return said_by("Product Added", minute(minutes), product_id="p1", price=30.0, quantity=1, **who)


def logged_in(minutes: float, user: str = "ada", visitor: str = "anon-1") -> bytes:
    return said_by("identify", minute(minutes), user=user, visitor=visitor)


def bought(minutes: float, user: str = "ada") -> bytes:
    return said_by("Order Completed", minute(minutes), user=user, order_id="o1", revenue=30.0)


def split(minutes: float, id_: str = "anon-1", user: str = "ada") -> bytes:
    return said_by("Customer Split", minute(minutes), user=user, id=id_)


def merged(minutes: float, user: str, other: str) -> bytes:
    return said_by("Customer Merged", minute(minutes), user=user, from_user_id=other)


def who_bought_after_the_login(shop: Deployment) -> None:
    shop.tell(page(0, visitor="anon-1"), put_in_cart(5, visitor="anon-1"))
    shop.tell(logged_in(7), bought(20))


def test_who_has_ids_is_nobodys_visitor(shop: Deployment) -> None:
    """Two ids that claim each other would otherwise send each other records for ever."""
    shop.tell(page(0, visitor="both"), merged(1, "both", "bob"))
    shop.tell(logged_in(2, user="bob", visitor="both"))
    assert {"both": {"bob", "both"}} == shop.people()

    shop.tell(page(3, visitor="left"), page(3, visitor="right"))
    for user, visitor in (("left", "right"), ("right", "left")):
        # Of our own messages, which may name a device.
        shop.tell(said_by("Email Opened", minute(4), user=user, visitor=visitor))
    assert {"left": {"left"}, "right": {"right"}} == {
        id_: ids for id_, ids in shop.people().items() if id_ != "both"
    }


def test_an_id_that_was_shared_and_turns_out_to_be_a_users_has_the_ids_that_it_names(
    shop: Deployment,
) -> None:
    shop.tell(logged_in(0, user="bob", visitor="both"), put_in_cart(1, visitor="both"))
    shop.tell(said_by("alias", minute(2), user="ada", previous="both"))
    shop.tell(page(3, visitor="anon-1"), logged_in(4, user="both"))
    assert {"bob": {"bob"}, "both": {"anon-1", "both"}, "ada": {"ada"}} == shop.people()

    shop.tell(bought(5, user="both"), put_in_cart(6, visitor="anon-1"))
    both = shop.row("both")
    assert both is not None
    assert 1 == len(both.read(PURCHASES).orders)
    assert not both.read(CART).is_empty


def test_who_bought_after_the_login_is_not_reminded_of_the_visitors_cart(shop: Deployment) -> None:
    who_bought_after_the_login(shop)
    shop.tick(minute(180))

    assert [] == shop.fired(REMINDERS)
    ada = shop.row("ada")
    assert ada is not None
    assert ada.read(CART).is_empty
    assert 1 == len(ada.read(ENGAGEMENT).sessions)
    assert "web" == ada.read(ENGAGEMENT).first_channel
    assert 1 == len(ada.read(PURCHASES).orders)
    assert {"ada": {"ada", "anon-1"}} == shop.people()


def test_a_visitor_who_leaves_is_reminded_of_the_cart_that_lay_there_all_the_time(
    shop: Deployment,
) -> None:
    who_bought_after_the_login(shop)
    shop.tell(split(30))
    shop.tick(minute(64))
    assert [] == shop.fired(REMINDERS)
    shop.tick(minute(66))

    assert [("cart-abandoned", "anon-1")] == shop.fired(REMINDERS)
    ada = shop.row("ada")
    assert ada is not None
    assert 1 == len(ada.read(PURCHASES).orders)
    # Her order; the page was the visitor's.
    assert 1 == ada.read(ENGAGEMENT).interactions
    assert {"ada": {"ada"}, "anon-1": {"anon-1"}} == shop.people()


def test_what_a_visitor_does_after_the_login_is_the_users(shop: Deployment) -> None:
    shop.tell(page(0, visitor="anon-1"), logged_in(1), put_in_cart(5, visitor="anon-1"))
    shop.tick(minute(180))

    assert [("cart-abandoned", "ada")] == shop.fired(REMINDERS)
    copied = shop.of_person("ada", "anon-1")
    assert without_cohort(shop.whole("anon-1")) == without_cohort(copied)


def test_a_login_before_the_visitor_did_anything_costs_no_second_row(shop: Deployment) -> None:
    shop.tell(logged_in(0), said_by("page", minute(1), user="ada", visitor="anon-1"))
    ada = shop.row("ada")
    assert ada is not None
    assert {"ada": {"ada"}} == {who: ids for who, ids in shop.people().items() if who == "ada"}

    shop.tell(put_in_cart(5, visitor="anon-1"))

    assert {"ada": {"ada", "anon-1"}} == shop.people()
    assert not ada.read(CART).is_empty


def test_an_event_that_is_published_again_under_both_ids_counts_once(shop: Deployment) -> None:
    shop.tell(page(0, visitor="anon-1"), logged_in(1))
    shop.tell(said_by("page", minute(2), visitor="anon-1", message="m"))
    shop.tell(said_by("page", minute(2), user="ada", visitor="anon-1", message="m"))

    ada = shop.row("ada")
    assert ada is not None
    assert 2 == ada.read(ENGAGEMENT).interactions


def test_a_shared_device_is_its_own_from_the_second_login_on(shop: Deployment) -> None:
    shop.tell(page(0, visitor="tablet"), logged_in(1, "ada", "tablet"))
    shop.tell(page(2, visitor="tablet"), logged_in(3, "bob", "tablet"))
    shop.tell(put_in_cart(4, visitor="tablet"))
    shop.tick(minute(180))

    assert [("cart-abandoned", "tablet")] == shop.fired(REMINDERS)
    people = shop.people()
    assert {"ada", "tablet"} == people["ada"]
    assert {"bob"} == people["bob"]
    ada, tablet = shop.row("ada"), shop.row("tablet")
    assert ada is not None
    assert tablet is not None
    assert 2 == ada.read(ENGAGEMENT).interactions
    assert 1 == tablet.read(ENGAGEMENT).interactions


@pytest.mark.parametrize("minutes", [0.5, 2, 2.5], ids=["alone", "linked", "heard of late"])
def test_a_refusal_stands_when_an_id_becomes_shared(shop: Deployment, minutes: float) -> None:
    refused = said_by("Consent Revoked", minute(minutes), visitor="tablet", purpose="marketing")
    shop.tell(page(0, visitor="tablet"))
    shop.tell(*([refused] if minutes < 1 else []), logged_in(1, "ada", "tablet"))
    shop.tell(*([refused] if minutes == 2 else []), logged_in(3, "bob", "tablet"))
    shop.tell(*([refused] if minutes > 2 else []), put_in_cart(4, visitor="tablet"))
    shop.tick(minute(180))

    decided = [one for one in shop.effects if isinstance(one, NextBestAction)]
    assert [] == [one.action for one in decided if one.user_id == "tablet" and one.action]


def test_a_cooldown_holds_when_an_id_becomes_shared(shop: Deployment) -> None:
    shop.tell(put_in_cart(0, visitor="tablet"))
    shop.tick(minute(70))
    shop.tell(logged_in(80, "ada", "tablet"), logged_in(90, "bob", "tablet"))
    shop.tell(put_in_cart(120, visitor="tablet"))
    shop.tick(minute(300))

    assert [("cart-abandoned", "tablet")] == shop.fired(REMINDERS)


def test_what_comes_back_of_our_own_messages_makes_a_visitor_no_user(shop: Deployment) -> None:
    shop.tell(put_in_cart(0, visitor="anon-1"))
    shop.tell(said_by("Action Delivered", minute(1), user="anon-1", decision_id="0" * 32))
    shop.tell(said_by("Email Delivered", minute(2), user="anon-1"))
    shop.tell(logged_in(3), bought(4))
    shop.tick(minute(180))

    assert [] == shop.fired(REMINDERS)
    assert {"ada": {"ada", "anon-1"}} == shop.people()


def test_who_was_only_named_is_no_customer(shop: Deployment) -> None:
    shop.tell(logged_in(0), split(1, "nobody"), page(2, user="ada"))

    told = {who for who, row in shop.everybody() if is_told(row)}
    assert {"ada"} == told


def test_an_id_that_leaves_while_it_is_shared_has_all_that_it_did(shop: Deployment) -> None:
    alone = Deployment(1)
    events = [
        page(0, visitor="tablet"),
        page(2, visitor="tablet"),
        put_in_cart(4, visitor="tablet"),
    ]
    alone.tell(*events)
    shop.tell(events[0], logged_in(1, "ada", "tablet"), events[1], logged_in(3, "bob", "tablet"))
    shop.tell(events[2], split(5, "tablet"))

    assert alone.whole("tablet") == shop.whole("tablet")
    assert {"tablet"} == shop.people()["tablet"]


def test_the_first_user_by_the_time_of_events_has_the_id(shop: Deployment) -> None:
    shop.tell(page(0, visitor="anon-1"), logged_in(8, "bob"), logged_in(3, "ada"))

    assert {"ada", "anon-1"} == shop.people()["ada"]
    assert {"bob"} == shop.people()["bob"]


def test_of_more_ids_than_a_person_may_have_the_one_named_the_longest_ago_leaves(
    shop: Deployment,
) -> None:
    for n in range(7):
        shop.tell(page(10 * n, visitor=f"anon-{n}"), logged_in(10 * n + 1, visitor=f"anon-{n}"))

    assert {"ada", *(f"anon-{n}" for n in range(2, 7))} == shop.people()["ada"]
    assert {"anon-0", "anon-1"} <= shop.people().keys()

    shop.tell(logged_in(90, visitor="anon-0"))
    assert {"ada", "anon-0", *(f"anon-{n}" for n in range(3, 7))} == shop.people()["ada"]


def with_too_many_ids(shop: Deployment) -> None:
    """ada's are anon-0 to anon-5; the first one has to leave."""
    for n in range(6):
        shop.tell(page(10 * n, visitor=f"anon-{n}"), logged_in(10 * n + 1, visitor=f"anon-{n}"))


@pytest.mark.parametrize(
    ("event", "ids"),
    [
        (page(55, visitor="anon-0"), (1, 2, 3, 4, 5)),
        (logged_in(55, visitor="anon-0"), (0, 2, 3, 4, 5)),
        (logged_in(21, visitor="anon-0"), (0, 2, 3, 4, 5)),
        (logged_in(9, visitor="anon-0"), (1, 2, 3, 4, 5)),
        (logged_in(55, visitor="anon-1"), (1, 2, 3, 4, 5)),
        (split(60, "anon-3"), (0, 1, 2, 4, 5)),
        (split(60, "anon-0"), (1, 2, 3, 4, 5)),
        (merged(60, "ada", "anon-3"), (0, 1, 2, 3, 4, 5)),
        (merged(60, "ada", "anon-0"), (0, 1, 2, 3, 4, 5)),
        (logged_in(20, "bob", "anon-2"), (0, 1, 3, 4, 5)),
        (logged_in(55, "bob", "anon-0"), (1, 2, 3, 4, 5)),
    ],
    ids=[
        "what it does itself does not bring it back",
        "named again it is back, and the next has to go",
        "named later than another one",
        "named no later than all others",
        "another is named again",
        "another leaves",
        "it leaves itself",
        "another counts as a user, who was merged",
        "it counts as a user, who was merged",
        "another was another user's before",
        "it is no other user's who was later",
    ],
)
def test_who_has_to_go_comes_back_when_there_is_room(
    shop: Deployment, event: bytes, ids: tuple[int, ...]
) -> None:
    with_too_many_ids(shop)

    shop.tell(event)

    assert {"ada", *(f"anon-{n}" for n in ids)} == shop.people()["ada"]
    assert all(len(theirs) <= 2 for who, theirs in shop.people().items() if who != "ada")


def test_who_has_to_go_is_told_as_if_never_linked(shop: Deployment) -> None:
    with_too_many_ids(shop)
    alone = Deployment(1, APART)
    events = page(0, visitor="anon-0"), put_in_cart(56, visitor="anon-0")
    alone.tell(*events)

    shop.tell(events[1])

    assert alone.whole("anon-0") == shop.whole("anon-0")
    anon = shop.row("anon-0")
    assert anon is not None
    assert is_told(anon)


def test_a_user_of_countless_ids_knows_the_latest_and_the_others_know_nothing_of_them(
    shop: Deployment,
) -> None:
    shop.tell(*(logged_in(n, visitor=f"v-{n}") for n in range(40)))
    shop.tell(*(page(41, visitor=f"v-{n}") for n in range(40)))

    assert {"ada", *(f"v-{n}" for n in range(35, 40))} == shop.people()["ada"]
    rows = {f"v-{n}": shop.row(f"v-{n}") for n in range(40)}
    knowing = [id_ for id_, row in rows.items() if row and row.read(IDENTITIES).claims]
    assert [f"v-{n}" for n in range(8, 40)] == knowing


def test_a_user_becomes_anothers_by_an_act_alone(shop: Deployment) -> None:
    shop.tell(page(0, user="ada"), page(0, user="bob"))
    shop.tell(said_by("alias", minute(1), user="ada", visitor="bob"), logged_in(2, "ada", "bob"))
    assert {"ada": {"ada"}, "bob": {"bob"}} == shop.people()

    shop.tell(merged(3, "ada", "bob"))
    assert {"ada": {"ada", "bob"}} == shop.people()

    shop.tell(bought(4, "bob"), split(5, "bob"))
    assert {"ada": {"ada"}, "bob": {"bob"}} == shop.people()
    ada, bob = shop.row("ada"), shop.row("bob")
    assert ada is not None
    assert bob is not None
    assert not ada.read(PURCHASES).orders
    assert 1 == len(bob.read(PURCHASES).orders)


HAPPENS = {
    "a user acts": page(1, user="bob"),
    "a visitor of that name acts": page(2, visitor="bob"),
    "somebody logs in with it": logged_in(3, "ada", "bob"),
}


@pytest.mark.parametrize("order", list(permutations(HAPPENS)), ids=", ".join)
def test_a_users_id_that_is_sent_as_a_visitors_too_stays_their_own(
    shop: Deployment, order: tuple[str, ...]
) -> None:
    shop.tell(*(HAPPENS[what] for what in order), page(4, user="ada"))
    assert {"ada": {"ada"}, "bob": {"bob"}} == shop.people()

    shop.tell(merged(5, "ada", "bob"))
    assert {"ada": {"ada", "bob"}} == shop.people()


@pytest.mark.parametrize("first", ["ada", "bob"])
@pytest.mark.parametrize("is_merged_first", [True, False])
def test_who_are_one_person_do_not_share_a_browser(
    shop: Deployment, first: str, *, is_merged_first: bool
) -> None:
    act = merged(4, "ada", "bob")
    shop.tell(page(0, user="ada"), page(0, user="bob"), page(0, visitor="tablet"))
    shop.tell(*([act] if is_merged_first else []))
    second = "bob" if first == "ada" else "ada"
    shop.tell(logged_in(1, first, "tablet"), logged_in(2, second, "tablet"))
    shop.tell(put_in_cart(3, visitor="tablet"), *([] if is_merged_first else [act]))

    assert {"ada"} == shop.people().keys()
    ada = shop.row("ada")
    assert ada is not None
    assert not ada.read(CART).is_empty

    shop.tell(split(5, "bob"))
    shop.tell(page(6, visitor="tablet"), page(7, visitor="tablet"))
    assert {"ada", "bob", "tablet"} == shop.people().keys()
    assert {first, "tablet"} == shop.people()[first]
    tablet = shop.row("tablet")
    assert tablet is not None
    assert 2 == tablet.read(ENGAGEMENT).interactions


def test_a_user_with_ids_is_merged_and_leaves_with_them(shop: Deployment) -> None:
    shop.tell(page(0, visitor="anon-1"), page(0, user="ada"), logged_in(1, "bob"))
    shop.tell(merged(2, "ada", "bob"), put_in_cart(3, visitor="anon-1"))
    ada = shop.row("ada")
    assert ada is not None
    assert not ada.read(CART).is_empty
    assert {"ada": {"ada", "bob"}} == shop.people()

    # Another id of bob's, while he is hers.
    shop.tell(page(4, visitor="anon-2"), logged_in(5, "bob", "anon-2"))
    assert 4 == ada.read(ENGAGEMENT).interactions

    shop.tell(split(6, "bob"))
    assert {"ada": {"ada"}, "bob": {"bob", "anon-1", "anon-2"}} == shop.people()
    shop.tick(minute(180))
    assert [("cart-abandoned", "bob")] == shop.fired(REMINDERS)


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([merged(1, "ada", "ada")], "nobody is merged with themselves"),
        (
            [merged(1, "ada", "bob"), merged(2, "bob", "cleo")],
            "this customer is another person's id",
        ),
        (
            [merged(1, "ada", "bob"), merged(2, "cleo", "ada")],
            "other users were merged into this one",
        ),
        (
            [merged(1, "ada", "bob"), merged(2, "cleo", "bob")],
            "this user is another person's by now",
        ),
    ],
)
def test_what_cannot_be_merged_is_refused_and_nothing_changes(
    shop: Deployment, events: list[bytes], why: str
) -> None:
    shop.tell(page(0, user="ada"), page(0, user="bob"), page(0, user="cleo"))
    shop.tell(*events[:-1])
    before = shop.people()

    shop.tell(events[-1])

    assert [why] == [one.detail for one in shop.refused]
    assert before == shop.people()


@pytest.mark.parametrize(("first", "second"), [("ada", "bob"), ("bob", "ada")])
@pytest.mark.parametrize("minutes", [2.5, 5])
def test_a_visitor_who_cannot_be_merged_stays_whose_they_were(
    shop: Deployment, first: str, second: str, minutes: float
) -> None:
    shop.tell(page(0, visitor="tablet"), page(0, user="ada"), page(0, user="bob"))
    shop.tell(logged_in(2, first, "tablet"), logged_in(3, second, "tablet"))
    before = shop.people()

    shop.tell(merged(minutes, "ada", "tablet"))

    assert ["this user is another person's by now"] == [one.detail for one in shop.refused]
    assert before == shop.people()
    assert {first, "tablet"} == before[first]

    shop.tell(split(2.7, "tablet"))
    assert {second, "tablet"} == shop.people()[second]


def test_two_who_are_merged_into_each_other_at_once_stay_two(shop: Deployment) -> None:
    shop.tell(page(0, user="ada"), page(0, user="bob"))

    shop.publish(merged(1, "ada", "bob"), merged(1, "bob", "ada"))
    shop.settle()

    assert 2 == len(shop.refused)
    assert {"ada": {"ada"}, "bob": {"bob"}} == shop.people()


def test_a_link_that_was_split_stays_split_until_a_later_event(shop: Deployment) -> None:
    shop.tell(page(0, visitor="anon-1"), logged_in(1), split(5))
    shop.tell(logged_in(4))
    assert {"ada": {"ada"}, "anon-1": {"anon-1"}} == shop.people()

    shop.tell(logged_in(6))
    assert {"ada": {"ada", "anon-1"}} == shop.people()


@pytest.mark.parametrize(
    "order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
)
def test_links_and_splits_stand_by_the_time_of_events_in_any_order(
    shop: Deployment, order: tuple[int, ...]
) -> None:
    events = logged_in(1), split(2), logged_in(3)
    shop.tell(page(0, visitor="anon-1"), *(events[n] for n in order))

    assert {"ada": {"ada", "anon-1"}} == shop.people()


def test_a_mirror_decides_nothing_and_wakes_up_on_time(shop: Deployment) -> None:
    shop.tell(put_in_cart(0, visitor="anon-1"), logged_in(1))
    shop.tick(minute(61))

    anon = shop.row("anon-1")
    assert anon is not None
    assert is_mirror(anon)
    assert minute(60) == anon.due("cart").handled_ms
    assert "ada" == anon.read(IDENTITIES).person
    assert [("cart-abandoned", "ada")] == shop.fired(REMINDERS)


def test_what_rows_tell_each_other_twice_after_a_crash_counts_once(shop: Deployment) -> None:
    shop.tell(put_in_cart(0, visitor="anon-1"), ordered_as_visitor(1), page(1, user="ada"))
    shop.tell(logged_in(2), page(3, visitor="anon-1"), split(4))
    shop.tell(ordered_as_visitor(5), page(6, visitor="anon-1"))
    told = [raw for log in shop.logs for raw in log if b'"logFormat":4' in raw]
    before = shop.people(), shop.sums(), {id_: shop.whole(id_) for id_, _ in shop.everybody()}
    rows = {id_: encode_row(row) for id_, row in shop.everybody()}

    for raw in told:
        shop.logs[shop.home(orjson.loads(raw)["userId"])].append(raw)
    shop.settle()

    assert {"link", "graft", "forwarded", "unlink", "release", "left"} == {
        orjson.loads(raw)["type"] for raw in told
    }
    after = shop.people(), shop.sums(), {id_: shop.whole(id_) for id_, _ in shop.everybody()}
    assert before == after
    assert rows == {id_: encode_row(row) for id_, row in shop.everybody()}


def ordered_as_visitor(minutes: float) -> bytes:
    return said_by(
        "Order Completed", minute(minutes), visitor="anon-1", order_id=f"v{minutes}", revenue=9.0
    )


def test_what_is_told_after_a_long_silence_is_no_repeat(shop: Deployment) -> None:
    buyers = [
        said_by("Order Completed", minute(n), user=f"u-{n}", order_id=f"o{n}", revenue=9.0)
        for n in range(40)
    ]
    shop.tell(page(0, visitor="anon-1"), page(0, user="ada"), logged_in(1), *buyers)
    year = 365 * 24 * 60

    # Its clock runs through a year of others' check-ins, which bring about hundreds of effects.
    shop.tell(split(year))

    assert {"anon-1"} == shop.people()["anon-1"]
    assert {"ada"} == shop.people()["ada"]


def test_what_a_visitor_refused_is_withdrawn_from_the_user_they_become() -> None:
    shop = Deployment(3, TREATED)
    shop.tell(put_in_cart(0, user="ada"), page(1, visitor="anon-1"))
    shop.tick(minute(61))
    [action] = [one for one in shop.effects if isinstance(one, NextBestAction)]
    shop.tell(said_by("Unsubscribed", minute(62), visitor="anon-1"))
    assert not [one for one in shop.effects if isinstance(one, ActionWithdrawn)]

    shop.tell(logged_in(63))

    [withdrawn] = [one for one in shop.effects if isinstance(one, ActionWithdrawn)]
    assert (action.id, "ada", "consent") == (
        withdrawn.decision_id,
        withdrawn.user_id,
        withdrawn.because,
    )


@pytest.mark.parametrize("says", ["visitor", "user"])
@pytest.mark.parametrize("is_split_first", [True, False])
def test_what_was_withdrawn_is_not_withdrawn_again_after_a_split(
    says: str, *, is_split_first: bool
) -> None:
    shop = Deployment(3, TREATED)
    shop.tell(put_in_cart(0, visitor="anon-1"), page(0, user="ada"))
    shop.tick(minute(61))
    shop.tell(logged_in(62))
    refusals = [
        said_by("Unsubscribed", minute(63), **{says: "anon-1" if says == "visitor" else "ada"}),
        split(64),
    ]
    shop.tell(*(reversed(refusals) if is_split_first else refusals))
    shop.tell(said_by("Unsubscribed", minute(65), user="ada"))
    shop.tell(said_by("Unsubscribed", minute(66), visitor="anon-1"))

    withdrawn = [one for one in shop.effects if isinstance(one, ActionWithdrawn)]
    assert 1 == len({one.id for one in withdrawn})
    assert len(withdrawn) == (2 if is_split_first else 1)


def test_a_list_has_a_person_once(shop: Deployment) -> None:
    who_bought_after_the_login(shop)
    asked = question(LINKING, where="ids > 0")
    listed, customers = [], 0
    for lane, rows in zip(shop.lanes, shop.rows, strict=True):
        search = Search(asked, lane.as_of_ms, lane.context)
        for customer, packed in rows.stored.items():
            search.look(customer, packed)
        listed += search.first(rows.stored)
        customers += search.customers

    assert 1 == customers
    assert [("ada", 2.0)] == [(one.user_id, one.facts["ids"]) for one in listed]
