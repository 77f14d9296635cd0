"""The shop's page: the workers count all customers, and measures come from the models."""

import re
from html import unescape
from itertools import product
from math import nan

import pytest

from agents.console.console import Console
from agents.console.pages.charts import HEIGHT, MARGIN, WIDTH, line_chart
from agents.console.pages.measure_tables import measure_tables
from agents.console.pages.model_trends import drift_view, trend_views
from agents.console.pages.shop import (
    EARLIER_MS,
    FIGURES_MAX,
    kinds_views,
    map_view,
    measure_views,
)
from agents.console.shop_counts import MAP, WORTH, ways_of
from agents.words.lift import lift_in_words
from models.customer.registry import FACTS
from models.customer_counts import Counted
from models.customer_list import question
from models.learning.snapshot import encode_snapshot, prior_snapshot
from models.learning.tallies import Tallies
from models.measures import Measure, Sample
from models.model_history import FeatureShift, JudgedScores, ModelPoint
from tests.agents.console.conftest import Client, visited
from tests.agents.console.workers import beside
from tests.agents.test_lift import BY_HAND, TOLD
from tests.models.lines import PARAMETERS, START_MS
from tests.models.test_customer_list import ROWS

LIABILITY = Measure("keepstream_loyalty_liability", "What points are worth")
SHARE = Measure("keepstream_consent_share", "Share that granted it", ("purpose",))


async def shown(client: Client, url: str) -> str:
    async with client.get(f"{url}/shop") as answer:
        return await answer.text()


def test_everybody_is_counted_and_each_count_leads_to_a_list(console: Console) -> None:
    page = beside(console, ROWS, shown)

    assert "RFM map" in page
    assert ">your segments</h2>" in page
    assert ">segment</h2>" in page
    assert "/customers?where=segment" in page
    # Five bought, and one has only looked around.
    assert "100%" in page
    assert "/customers?where=rfm_recency+%3D%3D+" in page
    assert 5 == sum(
        map(int, re.findall(r"R \d, F \d: (\d+) customers", page.split("<details open>")[1]))
    )


def test_without_a_worker_it_says_so(console: Console) -> None:
    page = visited(console, shown)

    assert "Not counted: No worker answers" in page


def test_what_customers_are_counted_by_can_be_asked() -> None:
    ways = ways_of(PARAMETERS)

    assert question(PARAMETERS, count=ways, by=WORTH).ways
    assert "segment" in ways
    assert "churn_reason" in ways


def counted(name: str, *found: tuple[str | None, int, float]) -> list[Counted]:
    return [Counted((name,), (value,), customers, total) for value, customers, total in found]


def test_kinds_have_shares_of_all_that_are_known() -> None:
    counts = counted("segment", ("lost", 1, -5.0), ("champions", 3, 300.0), (None, 9, 0.0))
    [view] = kinds_views(counts, FACTS, PARAMETERS)

    assert [("champions", "3", "75%", "100%"), ("lost", "1", "25%", "0%")] == [
        (one.name, one.customers, one.share, one.worth_share) for one in view.kinds
    ]
    assert [100.0, 33.33] == [one.bar.width for one in view.kinds]
    assert () == kinds_views(counted("segment", (None, 9, 0.0)), FACTS, PARAMETERS)
    for one in view.kinds:
        assert question(PARAMETERS, where=one.where).where


def test_where_customers_came_from_is_told_beside_what_they_are() -> None:
    counts = [
        *counted("customer_class", ("existing", 5, 0.0), ("lost", 2, 0.0)),
        Counted(("class_before", "customer_class"), ("new", "existing"), 4, 0.0),
        Counted(("class_before", "customer_class"), ("existing", "lost"), 2, 0.0),
        Counted(("class_before", "customer_class"), (None, "existing"), 1, 0.0),
        Counted(("stage_before", "stage"), ("purchase", "loyalty"), 9, 0.0),
    ]
    [view] = kinds_views(counts, FACTS, PARAMETERS)

    assert [("new", "existing", "4"), ("existing", "lost", "2")] == [
        move[:3] for move in view.moves
    ]
    for move in view.moves:
        assert question(PARAMETERS, where=move.where).where
    ways = ways_of(PARAMETERS).split(",")
    assert {"class_before*customer_class", "tier_before*tier", "tier"} <= set(ways)
    assert "tier_before" not in ways


def test_the_best_are_at_the_upper_right_of_the_map() -> None:
    counts = [Counted(MAP, (5.0, 5.0), 4, 0.0), Counted(MAP, (1.0, 1.0), 1, 0.0)]
    view = map_view([*counts, Counted(MAP, (None, None), 9, 0.0)], MAP)

    assert view is not None
    worst, best = view.cells
    assert (80.0, 0.0, 1.0, "4") == (best.x, best.y, best.shade, best.customers)
    assert (0.0, 80.0, 0.25) == (worst.x, worst.y, worst.shade)
    assert "80%" in best.words
    assert question(PARAMETERS, where=best.where).where
    assert map_view([], MAP) is None


def point(number: int, samples: tuple[Sample, ...] = (), loss: float | None = None) -> ModelPoint:
    judged = {
        ("28", "champion"): JudgedScores(loss, 0.8, 0.02, 90),
        ("28", "baseline"): JudgedScores(0.7, 0.6, 0.1, 90),
    }
    at_ms = START_MS + number * EARLIER_MS
    return ModelPoint(number, at_ms, {"28": "blend"}, judged if loss else {}, samples)


def test_a_measure_is_told_with_how_it_moved() -> None:
    before = (Sample(LIABILITY, (), 40.0), Sample(SHARE, ("email",), 0.5))
    after = (Sample(LIABILITY, (), 90.5), Sample(SHARE, ("email",), 0.25))
    liability, share = sorted(
        measure_views([point(1, before), point(2, after)]), key=lambda one: -len(one.name)
    )

    assert ("loyalty liability", "90.50", "up 50.50 in four weeks") == (
        liability.name, liability.figures[0].value, liability.figures[0].moved
    )  # fmt: skip
    assert ("email", "25%", "down 25% in four weeks") == share.figures[0][:3]
    assert () == measure_views([])
    [alone] = measure_views([point(1, before[:1])])
    assert ("", None) == (alone.figures[0].moved, alone.figures[0].chart)


def test_measures_by_three_things_are_a_table_for_each_subject() -> None:
    by = ("step", "channel", "who")
    came = Measure("keepstream_session_funnel_sessions", "Sessions that came so far", by)
    ratio = Measure("keepstream_session_funnel_conversion_ratio", "Of the step before", by)
    other = Measure("keepstream_answers", "Answers", ("kind", "touchpoint", "who"))
    samples = (
        Sample(came, ("viewed", "web", "customer"), 24.0),
        Sample(came, ("added", "web", "customer"), 6.0),
        Sample(ratio, ("added", "web", "customer"), 0.25),
        Sample(other, ("nps", "all", "customer"), 7.0),
        Sample(SHARE, ("email",), 0.5),
    )
    funnel, answers = measure_tables(samples)

    assert ("session funnel", by) == (funnel.name, funnel.labels)
    assert ["sessions", "conversion ratio"] == [column.name for column in funnel.columns]
    assert [
        (("viewed", "web", "customer"), ("24", "")),
        (("added", "web", "customer"), ("6", "25%")),
    ] == [tuple(row) for row in funnel.rows]
    assert ("answers", ("7",)) == (answers.name, answers.rows[0].values)
    # Those of less are told with how they moved.
    assert ["email"] == [f.name for m in measure_views([point(1, samples)]) for f in m.figures]


def test_trends_are_of_what_was_served_beside_the_formula() -> None:
    views = trend_views([point(1), point(2, loss=0.6), point(3, loss=0.5)], "28")

    assert ["log loss", "AUC", "calibration error"] == [view.name for view in views]
    loss = views[0]
    assert ("0.500", "0.700") == (loss.served, loss.formula)
    assert loss.chart is not None
    assert ["dashed", "served"] == [line.tone for line in loss.chart.lines]
    assert ["0.500", "0.600"] == [row.served for row in loss.rows]
    assert () == trend_views([point(1)], "28")
    assert () == trend_views([point(1, loss=0.5)], "90")


def test_drift_is_told_of_what_is_watched() -> None:
    view = drift_view(
        [FeatureShift("recency", 0.4), FeatureShift("tenure", 9.0), FeatureShift("views", -0.1)]
    )

    assert ["recency", "views"] == [bar.label for bar in view.bars]
    assert view.is_far
    assert not drift_view([FeatureShift("views", -0.1)]).is_far
    assert not drift_view([]).bars


@pytest.mark.parametrize("values", [[1.0, 2.0, 0.5], [3.0, 3.0], [-1.0, 1.0]])
def test_lines_stay_within_their_drawing_and_the_highest_is_on_top(values: list[float]) -> None:
    chart = line_chart((("served", [(place, value) for place, value in enumerate(values)]),))

    assert chart is not None
    places = [tuple(map(float, one.split(","))) for one in chart.lines[0].points.split()]
    assert [0.0, WIDTH] == [places[0][0], places[-1][0]]
    assert all(MARGIN <= y <= HEIGHT - MARGIN for _, y in places)
    assert min(y for _, y in places) == places[values.index(max(values))][1]
    assert line_chart((("served", [(1, nan)]),)) is None


def test_many_values_of_two_labels_are_a_grid() -> None:
    funnel = Measure("keepstream_funnel_customers", "By stage and channel", ("stage", "channel"))
    stages, channels = ("awareness", "purchase"), ("web", "app", "store", "none")
    samples = [
        Sample(funnel, (stage, channel), float(number))
        for number, (stage, channel) in enumerate(product(stages, channels), 1)
        if (stage, channel) != ("purchase", "store")
    ]
    [view] = measure_views([ModelPoint(1, START_MS, {}, {}, tuple(samples))])

    assert view.grid is not None
    assert channels == view.grid.columns
    assert (
        ("awareness", ("1", "2", "3", "4")),
        ("purchase", ("5", "6", "", "8")),
    ) == view.grid.rows
    [few] = measure_views([ModelPoint(1, START_MS, {}, {}, tuple(samples[:FIGURES_MAX]))])
    assert few.grid is None


def test_what_actions_bring_is_said_in_words_and_in_no_table(console: Console) -> None:
    told = prior_snapshot(PARAMETERS).replace(Tallies({"lift": BY_HAND}), version=2)
    console.models.add(encode_snapshot(told)[0])
    page = unescape(visited(console, shown))

    assert "What actions bring</h2>" in page
    for line in lift_in_words(TOLD, PARAMETERS):
        assert f">{line.strip()}<" in page
    assert "lift conversion ratio" not in page
