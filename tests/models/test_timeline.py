"""A customer's latest events: what is kept of them, in which order, and what is not."""

from itertools import permutations
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from config.duration import DurationMs
from config.parameters import Parameters
from config.rules import TriggerRule, Triggers
from models import identity
from models.catalogue import KIND_BY_NAME, NAMES, _codes
from models.comparison import different_parts, has_content
from models.customer.named_events import EVENT
from models.customer.registry import RegistryError
from models.customer.row import Row, encode_row
from models.customer.timeline import EVENTS_MAX, TIMELINE, code_of
from models.events.event import Event
from tests.models.lines import (
    PARAMETERS,
    START_MS,
    Within,
    at,
    context,
    copied,
    happened,
    lived,
    seen,
)

DAY = "2026-01-01T{}:00.000Z"
RATED = replace(PARAMETERS, money=replace(PARAMETERS.money, rates={"USD": 0.5}))
#: One that no release knows, and that rules may name.
OWN = "Confetti Thrown"


def rules_on(*names: str) -> Parameters:
    rule = TriggerRule(
        name="any",
        version=1,
        moment=EVENT,
        on=names,
        when="orders == 0",
        cooldown=DurationMs(0),
        because=(),
    )
    triggers = Triggers((*PARAMETERS.triggers.triggers, rule))
    return replace(PARAMETERS, triggers=triggers)


def told(row: Row, within: Within | None = None) -> list[tuple[Any, ...]]:
    """The timeline of the profile, each event as (name, time, amount, channel)."""
    events = seen(row, at(30), within).timeline
    return [tuple(msgspec.structs.astuple(event)) for event in events]


def pages(count: int, **more: Any) -> list[Event]:
    return [happened("page", at(minutes=n), **more) for n in range(count)]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (happened("page", at(), channel="web"), ("page", DAY.format("00:00"), None, "web")),
        (
            happened("Order Completed", at(hours=1), order_id="o", revenue=19.99),
            ("Order Completed", DAY.format("01:00"), 1_999, None),
        ),
        (
            happened("Order Completed", at(), order_id="o", revenue=10, currency="USD"),
            ("Order Completed", DAY.format("00:00"), 500, None),
        ),
        (
            happened("Product Added", at(), product_id="p", price=5, quantity=3),
            ("Product Added", DAY.format("00:00"), 1_500, None),
        ),
        (
            happened("Product Added", at(), product_id="p"),
            ("Product Added", DAY.format("00:00"), None, None),
        ),
        # Passive ones are no activity, but they did happen.
        (
            happened("Ticket Solved", at(), ticket_id="t"),
            ("Ticket Solved", DAY.format("00:00"), None, None),
        ),
        (happened("identify", at()), ("identify", DAY.format("00:00"), None, None)),
        # Whatever it says, it is not kept.
        (happened("Ada bought a hat", at()), (None, DAY.format("00:00"), None, None)),
    ],
)
def test_an_event_is_told_by_name_time_amount_and_channel(
    event: Event, expected: tuple[Any, ...]
) -> None:
    within = context(parameters=RATED)
    assert [expected] == told(lived([event], within=within), within)


def test_what_is_nearly_a_known_name_counts_as_nothing() -> None:
    assert [] == told(lived([happened("Order Complete", at())]))


def test_the_shops_own_events_have_the_names_that_its_rules_have_for_them() -> None:
    event, named = happened("confetti_thrown", at()), context(parameters=rules_on(OWN))
    row = lived([event], within=named)

    assert [OWN] == [name for name, *_ in told(row, named)]
    # Once no rule names it, nobody knows what it was.
    assert [None] == [name for name, *_ in told(row)]
    assert [None] == [name for name, *_ in told(lived([event]), named)]


def test_the_latest_are_kept_the_oldest_first() -> None:
    events = pages(EVENTS_MAX + 7)
    row = lived(events)

    kept = told(row)
    assert EVENTS_MAX == len(kept)
    assert [f"2026-01-01T00:{n:02d}:00.000Z" for n in range(7, EVENTS_MAX + 7)] == [
        moment for _, moment, *_ in kept
    ]
    # What comes late takes its place, or none.
    assert kept == told(lived([happened("page", at(minutes=3, ms=1))], row=row))
    late = told(lived([happened("screen", at(minutes=8, ms=1))], row=row))
    assert [*kept[1:2], ("screen", "2026-01-01T00:08:00.001Z", None, None), *kept[2:]] == late


@pytest.mark.parametrize("full", [0, EVENTS_MAX])
def test_the_same_bytes_come_of_every_order(full: int) -> None:
    """Also with equal times, and with amounts and channels that come and go."""
    before = lived(pages(full, channel="a"))
    base = at(hours=full)
    events = [
        happened("page", base, channel="c", message="1"),
        happened("page", base, channel="b", message="2"),
        happened("Order Completed", base, order_id="o-1", revenue=5, message="3"),
        happened("Order Completed", base, order_id="o-2", revenue=4, message="4"),
        happened("Order Completed", base + 1, order_id="o-3", revenue=9, channel="b", message="5"),
    ]
    found = {TIMELINE.pack(lived(one, row=before).read(TIMELINE)) for one in permutations(events)}

    assert 1 == len(found)
    [content] = found
    state = TIMELINE.unpack(content)
    assert [400, 500, 900] == state.amounts_minor
    assert sorted(["", "a", "b", "c"] if full else ["", "b", "c"]) == state.channels


def test_channels_and_amounts_go_with_their_events() -> None:
    first = [
        happened("Order Completed", at(), order_id="o", revenue=7, channel="store"),
        happened("page", at(ms=1), channel="store"),
    ]
    row = lived([*first, *pages(EVENTS_MAX - 1, channel="web")[1:]])
    assert (["store", "web"], [700]) == (
        row.read(TIMELINE).channels,
        row.read(TIMELINE).amounts_minor,
    )

    for count, channels in ((1, ["store", "web"]), (2, ["web"])):
        later = [happened("page", at(1, minutes=n), channel="web") for n in range(count)]
        state = lived(later, row=row).read(TIMELINE)
        assert (channels, []) == (state.channels, state.amounts_minor)
        assert TIMELINE.pack(state) == TIMELINE.pack(TIMELINE.united([state], PARAMETERS))


def test_an_event_takes_nine_bytes() -> None:
    row = lived(pages(100, channel="web"))
    assert 200 > len(TIMELINE.pack(row.read(TIMELINE)))


def test_a_person_has_what_happened_under_all_of_their_ids() -> None:
    mine, other = pages(15, channel="web"), pages(30)[15:]
    row, within = lived(mine), context(at(1))
    identity.link(row, "ada", "anon", lived(other), at(1), within.present, within.plan)

    assert told(lived([*mine, *other])) == told(row)
    left, _ = identity.split(row, "ada", "anon", at(1), within.present, within.plan)
    assert told(lived(mine)) == told(row)
    assert told(lived(other)) == told(left)


def test_what_nobody_expects_is_a_difference() -> None:
    row = lived(pages(3))
    other = copied(row)
    other.edit(TIMELINE).keep([*row.read(TIMELINE).moments()][:2])

    assert not has_content(encode_row(row), encode_row(other))
    assert ["timeline"] == list(different_parts(encode_row(row), encode_row(other)))


def test_every_known_name_has_a_code_of_its_own() -> None:
    assert list(KIND_BY_NAME) == list(NAMES.values())
    assert bytes(2) not in NAMES
    twins: dict[bytes, str] = {}
    number = 0
    while (other := twins.setdefault(code_of(f"n-{number}"), f"n-{number}")) == f"n-{number}":
        number += 1
    with pytest.raises(RegistryError, match=f"n-{number} and {other} have one code in rows"):
        _codes([other, f"n-{number}"])


def test_switched_off_it_says_so() -> None:
    off = PARAMETERS.with_section(
        replace(PARAMETERS.of(TIMELINE.parameters), enabled=False)  # type: ignore[arg-type]
    )
    row = lived(pages(2), within=context(parameters=off))

    assert (None, False) == (
        seen(row, START_MS, context(parameters=off)).timeline,
        row.has(TIMELINE),
    )
