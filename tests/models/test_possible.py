"""Conditions that can never be true are recognised, and none that can be are refused."""

from itertools import product
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decisions.expression import compile_condition
from models.decisions.possible import Domain, Numbers, Texts, misspelt, outlook

FACTS: dict[str, Domain] = {
    "risk": Numbers(0.0, 1.0),
    "orders": Numbers(0.0),
    "net": Numbers(),
    "count": Numbers(0.0, whole=True),
    "flag": Numbers(0.0, 1.0, whole=True),
    "segment": Texts(frozenset({"", "new", "loyal", "asleep"})),
    "channel": Texts(),
}
KINDS: dict[str, type] = {
    name: float if isinstance(domain, Numbers) else str for name, domain in FACTS.items()
}


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("risk > 1", "`risk > 1` is never true, for risk is from 0 to 1"),
        ("risk >= 50", "`risk >= 50` is never true, for risk is from 0 to 1"),
        ("50 <= risk", "`50 <= risk` is never true, for risk is from 0 to 1"),
        ("risk == 2", "risk is from 0 to 1"),
        ("risk in (2, 3)", "risk is from 0 to 1"),
        ("orders < 0", "`orders < 0` is never true, for orders is 0 or more"),
        ("orders <= -1", "orders is 0 or more"),
        ("net > 5 and net < 3", "`net < 3` contradicts what else is asked of net"),
        ("net >= 5 and net < 5", "contradicts"),
        ("net > 5 and orders > 1 and net == 4", "contradicts"),
        ("5 < net < 3", "contradicts"),
        ("net == 1 and net != 1", "contradicts"),
        ("net in (1, 2) and net > 2", "contradicts"),
        ("net > 5 and not net > 3", "contradicts"),
        ("net > 5 and not (net > 3 or orders > 1)", "contradicts"),
        ("(net > 5 or net > 9) and net < 5", "contradicts"),
        ("segment == 'new' and segment == 'loyal'", "contradicts"),
        ("segment == 'new' and segment != 'new'", "contradicts"),
        ("segment in ('new', 'loyal') and segment == 'asleep'", "contradicts"),
        ("segment == 'new' and segment not in ('new', 'loyal')", "contradicts"),
        ("not (segment in ('new', 'loyal', 'asleep', '') or orders > 1)", "contradicts"),
        ("channel == 'web' and channel == 'app'", "contradicts"),
        ("risk > 1 or orders < 0", "never true"),
        ("count == 2.5", "count is 0 or more, without a fraction"),
        ("count in (0.5, 1.5)", "without a fraction"),
        ("count > 2 and count < 3", "contradicts"),
        ("2 < count < 3", "contradicts"),
        ("count > 2.1 and not count >= 2.9", "contradicts"),
        ("flag > 0 and flag < 1", "contradicts"),
        ("(count > 2 or count > 4) and count < 3", "contradicts"),
        ("1 == 2", "`1 == 2` is never true"),
        ("2 < 1 or risk > 1", "`2 < 1` is never true"),
        ("risk * 100 > 100", "`risk * 100 > 100` is never true"),
        ("100 < 100 * risk", "`100 < 100 * risk` is never true"),
        ("orders + 1 <= 0", "`orders + 1 <= 0` is never true"),
        ("-orders > 0", "`-orders > 0` is never true"),
        ("1 - risk < 0", "`1 - risk < 0` is never true"),
        ("orders < -risk", "`orders < -risk` is never true"),
        ("risk - orders > 1", "`risk - orders > 1` is never true"),
        ("net > net", "`net > net` is never true"),
        ("orders + net != orders + net", "is never true"),
        ("risk > 0.5 and risk * 2 < 1", "`risk * 2 < 1` is never true"),
        ("risk * 2 < 1 and net > 0 and 1 > 2", "`1 > 2` is never true"),
        ("not 1 < 2", "`not 1 < 2` is never true"),
    ],
)
def test_what_can_never_be_true_is_said_to_be_so_and_why(condition: str, why: str) -> None:
    compile_condition(condition, KINDS)
    found = outlook(condition, FACTS)

    assert not found.is_possible
    assert any(why in words for words in found.never)


@pytest.mark.parametrize(
    "condition",
    [
        "risk >= 1",
        "risk <= 0",
        "orders == 0",
        "net > 3 and net < 5",
        "net > 5 or net < 3",
        "net >= net",
        "net > risk",
        "risk * net > 100",
        "not risk * 100 <= 100",
        "net - net > 1",
        "orders / 0 > 1",
        "net > orders and net < 3",
        "net * 2 > 5 and net < 3",
        "net != 5 and net >= 5",
        "net >= 5 and net <= 5",
        "not risk <= 1",
        "not (net > 5 and net < 3)",
        "segment != 'new' and segment != 'loyal'",
        "segment == ''",
        "segment not in ('new', 'loyal', 'asleep')",
        "channel == 'telegram'",
        "count > 2 and count < 3.5",
        "count == 3.0",
        "count != 2.5",
        "not count == 2.5",
        "flag > 0",
        "flag < 1",
        "channel != 'web' and channel != 'app'",
        "(net > 5 or net < 3) and net == 4",
    ],
)
def test_what_may_be_true_or_is_not_understood_is_possible(condition: str) -> None:
    compile_condition(condition, KINDS)

    assert outlook(condition, FACTS).is_possible


def test_a_branch_that_is_never_true_is_told_of_a_condition_that_may_be() -> None:
    found = outlook("risk > 50 or orders > 1", FACTS)

    assert (True, ("`risk > 50` is never true, for risk is from 0 to 1",)) == found


def test_what_is_known_besides_counts() -> None:
    assert outlook("risk < 0.5", FACTS).is_possible
    assert not outlook("risk < 0.5", FACTS, {"risk": Numbers(0.7, 1.0)}).is_possible


@pytest.mark.parametrize(
    ("condition", "fault"),
    [
        ("segment == 'loyall'", "segment is never 'loyall'; did you mean loyal?"),
        ("segment == 'Loyal'", "segment is never 'Loyal'; did you mean loyal?"),
        ("'loyall' == segment", "segment is never 'loyall'; did you mean loyal?"),
        ("segment != 'loyall'", "segment is never 'loyall'; did you mean loyal?"),
        ("segment in ('new', 'asleeep')", "segment is never 'asleeep'; did you mean asleep?"),
        ("orders > 1 or not segment == 'x'", "segment is never 'x': it is asleep or loyal or new"),
        ("segment == 'new'", None),
        ("segment == ''", None),
        ("channel == 'loyall'", None),
        ("orders > 1", None),
    ],
)
def test_a_text_that_a_fact_never_is_is_named_with_the_nearest(
    condition: str, fault: str | None
) -> None:
    assert fault == misspelt(condition, FACTS)


# Values at, between and beyond all constants, so that what can be true is true for one of them.
_CONSTANTS = (0, 1, 2)
_NUMBERS = [nan, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
_WORDS = ["", "new", "loyal", "asleep"]
_LIVES = [
    {"risk": risk, "net": net, "segment": segment, "count": count, "orders": 1.0, "channel": "web"}
    for risk, net, segment, count in product(
        [nan, 0.0, 0.5, 1.0], _NUMBERS, _WORDS, [nan, 0.0, 1.0, 2.0, 3.0]
    )
]
_operators = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
_comparisons = st.one_of(
    st.builds(
        "{} {} {}".format,
        st.sampled_from(["risk", "net", "count"]),
        _operators,
        st.sampled_from(_CONSTANTS),
    ),
    st.builds(
        "{1} {2} {0}".format,
        st.sampled_from(["risk", "net", "count"]),
        st.sampled_from(_CONSTANTS),
        _operators,
    ),
    st.builds("{} < net <= {}".format, st.sampled_from(_CONSTANTS), st.sampled_from(_CONSTANTS)),
    st.builds(
        "net {} ({}, {})".format,
        st.sampled_from(["in", "not in"]),
        st.sampled_from(_CONSTANTS),
        st.sampled_from(_CONSTANTS),
    ),
    st.builds("segment {} {!r}".format, st.sampled_from(["==", "!="]), st.sampled_from(_WORDS)),
    st.builds(
        "segment {} ({!r}, {!r})".format,
        st.sampled_from(["in", "not in"]),
        st.sampled_from(_WORDS),
        st.sampled_from(_WORDS),
    ),
)
#: Compared by their ranges, which may leave open what is impossible.
_sums = st.builds(
    "{} {} {}".format,
    st.sampled_from(["risk * 2", "net + risk", "1 - risk", "-net", "net * net", "net / 2", "1"]),
    _operators,
    st.sampled_from(["0", "1", "risk", "net - 1", "2 * risk"]),
)
_conditions = st.recursive(
    st.one_of(_comparisons, _sums),
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("(not {})".format, inner),
    ),
    max_leaves=6,
)


@given(condition=_conditions)
def test_nothing_is_called_impossible_that_holds_for_somebody(condition: str) -> None:
    expression = compile_condition(condition, KINDS)
    if any(expression.holds(life) for life in _LIVES):
        assert outlook(condition, FACTS).is_possible
        assert None is misspelt(condition, FACTS)


@given(parts=st.lists(_comparisons, min_size=1, max_size=4))
def test_of_comparisons_that_must_all_hold_only_what_holds_for_somebody_is_possible(
    parts: list[str],
) -> None:
    """A hole (`!=`) only counts where nothing else is left, and a list only by its ends."""
    plain = [part for part in parts if "!=" not in part and "in" not in part.split()]
    condition = " and ".join(plain) or "net > 1"
    expression = compile_condition(condition, KINDS)

    assert any(map(expression.holds, _LIVES)) == outlook(condition, FACTS).is_possible
