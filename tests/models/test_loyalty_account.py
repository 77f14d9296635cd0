"""Loyalty points: the account in memory equals the one computed anew from its row."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.duration import DAY_MS
from models import engine
from models.customer.loyalty import LOYALTY, Account
from models.customer.row import Row, encode_row
from models.engine import Effect
from models.events.event import Event
from tests.examples import drawn
from tests.models.lines import PARAMETERS, Within, context, copied
from tests.models.test_loyalty import TIMES, histories, read, set_to

SHOPS = {
    "as shipped": PARAMETERS,
    "multiplied": set_to(level_multipliers=(1.0, 1.5, 2.0)),
    "at once": set_to(pending=0, level_multipliers=(1.0, 1.2, 0.5), level_grace=0),
    "short": set_to(
        expiry=30 * DAY_MS, level_window=20 * DAY_MS, level_grace=10 * DAY_MS, returned=1
    ),
    "bounded": set_to(lots=3, debits=2, expiring_least=1),
}


def described(account: Account) -> dict[str, Any]:
    """Everything that is read from an account."""
    standing = account.standing
    return {
        "sums": (account.active, account.pending, account.redeemed, account.earned, account.debt),
        "credits": sorted((c.lot.id, c.active_ms, c.points, c.left) for c in account.credits),
        "to spend": [(expires, c.lot.id, c.left) for expires, _, c in account.to_spend],
        "expiring": (account.expiring(), account.begins_expiring()),
        "level": (standing.earned, standing.held(account.at_ms), standing.gap(account.at_ms)),
        "moments": (account.earned_at_ms, standing.near_ms, account.next_ms()),
    }


def advanced(row: Row, event: Event, within: Within) -> list[Effect]:
    """The effects of one event, and of the timers that were due by then."""
    effects = engine.run_due(row, within.customer, within.clock_ms + 1, within.present, within.plan)
    return effects + engine.step(row, event, within.present, within.plan)[1]


@pytest.mark.parametrize("shop", SHOPS)
@pytest.mark.parametrize("is_late", [False, True])
@drawn(times=0.5)
@given(data=st.data())
def test_a_row_in_memory_says_what_a_stored_one_says(
    data: st.DataObject, shop: str, is_late: bool
) -> None:
    history = data.draw(histories())
    if is_late:
        history = data.draw(st.permutations(history))
    else:
        history.sort(key=lambda event: event.occurred_at_ms)
    hot, stored, clock_ms = Row(), Row(), 0
    for event in history:
        clock_ms = 0 if is_late else max(clock_ms, event.occurred_at_ms - 1)
        within = context(clock_ms, parameters=SHOPS[shop])
        stored = copied(stored)

        assert advanced(stored, event, within) == advanced(hot, event, within)
        assert encode_row(stored) == encode_row(hot)
        state = hot.read(LOYALTY)
        if state.account is not None:
            anew = Account(LOYALTY.unpack(LOYALTY.pack(state)), SHOPS[shop], state.told_at_ms)
            assert described(anew) == described(state.account)
    within = context(TIMES[-1], parameters=SHOPS[shop])
    stored = copied(stored)
    plan, present = within.plan, within.present
    told = engine.run_due(stored, within.customer, TIMES[-1], present, plan)
    assert told == engine.run_due(hot, within.customer, TIMES[-1], present, plan)
    assert read(stored, within) == read(hot, within)
