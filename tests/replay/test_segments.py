"""Segments in the simulated shop: customers enter and leave each, announced to the millisecond."""

from collections import defaultdict
from functools import cache
from typing import NamedTuple

from msgspec.structs import replace

from agents.trials.demo.shop import ShopConfig, simulate
from config.parameters import Parameters
from config.segments import SEGMENT_ENTERED, SEGMENT_LEFT, Segments, announcing, trigger_name
from models.customer.row import Row
from models.customer.segments import SEGMENTS
from models.decisions.trigger import Trigger
from models.events.times import milliseconds, moment_of
from models.replay import Output, Replay
from tests.models.lines import PARAMETERS

SHOP = ShopConfig(seed=3, customers=30, start_ms=1_700_000_000_000, days=240)
NAMES = [segment.name for segment in PARAMETERS.segments.segments]


class Told(NamedTuple):
    outputs: list[Output]
    rows: dict[str, Row]
    replay: Replay


def announced() -> Parameters:
    """The shipped segments, each of which announces its members."""
    segments = Segments(
        tuple(replace(segment, announce=True) for segment in PARAMETERS.segments.segments)
    )
    rules = PARAMETERS.triggers
    return replace(
        PARAMETERS,
        segments=segments,
        triggers=replace(rules, triggers=(*rules.triggers, *announcing(segments))),
    )


@cache
def told() -> Told:
    """The shop's replay."""
    replay = Replay(announced())
    outputs: list[Output] = []
    for number, record in enumerate(simulate(SHOP), 1):
        outputs += replay.feed(record.value, number)
    return Told(outputs, replay.rows(), replay)


def turns(name: str) -> dict[str, list[tuple[str, int]]]:
    """When each customer entered and left a segment."""
    kinds = {trigger_name(name, moment): moment for moment in (SEGMENT_ENTERED, SEGMENT_LEFT)}
    found: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for one in told().outputs:
        if isinstance(one, Trigger) and one.kind in kinds:
            moment = moment_of(one.timestamp)
            assert moment is not None
            found[one.user_id].append((kinds[one.kind], milliseconds(moment)))
    return found


def test_every_shipped_segment_has_members_and_somebody_of_whom_it_says_nothing() -> None:
    rows = told().rows
    for name in NAMES:
        assert turns(name), name
        assert [one for one, row in rows.items() if name not in row.read(SEGMENTS).names()], name


def test_whoever_enters_leaves_before_they_enter_again() -> None:
    for name in NAMES:
        for customer, moments in turns(name).items():
            expected = [SEGMENT_ENTERED, SEGMENT_LEFT] * len(moments)
            assert expected[: len(moments)] == [moment for moment, _ in moments], (name, customer)


def test_in_the_end_everybody_is_in_what_they_entered_last() -> None:
    for name in NAMES:
        entered = {one for one, moments in turns(name).items() if moments[-1][0] == SEGMENT_ENTERED}
        within = {one for one, row in told().rows.items() if name in row.read(SEGMENTS).names()}
        assert entered == within, name


def test_without_announcing_the_shop_says_what_it_did_before() -> None:
    quiet = Replay(PARAMETERS)
    outputs: list[Output] = []
    for number, record in enumerate(simulate(SHOP), 1):
        outputs += quiet.feed(record.value, number)

    ours = {trigger_name(n, m) for n in NAMES for m in (SEGMENT_ENTERED, SEGMENT_LEFT)}
    loud = [one.id for one in told().outputs if isinstance(one, Trigger) and one.kind not in ours]
    assert loud == [one.id for one in outputs if isinstance(one, Trigger)]
    assert loud
