"""A person's segments, whatever ids they turn out to have, and how many members there are."""

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import example, given, note, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from config.duration import DAY_MS
from config.segments import SegmentRule, Segments, announcing
from models.counted import held
from models.customer.consent import CONSENT, may_be_learnt_from
from models.customer.registry import FACT_KINDS
from models.customer.row import Row
from models.customer.scene import Scene
from models.customer.segments import SEGMENTS, declared
from models.decisions.expression import compile_condition
from models.headcount import Headcount
from models.learning.lessons import Tally
from tests.models.lines import START_MS
from tests.models.persons import LINKING, Deployment, said_by
from tests.models.test_persons import logged_in, minute, page, split
from tests.properties.test_persons import PARTITIONS, USERS, VISITORS, stories, time_of

CONDITIONS = {
    "carted": "cart_items > 0",
    "twice": "orders >= 2",
    "idle": "cart_idle_hours >= 6 and unseen_days < 30",
    "once-idle": '"idle" in segments and orders == 1',
}
SEGMENTED = Segments(
    tuple(
        SegmentRule(name=name, version=1, when=when, announce=True)
        for name, when in CONDITIONS.items()
    )
)
PARAMETERS = replace(
    LINKING,
    segments=SEGMENTED,
    triggers=replace(
        LINKING.triggers, triggers=(*LINKING.triggers.triggers, *announcing(SEGMENTED))
    ),
)


def order(minutes: int, user: str | None = None, visitor: str | None = None) -> bytes:
    at_ms = minute(minutes)
    return said_by(
        "Order Completed", at_ms, user=user, visitor=visitor, order_id=f"o-{minutes}", revenue=9
    )


@pytest.fixture(params=PARTITIONS, ids="{0} partitions".format)
def shop(request: pytest.FixtureRequest) -> Deployment:
    return Deployment(request.param, PARAMETERS)


def test_an_order_under_each_of_two_ids_makes_a_member_of_the_person(shop: Deployment) -> None:
    shop.tell(order(0, visitor="tablet"), order(10, user="ada"))
    assert [] == shop.fired(["segment-twice-entered"])

    shop.tell(logged_in(20, "ada", "tablet"))
    shop.tick(minute(30))
    assert [("segment-twice-entered", "ada")] == shop.fired(["segment-twice-entered"])
    assert ["twice"] == [one.name for one in shop.profile("ada").segments]
    assert 1 == shop.sums()["segments", "twice", 0]

    # A member stays one, and is not told again, whatever other id comes.
    shop.tell(page(40, visitor="phone"), logged_in(50, "ada", "phone"))
    shop.tick(minute(60))
    assert 1 == len(shop.fired(["segment-twice-entered"]))
    assert [] == shop.fired(["segment-twice-left"])

    shop.tell(split(70, "tablet"))
    shop.tick(minute(80))
    assert [("segment-twice-left", "ada")] == shop.fired(["segment-twice-left"])
    assert () == shop.profile("tablet").segments
    assert 0 == shop.sums()["segments", "twice", 0]


#: Stories in which somebody who was merged into another got or lost an id of their own, while the
#: clocks of the two partitions differed: their members once were counted twice, or not at all.
RELINKED = ((47, 14), (17, 27))
#: The same, and an id that two users share: what it had agreed to was not counted with it.
RELINKED_AND_SHARED = ((653, 14), (162, 3), (662, 23))
#: What sums hold of what happened, and not of what somebody is by now.
_HAPPENED = {"funnel": "", "lifecycle": "left:", "improvements": ""}


def _lived(seed: int, size: int, purposes: Sequence[str] = ()) -> Deployment:
    """A shop after a story in which rows and clocks hear of each other whenever they do; some say
    what they agree to, of these ``purposes``.
    """
    rng, words = Random(seed), Random(seed)
    shop = Deployment(rng.choice(PARTITIONS), PARAMETERS)
    latest_ms = START_MS
    for event in stories(rng, size, erases=False):
        note(event.decode())
        shop.publish(event)
        if purposes and words.random() < 0.15:
            shop.publish(_word(words, time_of(event) + 1, purposes))
        for number in rng.sample(range(len(shop.logs)), len(shop.logs)):
            shop.fold(number, rng.choice((0, 1, 3)))
        latest_ms = max(latest_ms, time_of(event))
        if rng.random() < 0.3:
            shop.clock(time_of(event))
    shop.settle()
    shop.tick(latest_ms + DAY_MS)
    return shop


def _word(rng: Random, at_ms: int, purposes: Sequence[str]) -> bytes:
    name = rng.choice(("Consent Granted", "Consent Revoked"))
    who = rng.choice(({"user": rng.choice(USERS)}, {"visitor": rng.choice(VISITORS)}))
    return said_by(name, at_ms, **who, purposes=[*purposes])


@given(seed=st.integers(0, 2**32), size=st.integers(1, 40))
@example(*RELINKED[0])
@example(*RELINKED[1])
@settings(deadline=None)
def test_everybody_is_in_what_holds_of_them_and_is_counted_there(seed: int, size: int) -> None:
    shop = _lived(seed, size)

    members: dict[str, int] = {}
    for id_, row in shop.everybody():
        if not row.latest_ms:
            continue
        lane = shop.lanes[shop.home(id_)]
        scene = Scene(row, id_, lane.as_of_ms, lane.context)
        within = [n for n, when in CONDITIONS.items() if _holds(when, scene)]
        assert sorted(within) == declared(row.read(SEGMENTS).names()), id_
        for name in within:
            members[name] = members.get(name, 0) + 1
    told = {key: n for (part, key, _), n in shop.sums().items() if part == SEGMENTS.name}
    assert members == told


@given(seed=st.integers(0, 2**32), size=st.integers(1, 40))
@example(*RELINKED_AND_SHARED[0])
@example(*RELINKED_AND_SHARED[1])
@example(*RELINKED_AND_SHARED[2])
@pytest.mark.parametrize("purposes", [["marketing"], ["analytics"]], ids=lambda one: one[0])
@settings(deadline=None)
def test_the_sums_of_every_part_are_those_of_the_rows(
    purposes: Sequence[str], seed: int, size: int
) -> None:
    """Of who may be learnt from: whoever refuses that takes what their row says along, and who
    agrees again brings back what it says by then.
    """
    shop = _lived(seed, size, purposes)

    sums: Counter[tuple[str, str, int]] = Counter()
    for id_, row in shop.everybody():
        for tally in _counted(shop, id_, row):
            for key, day, amount in tally.sums:
                sums[tally.part, key, day] += amount
    assert _standing(sums) == _standing(shop.sums())


def _counted(shop: Deployment, id_: str, row: Row) -> list[Tally]:
    """What a row adds to all sums of what is: whoever goes leaves as much behind."""
    lane = shop.lanes[shop.home(id_)]
    at_ms = lane.as_of_ms
    told = held(row, id_, 1, at_ms, lane.context, shop.plan)
    scene = Scene(row, id_, at_ms, lane.context)
    assert row.read(CONSENT).is_left_out is not may_be_learnt_from(scene), id_
    return [*told, *Headcount().changed_to(Headcount.of(row), at_ms)]


def _standing(sums: Counter[tuple[str, str, int]]) -> dict[tuple[str, str, int], int]:
    return {
        (part, key, day): amount
        for (part, key, day), amount in sums.items()
        if amount and not (part in _HAPPENED and key.startswith(_HAPPENED[part]))
    }


def _holds(condition: str, scene: Scene) -> bool:
    return compile_condition(condition, FACT_KINDS).holds(scene)
