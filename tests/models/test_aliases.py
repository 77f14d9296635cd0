"""Each id in an alias is decided by itself: whom it belongs to, and whether it may."""

from itertools import permutations

import pytest

from tests.models.lines import MINUTE_MS, at
from tests.models.persons import Deployment, said_by

_TEN = at(hours=10)


def _minute(count: int) -> int:
    return _TEN + count * MINUTE_MS


#: Who did something before the alias: a visitor, another user, and a visitor who is bob's by then.
_BEFORE = {
    "anon-1": [said_by("page", _minute(0), visitor="anon-1")],
    "other": [said_by("page", _minute(0), visitor="other")],
    "bob": [said_by("page", _minute(0), user="bob")],
    "bobs": [
        said_by("page", _minute(0), visitor="bobs"),
        said_by("identify", _minute(1), user="bob", visitor="bobs"),
    ],
}
_WHOSE = {
    "a visitor": ("anon-1", None, {"ada": "anon-1"}),
    "another user": ("bob", None, {}),
    "another user's visitor": ("bobs", None, {"bob": "bobs"}),
    "another user, and a visitor": ("bob", "anon-1", {"ada": "anon-1"}),
    "another user's visitor, and a visitor": ("bobs", "anon-1", {"ada": "anon-1", "bob": "bobs"}),
    "a visitor, and another user": ("anon-1", "bob", {"ada": "anon-1"}),
    "a visitor, and another user's visitor": ("anon-1", "bobs", {"ada": "anon-1", "bob": "bobs"}),
    "two visitors": ("anon-1", "other", {"ada": "anon-1 other"}),
    "the same visitor twice": ("anon-1", "anon-1", {"ada": "anon-1"}),
    "herself, and a visitor": ("ada", "anon-1", {"ada": "anon-1"}),
    "who never did anything, and a visitor": ("nobody-yet", "anon-1", {"ada": "anon-1"}),
}


@pytest.mark.parametrize("partitions", [1, 4])
@pytest.mark.parametrize("is_alias_first", [True, False])
@pytest.mark.parametrize(("previous", "visitor", "theirs"), _WHOSE.values(), ids=_WHOSE)
def test_an_alias_links_each_id_that_is_nobody_elses(
    previous: str,
    visitor: str | None,
    theirs: dict[str, str],
    *,
    is_alias_first: bool,
    partitions: int,
) -> None:
    shop = Deployment(partitions)
    alias = said_by("alias", _minute(5), user="ada", previous=previous, visitor=visitor)
    named = [id_ for id_ in (previous, visitor) if id_ in _BEFORE]
    before = [event for id_ in named for event in _BEFORE[id_]]

    shop.tell(*([alias, *before] if is_alias_first else [*before, alias]))

    linked = {person: ids - {person} for person, ids in shop.people().items() if len(ids) > 1}
    assert {person: frozenset(ids.split()) for person, ids in theirs.items()} == linked


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_who_the_ids_of_an_alias_are_does_not_hang_on_what_arrives_first(
    order: tuple[int, ...],
) -> None:
    shop = Deployment(3)
    events = [
        said_by("page", _minute(0), user="bob"),
        said_by("page", _minute(0), visitor="anon-1"),
        said_by("alias", _minute(2), user="ada", previous="bob", visitor="anon-1"),
        said_by("page", _minute(3), visitor="anon-1"),
    ]

    shop.tell(*(events[n] for n in order))

    assert {"ada": {"ada", "anon-1"}, "bob": {"bob"}} == shop.people()
