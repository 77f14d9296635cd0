"""The person that a command names for an id is the one who is erased with that id."""

import asyncio
from collections.abc import Iterable

import pytest

from config.settings import Settings
from streams import person_lookup
from streams.person_lookup import KeptOfId, person_of
from tests.models.persons import LINKING, Deployment
from tests.models.test_erasure import PERSONS, erase, identities
from tests.models.test_persons import logged_in, page, split

SHARED = (logged_in(7), logged_in(8, user="zoe"), page(9, user="zoe"))
STORIES = {
    **{name: (before, who) for name, (before, who, _) in PERSONS.items()},
    "an id that several named": (SHARED, {"visitor": "anon-1"}),
    "an id that several share": ((page(5, visitor="anon-1"), *SHARED), {"visitor": "anon-1"}),
    "the first who shared it": ((page(5, visitor="anon-1"), *SHARED), {"user": "ada"}),
    "an id that has left": ((page(5, visitor="anon-1"), *SHARED, split(40)), {"user": "ada"}),
}


@pytest.mark.parametrize(("before", "who"), STORIES.values(), ids=STORIES)
def test_whom_a_command_names_is_who_goes(
    before: tuple[bytes, ...], who: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Deployment()
    shop.tell(*before)

    async def kept_of(_: Settings, customers: Iterable[str]) -> dict[str, KeptOfId]:
        return {one: KeptOfId(shop.row(one), shop.grave(one)) for one in customers}

    monkeypatch.setattr(person_lookup, "kept_of", kept_of)
    (id_,) = who.values()
    found = asyncio.run(person_of(Settings(), id_, LINKING))

    shop.tell(erase(**who))

    assert shop.erased().keys() == {one for one, kept in found.items() if kept.row is not None}


def test_an_id_that_was_only_named_is_told_with_whoever_named_it() -> None:
    shop = Deployment()
    shop.tell(logged_in(7))

    assert not identities(shop, "anon-1").person
    assert KeptOfId(shop.row("anon-1"), None).person(LINKING) == "ada"
