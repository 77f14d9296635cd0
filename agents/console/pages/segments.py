"""Segments: their definitions, their members, and how membership has changed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from agents.console.pages.charts import Chart, Point, line_chart
from agents.console.pages.figures import Bar, from_left, percent
from agents.words.decision_lines import words_of
from agents.words.rules import duration
from agents.words.segments import exactness
from config.duration import DAY_MS
from config.parameters import Parameters
from config.segments import SEGMENT_ENTERED, SEGMENT_LEFT, SegmentRule, trigger_name
from models.customer.segments import MEMBERS
from models.customer_list import PartitionAsOf, counts_by_segment
from models.model_history import ModelPoint
from models.plan import plan_for
from models.segment_counts import SegmentCount

#: Members are compared with those of so long ago, if there is a count from about then.
EARLIER_MS = 28 * DAY_MS
_ABOUT_THEN_MS = 3 * DAY_MS


class SegmentDefinition(NamedTuple):
    """A segment as declared. ``exact``: when a customer enters and leaves it; ``members``: the
    condition that lists its members.
    """

    name: str
    place: str
    about: str
    when: str
    hold: str
    tells: str
    exact: tuple[str, ...]
    members: str


class MembersView(NamedTuple):
    """The members of a segment: their number; their share of all customers; how many entered within
    1, 7 and 28 days; and how many of the members of four weeks ago have left, empty if unknown.
    """

    customers: str
    share: str
    bar: Bar
    came: tuple[tuple[str, str], ...]
    left: str


class SegmentView(NamedTuple):
    """A segment. ``members``: None while there is no count; ``chart``: the number of members over
    time.
    """

    definition: SegmentDefinition
    members: MembersView | None
    chart: Chart | None


def members_of(segment: str) -> str:
    """The condition that lists a segment's members."""
    return f'"{segment}" in segments'


def definitions_of(parameters: Parameters) -> tuple[SegmentDefinition, ...]:
    """Every declared segment, in the order of its file."""
    watched = {segment.name: segment for segment in plan_for(parameters).watch.segments}
    return tuple(
        SegmentDefinition(
            rule.name,
            f"{rule.file}, line {rule.line}, version {rule.version}",
            rule.about,
            rule.when,
            duration(rule.hold) if rule.hold else "",
            _tells(rule),
            tuple(one.strip() for one in exactness(watched[rule.name], parameters))
            if rule.name in watched
            else ("nobody is looked at: segments.enabled is false",),
            members_of(rule.name),
        )
        for rule in parameters.segments.segments
    )


def segment_views(
    definitions: Sequence[SegmentDefinition],
    partitions: Sequence[PartitionAsOf] = (),
    points: Sequence[ModelPoint] = (),
) -> tuple[SegmentView, ...]:
    """Each segment. ``partitions``: the counts of customers; ``points``: the versions of the
    models, which hold earlier numbers of members.
    """
    series = _series(points)
    members = _members([one.name for one in definitions], partitions, series)
    return tuple(
        SegmentView(one, members.get(one.name), line_chart((("served", series.get(one.name, ())),)))
        for one in definitions
    )


def _tells(rule: SegmentRule) -> str:
    if not rule.announce:
        return "nobody"
    told = [words_of(trigger_name(rule.name, at)) for at in (SEGMENT_ENTERED, SEGMENT_LEFT)]
    return ", ".join(told)


def _series(points: Sequence[ModelPoint]) -> dict[str, list[Point]]:
    """The number of members of each segment, at each version of the models."""
    series: dict[str, list[Point]] = {}
    for point in points:
        for sample in point.samples:
            if sample.measure.name == MEMBERS.name:
                series.setdefault(sample.labels[0], []).append((point.at_ms, sample.value))
    return series


def _members(
    names: Sequence[str],
    partitions: Sequence[PartitionAsOf],
    series: Mapping[str, Sequence[Point]],
) -> dict[str, MembersView]:
    everybody, at_ms = 0, 0
    for one in partitions:
        everybody += one.customers
        at_ms = max(at_ms, _ms(one.as_of))
    if not everybody:
        return {}
    found = counts_by_segment(partitions)
    counts = [found.get(name, SegmentCount()) for name in names]
    bars = from_left([("", float(count.members), "chosen") for count in counts])
    return {
        name: MembersView(
            f"{count.members:,}",
            percent(count.members / everybody),
            bar,
            (
                ("a day", f"{count.entered_day:,}"),
                ("7 days", f"{count.entered_week:,}"),
                ("28 days", f"{count.entered_four_weeks:,}"),
            ),
            _left(count, series.get(name, ()), at_ms),
        )
        for name, count, bar in zip(names, counts, bars, strict=True)
    }


def _left(count: SegmentCount, series: Sequence[Point], at_ms: int) -> str:
    """The members of four weeks ago, less those who have been in it for at least that long."""
    then_ms = at_ms - EARLIER_MS
    near = [point for point in series if abs(point[0] - then_ms) <= _ABOUT_THEN_MS]
    if not near:
        return ""
    _, members = min(near, key=lambda point: abs(point[0] - then_ms))
    if not members:
        return ""
    stayed = count.members - count.entered_four_weeks
    return f"{max(round(members) - stayed, 0):,} of {members:,.0f}"


def _ms(iso: str) -> int:
    return round(datetime.fromisoformat(iso).timestamp() * 1_000)
