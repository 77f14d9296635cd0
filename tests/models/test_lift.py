"""The effect of actions: a comparison by hand, who counts when, and who does not."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from config.parameters import ParameterError
from models.customer.contacts import CONTACTS, contacts
from models.customer.holdout import CONTROL, TREATED, is_control
from models.customer.lift import FOLLOWED_MAX, LIFT, FollowedAction, FollowedActions, follow_action
from models.customer.lift_measures import (
    ANY,
    CELLS_MAX,
    FEW,
    SUMS,
    LiftCell,
    cells,
    compared,
    keys,
    samples,
    squared,
)
from models.customer.row import Row
from models.decisions.trigger import NextBestAction
from models.events.event import Event
from models.identity import is_mirror
from models.learning.lessons import Tally
from models.parameters import load_parameters
from models.population import name_of
from models.replay import Replay
from tests.models.lines import (
    DAY_MS,
    PARAMETERS,
    at,
    context,
    copied,
    happened,
    line,
    lived_with_effects,
    scene,
    step,
    waited,
    watermark,
)


def bought(day: float, revenue: float = 40.0, order: str = "") -> Event:
    return happened("Order Completed", at(day), order_id=order or f"o-{day}", revenue=revenue)


def followed(*actions: tuple[float, str, str], is_treated: bool = True) -> Row:
    """A customer for whom these were decided: the day, the action, and the reason."""
    row = Row()
    for day, action, reason in actions:
        follow_action(scene(row, at(day)), action, reason, is_treated=is_treated)
    return row


def told(effects: list[Any]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for one in effects:
        if isinstance(one, Tally) and one.part == LIFT.name:
            for key, _month, amount in one.sums:
                sums[key] += amount
    return {key: count for key, count in sums.items() if count}


def of_cell(
    sums: dict[str, int], action: str, reason: str = ANY, group: str = TREATED
) -> list[int]:
    return [sums.get(LiftCell(action, reason).key(group, what), 0) for what in SUMS]


def lived_out(row: Row, *events: Event, until: float = 120) -> dict[str, int]:
    """The sums for a customer with these events, followed by silence."""
    row, effects = lived_with_effects(events, row=row)
    return told([*effects, *waited(row, at(until))[1]])


def test_the_example_by_hand() -> None:
    """Coupon on day 0; bought for 40 on day 10 and for 60 on day 50; given back 20 on day 60."""
    refund = happened("Order Refunded", at(60), order_id="o-50", amount=20.0)
    row = followed((0, "win-back-offer", "price"))
    sums = lived_out(row, bought(10), bought(50, 60.0), refund)

    expected = [1, 1, 1, 1, 8_000, squared(8_000)]
    assert expected == of_cell(sums, "win-back-offer", "price")
    assert expected == of_cell(sums, "win-back-offer")
    assert expected == of_cell(sums, ANY)
    assert [0] * 6 == of_cell(sums, "win-back-offer", "service")
    assert 6_400 == squared(8_000)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], [1, 0, 1, 0, 0, 0]),
        # The order that the decision answers is no success of it.
        ([bought(0)], [1, 0, 1, 0, 0, 0]),
        ([bought(14)], [1, 1, 1, 1, 4_000, squared(4_000)]),
        ([bought(14.001)], [1, 0, 1, 1, 4_000, squared(4_000)]),
        ([bought(90)], [1, 0, 1, 1, 4_000, squared(4_000)]),
        ([bought(90.001)], [1, 0, 1, 0, 0, 0]),
        # Given back within the time, it never was.
        (
            [bought(5), happened("Order Refunded", at(8), order_id="o-5")],
            [1, 0, 1, 0, 0, 0],
        ),
        # One order must not be all there is.
        ([bought(5, 5e7)], [1, 1, 1, 1, 10**8, squared(10**8)]),
    ],
)
def test_who_converts_and_who_is_kept(events: list[Event], expected: list[int]) -> None:
    assert expected == of_cell(
        lived_out(followed((0, "care-note", "silent")), *events), "care-note"
    )


def test_it_is_told_when_it_is_known_and_late_events_have_come() -> None:
    late = context(label_delay_ms=3 * DAY_MS)
    row = Row()
    follow_action(scene(row, at(0), late), "cart-reminder", "", is_treated=False)
    row, early = waited(row, at(16.99), within=late)
    assert {} == told(early)
    # It came on day 16, and happened on day 13.
    row, _, _ = step(row, bought(13), late)
    row, first = waited(row, at(17), within=late)
    assert [1, 1, 0, 0, 0, 0] == of_cell(told(first), "cart-reminder", group=CONTROL)
    row, nothing = waited(row, at(92.99), within=late)
    assert {} == told(nothing)
    _, second = waited(row, at(93), within=late)
    assert [1, 1, 1, 1, 4_000, 1_600] == of_cell(
        told([*first, *second]), "cart-reminder", group=CONTROL
    )


def test_a_customer_counts_once_while_they_are_followed() -> None:
    """The trap: a customer with ten reminders would be ten customers with a conversion each."""
    row = followed(*((day, "cart-reminder", "") for day in range(0, 90, 9)))
    assert [(at(0), ANY), (at(0), "cart-reminder")] == [
        (one.at_ms, one.action) for one in row.read(LIFT).latest
    ]
    follow_action(scene(row, at(40)), "care-note", "silent", is_treated=True)
    follow_action(scene(row, at(90)), "cart-reminder", "", is_treated=True)
    sums = lived_out(row, bought(3), until=200)

    assert [2, 1, 2, 1, 4_000, 1_600] == of_cell(sums, "cart-reminder")
    assert [1, 0, 1, 0, 0, 0] == of_cell(sums, "care-note", "silent")
    assert [2, 1, 2, 1, 4_000, 1_600] == of_cell(sums, ANY)


def decided_for(customer: str) -> tuple[Row, list[Any]]:
    """A cart that a customer abandons, with all shipped rules."""
    row, _, _ = step(
        Row(),
        happened("Product Added", at(0), product_id="p", price=60),
        context(customer=customer),
    )
    return waited(row, at(1), within=context(customer=customer))


TREATED_ONE = next(f"c-{n}" for n in range(99) if not is_control(f"c-{n}", 0.1))
CONTROL_ONE = next(f"c-{n}" for n in range(99) if is_control(f"c-{n}", 0.1))


@pytest.mark.parametrize(("customer", "is_treated"), [(TREATED_ONE, True), (CONTROL_ONE, False)])
def test_an_action_that_is_chosen_is_followed_in_both_groups(
    customer: str, is_treated: bool
) -> None:
    row, effects = decided_for(customer)
    [action] = [one for one in effects if isinstance(one, NextBestAction) and one.action]

    assert [ANY, action.action] == [one.action for one in row.read(LIFT).latest]
    assert {is_treated} == {one.is_treated for one in row.read(LIFT).latest}


def test_nobody_is_followed_for_nothing() -> None:
    """The customer who is not followed: decisions to do nothing, and no decision at all."""
    row, _ = waited(lived_with_effects([bought(0)])[0], at(1))

    assert not row.has(LIFT)


def test_whom_somebody_treated_although_they_are_in_the_control_group_is_left_out() -> None:
    """The trap: a channel that does not read `group` treats the holdout, and nothing differs."""
    row, effects = decided_for(CONTROL_ONE)
    [action] = [one for one in effects if isinstance(one, NextBestAction)]
    row, first = waited(row, at(20))
    opened = happened("Action Opened", at(21), decision_id=action.id)
    row, _, second = step(row, opened, context(clock_ms=at(21), customer=CONTROL_ONE))

    assert told(first)
    assert {} == told([*first, *second])
    assert {} == told(waited(row, at(200))[1])


def test_who_is_of_both_groups_is_in_no_comparison() -> None:
    row = Row()
    row.edit(CONTACTS).contaminate(at(0))
    follow_action(scene(row, at(1)), "care-note", "", is_treated=True)

    assert scene(row, at(1)).of(contacts).contaminated_ms
    assert not row.has(LIFT)


def test_one_person_of_two_ids_counts_once_by_the_first_decision() -> None:
    one = followed((5, "cart-reminder", ""), (50, "care-note", "silent")).read(LIFT)
    other = followed((2, "cart-reminder", "")).read(LIFT)
    found = LIFT.united([one, other], PARAMETERS)

    assert [(at(2), ANY), (at(2), "cart-reminder"), (at(50), "care-note")] == [
        (followed.at_ms, followed.action) for followed in found.latest
    ]


def test_what_is_followed_has_an_end() -> None:
    row = followed()
    state = row.edit(LIFT)
    state.latest = [
        FollowedAction(at(n), f"a-{n}", ANY, True, known=2 if n == 5 else 0)
        for n in range(FOLLOWED_MAX)
    ]
    follow_action(scene(row, at(50)), "care-note", "", is_treated=True)

    assert FOLLOWED_MAX == len(row.read(LIFT).latest)
    # Of which all is told goes first, then the oldest.
    assert {at(5), at(0)}.isdisjoint(one.at_ms for one in row.read(LIFT).latest)
    assert LIFT.unpack(LIFT.pack(state)).latest[0].action == "a-1"


def test_off_nobody_is_followed() -> None:
    off = context(parameters=LIFT.switched(PARAMETERS, on=False))
    row = Row()
    follow_action(scene(row, at(0), off), "care-note", "", is_treated=True)

    assert LIFT.empty == LIFT.pack(copied(row).read(LIFT))
    assert FollowedActions().latest == []


def group_sums(
    cell: LiftCell, group: str, size: int, converted: int, net: list[int]
) -> dict[str, int]:
    values = (
        size,
        converted,
        len(net),
        sum(one > 0 for one in net),
        sum(net),
        sum(map(squared, net)),
    )
    return dict(zip((cell.key(group, what) for what in SUMS), values, strict=True))


def test_two_groups_compared_by_hand() -> None:
    """300 treated of whom 60 bought, 40 of the control group of whom 4 did: 20 % against 10 %."""
    cell = LiftCell("win-back-offer", "price")
    sums = group_sums(cell, TREATED, 300, 60, [5_000] * 100 + [0] * 200)
    sums |= group_sums(cell, CONTROL, 40, 4, [4_000] * 8 + [0] * 32)
    [found] = compared(sums, PARAMETERS)
    measures = {name_of(one): one.value for one in samples(sums, PARAMETERS)}

    assert found.cell == cell
    assert not found.is_skewed
    assert found.converted is not None
    assert found.net is not None
    assert (0.1, -0.0369, 0.1777) == tuple(round(one, 4) for one in found.converted)
    assert 1_667 - 800 == round(found.net.estimate)
    assert (287, 1_447) == (round(found.net.low), round(found.net.high))
    labels = 'action="win-back-offer",reason="price"'
    assert 0.2 == measures[f'keepstream_lift_conversion_ratio{{{labels},group="treated"}}']
    assert 8.0 == measures[f'keepstream_lift_net{{{labels},group="control"}}']
    name = f'keepstream_lift_conversion_difference_ratio{{{labels},bound="estimate"}}'
    assert 0.1 == round(measures[name], 9)


def test_of_too_few_no_difference_is_told() -> None:
    cell = LiftCell("care-note")
    sums = group_sums(cell, TREATED, 500, 60, [100] * FEW)
    sums |= group_sums(cell, CONTROL, FEW - 1, 4, [100] * FEW)
    [found] = compared(sums, PARAMETERS)

    assert found.converted is None
    assert found.kept is not None
    names = {one.measure.name for one in samples(sums, PARAMETERS)}
    assert "keepstream_lift_conversion_ratio" in names
    assert "keepstream_lift_conversion_difference_ratio" not in names


@pytest.mark.parametrize(
    ("treated", "control", "is_skewed"),
    [(900, 100, False), (900, 60, True), (960, 60, True), (95, 5, False)],
)
def test_groups_that_are_not_as_they_were_drawn_are_told_of(
    treated: int, control: int, is_skewed: bool
) -> None:
    """The trap: excluding customers for a reason affects one group more than the other."""
    sums = group_sums(LiftCell(ANY), TREATED, treated, 0, []) | group_sums(
        LiftCell(ANY), CONTROL, control, 0, []
    )
    [found] = compared(sums, PARAMETERS)

    assert found.is_skewed is is_skewed


def test_there_is_a_cell_for_each_action_and_for_the_reasons_it_plays_to() -> None:
    found = cells(PARAMETERS)

    assert LiftCell(ANY) == found[0]
    assert {LiftCell("win-back-offer", "price"), LiftCell("apology-call", "service")} < set(found)
    assert LiftCell("cart-reminder", "price") not in found
    assert len(found) == len(set(found)) <= CELLS_MAX
    assert len(found) * 2 * len(SUMS) == len(set(keys(PARAMETERS)))


@pytest.mark.parametrize("assignment", ["lift.kept_within=7d", "lift.kept_within=400d"])
def test_times_that_cannot_be_are_refused(assignment: str) -> None:
    with pytest.raises(ParameterError, match=r"lift.kept_within is between"):
        load_parameters(assignments=[assignment])


def cart(who: str, day: float, number: int) -> bytes:
    said = {"product_id": "p", "price": 60}
    raw = orjson.loads(line("Product Added", at(day), message=f"c-{number}", properties=said))
    return orjson.dumps(raw | {"userId": None, "anonymousId": who})


def login(who: str, visitor: str, day: float, number: int) -> bytes:
    raw = orjson.loads(line("page", at(day), customer=who, message=f"l-{number}"))
    return orjson.dumps(raw | {"anonymousId": visitor})


def story() -> Iterator[bytes]:
    """Forty visitors abandon a cart; most of them log in, half of these buy, and some are split."""
    numbers = range(40)
    yield from (cart(f"v-{n}", 0, n) for n in numbers)
    yield watermark(at(1))
    yield from (login(f"u-{n}", f"v-{n}", 2, n) for n in numbers[:30])
    for n in numbers[:30:2]:
        said = {"order_id": f"o-{n}", "revenue": 50.0}
        yield line("Order Completed", at(5), customer=f"u-{n}", properties=said)
    yield watermark(at(30))
    for n in numbers[:30:5]:
        yield line("Customer Split", at(31), customer=f"u-{n}", properties={"id": f"v-{n}"})
    yield watermark(at(120))


def test_the_sums_are_those_of_all_customers_whatever_ids_come_and_go() -> None:
    replay = Replay(PARAMETERS)
    for number, content in enumerate(story(), 1):
        replay.feed(content, number)
    expected: Counter[tuple[str, str]] = Counter()
    bought = 0
    for row in replay.rows().values():
        state = row.read(LIFT)
        if is_mirror(row) or state.is_left_out:
            continue
        for one in state.latest:
            assert one.known == 2
            expected[one.action, TREATED if one.is_treated else CONTROL] += 1
            bought += one.action == ANY and one.has_converted
    measures = replay.summary().measures
    found = {
        (action, group): measures.get(
            f'keepstream_lift_customers{{action="{action}",reason="*",group="{group}"}}', 0
        )
        for action, group in expected
    }

    assert expected == found
    left_out = [row for row in replay.rows().values() if row.read(LIFT).is_left_out]
    assert left_out
    assert 5 < bought
    assert 20 < expected[ANY, TREATED] < 40
