"""Which id belongs to whom follows from the times of events, in any order of arrival."""

from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, note
from hypothesis import strategies as st
from msgspec.structs import replace

from config.duration import MINUTE_MS
from config.parameters import Parameters
from models.customer.identities import CLAIM_TIMES_MAX
from tests.models.lines import START_MS
from tests.models.persons import LINKING, Deployment, said_by

USERS, VISITORS = ("ada", "bob", "cleo"), ("anon-1", "anon-2")
MANY_VISITORS = (*VISITORS, "anon-3", "anon-4", "anon-5", "anon-6")
FEW = replace(LINKING, identity=replace(LINKING.identity, anonymous_ids=2))


class Said(NamedTuple):
    """At a minute, a user claims an id, or, without a user, the id is split off."""

    minute: int
    id_: str
    user: str = ""

    @property
    def event(self) -> bytes:
        at_ms = START_MS + self.minute * MINUTE_MS
        if self.user:
            return said_by("identify", at_ms, user=self.user, visitor=self.id_)
        return said_by("Customer Split", at_ms, user="ada", id=self.id_)


def owners(story: Iterable[Said]) -> dict[str, str]:
    """For each owned id, the first user who claimed it since the last split."""
    found: dict[str, str] = {}
    for said in sorted(story):
        if not said.user:
            found.pop(said.id_, None)
        else:
            found.setdefault(said.id_, said.user)
    return found


def kept(story: Sequence[Said], limit: int) -> dict[str, str]:
    """Of the owned ids, the ``limit`` ones that each user named last."""
    whose = owners(story)
    last = {
        id_: max(said.minute for said in story if (said.id_, said.user) == (id_, user))
        for id_, user in whose.items()
    }
    found: dict[str, str] = {}
    for user in USERS:
        theirs = sorted((last[id_], id_) for id_ in whose if whose[id_] == user)
        found |= {id_: user for _, id_ in theirs[-limit:]}
    return found


def linked(shop: Deployment) -> dict[str, str]:
    people = shop.people().items()
    return {id_: person for person, ids in people for id_ in ids - {person}}


def drawn(rng: Random, size: int, visitors: Sequence[str] = VISITORS) -> list[Said]:
    """Claims and splits at different times, of no id more than are remembered."""
    story = list[Said]()
    for minute in rng.sample(range(1, 4 * size), size):
        user = "" if rng.random() < 0.25 else rng.choice(USERS)
        story.append(Said(minute, rng.choice(visitors), user))
    claims = Counter((said.id_, said.user) for said in story if said.user)
    return [
        said for said in story if not said.user or claims[said.id_, said.user] <= CLAIM_TIMES_MAX
    ]


def told_in_any_order(
    rng: Random, story: Iterable[Said], visitors: Iterable[str], parameters: Parameters
) -> Deployment:
    """Fold the records between rows in any order."""
    shop = Deployment(rng.choice((1, 2, 4)), parameters)
    pages = [said_by("page", START_MS, visitor=id_) for id_ in visitors]
    arriving = [*(said.event for said in story), *pages]
    rng.shuffle(arriving)
    for event in arriving:
        note(event.decode())
        shop.publish(event)
        for number in rng.sample(range(len(shop.logs)), len(shop.logs)):
            shop.fold(number, rng.choice((0, 1, 3)))
    shop.settle()
    return shop


@given(seed=st.integers(0, 2**32), size=st.integers(1, 30))
def test_the_first_user_since_the_last_split_has_an_id_in_whatever_order_that_arrives(
    seed: int, size: int
) -> None:
    rng = Random(seed)
    story = drawn(rng, size)

    shop = told_in_any_order(rng, story, VISITORS, LINKING)

    assert owners(story) == linked(shop)


@given(seed=st.integers(0, 2**32), size=st.integers(1, 40))
def test_of_too_many_ids_those_named_last_stay_in_whatever_order_that_arrives(
    seed: int, size: int
) -> None:
    rng = Random(seed)
    story = drawn(rng, size, MANY_VISITORS)

    shop = told_in_any_order(rng, story, MANY_VISITORS, FEW)

    assert kept(story, FEW.identity.anonymous_ids) == linked(shop)


def _claims_around(later: int) -> list[Said]:
    """ada's claims before a split and just after, bob's after that, and so many more of hers."""
    hers = [Said(minute, "anon-1", "ada") for minute in (1, 3, *range(5, 5 + later))]
    return [*hers, Said(4, "anon-1", "bob")]


@pytest.mark.parametrize(
    ("later", "owner"), [(0, "ada"), (CLAIM_TIMES_MAX, "ada"), (CLAIM_TIMES_MAX + 1, "bob")]
)
def test_a_split_that_is_heard_of_after_too_many_claims_is_taken_for_a_later_one(
    later: int, owner: str
) -> None:
    shop = Deployment(2)
    shop.tell(said_by("page", START_MS, visitor="anon-1"))

    shop.tell(*(said.event for said in _claims_around(later)), Said(2, "anon-1").event)

    assert {"anon-1": owner} == linked(shop)
