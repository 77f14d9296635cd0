"""The page of segments: each segment, its members, and who entered and left."""

import pytest

from agents.console.console import Console
from agents.console.pages.segments import EARLIER_MS, definitions_of, members_of, segment_views
from config.duration import DAY_MS
from models.customer.segments import MEMBERS
from models.customer_list import PartitionAsOf, question
from models.events.times import iso
from models.measures import Sample
from models.model_history import ModelPoint
from models.segment_counts import SegmentCount
from tests.agents.console.conftest import Client, visited
from tests.agents.console.workers import beside
from tests.models.lines import PARAMETERS, START_MS
from tests.models.test_customer_list import ROWS

DEFINITIONS = definitions_of(PARAMETERS)
NOW_MS = START_MS + 90 * DAY_MS


def partition(number: int, **counts: SegmentCount) -> PartitionAsOf:
    return PartitionAsOf(number, iso(NOW_MS), 1, 10, 10, counts)


def point(at_ms: int, loyal: float) -> ModelPoint:
    return ModelPoint(1, at_ms, {}, {}, (Sample(MEMBERS, ("loyal",), loyal),))


def test_every_segment_that_is_declared_is_told_with_its_condition() -> None:
    views = segment_views(DEFINITIONS)

    rules = PARAMETERS.segments.segments
    assert [(rule.name, rule.when) for rule in rules] == [
        (view.definition.name, view.definition.when) for view in views
    ]
    for view in views:
        assert view.definition.exact
        assert question(PARAMETERS, where=view.definition.members).where
        assert (None, None) == (view.members, view.chart)


def test_members_are_counted_over_all_partitions() -> None:
    found = [
        partition(0, loyal=SegmentCount(3, 1, 1, 2)),
        partition(1, loyal=SegmentCount(2, 0, 1, 1), lapsed=SegmentCount(1)),
    ]
    told = {view.definition.name: view.members for view in segment_views(DEFINITIONS, found)}

    loyal, lapsed, slipping = told["loyal"], told["lapsed"], told["vip-slipping"]
    assert loyal is not None
    assert lapsed is not None
    assert slipping is not None
    assert ("5", "25%", 100.0) == (loyal.customers, loyal.share, loyal.bar.width)
    assert [("a day", "1"), ("7 days", "2"), ("28 days", "3")] == list(loyal.came)
    assert ("1", "5%", 20.0) == (lapsed.customers, lapsed.share, lapsed.bar.width)
    assert ("0", "0%") == (slipping.customers, slipping.share)


@pytest.mark.parametrize(
    ("points", "left"),
    [
        # Of the five two have been in it for four weeks, as two of the six then.
        ([point(NOW_MS - EARLIER_MS, 6.0), point(NOW_MS, 5.0)], "4 of 6"),
        ([point(NOW_MS - EARLIER_MS - 2 * DAY_MS, 2.0), point(NOW_MS, 5.0)], "0 of 2"),
        # Somebody who refused to be counted with all others is in the list all the same.
        ([point(NOW_MS - EARLIER_MS, 1.0), point(NOW_MS, 5.0)], "0 of 1"),
        ([point(NOW_MS - EARLIER_MS - 9 * DAY_MS, 6.0), point(NOW_MS, 5.0)], ""),
        ([point(NOW_MS, 5.0)], ""),
    ],
    ids=["some", "none", "not-counted", "too-long-ago", "only-now"],
)
def test_who_has_left_is_told_if_members_were_counted_four_weeks_ago(
    points: list[ModelPoint], left: str
) -> None:
    views = segment_views(DEFINITIONS, [partition(0, loyal=SegmentCount(5, 1, 2, 3))], points)
    [loyal] = [view for view in views if view.definition.name == "loyal"]

    assert loyal.members is not None
    assert left == loyal.members.left
    assert (len(points) > 1) == (loyal.chart is not None)


async def shown(client: Client, url: str) -> str:
    async with client.get(f"{url}/segments") as answer:
        return await answer.text()


def test_a_segment_leads_to_its_members(console: Console) -> None:
    page = beside(console, ROWS, shown)

    for rule in PARAMETERS.segments.segments:
        assert f'id="{rule.name}"' in page
        assert rule.about in page
    assert "/customers/list.csv?where=%22loyal%22+in+segments" in page
    assert "of all customers and visitors" in page
    assert '"loyal" in segments' == members_of("loyal")


def test_without_a_worker_the_definitions_are_there(console: Console) -> None:
    page = visited(console, shown)

    assert "Not counted: No worker answers" in page
    assert "in it while" in page
