"""Whether a decision adds up can be seen from its receipt alone."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from models.decisions.audit import faults
from models.decisions.trigger import NextBestAction, Priority, Ranked, Suppressed
from tests.models.test_decisions import carts, chosen, eager, left_alone

#: Two carts a few hours apart: of the second, the caps leave nothing.
CARTS = carts([2.0, 6.0], eager())


def acted() -> NextBestAction:
    found = chosen(CARTS)[0]
    assert found.outranked
    return found


def off_by(priority: Priority | None, amount: float) -> Priority:
    assert priority is not None
    return replace(priority, priority=priority.priority + amount)


def test_what_is_decided_adds_up() -> None:
    decisions = [*chosen(CARTS), *left_alone(CARTS)]

    assert 2 == len(decisions)
    assert [] == [fault for decision in decisions for fault in faults(decision)]


def _chosen_is_off(made: NextBestAction) -> NextBestAction:
    return replace(made, priority=off_by(made.priority, 1e-6))


def _outranked_is_off(made: NextBestAction) -> NextBestAction:
    first = made.outranked[0]
    return replace(made, outranked=(Ranked(first.action, off_by(first.priority, -0.5)),))


def _told_twice(made: NextBestAction) -> NextBestAction:
    return replace(made, suppressed=(*made.suppressed, Suppressed(str(made.action), "priority")))


def _nothing_after_all(made: NextBestAction) -> NextBestAction:
    return replace(made, action=None, priority=None)


def _no_priority(made: NextBestAction) -> NextBestAction:
    return replace(made, priority=None)


@pytest.mark.parametrize(
    ("alter", "fault"),
    [
        (_chosen_is_off, "cart-reminder: the factors make"),
        (_outranked_is_off, "cart-coupon: the factors make"),
        (_told_twice, "cart-reminder is told of 2 times"),
        (_nothing_after_all, "nothing is done, although cart-coupon passed"),
        (_no_priority, "an action without a priority"),
    ],
)
def test_what_does_not_add_up_is_named(
    alter: Callable[[NextBestAction], NextBestAction], fault: str
) -> None:
    [told] = faults(alter(acted()))

    assert told.startswith(fault)


def test_a_difference_that_floats_make_is_none() -> None:
    made = acted()

    assert [] == list(faults(replace(made, priority=off_by(made.priority, 1e-10))))
