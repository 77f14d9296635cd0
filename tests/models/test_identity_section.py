"""The ids of a customer, as their profile shows them."""

import msgspec
import pytest

from models.customer.fingerprint import fingerprint_bytes
from models.customer.profile import encode_profile
from tests.models.lines import at
from tests.models.persons import APART, Deployment, said_by

T0, T5, T9 = (f"2026-01-01T00:{minute:02d}:00.000Z" for minute in (0, 5, 9))


def told(world: Deployment, id_: str) -> dict[str, object]:
    found: dict[str, object] = msgspec.json.decode(encode_profile(world.profile(id_)))["identity"]
    return found


def known(id_: str, since: str, by: str) -> dict[str, str]:
    return {"fingerprint": fingerprint_bytes(id_).hex(), "since": since, "by": by}


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_persons_ids_are_told_by_fingerprint_since_when_and_why(partitions: int) -> None:
    world = Deployment(partitions)
    world.tell(
        said_by("page", at(), visitor="anon-1"),
        said_by("page", at(), visitor="anon-2"),
        said_by("Order Completed", at(), user="ada.old", order_id="o-1", revenue=9),
        said_by("identify", at(minutes=5), user="ada", visitor="anon-1"),
        said_by("Customer Merged", at(minutes=9), user="ada", from_user_id="ada.old"),
    )
    world.tell(said_by("identify", at(), user="ada", visitor="anon-2"))

    ids = [known("anon-2", T0, "event"), known("anon-1", T5, "event")]
    ids.append(known("ada.old", T9, "merged"))
    assert {"identified": True, "ids": ids, "sharedSince": None} == told(world, "ada")
    content = encode_profile(world.profile("ada"))
    assert [] == [one for one in (b"anon-1", b"anon-2", b"ada.old") if one in content]

    world.tell(said_by("Customer Split", at(minutes=20), user="ada", id="anon-1"))
    assert [ids[0], ids[2]] == told(world, "ada")["ids"]
    assert {"identified": False, "ids": [], "sharedSince": None} == told(world, "anon-1")


def test_a_shared_id_says_since_when_it_is_its_own() -> None:
    world = Deployment()
    world.tell(
        said_by("page", at(), visitor="tablet"),
        said_by("identify", at(minutes=5), user="ada", visitor="tablet"),
        said_by("identify", at(minutes=9), user="bob", visitor="tablet"),
    )
    world.tell(said_by("page", at(minutes=10), visitor="tablet"))

    assert [known("tablet", T5, "event")] == told(world, "ada")["ids"]
    assert [] == told(world, "bob")["ids"]
    assert {"identified": False, "ids": [], "sharedSince": T9} == told(world, "tablet")


def test_where_ids_are_not_united_nothing_is_told_of_them() -> None:
    world = Deployment(parameters=APART)
    world.tell(said_by("page", at(), user="ada", visitor="anon-1"))

    assert world.profile("ada").identity is None
