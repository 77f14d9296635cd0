"""A person with several ids counts once in everything, as the person."""

from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.customer.contacts import CONTACTS, decided_contact
from models.decisions.trigger import NextBestAction
from models.events.dead_letter import DeadLetter
from models.replay import Replay
from tests.models.persons import LINKING, Deployment, said_by
from tests.models.test_persons import logged_in, merged, minute, page, put_in_cart
from tests.models.test_withdrawal import CONTROL, TREATED
from tests.properties.test_persons import stories

#: Who is merged into ada cannot be cleo's, too.
REFUSED = (
    *(page(0, user=who) for who in ("ada", "bob", "cleo")),
    merged(1, "ada", "bob"),
    merged(2, "cleo", "bob"),
    merged(3, "cleo", "ada"),
)


def exported(events: tuple[bytes, ...] | list[bytes], parameters: Any = LINKING) -> list[bytes]:
    """The log of one partition after the events, as an export has it."""
    shop = Deployment(1, parameters)
    shop.tell(*events)
    return [
        orjson.dumps({**orjson.loads(raw), "position": {"partition": 0, "offset": offset}})
        for offset, raw in enumerate(shop.logs[0])
    ]


def replayed(lines: tuple[bytes, ...] | list[bytes], parameters: Any = LINKING) -> Replay:
    replay = Replay(parameters)
    for number, raw in enumerate(lines, 1):
        replay.feed(raw, number)
    return replay


@pytest.mark.parametrize("is_export", [False, True], ids=["plain", "exported"])
def test_a_merge_that_is_refused_has_one_fate_and_its_reason_is_told(is_export: bool) -> None:
    summary = replayed(exported(REFUSED) if is_export else REFUSED).summary()

    assert len(REFUSED) == summary.events["read"] == summary.events["applied"]
    assert 0 == summary.events["deadLettered"]
    assert [("$.properties.from_user_id", 2)] == [(c.path, c.count) for c in summary.refusals]


@given(seed=st.integers(0, 2**32), size=st.integers(1, 25), is_export=st.booleans())
def test_every_event_of_persons_has_one_fate(seed: int, size: int, *, is_export: bool) -> None:
    events = list(stories(Random(seed), size))
    replay, letters = Replay(LINKING), 0
    for number, raw in enumerate(exported(events) if is_export else events, 1):
        letters += sum(1 for out in replay.feed(raw, number) if isinstance(out, DeadLetter))

    summary = replay.summary()
    assert len(events) == summary.events["read"]
    assert letters == summary.events["deadLettered"] + summary.events["late"]


def heard(who: str, minutes: float, decision: str) -> bytes:
    sender = {"user": who} if who == "ada" else {"visitor": who}
    return said_by("Action Clicked", minute(minutes), **sender, decision_id=decision)


@pytest.mark.parametrize("partitions", [1, 2, 4, 7])
@pytest.mark.parametrize("parameters", [TREATED, CONTROL], ids=["treated", "control"])
@pytest.mark.parametrize("decided_for", ["ada", "anon-1"])
@pytest.mark.parametrize("told_under", ["ada", "anon-1", "anon-2", "both"])
def test_an_outcome_is_of_the_persons_decision_whatever_id_it_names(
    told_under: str, decided_for: str, parameters: Any, partitions: int
) -> None:
    shop = Deployment(partitions, parameters)
    first = [page(0, visitor="anon-1"), logged_in(1), page(1, visitor="anon-2")]
    put = put_in_cart(2, visitor="anon-1")
    shop.tell(*([*first, logged_in(2, visitor="anon-2"), put] if decided_for == "ada" else [put]))
    shop.tick(minute(70))
    [action] = [one for one in shop.effects if isinstance(one, NextBestAction)]
    shop.tell(*([] if decided_for == "ada" else [page(71, visitor="anon-2"), *logins(72)]))

    for who in ("ada", "anon-1") if told_under == "both" else (told_under,):
        shop.tell(heard(who, 75, action.id), heard(who, 75, "of nobody's"))

    known = [outcome_is_known(shop, event) for event in shop.outcomes]
    assert sorted([False, True] * (1 + (told_under == "both"))) == sorted(known)


def logins(minutes: float) -> list[bytes]:
    return [logged_in(minutes), logged_in(minutes, visitor="anon-2")]


def outcome_is_known(shop: Deployment, event: Any) -> bool:
    row = shop.row(event.customer)
    assert row is not None
    return decided_contact(row.read(CONTACTS), event) is not None
