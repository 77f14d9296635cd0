"""From traits to classes: what is understood, what is other, and what is not kept at all."""

from typing import Any

import orjson
import pytest

from config.parameters import ParameterError
from models.customer.trait_classes import (
    OF_FIRMS,
    TRAITS,
    TraitClasses,
    TraitParameters,
    classes_of,
    classified,
)
from models.parameters import load_parameters
from tests.models.lines import at

KEPT = [
    "traits.kept=age,gender,region,income,education,industry,company_size,plan",
    "traits.region.dach=de,at,Germany",
    "traits.income=0,30000,60000",
    "traits.plan.pro=Professional",
]
SECTION = load_parameters(assignments=KEPT).of(TraitParameters)
SHIPPED = load_parameters().of(TraitParameters)


def told(
    traits: Any, *, is_of_firm: bool = False, section: TraitParameters = SECTION
) -> dict[str, Any]:
    """The classes, on 1 January 2026."""
    raw = traits if isinstance(traits, bytes) else orjson.dumps(traits)
    found = classified(raw, at(), section, is_of_firm=is_of_firm)
    fields = ((name, getattr(found, name)) for name in TraitClasses.__struct_fields__)
    return {name: value for name, value in fields if value is not None}


@pytest.mark.parametrize(
    ("traits", "classes"),
    [
        ({"age": 31}, {"born": 1995}),
        ({"age": "31"}, {"born": 1995}),
        ({"Birthday": "1995-05-05"}, {"born": 1995}),
        ({"date_of_birth": "1995-05-05T00:00:00.000Z"}, {"born": 1995}),
        ({"birthday": "1995-05-05", "age": 99}, {"born": 1995}),
        ({"birthYear": 1995}, {"born": 1995}),
        ({"gender": "F"}, {"gender": "female"}),
        ({"sex": " Man "}, {"gender": "male"}),
        ({"region": "Bavaria"}, {"region": "other"}),
        # The country says what the region does not.
        ({"region": "Bavaria", "address": {"country": "DE"}}, {"region": "dach"}),
        ({"income": 29_999.5}, {"income": "0-29999"}),
        ({"annual income": "60,000.00"}, {"income": "60000+"}),
        ({"education": "PhD"}, {"education": "doctorate"}),
        ({"company": {"industry": "E-Commerce"}}, {"industry": "retail"}),
        ({"employees": "49"}, {"company_size": "10-49"}),
        ({"employees": 50}, {"company_size": "50-249"}),
        ({"company": {"employee_count": 5_000}}, {"company_size": "1000+"}),
        ({"plan": "professional"}, {"plan": "pro"}),
        ({"plan": "pro"}, {"plan": "pro"}),
    ],
)
def test_what_is_said_becomes_a_class(traits: Any, classes: dict[str, Any]) -> None:
    assert classes == told(traits)


@pytest.mark.parametrize(
    "traits",
    [
        None,
        [],
        "Ada",
        b"{not json",
        {},
        {"name": "Ada", "email": "ada@example.com", "phone": "+49 30 1", "company": "Acme"},
        {"age": "thirty"},
        {"age": -1},
        {"age": 130},
        {"age": True},
        {"age": "1e9"},
        {"birthday": "soon"},
        {"birthday": "2030-01-01"},
        {"birthday": "0001-01-01"},
        {"gender": 1},
        {"gender": ""},
        {"employees": "10-49 people"},
        # Nobody works there, so the firm is of no class.
        {"employees": 0},
        {"employees": float("1e300")},
    ],
)
def test_what_cannot_be_read_says_nothing(traits: Any) -> None:
    assert {} == told(traits)


def test_free_text_is_other_and_goes_no_further() -> None:
    """The trap: whoever fills in a form writes anything."""
    assert {"industry": "other", "plan": "other"} == told(
        {"industry": "Ada Lovelace, 12 St James's Square", "plan": "call me on 030 1"}
    )
    # Nor does what never went through ingest.
    assert TraitClasses() == TraitClasses(plan="Ada Lovelace", region="x" * 33)


@pytest.mark.parametrize(
    ("said", "born"),
    [
        *((said, 1992) for said in ("1992-03-05", "19920305", 19920305, "1992/03/05", "1992.3.5")),
        # With a time of the day, with and without a zone.
        *((f"1992-03-05{time}", 1992) for time in ("T00:00:00Z", "T00:00:00", " 00:00:00.000")),
        ("1992-12-31T23:00:00Z", 1992),
        # Which is the day and which the month is not known, but the year is.
        *((said, 1992) for said in ("05.03.1992", "3/5/1992", "5-3-1992", "1992-03", "1992", 1992)),
        *((said, 1992) for said in ("March 5, 1992", "5 Mar 1992")),
        ("Thu, 05 Mar 1992 00:00:00 +0100", 1992),
        # Seconds and milliseconds since 1970.
        *((said, 1992) for said in (699_753_600, "699753600", 699_753_600_000)),
        *((said, 1965) for said in (-157_000_000, -157_000_000_000)),
        # Not known.
        *((said, None) for said in ("05/03/92", "1992 or 1993", "", "0000-00-00", 5, True, 1e300)),
        *((said, None) for said in ([1992], "2999-01-01", "5.3.2999", 4_000_000_000, [], {})),
    ],
)
def test_a_date_of_birth_is_read_as_shops_write_it(said: Any, born: int | None) -> None:
    found = told({"birthday": said})

    assert ({} if born is None else {"born": born}) == found


@pytest.mark.parametrize(
    "said", ["2015-03-05T00:00:00", "05.03.2015", "2015/3/5", 1_425_513_600, "March 2015", 2012]
)
def test_a_child_is_known_by_any_date_of_birth(said: Any) -> None:
    found = told({"birthday": said, "country": "de", "gender": "f"})

    assert {"born": 0, "is_child": True, "region": "unknown", "gender": "unknown"}.items() <= (
        found.items()
    )


@pytest.mark.parametrize(
    ("traits", "is_kept"),
    [
        ({"age": 13}, False),
        ({"age": 14}, True),
        # Fourteen tomorrow, and fourteen today.
        ({"birthday": "2012-01-02"}, False),
        ({"birthday": "2012-01-01"}, True),
        # Of a year alone, it may still be a thirteenth.
        ({"birth_year": 2012}, False),
        ({"birth_year": 2011}, True),
    ],
)
def test_of_a_child_nothing_personal_is_kept(traits: dict[str, Any], is_kept: bool) -> None:
    """The trap: a class of those under 14 would be sensitive by itself."""
    found = told({**traits, "gender": "f", "country": "de", "plan": "pro"})

    assert "pro" == found["plan"]
    assert (found["born"] > 0) is is_kept
    # Which it is to be known by, when more is said of them without an age.
    assert found.get("is_child", False) is not is_kept
    # What was known before is forgotten, too.
    assert is_kept or {"unknown"} == {
        found[name] for name in ("gender", "region", "income", "education")
    }


def test_what_is_null_is_not_known_any_more() -> None:
    assert {"born": 0, "plan": "unknown"} == told({"age": None, "plan": None})
    assert {"plan": "unknown"} == told({"plan": "Unknown"})


def test_a_group_is_about_the_firm_alone() -> None:
    traits = {"industry": "banking", "employees": 12, "plan": "pro", "age": 40, "region": "de"}

    assert set(OF_FIRMS) == set(told(traits, is_of_firm=True))


def test_what_is_not_kept_leaves_ingest_with_nobody() -> None:
    everything = {
        "age": 40,
        "gender": "f",
        "country": "de",
        "income": 1,
        "education": "phd",
        "plan": "pro",
    }

    # No regions, incomes and plans are shipped, and who somebody is is for the shop to ask for.
    assert {"born": 1986} == told(everything, section=SHIPPED)
    # Whether the rest is a child's is to be known where no year is kept.
    no_age = load_parameters(assignments=["traits.kept=gender"]).of(TraitParameters)
    assert {"gender": "female", "is_child": False} == told(everything, section=no_age)
    assert {"gender": "unknown", "is_child": True} == told({"age": 9}, section=no_age)
    for written in ({"gender": "female", "is_child": False}, {"is_child": True}):
        assert written | told(written, section=no_age) == told(written, section=no_age)
    off = load_parameters(assignments=[*KEPT, "traits.enabled=false"]).of(TraitParameters)
    assert {} == told(everything, section=off)


def test_what_ingest_wrote_is_read_as_it_is() -> None:
    written = told(
        {"age": 40, "sex": "m", "country": "at", "income": 1, "employees": 3, "plan": "?"}
    )

    assert 6 == len(written)
    assert written == told(written)
    child = {"born": 0, "plan": "pro", "gender": "unknown", "is_child": True}
    assert child | {"region": "unknown", "income": "unknown", "education": "unknown"} == told(child)
    # Somebody who had their birthday was fourteen.
    assert {"born": 2012} == told(told({"birthday": "2012-01-01"}))


def test_a_sender_may_call_a_trait_otherwise() -> None:
    section = load_parameters(assignments=[*KEPT, "traits.names.region=Bundes-Land"]).of(
        TraitParameters
    )

    assert {"region": "dach"} == told({"bundesland": "at"}, section=section)


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["traits.kept=shoe_size"], "kept: there is no trait 'shoe_size'; known: age, gender"),
        (["traits.names.shoe_size=x"], "names: there is no trait 'shoe_size'"),
        (["traits.age=12,18"], "traits.age begins at 14 or later"),
        (["traits.income=0,0"], "traits.income must ascend from 0 or more"),
        (["traits.income=[5,1]"], "traits.income must ascend, as in"),
        (["traits.region.Süd=x"], "traits.region.Süd: a class is 32 small letters"),
        (["traits.region.other=x"], "neither other nor unknown"),
        (["traits.gender.woman=x"], "traits.gender: 'woman' means female and woman"),
        ([f"traits.region.r{n}=x{n}" for n in range(99)], "classes, and 120 at most"),
    ],
)
def test_classes_that_cannot_be_are_refused(assignments: list[str], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        load_parameters(assignments=assignments)


def test_the_shipped_classes_are_few_and_their_names_are_no_text() -> None:
    found = [one for trait in TRAITS for one in classes_of(SHIPPED, trait)]

    assert {"14-24", "65+", "1-9", "1000+", "retail", "other"} <= set(found)
    assert len(found) < 40
