"""Lists of customers: who is in them, in which order, and which questions are refused."""

from collections.abc import Mapping
from math import isnan, nan
from typing import Any

import pytest

from models.customer.registry import FACTS
from models.customer.row import Row, encode_row
from models.customer.scene import Scene
from models.customer_list import Listed, ListQuestion, Place, QuestionError, Search, question
from models.plan import plan_for
from tests.models.lines import PARAMETERS, PRIOR, at, happened, lived

CONTEXT = plan_for(PARAMETERS).context(PRIOR)


def bought(*amounts: float) -> Row:
    """A customer who bought for these amounts, one a day."""
    return lived(
        [
            happened("Order Completed", at(day), order_id=f"o-{day}", revenue=amount)
            for day, amount in enumerate(amounts)
        ]
    )


SHOP = {
    "ada": bought(40),
    "ben": bought(300, 300),
    "cyd": bought(10, 10, 10),
    "dan": lived([happened("page", at())]),
    "eva": bought(40),
    "flo": bought(900),
}
ROWS = {customer: encode_row(row) for customer, row in SHOP.items()}


def asked(**words: Any) -> ListQuestion:
    return question(PARAMETERS, **words)


def search(wanted: ListQuestion, rows: Mapping[str, bytes] = ROWS, *, days: float = 5) -> Search:
    found = Search(wanted, at(days), CONTEXT)
    for customer, packed in rows.items():
        found.look(customer, packed)
    return found


def names(wanted: ListQuestion, rows: Mapping[str, bytes] = ROWS) -> list[str]:
    return [one.user_id for one in search(wanted, rows).first(rows)]


def test_without_a_question_all_are_listed_by_their_ids() -> None:
    assert sorted(SHOP) == names(asked())


def test_those_for_whom_the_condition_holds_are_listed_the_highest_number_first() -> None:
    wanted = asked(where="net_365d > 20 and orders < 3", by="net_365d")
    found = search(wanted)

    assert [("flo", 900.0), ("ben", 600.0), ("ada", 40.0), ("eva", 40.0)] == [
        (one.user_id, one.by) for one in found.first(ROWS)
    ]
    assert 4 == found.matched
    assert not found.has_more


def test_a_number_may_be_reckoned_and_turned_round() -> None:
    assert ["cyd", "ada", "eva", "ben", "flo", "dan"] == names(asked(by="-net_365d / orders"))


def test_those_without_a_number_come_last() -> None:
    wanted = asked(by="churn_probability * 0 + average_order")
    listed = search(wanted).first(ROWS)
    assert ("dan", None) == (listed[-1].user_id, listed[-1].by)


@pytest.mark.parametrize(
    "where",
    [
        "churn_probability >= .5 and net_365d > 20",
        "net_365d > 20 and churn_probability >= .5",
        "silent_days > 1 and (orders > 1 or net_365d >= 900) and not orders == 2",
        "orders > 1 or net_365d >= 900",
        'segment == "new" and 1 <= orders < 3',
    ],
)
def test_a_condition_means_what_it_means_to_a_rule(where: str) -> None:
    """Its parts are evaluated in another order, and some not at all."""

    def holds(customer: str) -> bool:
        scene = Scene(SHOP[customer], customer, at(5), CONTEXT)
        facts = {name: scene[name] for name in FACTS if FACTS[name].moment is None}
        return bool(eval(where, {"__builtins__": {}}, facts))

    assert [customer for customer in sorted(SHOP) if holds(customer)] == names(asked(where=where))


def test_what_costs_least_is_looked_at_first() -> None:
    wanted = asked(
        where="churn_probability >= .5 and clv > 0 and net_365d > 20 and open_tickets < 1"
    )
    first, second, *_ = (sorted(one.names) for one in wanted.where)
    assert [["net_365d"], ["open_tickets"]] == [first, second]


def test_facts_are_told_with_null_for_what_is_not_known() -> None:
    wanted = asked(where="orders < 2", by="net_365d", shown=["segment", "silent_days", "orders"])
    told = {one.user_id: one.facts for one in search(wanted).first(ROWS)}

    flo = {"orders": 1.0, "net_365d": 900.0, "segment": "new", "silent_days": 5.0}
    assert flo == told["flo"]
    assert {"orders": 0.0, "net_365d": 0.0, "segment": None, "silent_days": None} == told["dan"]


def test_values_are_those_that_rules_see_at_that_time() -> None:
    wanted = asked(by="value_at_stake", shown=["churn_risk", "clv"])
    for days in (5, 90):
        for one in search(wanted, days=days).first(ROWS):
            scene = Scene(SHOP[one.user_id], one.user_id, at(days), CONTEXT)
            for name, value in one.facts.items():
                fact = scene[name]
                assert value == (None if fact == "" or isnan(float(fact)) else fact)


@pytest.mark.parametrize("top", [1, 2, 3, 4, 6, 7])
@pytest.mark.parametrize("by", ["", "net_365d", "average_order", "-orders"])
def test_pages_are_the_list_cut_up(top: int, by: str) -> None:
    pages: list[list[Listed]] = []
    cursor = ""
    while True:
        wanted = asked(by=by, top=top, cursor=cursor)
        found = search(wanted)
        pages.append(found.first(ROWS))
        assert len(ROWS) == found.matched
        if not found.has_more:
            break
        cursor = wanted.cursor(pages[-1][-1])
    whole = search(asked(by=by)).first(ROWS)

    assert whole == [one for page in pages for one in page]
    assert [top] * (len(pages) - 1) == [len(page) for page in pages[:-1]]


def test_lists_of_partitions_are_merged_into_the_one_of_all() -> None:
    wanted = asked(by="average_order", top=4)
    halves = [dict(list(ROWS.items())[place::2]) for place in (0, 1)]
    parts = [one for half in halves for one in search(wanted, half).first(half)]

    assert search(wanted).first(ROWS) == wanted.best(parts)


def test_more_customers_than_are_kept_while_looking_come_out_in_order() -> None:
    many = {f"c-{n:05d}": ROWS["ada"] for n in reversed(range(9_000))} | {"flo": ROWS["flo"]}
    found = search(asked(by="net_365d", top=3), many)

    assert ["flo", "c-00000", "c-00001"] == [one.user_id for one in found.first(many)]
    assert (9_001, True) == (found.matched, found.has_more)


def test_places_are_ordered_by_number_then_by_id() -> None:
    places = [
        Place.of(2.0, "b"),
        Place.of(2.0, "c"),
        Place.of(0.0, "a"),
        Place.of(-1.0, "a"),
        Place.of(None, "a"),
        Place.of(nan, "b"),
    ]
    assert places == sorted(places, key=lambda one: one)
    assert [2.0, 2.0, 0.0, -1.0, None, None] == [place.number for place in places]
    assert "0.0" == str(Place.of(0.0, "a").number)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"where": "net_365 > 1"}, "where: there is no fact 'net_365'; did you mean net_365d?"),
        ({"where": "net_365d"}, "where: needs a condition, and net_365d is a number"),
        ({"where": "net_365d >"}, "where: cannot be read"),
        ({"where": "print(1)"}, "where: only comparisons"),
        ({"where": 'segment == "champoins"'}, "where: "),
        ({"where": "churn_probability > 1.5"}, "where: can never be true"),
        ({"where": "orders > 1 and churn_probability < 0"}, "where: can never be true"),
        ({"where": "event_value > 1"}, "event_value is known at the moment `event` alone"),
        ({"by": "event_value"}, "event_value is known at the moment `event` alone"),
        ({"by": "segment"}, "by: needs a number, and segment is a text"),
        ({"by": "orders > 1"}, "by: needs a number, and orders > 1 is a condition"),
        ({"by": "value_at_steak"}, "did you mean value_at_stake?"),
        ({"shown": ["value_at_steak"]}, "show: there is no fact .* did you mean value_at_stake?"),
        ({"shown": ["orders"] * 33}, "show: 32 facts at most, not 33"),
        ({"top": 0}, "top is a whole number from 1 to 1000, not 0"),
        ({"top": 1_001}, "top is a whole number from 1 to 1000"),
        ({"cursor": "not one"}, "cursor: cannot be read"),
        ({"cursor": "é"}, "cursor: cannot be read"),
        ({"cursor": "AAAA"}, "cursor: cannot be read"),
        ({"cursor": "A" * 3_000}, "cursor: cannot be read"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(words: dict[str, Any], message: str) -> None:
    with pytest.raises(QuestionError, match=message):
        asked(**words)


def test_a_cursor_is_of_one_condition_and_order() -> None:
    first = asked(where="orders > 0", by="net_365d", top=1)
    cursor = first.cursor(search(first).first(ROWS)[0])

    assert ["ben"] == names(asked(where="orders > 0", by="net_365d", top=1, cursor=cursor))
    for other in ({"where": "orders > 1", "by": "net_365d"}, {"where": "orders > 0", "by": "clv"}):
        with pytest.raises(QuestionError, match="cursor: is of another condition or order"):
            asked(**other, cursor=cursor)


def test_an_id_of_many_signs_has_a_cursor() -> None:
    longest = "é" * 128
    wanted = asked(top=1)
    cursor = wanted.cursor(Listed(longest, None, {}))
    again = asked(cursor=cursor)
    assert (None, longest) == (again.after and again.after.number, again.after and again.after[2])
