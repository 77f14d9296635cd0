"""Segments: who is in, to the millisecond, with nobody's help; and when nothing is said."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from config.duration import DAY_MS, HOUR_MS, MINUTE_MS
from config.parameters import Parameters
from config.segments import announcing, load_segments
from models.catalogue import kind_of
from models.customer.row import Row
from models.customer.segments import LOOK, SEGMENTS, told_ms
from models.decisions.trigger import Trigger
from models.engine import Effect, run_due, step
from models.events.event import Event
from models.events.times import iso, milliseconds, moment_of
from models.learning.lessons import Tally
from models.plan import plan_for
from models.segment_counts import SegmentCount, SegmentCounts
from tests.models.lines import PARAMETERS, START_MS, context, happened, scene, seen
from tests.models.persons import LINKING, Deployment, said_by

SLIPPING = """\
segments:
  - name: slipping
    version: 1
    when: orders >= 2 and silent_days >= 30
    announce: true
"""


def declared(
    directory: Path, text: str = SLIPPING, parameters: Parameters = PARAMETERS
) -> Parameters:
    """The shipped parameters with these segments instead of their own."""
    file = directory / "segments.yaml"
    file.write_text(text)
    segments = load_segments(file)
    triggers = replace(
        parameters.triggers,
        triggers=(*PARAMETERS.triggers.triggers, *announcing(segments)),
    )
    return replace(parameters, segments=segments, triggers=triggers)


class Life:
    """One customer, whose deadlines run when the clock says so."""

    def __init__(self, parameters: Parameters) -> None:
        self.within = context(parameters=parameters)
        self.row = Row()
        self.effects: list[Effect] = []

    def then(self, *events: Event) -> "Life":
        for event in events:
            self.within = self.within._replace(
                clock_ms=max(self.within.clock_ms, event.occurred_at_ms)
            )
            self.effects += step(self.row, event, self.within.present, self.within.plan)[1]
        return self

    def until(self, at_ms: int) -> "Life":
        """Silence up to and with this millisecond."""
        self.within = self.within._replace(clock_ms=at_ms)
        self.effects += run_due(self.row, "ada", at_ms + 1, self.within.present, self.within.plan)
        return self

    def edited(self, parameters: Parameters) -> "Life":
        """The worker starts again with another file."""
        self.within = self.within._replace(parameters=parameters)
        return self

    @property
    def told(self) -> list[tuple[str, str]]:
        """What was announced of segments, and when."""
        return [
            (one.kind, one.timestamp)
            for one in self.effects
            if isinstance(one, Trigger) and one.kind.startswith("segment-")
        ]

    @property
    def names(self) -> list[str]:
        return self.row.read(SEGMENTS).names()

    @property
    def counted(self) -> dict[str, int]:
        """What the customer adds to the members of all customers."""
        sums: dict[str, int] = {}
        for one in self.effects:
            if isinstance(one, Tally) and one.part == SEGMENTS.name:
                for name, _, amount in one.sums:
                    sums[name] = sums.get(name, 0) + amount
        return sums


def order(at_ms: int, order_id: str, revenue: float = 50.0) -> Event:
    return happened("Order Completed", at_ms, message=order_id, order_id=order_id, revenue=revenue)


def at(text: str) -> int:
    moment = moment_of(text)
    assert moment is not None
    return milliseconds(moment)


JANUARY_1 = at("2026-01-01T12:00:00Z")
JANUARY_10 = at("2026-01-10T10:00:00Z")
FEBRUARY_9 = at("2026-02-09T10:00:00Z")
FEBRUARY_12 = at("2026-02-12T09:00:00Z")


def days(number: float) -> int:
    return START_MS + round(number * DAY_MS)


def day_of_order(day: int) -> bytes:
    at_ms = days(day) + 10 * HOUR_MS
    return said_by("Order Completed", at_ms, user="ada", order_id=f"o-{day}", revenue=50)


def switched_to(shop: Deployment, parameters: Parameters) -> None:
    """The worker is started again with other parameters."""
    shop.save(0)
    shop.plan = plan_for(parameters)
    shop.die(0)


def test_somebody_slips_at_the_millisecond_and_is_back_with_the_order(tmp_path: Path) -> None:
    life = Life(declared(tmp_path)).then(order(JANUARY_1, "A"), order(JANUARY_10, "B"))

    life.until(FEBRUARY_9 - 1)
    assert [] == life.names
    life.until(FEBRUARY_9)
    assert ["slipping"] == life.names
    life.until(FEBRUARY_12 - 1).then(order(FEBRUARY_12, "C"))

    assert [] == life.names
    assert [
        ("segment-slipping-entered", "2026-02-09T10:00:00.000Z"),
        ("segment-slipping-left", "2026-02-12T09:00:00.000Z"),
    ] == life.told
    assert {"slipping": 0} == life.counted


def test_who_has_come_lately_is_counted_to_the_millisecond(tmp_path: Path) -> None:
    life = Life(declared(tmp_path)).then(order(JANUARY_1, "A"), order(JANUARY_10, "B"))
    life.until(FEBRUARY_9)

    def counted(days: float, ms: int = 0) -> SegmentCount:
        counts = SegmentCounts()
        counts.look(scene(life.row, FEBRUARY_9 + round(days * DAY_MS) + ms, life.within))
        return counts["slipping"]

    assert SegmentCount(1, 1, 1, 1) == counted(0) == counted(1, -1)
    assert SegmentCount(1, 0, 1, 1) == counted(1) == counted(7, -1)
    assert SegmentCount(1, 0, 0, 1) == counted(7) == counted(28, -1)
    assert SegmentCount(1) == counted(28)
    total = SegmentCounts().add([{"slipping": counted(0)}, {}, {"slipping": counted(9)}])
    assert {"slipping": SegmentCount(2, 1, 1, 2)} == total


def test_a_worker_that_was_away_says_the_same(tmp_path: Path) -> None:
    events = order(JANUARY_1, "A"), order(JANUARY_10, "B"), order(FEBRUARY_12, "C")
    away, awake = Life(declared(tmp_path)), Life(declared(tmp_path))

    away.then(*events)
    awake.then(*events[:2]).until(FEBRUARY_9 + HOUR_MS).then(events[2])

    assert awake.told == away.told
    assert 2 == len(away.told)


def test_a_member_who_stays_is_not_spoken_of_again(tmp_path: Path) -> None:
    life = Life(declared(tmp_path)).then(order(JANUARY_1, "A"), order(JANUARY_10, "B"))
    life.until(FEBRUARY_9)
    for day in range(1, 300):
        page = happened("page", FEBRUARY_9 + day * DAY_MS, message=f"page-{day}")
        life.until(page.occurred_at_ms - 1).then(page)

    assert [("segment-slipping-entered", "2026-02-09T10:00:00.000Z")] == life.told


def test_nobody_is_woken_for_what_time_cannot_change(tmp_path: Path) -> None:
    """One order does not make two, however long it is silent."""
    life = Life(declared(tmp_path)).then(order(JANUARY_1, "A"))

    assert 0 == life.row.due(LOOK).due_ms


FLAPPING = """\
segments:
  - name: full-cart
    version: 1
    when: cart_items > 0
    announce: true
    hold: 2h
"""


def cart(name: str, minutes: int, product: str = "P") -> Event:
    at_ms = JANUARY_1 + minutes * MINUTE_MS
    return happened(name, at_ms, message=f"cart-{minutes}", product_id=product, price=9.0)


def test_what_flaps_within_the_hold_is_neither_entered_nor_left(tmp_path: Path) -> None:
    life = Life(declared(tmp_path, FLAPPING))
    for minutes in range(0, 600, 60):
        life.then(cart("Product Added", minutes), cart("Product Removed", minutes + 30))
    assert [] == life.told

    life.then(cart("Product Added", 600)).until(JANUARY_1 + 900 * MINUTE_MS)
    for minutes in range(900, 1_500, 60):
        life.then(cart("Product Removed", minutes), cart("Product Added", minutes + 30))
    life.then(cart("Product Removed", 1_600)).until(JANUARY_1 + 3_000 * MINUTE_MS)

    assert [
        ("segment-full-cart-entered", iso(JANUARY_1 + (600 + 120) * MINUTE_MS)),
        ("segment-full-cart-left", iso(JANUARY_1 + (1_600 + 120) * MINUTE_MS)),
    ] == life.told


def test_a_new_segment_says_nothing_of_those_who_are_in_already(tmp_path: Path) -> None:
    before = declared(tmp_path, "segments: []\n")
    life = Life(before).then(order(JANUARY_1, "A"), order(JANUARY_10, "B"))
    life.until(FEBRUARY_9 + 50 * DAY_MS).edited(declared(tmp_path))

    # At once in lists and conditions, before anything happens.
    assert "slipping" == scene(life.row, FEBRUARY_9 + 50 * DAY_MS, life.within)["segments"]
    life.then(order(FEBRUARY_9 + 60 * DAY_MS, "C"))

    assert [("segment-slipping-left", iso(FEBRUARY_9 + 60 * DAY_MS))] == life.told
    assert {"slipping": 0} == life.counted


def test_with_backfill_it_does_each_at_a_time_of_their_own_within_the_spread(
    tmp_path: Path,
) -> None:
    life = Life(declared(tmp_path, "segments: []\n"))
    life.then(order(JANUARY_1, "A"), order(JANUARY_10, "B"))
    life.until(FEBRUARY_9 + 50 * DAY_MS)
    backfilled = SLIPPING.replace("announce: true", "announce: true\n    backfill: true")
    after = declared(tmp_path, backfilled)
    # The weekly look at everybody who bought is the first that goes by the new file.
    life.edited(after).until(FEBRUARY_9 + 58 * DAY_MS)

    [(kind, told_at)] = life.told
    assert "segment-slipping-entered" == kind
    since_ms = life.row.read(SEGMENTS).standings["slipping"].since_ms
    assert iso(told_ms("ada", since_ms, after)) == told_at
    spread = {told_ms(f"customer-{n}", 0, after) for n in range(1_000)}
    assert 1 <= min(spread)
    assert max(spread) <= HOUR_MS
    assert len(spread) > 990


def test_an_edited_segment_is_gone_by_its_new_condition_without_news(tmp_path: Path) -> None:
    life = Life(declared(tmp_path)).then(order(JANUARY_1, "A"), order(JANUARY_10, "B"))
    life.until(FEBRUARY_9 + DAY_MS)
    edited = SLIPPING.replace("version: 1", "version: 2").replace("30", "90")
    life.edited(declared(tmp_path, edited))

    assert "" == scene(life.row, FEBRUARY_9 + DAY_MS, life.within)["segments"]
    life.until(JANUARY_10 + 90 * DAY_MS)

    assert [
        ("segment-slipping-entered", "2026-02-09T10:00:00.000Z"),
        ("segment-slipping-entered", iso(JANUARY_10 + 90 * DAY_MS)),
    ] == life.told
    [view] = seen(life.row, life.within.clock_ms, life.within).segments
    assert ("slipping", iso(JANUARY_10 + 90 * DAY_MS), 2) == (view.name, view.since, view.version)
    assert {"slipping": 1} == life.counted


NESTED = """\
segments:
  - name: silent-fan
    version: 1
    when: '"fan" in segments and silent_days >= 10'
    announce: true
  - name: fan
    version: 1
    when: orders_30d >= 2
    announce: true
"""


@pytest.mark.parametrize(
    ("off_on", "came", "on_again", "is_slipping"),
    [(41, [60], 62, False), (30, [], 45, True)],
    ids=["bought meanwhile", "was silent for long enough meanwhile"],
)
def test_what_came_while_segments_were_off_is_found_without_news(
    off_on: int, came: list[int], on_again: int, is_slipping: bool, tmp_path: Path
) -> None:
    on = declared(tmp_path, parameters=LINKING)
    shop = Deployment(1, on)
    shop.tell(day_of_order(0), day_of_order(9))
    shop.tick(days(off_on))
    news = shop.fired()
    switched_to(shop, SEGMENTS.switched(on, on=False))
    shop.tell(*map(day_of_order, came))
    shop.tick(days(on_again))
    switched_to(shop, on)
    # A check-in is the first to look, and before it, whoever reads a profile.
    shop.tick(days(on_again) + 1)
    assert is_slipping == ("slipping" in [one.name for one in shop.profile("ada").segments])
    shop.tick(days(on_again + 8))

    assert is_slipping == shop.sums()[SEGMENTS.name, "slipping", 0]
    kinds = [kind for kind, _ in shop.fired()[len(news) :]]
    assert [] == [kind for kind in kinds if kind.startswith("segment-")]


def test_a_segment_may_ask_for_another_listed_after_it(tmp_path: Path) -> None:
    life = Life(declared(tmp_path, NESTED)).then(order(JANUARY_1, "A"), order(JANUARY_10, "B"))
    life.until(JANUARY_10 + 60 * DAY_MS)

    assert [
        ("segment-fan-entered", iso(JANUARY_10)),
        ("segment-silent-fan-entered", iso(JANUARY_10 + 10 * DAY_MS)),
        # The first order leaves the 30 days, and with it the other goes.
        ("segment-fan-left", iso(JANUARY_1 + 30 * DAY_MS)),
        ("segment-silent-fan-left", iso(JANUARY_1 + 30 * DAY_MS)),
    ] == life.told


OF_LOOKS = """\
segments:
  - name: buys
    version: 1
    when: stage == "purchase"
  - name: ranked
    version: 1
    when: tier in ("vip", "potential", "ordinary")
  - name: banded
    version: 1
    when: churn_band != "" and churn_band_days < 400
"""


def test_what_looks_find_is_entered_with_the_look_and_no_event_asks_for_it(tmp_path: Path) -> None:
    life = Life(declared(tmp_path, OF_LOOKS)).then(order(JANUARY_1, "A"))
    watch = life.within.plan.watch
    heard = {
        one.name
        for name in ("page", "Product Viewed", "Order Completed", "Ticket Opened")
        for one in watch.by_kind[kind_of(name).number]
    }
    day_end_ms = at("2026-01-01T23:59:59Z")

    assert set() == heard
    assert all(segment.timing.inexact == () for segment in watch.segments)
    # Class and stage an hour after the order, tier and band at the end of the day.
    assert [] == life.until(JANUARY_1 + HOUR_MS - 1).names
    assert ["buys"] == life.until(JANUARY_1 + HOUR_MS).names
    assert ["buys"] == life.until(day_end_ms - 1).names
    assert ["banded", "buys", "ranked"] == sorted(life.until(day_end_ms).names)


def test_whoever_wants_no_decisions_by_who_they_are_leaves_a_band_at_once(tmp_path: Path) -> None:
    life = Life(declared(tmp_path, OF_LOOKS)).then(order(JANUARY_1, "A")).until(JANUARY_10)

    life.then(happened("Consent Revoked", JANUARY_10 + 1, purpose="personalisation"))

    assert ["buys", "ranked"] == sorted(life.names)
