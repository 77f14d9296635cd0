"""The shop as a whole: its customers by what is known about them, and its measures over time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from agents.console.pages.charts import Chart, line_chart
from agents.console.pages.figures import Bar, day, from_left, money, percent
from agents.console.shop_counts import now_of
from config.duration import DAY_MS
from config.parameters import Parameters
from models.customer.part import Fact
from models.customer_counts import Counted, Value, values_of
from models.events.times import iso
from models.measures import Measure, Sample
from models.model_history import ModelPoint

_PREFIX = "keepstream_"
#: A measure is compared with its value so long ago.
EARLIER_MS = 28 * DAY_MS
_SHARES = ("share", "ratio")
#: Measures with more labels than this get their own table.
LABELS_MAX = 2
#: Moves between kinds shown for each fact.
MOVES_MAX = 8
#: With more values than this, a measure with two labels is shown as a grid.
FIGURES_MAX = 6
#: The side of a cell of the map.
_CELL = 20.0


class Cell(NamedTuple):
    """A cell of the map: its position, the strength of its color, and the same in words. ``where``:
    the condition that lists its customers.
    """

    x: float
    y: float
    shade: float
    customers: str
    words: str
    where: str


class MapView(NamedTuple):
    """Customers by two scores: the first is the horizontal axis, the second the vertical."""

    across: str
    up: str
    cells: tuple[Cell, ...]


class KindView(NamedTuple):
    """Customers with one value of a fact: their number, their share of customers, and their share
    of revenue.
    """

    name: str
    where: str
    customers: str
    share: str
    worth: str
    worth_share: str
    bar: Bar
    worth_bar: Bar


class MoveView(NamedTuple):
    """Customers who moved from one kind to another."""

    before: str
    now: str
    customers: str
    where: str


class KindsView(NamedTuple):
    """Customers by one fact. ``moves``: the moves between its values, most frequent first."""

    fact: str
    about: str
    kinds: tuple[KindView, ...]
    moves: tuple[MoveView, ...]


class Figure(NamedTuple):
    """A value of a measure; ``moved``: its change within four weeks, empty if unknown."""

    name: str
    value: str
    moved: str
    chart: Chart | None


class Grid(NamedTuple):
    """The values of a measure with two labels: a row for each value of the first, a column for each
    value of the second; a cell without a value is empty.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


class MeasureView(NamedTuple):
    """A measure with all its values, as a grid if there are many."""

    name: str
    about: str
    figures: tuple[Figure, ...]
    grid: Grid | None


def map_view(counts: Iterable[Counted], way: tuple[str, str]) -> MapView | None:
    """The map of two scores from 1 to 5; None if it is empty."""
    found = {
        (one.values[0], one.values[1]): one
        for one in counts
        if one.by == way and None not in one.values
    }
    if not found:
        return None
    most = max(one.customers for one in found.values())
    everybody = 0
    for one in found.values():
        everybody += one.customers
    cells = []
    for (across, up), one in sorted(found.items(), key=lambda item: str(item[0])):
        assert isinstance(across, float)
        assert isinstance(up, float)
        share = percent(one.customers / everybody)
        words = f"R {across:g}, F {up:g}: {one.customers:,} customers, {share}"
        where = f"{way[0]} == {across:g} and {way[1]} == {up:g}"
        x, y = (across - 1) * _CELL, (5 - up) * _CELL
        cells.append(Cell(x, y, round(one.customers / most, 3), f"{one.customers:,}", words, where))
    return MapView("R, how lately", "F, how often", tuple(cells))


def kinds_views(
    counts: Iterable[Counted], facts: Mapping[str, Fact], parameters: Parameters
) -> tuple[KindsView, ...]:
    """Customers by each fact that was counted alone, in the order of its values. Customers for whom
    the fact is unknown are left out, and so are facts that are unknown for everybody.
    """
    views = []
    known = list(counts)
    for way, of_way in groupby(known, key=lambda one: one.by):
        counted = [one for one in of_way if one.values != (None,)]
        if len(way) == 1 and counted:
            fact = facts[way[0]]
            order = list(values_of(fact, parameters) or ())
            kinds = tuple(_kinds(way[0], counted, order, parameters.money.currency))
            moves = tuple(_moves(way[0], known))
            views.append(KindsView(way[0].replace("_", " "), fact.about, kinds, moves))
    return tuple(views)


def _moves(fact: str, counts: Iterable[Counted]) -> Iterator[MoveView]:
    """The moves in counts by the earlier and the present value."""
    moved = [
        one
        for one in counts
        if len(one.by) > 1
        and one.by[1] == fact
        and now_of(one.by[0], [fact])
        and None not in one.values
    ]
    for one in sorted(moved, key=lambda one: -one.customers)[:MOVES_MAX]:
        before, now = map(str, one.values)
        where = f'{one.by[0]} == "{before}" and {fact} == "{now}"'
        yield MoveView(before, now, f"{one.customers:,}", where)


def _kinds(
    fact: str, counted: Sequence[Counted], order: Sequence[Value], currency: str
) -> Iterator[KindView]:
    everybody, everything = 0, 0.0
    for one in counted:
        everybody += one.customers
        everything += max(one.total, 0.0)
    known = sorted(counted, key=lambda one: _place(order, one.values[0]))
    bars = from_left([("", float(one.customers), "chosen") for one in known])
    worth_bars = from_left([("", one.total, "plain") for one in known])
    for one, bar, worth_bar in zip(known, bars, worth_bars, strict=True):
        name = str(one.values[0])
        yield KindView(
            name,
            f'{fact} == "{name}"',
            f"{one.customers:,}",
            percent(one.customers / everybody),
            money(one.total, currency),
            percent(max(one.total, 0.0) / everything) if everything else "",
            bar,
            worth_bar,
        )


def _place(order: Sequence[Value], value: Value) -> int:
    return order.index(value) if value in order else len(order)


def measure_views(points: Sequence[ModelPoint]) -> tuple[MeasureView, ...]:
    """Every measure of the latest version, with its change since earlier versions; without those
    that have their own table (`agents.console.pages.measure_tables`).
    """
    if not points:
        return ()
    series: dict[tuple[str, tuple[str, ...]], list[tuple[int, float]]] = {}
    for point in points:
        for sample in point.samples:
            key = (sample.measure.name, sample.labels)
            series.setdefault(key, []).append((point.at_ms, sample.value))
    latest = sorted(
        (one for one in points[-1].samples if len(one.measure.labels) <= LABELS_MAX),
        key=lambda sample: sample.measure.name,
    )
    views = []
    for measure, samples in groupby(latest, key=lambda sample: sample.measure):
        told = list(samples)
        figures = tuple(_figure(one, series[one.measure.name, one.labels]) for one in told)
        grid = _grid(told) if len(measure.labels) == 2 and len(told) > FIGURES_MAX else None
        views.append(MeasureView(words_of(measure.name), measure.about, figures, grid))
    return tuple(views)


def _grid(samples: Sequence[Sample]) -> Grid:
    values = {one.labels: value_in_words(one.measure, one.value) for one in samples}
    columns = tuple(dict.fromkeys(column for _, column in values))
    rows = dict.fromkeys(row for row, _ in values)
    return Grid(
        columns,
        tuple((row, tuple(values.get((row, column), "") for column in columns)) for row in rows),
    )


def _figure(sample: Sample, series: Sequence[tuple[int, float]]) -> Figure:
    measure, (latest_ms, value) = sample.measure, series[-1]
    earlier = [one for at_ms, one in series if at_ms <= latest_ms - EARLIER_MS]
    moved = value - earlier[-1] if earlier else None
    chart = line_chart((("served", series),))
    return Figure(
        ", ".join(sample.labels), value_in_words(measure, value), _moved(measure, moved), chart
    )


def value_in_words(measure: Measure, value: float) -> str:
    """A measure's value; a share is shown as a percentage."""
    if measure.name.endswith(_SHARES) or "_share" in measure.name:
        return percent(value)
    return f"{value:,.0f}" if value == round(value) else f"{value:,.2f}"


def _moved(measure: Measure, by: float | None) -> str:
    if by is None:
        return ""
    if by == 0:
        return "as four weeks before"
    return f"{'up' if by > 0 else 'down'} {value_in_words(measure, abs(by))} in four weeks"


def words_of(name: str) -> str:
    """A measure's name as words."""
    return name.removeprefix(_PREFIX).replace("_", " ")


def as_of(points: Sequence[ModelPoint]) -> str:
    """The day of the latest version; empty before the first one."""
    return day(iso(points[-1].at_ms)) if points else ""
