"""A company of eighteen months: a simulated shop, and among its customers a cast by name.

Most of it is the shop of the demo, from which models learn; the cast (`tests.company.cast`) is for
what must be said of somebody, and must not be of somebody else.
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

#: How rules are called that listen to each moment, whatever it is.
HEARD = "heard-"
#: A dozen others, of whom most is never said. The cast alone is enough to learn from.
SHOP = ShopConfig(seed=12, customers=12, start_ms=START_MS, days=DAYS, late=0.0)
#: Rules of the moment `time` have a condition of their own, and those of events name them.
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
    """As shipped, with ids linked, models that learn from few once a week, and a rule a moment."""
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
    """The company's events in the order in which they come, with a watermark a day."""
    return [*with_days(_lines(shop))]


def _lines(shop: ShopConfig | None) -> Iterable[tuple[float, bytes]]:
    mine = [(one.arrives_day, one.line(number)) for number, one in enumerate(cast())]
    records = simulate(shop) if shop is not None else ()
    theirs = (((one.occurred_at_ms - START_MS) / DAY_MS, one.value) for one in records)
    return merge(mine, theirs, key=lambda one: one[0])


def with_days(lines: Iterable[tuple[float, bytes]], days: int = DAYS) -> Iterator[bytes]:
    """The lines, by the day on which they come, with a watermark a day."""
    # An hour after the end of a day all of it has come, but for what is a minute out of order.
    day = 1
    for arrives_day, line in lines:
        while arrives_day > day + 1 / 24:
            yield watermark(START_MS + day * DAY_MS)
            day += 1
        yield line
    for last in range(day, days + 1):
        yield watermark(START_MS + last * DAY_MS)


class Told(NamedTuple):
    """What was said of whom, and the replay that says the rest."""

    heard: frozenset[tuple[str, str]]
    fired: frozenset[tuple[str, str]]
    decisions: tuple[Trigger | NextBestAction, ...]
    replay: Replay

    def of(self, kind: str) -> list[tuple[str, str]]:
        """The triggers of a kind, in their order: when, and of whom."""
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
    """What the company's log makes its customers' rules say; once for all tests."""
    return replayed(log())
