"""A company of eighteen months: a simulated shop, and a cast of named customers among its own.

Most of it is the demo's shop, from which models learn. The cast (`tests.company.cast`) is for what
must be reported of one customer and must not be of another.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from heapq import merge
from typing import NamedTuple

from msgspec.structs import replace

from agents.trials.demo.shop import ShopConfig, simulate
from config.duration import DAY_MS, DurationMs
from config.parameters import Parameters
from config.rules import TriggerRule
from models.customer.named_events import EVENT
from models.customer.registry import MOMENTS
from models.customer.segments import TIME
from models.decisions.trigger import NextBestAction, Trigger
from models.replay import Output, Replay
from tests.company.cast import DAYS, START_MS, cast
from tests.models.lines import SHIPPED, watermark

#: The prefix of the rules that listen to each moment.
HEARD = "heard-"
#: A dozen other customers; most reports never concern them. The cast alone is enough to learn from.
SHOP = ShopConfig(seed=12, customers=12, start_ms=START_MS, days=DAYS, late=0.0)
#: Rules of the moment `time` need a condition, and those of events name them.
_WHEN = {TIME: "silent_days >= 40"}
_ON = {EVENT: ("Asset Downloaded",)}


def _listening(moment: str) -> TriggerRule:
    """A rule that fires whenever its moment comes."""
    return TriggerRule(
        name=f"{HEARD}{moment}",
        version=1,
        moment=moment,
        when=_WHEN.get(moment, "typical_gap_days > 0"),
        cooldown=DurationMs(0),
        because=(),
        on=_ON.get(moment, ()),
    )


def parameters_of_the_company() -> Parameters:
    """As shipped, with ids linked, models that learn from few customers once a week, and a rule for
    each moment.
    """
    rules = (*SHIPPED.triggers.triggers, *map(_listening, MOMENTS))
    return replace(
        SHIPPED,
        identity=replace(SHIPPED.identity, enabled=True),
        learning=replace(
            SHIPPED.learning, minimum_examples=20, snapshot_every=DurationMs(7 * DAY_MS)
        ),
        triggers=replace(SHIPPED.triggers, triggers=rules),
    )


PARAMETERS = parameters_of_the_company()


def log(shop: ShopConfig | None = SHOP) -> list[bytes]:
    """The company's events in the order in which they are sent, with a watermark a day."""
    return [*with_days(_lines(shop))]


def _lines(shop: ShopConfig | None) -> Iterable[tuple[float, bytes]]:
    mine = [(one.arrives_day, one.line(number)) for number, one in enumerate(cast())]
    records = simulate(shop) if shop is not None else ()
    theirs = (((one.occurred_at_ms - START_MS) / DAY_MS, one.value) for one in records)
    return merge(mine, theirs, key=lambda one: one[0])


def with_days(lines: Iterable[tuple[float, bytes]], days: int = DAYS) -> Iterator[bytes]:
    """The lines, each with the day on which it is sent, with a watermark a day."""
    # An hour after the end of a day all its events have come, but for those a minute out of order.
    day = 1
    for arrives_day, line in lines:
        while arrives_day > day + 1 / 24:
            yield watermark(START_MS + day * DAY_MS)
            day += 1
        yield line
    for last in range(day, days + 1):
        yield watermark(START_MS + last * DAY_MS)


class Told(NamedTuple):
    """The triggers of each customer, and the replay with everything else."""

    heard: frozenset[tuple[str, str]]
    fired: frozenset[tuple[str, str]]
    decisions: tuple[Trigger | NextBestAction, ...]
    replay: Replay

    def of(self, kind: str) -> list[tuple[str, str]]:
        """The triggers of a kind, in order: when, and of which customer."""
        return [
            (one.timestamp, one.user_id)
            for one in self.decisions
            if isinstance(one, Trigger) and one.kind == kind
        ]


def replayed(lines: Iterable[bytes], parameters: Parameters = PARAMETERS) -> Told:
    replay = Replay(parameters)
    outputs: list[Output] = []
    for number, line in enumerate(lines, 1):
        outputs += replay.feed(line, number)
    decisions = tuple(one for one in outputs if isinstance(one, Trigger | NextBestAction))
    kinds = [(one.kind, one.user_id) for one in decisions if isinstance(one, Trigger)]
    heard = {(kind.removeprefix(HEARD), who) for kind, who in kinds if kind.startswith(HEARD)}
    fired = {(kind, who) for kind, who in kinds if not kind.startswith(HEARD)}
    return Told(frozenset(heard), frozenset(fired), decisions, replay)


@cache
def told() -> Told:
    """The triggers that the company's log causes; computed once for all tests."""
    return replayed(log())
