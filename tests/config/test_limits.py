"""Limits stand at their fields, and errors name field and limit."""

from collections.abc import Iterator
from math import inf, nan
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import pytest

from config.duration import DAY_MS
from config.limits import (
    ASCENDING,
    NOT_EMPTY,
    NOT_NEGATIVE,
    POSITIVE,
    PROBABILITY,
    SHARE,
    Limit,
    NotNegative,
    Positive,
    PositiveInt,
    PositiveMs,
    Probability,
    Share,
    at_least,
    at_most,
    problems_in,
)
from config.parameters import ParameterError
from models.parameters import load_parameters
from tests.config.sections import sections_of


@pytest.mark.parametrize(
    ("limit", "held", "broken", "words"),
    [
        (POSITIVE, [1, 0.1, 1e-300], [0, 0.0, -1, -0.1], "must be more than 0, got {}"),
        (NOT_NEGATIVE, [0, 0.0, 5], [-1, -1e-9], "must not be negative, got {}"),
        (PROBABILITY, [0.001, 0.999], [0, 1, -0.5, 1.5], "is a probability: between 0 and 1"),
        (SHARE, [0, 0.5, 1], [-0.001, 1.001], "is a share: from 0 to 1"),
        (ASCENDING, [(), (1,), (1, 1, 2)], [(2, 1), (1, 3, 2)], "must ascend, as in 1, 2, 4, 8"),
        (NOT_EMPTY, [(0,), (1, 2)], [()], "must be more than 0 values"),
        (at_least(0.01), [0.01, 7], [0.009, -1], "must be at least 0.01"),
        (at_most(365), [365, -1], [365.5, 366], "is 365 at most"),
    ],
)
def test_a_limit_holds_up_to_its_edge_and_says_what_it_is(
    limit: Limit, held: list[Any], broken: list[Any], words: str
) -> None:
    assert all(limit.holds(value) for value in held)
    assert not any(limit.holds(value) for value in broken)
    assert words == limit.words


class Inner(msgspec.Struct):
    wait: PositiveMs = 1  # type: ignore[assignment]


class Everything(msgspec.Struct):
    """A field for each way to state a limit."""

    count: PositiveInt = 1
    size: Positive = 1.0
    weight: NotNegative = 0.0
    part: Share = 0.0
    chance: Probability = 0.5
    plain: float = 0.0
    name: str = ""
    pace: Annotated[float, POSITIVE, at_least(0.01), at_most(10)] = 1.0
    cuts: Annotated[tuple[float, ...], ASCENDING, NOT_EMPTY] = (1.0, 2.0)
    days: Annotated[tuple[float, ...], POSITIVE, at_most(365)] = (1.0,)
    lives: tuple[Positive, NotNegative] = (1.0, 0.0)
    table: dict[str, NotNegative] = {}
    whole: Annotated[dict[str, float], SHARE] = {}
    inner: Inner = msgspec.field(default_factory=Inner)


@pytest.mark.parametrize(
    ("field", "value", "problems"),
    [
        ("count", 0, ["at.count must be more than 0, got 0"]),
        ("size", -0.5, ["at.size must be more than 0, got -0.5"]),
        ("weight", -1.0, ["at.weight must not be negative, got -1.0"]),
        ("part", 1.5, ["at.part is a share: from 0 to 1"]),
        ("chance", 1.0, ["at.chance is a probability: between 0 and 1"]),
        ("plain", -1e9, []),
        ("name", "", []),
        # Each limit of a field says its own.
        ("pace", -1.0, ["at.pace must be more than 0, got -1.0", "at.pace must be at least 0.01"]),
        ("pace", 11.0, ["at.pace is 10 at most"]),
        # Some limits are about the whole list, others about each of its values.
        ("cuts", (2.0, 1.0), ["at.cuts must ascend, as in 1, 2, 4, 8"]),
        ("cuts", (), ["at.cuts must be more than 0 values"]),
        ("cuts", (-2.0, -1.0), []),
        (
            "days",
            (1.0, 0.0, 400.0),
            ["at.days must be more than 0, got 0.0", "at.days is 365 at most"],
        ),
        (
            "lives",
            (0.0, -1.0),
            ["at.lives must be more than 0, got 0.0", "at.lives must not be negative, got -1.0"],
        ),
        # A table's values are named by their keys.
        ("table", {"a": 1.0, "My v1.2": -1.0}, ["at.table.My v1.2 must not be negative, got -1.0"]),
        ("whole", {"a": 2.0, "b": 1.0}, ["at.whole.a is a share: from 0 to 1"]),
        ("inner", Inner(wait=0), ["at.inner.wait must be more than 0, got 0"]),
        # What is no number cannot be compared, and is all that is said.
        ("size", nan, ["at.size must be a finite number, got nan"]),
        ("plain", inf, ["at.plain must be a finite number, got inf"]),
        ("days", (0.0, -inf), ["at.days must be a finite number, got -inf"]),
        ("table", {"a": nan, "b": -1.0}, ["at.table.a must be a finite number, got nan"]),
    ],
)
def test_every_value_beyond_a_limit_is_named_with_its_place(
    field: str, value: Any, problems: list[str]
) -> None:
    assert problems == list(problems_in(Everything(**{field: value}), "at"))


def test_nothing_is_wrong_with_values_within_their_limits() -> None:
    assert [] == list(problems_in(Everything(), "at"))


def limits_in(hint: Any) -> Iterator[Limit]:
    """The limits stated in a type, including those of the values in it."""
    if get_origin(hint) is Annotated:
        hint, *stated = get_args(hint)
        yield from (limit for limit in stated if isinstance(limit, Limit))
    for argument in get_args(hint):
        yield from limits_in(argument)


#: Every limit of the parameters there are, by the name of its parameter.
STATED = [
    (f"{name}.{field}", limit, getattr(section, field))
    for name, section in sections_of(load_parameters()).items()
    for field, hint in get_type_hints(type(section), include_extras=True).items()
    for limit in limits_in(hint)
]
#: As an operator would write them; one of them is beyond any limit.
VALUES: list[Any] = [0, 1, 2, -1, 0.001, 1_000, (4, 3, 2, 1), ()]


@pytest.mark.parametrize(
    ("name", "limit", "shipped"), STATED, ids=[f"{name} {limit.words}" for name, limit, _ in STATED]
)
def test_every_limit_of_a_parameter_is_kept_where_parameters_are_loaded(
    name: str, limit: Limit, shipped: Any
) -> None:
    is_list = isinstance(shipped, tuple)
    if isinstance(shipped, dict):
        name = f"{name}.{next(iter(shipped), 'anything')}"
    for value in VALUES:
        of_all = limit in (ASCENDING, NOT_EMPTY)
        if isinstance(value, tuple) != of_all or limit.holds(value):
            continue
        values = value if of_all else (value,) * (len(shipped) if is_list else 1)
        words = limit.words.format(values[0] if values else "")
        with pytest.raises(ParameterError) as refused:
            load_parameters(assignments=[f"{name}={written(values, is_list)}"])
        assert str(refused.value).startswith(f"parameters: {name} ")
        if words in str(refused.value):
            return
    pytest.fail("no value is beyond this limit, or an error does not say so")


def written(values: tuple[Any, ...], is_list: bool) -> str:
    text = ", ".join(map(str, values))
    return f"[{text}]" if is_list else text


def test_the_parameters_that_must_not_be_zero_or_less_say_so_at_their_fields() -> None:
    positive = {name for name, limit, _ in STATED if limit == POSITIVE}

    assert {
        "cart.idle",
        "churn.check_in_days",
        "churn.horizon_days",
        "engagement.half_life",
        "engagement.session_gap",
        "evidence.half_life",
        "evidence.least",
        "learning.forgetting",
        "learning.prior_variance",
        "learning.refit_every",
        "learning.snapshot_every",
        "overdue.spread",
        "overdue.prior_gap",
        "purchases.half_lives",
        "value.lifetime_max",
        "value.typical_order",
        *(f"bounds.{name}" for name in load_parameters().bounds.__struct_fields__),
    } <= positive


def test_the_parameters_that_must_not_be_negative_say_so_at_their_fields() -> None:
    not_negative = {name for name, limit, _ in STATED if limit == NOT_NEGATIVE}

    assert {
        "engagement.other",
        "engagement.weights",
        "evidence.about",
        "evidence.late_ticket",
        "evidence.price",
        "evidence.product",
        "evidence.service",
        "learning.minimum_examples",
        "overdue.prior_weight",
        "value.acquisition_cost",
        "value.challenger_margin",
    } <= not_negative


def test_a_horizon_and_a_check_in_have_limits_of_their_own() -> None:
    for assignment, words in (
        ("churn.horizon_days=28,366", "churn.horizon_days is 365 at most"),
        ("churn.check_in_days=0.009", "churn.check_in_days must be at least 0.01"),
        ("learning.forgetting=1.001", "learning.forgetting is 1 at most"),
    ):
        with pytest.raises(ParameterError, match=words):
            load_parameters(assignments=[assignment])
    edge = load_parameters(assignments=["churn.horizon_days=365", "churn.check_in_days=0.01"])
    assert ((365.0,), DAY_MS // 100) == (edge.churn.horizon_days, edge.churn.check_in_ms)
