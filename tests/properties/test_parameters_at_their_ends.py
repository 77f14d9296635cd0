"""Whatever values parameters may have, a shop lives with them: nothing fails or is refused."""

from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, note
from hypothesis import strategies as st
from msgspec.structs import replace

from config.duration import DAY_MS, DURATION_MAX_DAYS, DurationMs
from config.limits import problems_in
from config.parameters import Parameters, Section
from models.replay import Replay
from tests.contract.parts import ALL_ON
from tests.examples import drawn
from tests.properties.random_shops import Shop, at, in_days

#: So long after the last event nothing is due any more but what is never over.
_DAYS, _END = 90, 600
_CENTURY = DurationMs(DURATION_MAX_DAYS * DAY_MS)
#: Sections that are no part's own.
_SHARED = ("overdue", "truce", "churn", "value", "learning", "rfm")


def ends_of(value: Any) -> Iterator[Any]:
    """The values at the ends of what a parameter of this kind may be, if its limits allow them."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, DurationMs):
        yield from (DurationMs(0), DurationMs(1), _CENTURY)
    elif isinstance(value, int):
        yield from (0, 1, 10**6)
    elif isinstance(value, float):
        yield from (0.0, 1e-9, 1.0, 1e9)
    elif isinstance(value, tuple) and value and isinstance(value[0], float):
        yield from ((0.0,) * len(value), value[:1] * len(value), (1e9,) * len(value))
    elif isinstance(value, dict) and all(isinstance(one, float) for one in value.values()):
        yield from ({}, dict.fromkeys(value, 0.0), dict.fromkeys(value, 1e9))


def is_allowed(section: Section, name: str) -> bool:
    return not any((*problems_in(section, name), *section.problems()))


@cache
def settings() -> list[tuple[str, str, Any]]:
    """Every parameter with each of its ends: the section, the field and the value."""
    shared = {name: getattr(ALL_ON, name) for name in _SHARED}
    sections = {**shared, **{one.section: one for one in ALL_ON.parts.values()}}
    return [
        (name, field.name, end)
        for name, section in sections.items()
        for field in msgspec.structs.fields(section)
        for end in ends_of(getattr(section, field.name))
        if is_allowed(replace(section, **{field.name: end}), name)
    ]


def with_setting(parameters: Parameters, name: str, field: str, value: Any) -> Parameters:
    """The parameters with this one, unless it is refused beside the others."""
    own = {one.section: one for one in parameters.parts.values()}
    section = replace(own.get(name) or getattr(parameters, name), **{field: value})
    if not is_allowed(section, name):
        return parameters
    is_own = name in own
    return parameters.with_section(section) if is_own else replace(parameters, **{name: section})


@given(seed=st.integers(0, 2**32))
@drawn(times=0.5)
def test_a_shop_lives_with_any_parameters(seed: int) -> None:
    rng, parameters = Random(seed), ALL_ON
    for setting in rng.sample(settings(), 5):
        note(str(setting))
        parameters = with_setting(parameters, *setting)

    assert_lives(parameters, Random(seed))


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("lifecycle", "lost_gaps", 1e9),
        ("rfm", "recency_days", (1.0, 2.0, 3.0, 1e12)),
        ("tiers", "frequency", ()),
    ],
)
def test_a_shop_lives_with(section: str, field: str, value: Any) -> None:
    assert_lives(with_setting(ALL_ON, section, field, value), Random(3))


def assert_lives(parameters: Parameters, rng: Random) -> None:
    events, replay = Shop(rng, days=_DAYS, customers=("ada",)).events()[:60], Replay(parameters)
    for number, raw in enumerate(in_days(events, at(_END), 30 * DAY_MS), 1):
        replay.feed(raw, number)

    assert 0 == replay.summary().events["deadLettered"]
    assert "ada" in {view.user_id for view in replay.profiles()}
