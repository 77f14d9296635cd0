"""Waiting labels that are dropped and teach nothing are counted by reason."""

from collections import Counter

import pytest
from msgspec.structs import replace

from models import identity
from models.customer.churn import CHURN
from models.customer.labels import Dropped, LabelsDropped
from models.customer.row import Row
from models.engine import Effect
from models.events.erasure_record import ERASE_REQUESTED
from models.learning.lessons import Example
from models.plan import plan_for
from tests.models.lines import at, context
from tests.models.persons import LINKING, Deployment, said_by
from tests.models.test_identity_lessons import buyer, left, linked, ordered, waited
from tests.models.test_persons_counted import exported, replayed


def dropped(effects: list[Effect]) -> Counter[str]:
    found: Counter[str] = Counter()
    for one in effects:
        if isinstance(one, LabelsDropped):
            found[one.why] += one.size
    return found


def waiting(row: Row) -> int:
    return len(row.read(CHURN).waiting())


def test_of_an_id_that_leaves_those_that_used_it_are_lost_and_those_it_brought_are_not() -> None:
    visitor, ada = buyer("anon-1", 0, 5, 9), buyer("ada", 2)
    own, brought = waiting(ada), waiting(visitor)
    linked(ada, "anon-1", visitor, 12)
    assert own + brought == waiting(ada)
    clock, plan = context(at(16)).present, context().plan
    identity.advance(ada, "ada", ordered("ada", 13), clock, plan)
    waited(ada, "ada", 16)
    since = waiting(ada) - own - brought
    assert since > 0

    _, effects = identity.split(ada, "ada", "anon-1", at(16), clock, plan)

    assert {Dropped.SPLIT: since} == dropped(effects)
    assert own == waiting(ada)


def test_an_id_that_comes_and_goes_at_once_loses_nothing() -> None:
    visitor, ada = buyer("anon-1", 0, 5, 9), buyer("ada", 2)
    effects = linked(ada, "anon-1", visitor, 12)
    visitor = left(ada, "anon-1", 12)

    assert {} == dropped(effects)
    assert waiting(buyer("anon-1", 0, 5, 9)) == waiting(visitor)


def test_beyond_the_bound_the_latest_of_both_are_lost() -> None:
    few = replace(LINKING, bounds=replace(LINKING.bounds, pending=2))
    visitor, ada = buyer("anon-1", 0, 5, 9), buyer("ada", 2, 6)
    whole = waiting(visitor) + waiting(ada)
    clock = plan_for(few).context(context().present.snapshot, clock_ms=at(12))
    effects = identity.link(ada, "ada", "anon-1", visitor, at(12), clock, plan_for(few))

    assert {Dropped.BOUND: whole - waiting(ada)} == dropped(effects)
    assert waiting(ada) < whole


def bought(day: int, user: str = "ada") -> bytes:
    return said_by("Order Completed", at(day), user=user, order_id=f"o{day}", revenue=30.0)


@pytest.fixture(params=[1, 3], ids="{0} partitions".format)
def shop(request: pytest.FixtureRequest) -> Deployment:
    return Deployment(request.param)


def test_labels_of_whoever_is_erased_are_counted_once_whatever_ids_they_had(
    shop: Deployment,
) -> None:
    shop.tell(said_by("page", at(), visitor="anon-1"), bought(0))
    shop.tell(said_by("identify", at(hours=2), user="ada", visitor="anon-1"), bought(5))
    shop.tick(at(9))
    row = shop.row("ada")
    assert row is not None
    lost = waiting(row)
    assert lost > 0

    shop.tell(said_by(ERASE_REQUESTED, at(10), visitor="anon-1"))
    assert {Dropped.ERASED: lost} == shop.dropped
    shop.tick(at(200))
    assert [] == [one for one in shop.effects if isinstance(one, Example)]


def test_labels_from_before_a_refusal_to_be_learnt_from_are_counted_when_they_are_due(
    shop: Deployment,
) -> None:
    shop.tell(bought(0), bought(5))
    shop.tick(at(9))
    row = shop.row("ada")
    assert row is not None
    waited_for = waiting(row)
    shop.tell(said_by("Consent Revoked", at(10), user="ada", purpose="analytics"))
    shop.tick(at(200))

    assert waited_for > 0
    assert {Dropped.CONSENT: waited_for} == shop.dropped


def test_a_replay_counts_them_as_a_worker_does() -> None:
    visited = said_by("page", at(), visitor="anon-1")
    login = said_by("identify", at(hours=2), user="ada", visitor="anon-1")
    gone = said_by("Customer Split", at(9), user="ada", id="anon-1")
    events = [visited, bought(0), login, bought(5), bought(8), gone]
    shop = Deployment()
    shop.tell(*events)

    summary = replayed(exported(events)).summary()
    assert dict(shop.dropped) == summary.labels_dropped
    assert summary.labels_dropped["split"] > 0
    assert summary.labels_dropped == replayed(events).summary().labels_dropped
