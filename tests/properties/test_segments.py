"""For any condition and any events: the members of a segment are those who meet its condition, at
every millisecond.
"""

from typing import NamedTuple

from hypothesis import given, note, reject
from hypothesis import strategies as st
from msgspec.structs import replace

from config.duration import DAY_MS, HOUR_MS
from config.rules import RuleError
from config.segments import SegmentRule, Segments
from models.customer.registry import FACT_KINDS
from models.customer.row import Row, encode_row
from models.customer.scene import Scene
from models.customer.segments import SEGMENTS, declared
from models.decisions.expression import compile_condition
from models.engine import run_due, step
from models.events.event import Event
from tests.models.lines import PARAMETERS, START_MS, Within, context, happened

_SPAN_DAYS = 120
_END_MS = START_MS + 2 * _SPAN_DAYS * DAY_MS

clocks = st.sampled_from(
    [
        "silent_days",
        "unseen_days",
        "cart_idle_hours",
        "silent_days * 24",
        "class_days",
        "stage_days",
        "tier_days",
        "churn_band_days",
    ]
)
amounts = st.sampled_from(
    [
        "orders",
        "orders_30d",
        "net_30d / 10",
        "cart_items * 7",
        "average_order / 3",
        "3 * orders_90d - sessions",
        "silent_days - unseen_days",
        "tier_score * 10",
    ]
)
constants = st.sampled_from(
    ["0", "0.5", "1", "2", "7.25", "29.999999", "30", "30.1", "-1", "1 / 3"]
)
comparisons = st.sampled_from([">=", ">", "<", "<=", "==", "!="])


def pairs(left: st.SearchStrategy[str], right: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds("{} {} {}".format, left, comparisons, right)


leaves = (
    pairs(clocks, constants)
    | pairs(constants, clocks)
    | pairs(amounts, constants)
    | pairs(clocks, amounts)
    | pairs(clocks, clocks)
    | st.builds("{} < {} <= {}".format, constants, clocks, constants)
    | st.sampled_from(["last_channel == 'web'", "True", "nps_class in ('promoter', '')"])
    | st.sampled_from(
        [
            "customer_class == 'new'",
            "class_before in ('new', 'existing')",
            "stage == 'loyalty'",
            "stage_before == 'consideration'",
            "tier != 'ordinary'",
            "churn_band == 'low'",
            "churn_band_before == ''",
        ]
    )
)
conditions = st.recursive(
    leaves,
    lambda inner: (
        st.builds("({} and {})".format, inner, inner)
        | st.builds("({} or {})".format, inner, inner)
        | st.builds("(not {})".format, inner)
    ),
    max_leaves=5,
)


class Done(NamedTuple):
    """A customer's event, so many hours and ms after the beginning."""

    what: int
    hours: int
    ms: int

    def event(self, number: int) -> Event:
        at_ms, said = START_MS + self.hours * HOUR_MS + self.ms, f"e-{number}"
        match self.what:
            case 0:
                revenue = 30.0 + number
                return happened(
                    "Order Completed", at_ms, message=said, order_id=said, revenue=revenue
                )
            case 1:
                return happened("Product Added", at_ms, message=said, product_id=said, price=9.0)
            case 2:
                return happened("Product Removed", at_ms, message=said, product_id="e-1")
        return happened("page", at_ms, message=said)


deeds = st.builds(
    Done, st.integers(0, 3), st.integers(0, _SPAN_DAYS * 24), st.sampled_from([0, 1, 999, 500_001])
)


def watching(condition: str) -> Within:
    """One segment; not one that is refused because it can never have members."""
    rule = SegmentRule(name="they", version=1, when=condition)
    within = context(parameters=replace(PARAMETERS, segments=Segments((rule,))))
    try:
        assert within.plan.watch.segments
    except RuleError:
        reject()
    return within


def holds(condition: str, row: Row, at_ms: int, within: Within) -> bool:
    scene = Scene(row, "ada", at_ms, within.present)
    return compile_condition(condition, FACT_KINDS).holds(scene)


@given(
    condition=conditions,
    done=st.lists(deeds, min_size=1, max_size=8, unique_by=lambda one: (one.hours, one.ms)),
    looks=st.lists(st.integers(0, 2 * _SPAN_DAYS * 24), max_size=6),
)
def test_membership_is_the_condition_at_every_millisecond(
    condition: str, done: list[Done], looks: list[int]
) -> None:
    within, row = watching(condition), Row()
    events = [one.event(number) for number, one in enumerate(sorted(done, key=_time))]
    stops = sorted({START_MS + hours * HOUR_MS for hours in looks} | {_END_MS})
    for event in events:
        at_ms = event.occurred_at_ms
        for stop_ms in [stop for stop in stops if stop < at_ms]:
            stops.remove(stop_ms)
            _check_until(condition, row, stop_ms, within)
        _check_until(condition, row, at_ms - 1, within)
        step(row, event, within._replace(clock_ms=at_ms).present, within.plan)
        assert _is_in(row) == holds(condition, row, at_ms, within), at_ms
    for stop_ms in stops:
        _check_until(condition, row, stop_ms, within)


def _time(done: Done) -> tuple[int, int]:
    return done.hours * HOUR_MS + done.ms, done.what


def _check_until(condition: str, row: Row, until_ms: int, within: Within) -> None:
    """Go from one change by time alone to the next: just before it, at it, and at the end."""
    now = within._replace(clock_ms=until_ms)
    while 0 < row.next_due_ms <= until_ms:
        due_ms = row.next_due_ms
        if row.latest_ms:
            note(f"due {due_ms}")
            assert _is_in(row) == holds(condition, row, due_ms - 1, now), due_ms - 1
        run_due(row, "ada", due_ms + 1, now.present, now.plan)
        assert _is_in(row) == holds(condition, row, due_ms, now), due_ms
    if row.latest_ms:
        assert _is_in(row) == holds(condition, row, until_ms, now), until_ms


def _is_in(row: Row) -> bool:
    return declared(row.read(SEGMENTS).names()) == ["they"]


@given(
    condition=conditions,
    done=st.lists(deeds, min_size=1, max_size=8, unique_by=lambda one: (one.hours, one.ms)),
    data=st.data(),
)
def test_whatever_comes_first_everybody_ends_in_the_same_segments(
    condition: str, done: list[Done], data: st.DataObject
) -> None:
    events = [one.event(number) for number, one in enumerate(done)]
    found = []
    for order in (events, data.draw(st.permutations(events))):
        within, row = watching(condition), Row()
        for event in order:
            step(row, event, within.present, within.plan)
        run_due(row, "ada", _END_MS, within._replace(clock_ms=_END_MS).present, within.plan)
        found.append(_is_in(row))

    assert found[0] == found[1]


@given(condition=conditions, done=st.lists(deeds, min_size=1, max_size=8))
def test_a_clock_in_steps_of_any_length_leaves_the_same_row(
    condition: str, done: list[Done]
) -> None:
    events = [one.event(number) for number, one in enumerate(sorted(done, key=_time))]
    rows = []
    for step_days in (1, 300):
        within, row = watching(condition), Row()
        for event in events:
            step(row, event, within._replace(clock_ms=0).present, within.plan)
        clock_ms = row.latest_ms
        while clock_ms < _END_MS:
            clock_ms = min(clock_ms + step_days * DAY_MS, _END_MS)
            now = within._replace(clock_ms=clock_ms)
            run_due(row, "ada", clock_ms + 1, now.present, now.plan)
        rows.append(encode_row(row))

    assert rows[0] == rows[1]
