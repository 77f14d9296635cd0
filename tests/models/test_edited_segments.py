"""Segments that are edited while customers live on: what the edit makes of somebody is no news, and
what they come to after it is, however long nobody looks at them.
"""

from pathlib import Path

import pytest

from config.duration import DAY_MS, HOUR_MS
from config.parameters import Parameters
from models.customer.row import encode_row
from models.customer.segments import SEGMENTS
from models.decisions.trigger import Trigger
from models.events.times import iso
from tests.models.lines import at
from tests.models.persons import LINKING, Deployment, said_by
from tests.models.test_segments import declared, switched_to

BEFORE, AFTER = "orders >= 2 and silent_days >= 5", "orders >= 2 and {}"
#: Ada orders on the first and the tenth day, and is looked at after a week and after another. On
#: the twentieth day the file is edited, and she is looked at next when the twenty-second is over.
SECOND, EDIT, LOOK = at(9, hours=10), at(20), at(21, hours=24)


def edited(directory: Path, when: str, more: str = "") -> Parameters:
    text = (
        f"segments:\n  - name: they\n    version: 1\n    when: {when}\n    announce: true\n{more}"
    )
    return declared(directory, text, LINKING)


def lived(directory: Path, before: str, after: str, more: str = "") -> Deployment:
    shop = Deployment(1, edited(directory, before))
    for day in (0, 9):
        shop.tell(
            said_by(
                "Order Completed", at(day, hours=10), user="ada", order_id=f"o-{day}", revenue=50
            )
        )
    shop.tick(EDIT)
    shop.effects.clear()
    switched_to(shop, edited(directory, after, more))
    return shop


def told(shop: Deployment) -> list[tuple[str, str]]:
    fired = [one for one in shop.effects if isinstance(one, Trigger)]
    return [
        (one.kind.rpartition("-")[2], one.timestamp)
        for one in fired
        if one.kind.startswith("segment-they-")
    ]


def since(shop: Deployment) -> int:
    row = shop.row("ada")
    assert row is not None
    standing = row.read(SEGMENTS).standings.get("they")
    return 0 if standing is None else standing.since_ms


def silent(number: float) -> int:
    return SECOND + round(number * DAY_MS)


ENTERED, LEFT = "entered", "left"
#: The condition by which ada was in since the fifteenth day, the one it is edited to, what is told
#: of it at the first look, and since when she is in then.
EDITS = {
    "in before the edit": ("False", "silent_days >= 5", [], EDIT),
    "in before it, and by the file before": ("silent_days >= 5", "silent_days >= 6", [], silent(5)),
    "came in after it": ("False", "silent_days >= 12", [ENTERED], silent(12)),
    "out by the edit": ("silent_days >= 5", "silent_days >= 90", [], 0),
    "left before it, by the new one": ("silent_days >= 5", "5 <= silent_days < 8", [], 0),
    "left after it": ("silent_days >= 5", "5 <= silent_days < 12", [LEFT], 0),
    "came in by the edit and left after it": ("False", "5 <= silent_days < 12", [LEFT], 0),
    "came and left": ("False", "11 <= silent_days < 12", [], 0),
    "left and came": (
        "silent_days >= 5",
        "silent_days < 11 or silent_days >= 12",
        [],
        silent(12),
    ),
    "was never in": ("False", "silent_days >= 20", [], 0),
    "another fact moves": (
        "False",
        "unseen_days >= 11.5 and orders_30d >= 2",
        [ENTERED],
        silent(11.5),
    ),
}


@pytest.mark.parametrize(("before", "after", "news", "since_ms"), EDITS.values(), ids=EDITS)
def test_what_they_came_to_after_an_edit_is_told_at_the_first_look(
    before: str, after: str, news: list[str], since_ms: int, tmp_path: Path
) -> None:
    shop = lived(tmp_path, before.replace("False", "silent_days >= 99"), after)

    shop.tick(LOOK)

    assert news == [what for what, _ in told(shop)]
    assert since_ms == since(shop)


@pytest.mark.parametrize("after", ["silent_days >= 12", "unseen_days >= 12"])
def test_silence_is_told_before_the_event_that_ends_it(after: str, tmp_path: Path) -> None:
    shop = lived(tmp_path, "silent_days >= 99", after)
    back_ms = silent(12.5)

    shop.tell(said_by("Order Completed", back_ms, user="ada", order_id="o-back", revenue=50))

    assert [(ENTERED, iso(back_ms - 1)), (LEFT, iso(back_ms))] == told(shop)


def test_whoever_nobody_looks_at_is_told_of_when_they_come_back(tmp_path: Path) -> None:
    """A visitor has no check-ins: weeks go by without a look."""
    shop = Deployment(1, edited(tmp_path, "unseen_days >= 300"))
    shop.tell(said_by("page", at(0), visitor="anon-1"), said_by("page", at(0), visitor="anon-2"))
    shop.tick(EDIT)
    switched_to(shop, edited(tmp_path, "unseen_days >= 30"))
    shop.tick(at(200))
    assert [] == told(shop)

    shop.tell(said_by("page", at(200), visitor="anon-1"))

    assert [(ENTERED, iso(at(200) - 1)), (LEFT, iso(at(200)))] == told(shop)


def test_an_edit_swallows_nothing_of_the_other_segments(tmp_path: Path) -> None:
    others = """\
  - name: others
    version: 1
    when: silent_days >= 12
    announce: true
"""
    shop = Deployment(1, edited(tmp_path, "silent_days >= 99", others))
    shop.tell(said_by("Order Completed", SECOND, user="ada", order_id="o-1", revenue=50))
    shop.tick(EDIT)
    switched_to(shop, edited(tmp_path, "silent_days >= 98", others))
    shop.tick(LOOK)

    assert [("segment-others-entered", "ada")] == shop.fired(["segment-others-entered"])


def test_a_change_that_is_waited_for_goes_on_being_so(tmp_path: Path) -> None:
    others = """\
  - name: others
    version: 1
    when: silent_days >= 10
    hold: 36h
    announce: true
"""
    shop = Deployment(1, edited(tmp_path, "silent_days >= 99", others))
    shop.tell(said_by("Order Completed", SECOND, user="ada", order_id="o-1", revenue=50))
    # It began fourteen hours ago.
    shop.tick(EDIT)
    switched_to(shop, edited(tmp_path, "silent_days >= 98", others))
    shop.tick(LOOK + DAY_MS)

    fired = [one for one in shop.effects if isinstance(one, Trigger) and "others" in one.kind]
    assert [("segment-others-entered", iso(silent(11.5)))] == [(o.kind, o.timestamp) for o in fired]


@pytest.mark.parametrize(
    ("hold", "news"), [("12h", [ENTERED]), ("36h", [])], ids=["it lasted", "it has yet to"]
)
def test_a_hold_is_waited_for_as_ever(hold: str, news: list[str], tmp_path: Path) -> None:
    shop = lived(tmp_path, "silent_days >= 99", "silent_days >= 12", f"    hold: {hold}\n")

    shop.tick(LOOK)

    assert news == [what for what, _ in told(shop)]
    assert (silent(12.5) if news else 0) == since(shop)
    shop.tick(at(24))
    assert [ENTERED] == [what for what, _ in told(shop)]


def test_with_backfill_those_who_were_in_are_told_once(tmp_path: Path) -> None:
    after = ("silent_days >= 5", "    backfill: true\n")
    shop = lived(tmp_path, "silent_days >= 99", *after)

    shop.tick(at(24))

    [(what, when)] = told(shop)
    assert (ENTERED, EDIT) == (what, since(shop))
    assert iso(LOOK - HOUR_MS) < when <= iso(LOOK + HOUR_MS)


def test_what_only_scores_say_is_seen_as_of_check_ins(tmp_path: Path) -> None:
    """Nobody knows the score of a moment at which nobody asked for it."""
    shop = lived(tmp_path, "silent_days >= 99", "churn_probability >= 0")

    shop.tick(LOOK)

    assert [] == told(shop)
    assert EDIT == since(shop)


def test_a_second_edit_before_anybody_looked_counts_from_itself(tmp_path: Path) -> None:
    shop = lived(tmp_path, "silent_days >= 99", "silent_days >= 98")
    shop.tick(silent(12) + HOUR_MS)
    switched_to(shop, edited(tmp_path, "silent_days >= 12"))

    shop.tick(LOOK)

    assert [] == told(shop)
    assert silent(12) + HOUR_MS == since(shop)


def test_who_dies_after_an_edit_tells_the_same(tmp_path: Path) -> None:
    """The state of the partition says since when, as of the last batch that is durable."""
    found = []
    for dies in (False, True):
        shop = lived(tmp_path, "silent_days >= 99", "silent_days >= 12")
        shop.save(0)
        for hour in range(0, 60, 7):
            shop.clock(EDIT + hour * HOUR_MS)
            shop.fold(0)
            if dies:
                shop.die(0)
                shop.settle()
        shop.settle()
        row = shop.row("ada")
        assert row is not None
        found.append((sorted(set(told(shop))), since(shop), encode_row(row)))

    assert [ENTERED] == [what for what, _ in found[0][0]]
    assert found[0] == found[1]


def test_a_state_of_before_says_nothing_and_nothing_is_told(tmp_path: Path) -> None:
    """Of a release that did not note it: as of when this one began."""
    shop = lived(tmp_path, "silent_days >= 99", "silent_days >= 12")
    shop.tick(silent(12) + HOUR_MS)
    shop.lanes[0].state.watched = (0, 0)
    shop.save(0)
    shop.die(0)

    shop.tick(LOOK)

    assert [] == told(shop)
    assert silent(12) + HOUR_MS == since(shop)
