"""A customer's share in the sums over all customers, whatever they agree to and refuse in between:
the state of their row while they may be learnt from, and nothing else.
"""

from collections import Counter
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from config.duration import DAY_MS, MINUTE_MS
from config.parameters import Parameters
from models import engine
from models.counted import sums_of
from models.customer.consent import CONSENT
from models.customer.consent_state import ConsentDefaults, ConsentParameters
from models.customer.part import Part
from models.customer.registry import PARTS
from models.customer.row import Row
from models.engine import Effect
from models.events.event import Event
from models.events.rejection import Rejected
from models.learning.lessons import Tally
from models.plan import plan_for
from tests.contract.lives import Chance, by_chance, life, some_life
from tests.contract.parts import ALL_ON, present
from tests.models.lines import START_MS, happened

TELLERS = [part for part in PARTS if part.population is not None]
#: What is counted of what happened, by the end of its key, and never of what somebody is by now:
#: of visits, of stages that were left, of surveys, of contacts, and of who was asked whether they
#: bought again. Of earlier episodes of churn the row says nothing any more.
_HAPPENED = {
    "funnel": ("",),
    "lifecycle": ("left:",),
    "improvements": ("",),
    "satisfaction": (":requested", ":answered"),
    "calendar": ("reached",),
    "risk": ("stayed:", "left:", "episodes", "silent"),
}


def _opting(analytics: str) -> Parameters:
    section = ConsentDefaults(analytics, "granted", "granted")  # type: ignore[arg-type]
    return ALL_ON.with_section(replace(ALL_ON.of(ConsentParameters), default=section))


PLANS = {word: plan_for(_opting(word)) for word in ("granted", "denied")}


def _with_words(events: list[Event], rng: Random) -> list[Event]:
    """The same events, with refusals and grants of analytics in between."""
    said: list[Event] = []
    for number, event in enumerate(events):
        said.append(event)
        if rng.random() < 0.3:
            name = rng.choice(("Consent Revoked", "Consent Granted"))
            at_ms = event.occurred_at_ms + rng.choice((-DAY_MS, 0, MINUTE_MS))
            said.append(happened(name, at_ms, message=f"word-{number}", purpose="analytics"))
        elif rng.random() < 0.1:
            stamp = (("analytics", rng.random() < 0.5),)
            said[-1] = replace(event, consent=stamp)
    return said


def _lived(events: list[Event], row: Row, default: str) -> list[Effect]:
    plan, effects = PLANS[default], list[Effect]()
    for event in [*events, None]:
        at_ms = event.occurred_at_ms if event is not None else row.latest_ms + 400 * DAY_MS
        context = plan.context(present().snapshot, clock_ms=at_ms)
        try:
            if event is None:
                effects += engine.run_due(row, "ada", at_ms, context, plan)
            else:
                effects += engine.step(row, event, context, plan)[1]
        except Rejected:
            continue
    return effects


def _standing(effects: list[Any]) -> dict[tuple[str, str, int], int]:
    sums: Counter[tuple[str, str, int]] = Counter()
    for tally in effects:
        if isinstance(tally, Tally) and tally.part != CONSENT.name:
            marks = _HAPPENED.get(tally.part, ())
            for key, day, amount in tally.sums:
                if not any(key.startswith(mark) or key.endswith(mark) for mark in marks):
                    sums[tally.part, key, day] += amount
    return {place: amount for place, amount in sums.items() if amount}


def _of_row(row: Row, default: str) -> list[Tally]:
    if row.read(CONSENT).is_left_out:
        return []
    plan = PLANS[default]
    context = plan.context(present().snapshot, clock_ms=row.latest_ms)
    return sums_of(row, "ada", 1, row.latest_ms, context)


@pytest.mark.parametrize("part", TELLERS, ids=repr)
@by_chance
def test_the_sums_hold_what_the_row_says_while_it_may_be_learnt_from(
    part: Part[Any], chance: Chance
) -> None:
    default = chance.rng.choice(("granted", "denied"))
    events, row = _with_words(some_life(part, chance), chance.rng), Row()

    effects = _lived(events, row, default)

    assert _standing(_of_row(row, default)) == _standing(effects)


@pytest.mark.parametrize("part", TELLERS, ids=repr)
def test_in_an_opt_in_shop_nobody_is_counted_who_said_nothing(part: Part[Any]) -> None:
    events = [one for one in life(part, Random(part.name), size=60) if not one.consent]
    heard = [one for one in events if one.name not in CONSENT.listens]

    told = [one for one in _lived(heard, Row(), "denied") if isinstance(one, Tally)]

    assert [] == [one for one in told if one.part not in ("consent", "improvements")]


def test_consent_is_recorded_before_any_part_that_counts() -> None:
    assert CONSENT is next(part for part in PARTS if part.population is not None)


@pytest.mark.parametrize("granted", [True, False])
def test_an_event_is_counted_by_what_itself_says_of_consent(*, granted: bool) -> None:
    answer = happened("Survey Responded", START_MS + DAY_MS, kind="nps", score=9)
    before = happened(
        "Consent Revoked" if granted else "Consent Granted", START_MS, purpose="analytics"
    )
    stamped = replace(answer, consent=(("analytics", granted),))

    effects = _lived([before, stamped], Row(), "granted")

    told = [one for one in effects if isinstance(one, Tally) and one.part == "satisfaction"]
    assert granted == bool(told)
