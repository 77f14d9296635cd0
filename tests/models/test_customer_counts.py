"""Customers are counted by their facts, each once, the same over any partitions."""

from collections import Counter
from itertools import product

import pytest

from models.customer.registry import FACTS
from models.customer.row import encode_row
from models.customer.scene import Scene
from models.customer_counts import (
    VALUES_MAX,
    WAYS_MAX,
    Counted,
    Counts,
    known_value,
    values_of,
    ways_in,
)
from models.customer_list import QuestionError, Search, question
from tests.models.lines import PARAMETERS, at
from tests.models.test_customer_list import CONTEXT, ROWS, SHOP

WAYS = "segment,rfm_recency*rfm_monetary,rfm_frequency"


def counted(rows: dict[str, bytes], count: str = WAYS, **words: str) -> tuple[Counted, ...]:
    search = Search(question(PARAMETERS, count=count, **words), at(5), CONTEXT)
    for customer, packed in rows.items():
        search.look(customer, packed)
    return search.counted


def test_each_who_matches_is_counted_once_in_each_way() -> None:
    found = counted(ROWS, where="orders > 0", by="net_365d")
    scenes = [Scene(row, name, at(5), CONTEXT) for name, row in SHOP.items()]
    buyers = [scene for scene in scenes if float(scene["orders"]) > 0]

    for way in (("segment",), ("rfm_recency", "rfm_monetary"), ("rfm_frequency",)):
        mine = [one for one in found if one.by == way]
        told = Counter(tuple(scene[name] for name in way) for scene in buyers)
        assert told == {one.values: one.customers for one in mine}
        for one in mine:
            spent = [
                float(scene["net_365d"])
                for scene in buyers
                if tuple(scene[name] for name in way) == one.values
            ]
            assert pytest.approx(sum(spent)) == one.total


def test_what_is_not_known_is_counted_as_that_and_last() -> None:
    segments = counted(ROWS, "segment")

    assert (None,) == segments[-1].values
    assert 1 == segments[-1].customers
    assert {0.0} == {one.total for one in segments}


def test_counts_of_partitions_add_up() -> None:
    whole, parts = counted(ROWS, by="net_365d"), Counts([])
    for place in (0, 1, 2):
        parts.take(counted(dict(list(ROWS.items())[place::3]), by="net_365d"))

    def told(found: tuple[Counted, ...]) -> dict[object, tuple[int, float]]:
        return {(one.by, one.values): (one.customers, round(one.total, 6)) for one in found}

    assert told(whole) == told(parts.counted())
    assert [one.values for one in whole if one.by == ("segment",)] == [
        one.values for one in parts.counted() if one.by == ("segment",)
    ]


@pytest.mark.parametrize(
    ("count", "why"),
    [
        ("segmnt", "did you mean segment"),
        ("net_365d", "may be anything"),
        ("orders", "may be anything"),
        ("overdue_at", "may be anything"),
        ("segment*segment", "two others"),
        ("segment*rfm_recency*rfm_monetary", "two others"),
        (",".join(["segment"] * (WAYS_MAX + 1)), "ways to count at most"),
        ("survey_band", "at the moment"),
        ("segment,", "there is no fact ''"),
    ],
)
def test_what_cannot_be_counted_is_refused(count: str, why: str) -> None:
    with pytest.raises(QuestionError, match=f"{why}"):
        question(PARAMETERS, count=count)


def test_every_value_of_a_fact_that_is_counted_by_is_among_those_it_may_have() -> None:
    few = {name: values_of(fact, PARAMETERS) for name, fact in FACTS.items()}
    scenes = [
        Scene(row, name, at(days), CONTEXT) for (name, row), days in product(SHOP.items(), (5, 99))
    ]
    for name, values in few.items():
        if values is None or FACTS[name].moment is not None:
            continue
        assert len(values) <= VALUES_MAX
        found = {known_value(scene[name]) for scene in scenes}
        assert found - {None} <= set(values), name


def test_a_way_is_counted_once_however_often_it_is_asked() -> None:
    assert (("segment",),) == ways_in("segment, segment", FACTS, PARAMETERS)
    assert encode_row(SHOP["ada"]) == ROWS["ada"]
