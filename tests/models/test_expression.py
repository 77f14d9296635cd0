"""Conditions and values: what they mean, and what is refused."""

from math import isnan, nan
from typing import Any

import pytest

from models.decisions.expression import (
    DEPTH_MAX,
    LENGTH_MAX,
    ExpressionError,
    compile_condition,
    compile_number,
)

KINDS: dict[str, type] = {"orders": float, "spend": float, "segment": str, "channel": str}
FACTS: dict[str, Any] = {"orders": 3.0, "spend": 120.0, "segment": "loyal", "channel": ""}
UNKNOWN: dict[str, Any] = {"orders": nan, "spend": nan, "segment": "", "channel": ""}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("orders > 2", True),
        ("orders >= 3 and spend < 100", False),
        ("orders >= 3 or spend < 100", True),
        ("not orders == 3", False),
        ("0 < orders <= 3", True),
        ("0 < orders < 3", False),
        ("spend / orders == 40", True),
        ("spend - 20 * orders + 1 == 61", True),
        ("-orders < 0", True),
        ('segment == "loyal"', True),
        ('segment != "loyal"', False),
        ('segment in ("new", "loyal")', True),
        ('segment not in ["new", "loyal"]', False),
        ("orders in (1, 2, 3)", True),
        ("orders in ()", False),
        ("(orders > 5) == (spend > 500)", True),
        ("True", True),
        ("  orders > 2  ", True),
    ],
)
def test_a_condition_means_what_it_says(text: str, holds: bool) -> None:
    assert holds is compile_condition(text, KINDS).holds(FACTS)


@pytest.mark.parametrize(
    "text",
    [
        "orders > 2",
        "orders < 2",
        "orders == 2",
        # Python holds that what is not a number differs from everything.
        "orders != 2",
        "2 != orders",
        "orders not in (1, 2)",
        "orders in (1, 2)",
        "spend / 0 > 1",
        "spend / 0 != 1",
        "orders * 2 - spend > -1000",
    ],
)
def test_no_comparison_holds_for_what_is_not_known(text: str) -> None:
    assert not compile_condition(text, KINDS).holds(UNKNOWN)


def test_a_division_by_zero_spoils_its_own_comparison_alone() -> None:
    text = "spend / (orders - 3) > 1 or spend > 100"

    assert compile_condition(text, KINDS).holds(FACTS)


@pytest.mark.parametrize(
    ("text", "value"),
    [("spend * 0.9", 108.0), ("spend + orders", 123.0), ("-2", -2.0), ("1 / 4", 0.25)],
)
def test_a_number_is_computed(text: str, value: float) -> None:
    assert value == compile_number(text, KINDS).value(FACTS)


@pytest.mark.parametrize("text", ["spend / 0", "0 / 0", "1e308 * spend", "1e308 * 10 - 1e308 * 10"])
def test_what_can_not_be_counted_is_no_number(text: str) -> None:
    assert isnan(compile_number(text, KINDS).value(FACTS))


def test_only_the_facts_that_are_named_are_asked_for() -> None:
    compiled = compile_condition("orders > 1 and orders < 9", KINDS)

    assert {"orders"} == compiled.names
    assert compiled.holds({"orders": 2.0})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("order > 2", "there is no fact 'order'; did you mean orders?"),
        ("xyzzy > 2", "there is no fact 'xyzzy'; `keepstream facts` lists all"),
        ("__import__ == 1", "there is no fact '__import__'"),
        ("orders >", "cannot be read (invalid syntax)"),
        ("orders = 2", "did you mean 'orders == 2'?"),
        ("orders => 2 AND spend =< 3", "did you mean 'orders >= 2 and spend <= 3'?"),
        ("orders>2 && !(spend<>3)", "did you mean 'orders>2 and not (spend!=3)'?"),
        (
            'segment = "A AND B" || orders > 2',
            "did you mean 'segment == \"A AND B\" or orders > 2'?",
        ),
        ("orders = = 2", "cannot be read (invalid syntax): 'orders = = 2'"),
        ("orders > 2; orders < 3", "cannot be read"),
        ("", "cannot be read"),
        ("orders > 2 # why\nor spend > 3", "cannot be read"),
        (r'segment == "\d"', "cannot be read"),
        ("orders > 2\0", "cannot be read"),
        ("orders > 99999" + "9" * 400, "a number is too large"),
        ("orders > 1e999", "a number is too large"),
        ('orders > "2"', "a number and a text do not go together"),
        ("segment == 2", "a text and a number do not go together"),
        ("(orders > 2) == 1", "a condition and a number do not go together"),
        ('segment in ("new", 2)', "needs a text, and 2 is a number"),
        ('"a" in segment', "`in` needs a list"),
        ("orders in spend", "`in` needs a list"),
        ("orders > (1, 2)", "no tuple"),
        ("orders", "needs a condition, and orders is a number"),
        ("segment", "needs a condition, and segment is a text"),
        ("not orders", "needs a condition, and orders is a number"),
        ("orders and spend", "needs a condition, and orders is a number"),
        ("(orders > 2) + 1 > 2", "needs a number, and orders > 2 is a condition"),
        ("-segment == 1", "needs a number, and segment is a text"),
        ('segment + "x" == "loyalx"', "needs a number, and segment is a text"),
        ("orders is spend", "compare with"),
    ],
)
def test_what_is_no_condition_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        compile_condition(text, KINDS)

    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("spend > 2", "needs a number, and spend > 2 is a condition"),
        ("segment", "needs a number, and segment is a text"),
        ("'12'", "needs a number, and '12' is a text"),
        ("True", "needs a number"),
        ('"a" * 1000000000', "needs a number, and 'a' is a text"),
        ('1000000000 * "a"', "needs a number, and 'a' is a text"),
        ('["a"] * 1000000000', "no list"),
    ],
)
def test_what_is_no_number_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        compile_number(text, KINDS)

    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("abs(orders) > 1", "no calls"),
        ("__import__('os').system('true') == 0", "no calls"),
        ("().__class__.__bases__ == 1", "no dots"),
        ("segment.upper == 1", "no dots"),
        ("segment[0] == 'l'", "no brackets"),
        ("[x for x in (1, 2)] == 1", "no listcomp"),
        ("{x: 1 for x in (1, 2)} == 1", "no dictcomp"),
        ("(x for x in (1, 2)) == 1", "no generatorexp"),
        ("(lambda: 1) == 1", "no functions"),
        ("(orders := 1) > 0", "no assignments"),
        ("1 if orders > 2 else 2", "no if and else"),
        ("f'{orders}' == segment", "no f-texts"),
        ("9 ** 9 ** 9 > orders", "no pow"),
        ("1 << 999999999 > orders", "no lshift"),
        ("orders % 2 == 0", "no mod"),
        ("orders // 2 == 1", "no floordiv"),
        ("~orders == 1", "no invert"),
        ("{1, 2} == orders", "no set"),
        ("{} == orders", "no dict"),
        ("*orders, == 1", ""),
        ("b'x' == segment", "only numbers and texts"),
        ("1j == orders", "only numbers and texts"),
        ("None == orders", "only numbers and texts"),
        ("... == orders", "only numbers and texts"),
    ],
)
def test_what_could_reach_anything_does_not_get_through(text: str, words: str) -> None:
    for compile_text in (compile_condition, compile_number):
        with pytest.raises(ExpressionError) as refused:
            compile_text(text, KINDS)

        assert words in str(refused.value)


def test_what_is_compiled_reaches_its_facts_and_no_builtins() -> None:
    asked: list[str] = []

    class Asked(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            asked.append(name)
            return FACTS[name]

    text = 'spend / orders != 1 and segment not in ("a", "b") and -orders < 0 or channel == ""'
    compiled = compile_condition(text, KINDS)

    assert compiled.holds(Asked())
    assert ["spend", "orders", "segment", "orders"] == asked
    code, reached = compiled.holds.__code__, compiled.holds.__globals__
    assert {} == reached["__builtins__"]
    assert {*code.co_names} <= {*reached} - {"__builtins__"}


@pytest.mark.parametrize(
    "text",
    [
        "not " * 400 + "orders > 2",
        "-" * (LENGTH_MAX - 10) + "1 > 2",
        "(" * 900 + "orders" + ")" * 900 + " > 2",
        "+".join(["1"] * (DEPTH_MAX + 2)) + " > 2",
        "orders > 2 and " * LENGTH_MAX + "orders > 2",
        "[" * 950 + "]" * 950 + " == orders",
        "True == (" * 50 + "orders > 2" + ") == True" * 50,
    ],
)
def test_a_text_that_is_a_maze_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        compile_condition(text, KINDS)

    assert len(str(refused.value)) < LENGTH_MAX + 200


def test_what_is_long_but_plain_gets_through() -> None:
    condition = compile_condition(" or ".join(["orders > 9"] * 100 + ["spend > 1"]), KINDS)
    number = compile_number("+".join(["orders"] * DEPTH_MAX), KINDS)

    assert condition.holds(FACTS)
    assert 3.0 * DEPTH_MAX == number.value(FACTS)
