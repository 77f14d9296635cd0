"""Who a customer is, by hand: what was said last, what the years change, and who is counted."""

from collections.abc import Iterable
from functools import cache
from itertools import permutations, product
from typing import Any

import orjson
import pytest
from msgspec import msgpack
from msgspec.structs import replace

from config.parameters import Parameters
from models.admission import admit
from models.customer.part import KEYS_MAX
from models.customer.row import Row
from models.customer.traits import TRAITS_PART, Traits
from models.events.event import NOTHING, Event
from models.events.wire import decode_log_line, encode_log_event
from models.learning.lessons import Tally
from models.learning.tallies import NO_DAY
from models.parameters import load_parameters
from models.replay import Replay
from tests.models.lines import at, context, happened, line, lived, lived_with_effects, scene, waited
from tests.models.test_trait_classes import KEPT

PARAMETERS = load_parameters(assignments=[*KEPT, "traits.shown_from=2"])


def said(day: float, /, kind: str = "identify", who: str = "ada", **traits: Any) -> Event:
    raw = line(kind, at(day), customer=who, properties=traits, message=f"{who} {day} {traits}")
    return admit(raw, PARAMETERS, message_id="none")


def facts(row: Row, day: float) -> dict[str, float | str]:
    now = scene(row, at(day), within=context(parameters=PARAMETERS))
    return {name: value for name in TRAITS_PART.facts if (value := now[name])}


def test_the_example_by_hand() -> None:
    """Ada is 34 in 2026, moves, and comes to a firm that grows."""
    row = lived(
        [
            said(0, age=34, country="DE", plan="Basic"),
            said(1, country="FR"),
            said(2, kind="group", industry="SaaS", employees=40),
            said(3, kind="group", employees=60, plan="pro"),
        ]
    )

    assert {
        "age_class": "25-34",
        "region": "other",
        "industry": "technology",
        "company_size": "50-249",
        "plan": "pro",
    } == facts(row, 4)
    # Thirty-five with the first millisecond of 2027, and no event; and 65 thirty years later.
    assert "25-34" == facts(row, 364.999999)["age_class"]
    assert "35-44" == facts(row, 365)["age_class"]
    assert "65+" == facts(row, 365 * 31 + 8)["age_class"]


def test_what_was_said_last_stands_whatever_came_first() -> None:
    events = [said(0, plan="pro", gender="f"), said(1, plan="free"), said(2, gender=None)]
    rows = [lived(order) for order in (events, events[::-1])]

    assert {"plan": "other"} == facts(rows[0], 3) == facts(rows[1], 3)
    assert TRAITS_PART.pack(rows[0].read(TRAITS_PART)) == TRAITS_PART.pack(
        rows[1].read(TRAITS_PART)
    )


def test_a_child_takes_back_what_was_said_of_a_grown_up() -> None:
    row = lived([said(0, age=30, gender="f", plan="pro"), said(1, age=13)])

    assert {"plan": "pro"} == facts(row, 2)


#: What is said of somebody on the days 0 to 5, who is a child on day 2, and comes of age by day 4.
OF_A_CHILD: list[dict[str, Any]] = [
    {"age": 30, "gender": "m"},
    {"country": "de", "plan": "free"},
    {"age": 13, "gender": "f", "plan": "pro"},
    {"gender": "f", "country": "at"},
    {"birthday": "2011-05-05", "country": "ch"},
    {"education": "phd", "gender": None},
]
CHILD_DAY = 2


def of_days(days: Iterable[int]) -> Traits:
    return lived([said(day, **OF_A_CHILD[day]) for day in days]).read(TRAITS_PART)


@cache
def in_order(days: frozenset[int]) -> Traits:
    return of_days(sorted(days))


def by_the_rule(days: Iterable[int]) -> dict[str, tuple[int, str]]:
    """What is left of it: of a child nothing that is personal, and from then on what is said
    together with an age, and that something is not known.
    """
    is_child, left = CHILD_DAY in days, []
    for day in sorted(days):
        traits = OF_A_CHILD[day]
        has_age = "birthday" in traits or "age" in traits
        for name, value in traits.items():
            is_known = day > CHILD_DAY and (has_age or value is None)
            if name == "plan" or not is_child or is_known:
                left.append(said(day, **{name: value}))
    known = lived(left).read(TRAITS_PART).known
    return {name: (one.at_ms, one.value) for name, one in known.items()}


@pytest.mark.parametrize("number", range(1, 5))
def test_of_a_child_the_same_is_kept_whatever_is_heard_first(number: int) -> None:
    for days in permutations(range(len(OF_A_CHILD)), number):
        found, ordered = of_days(days), in_order(frozenset(days))

        assert TRAITS_PART.pack(ordered) == TRAITS_PART.pack(found), days
        if list(days) == sorted(days):
            assert by_the_rule(days) == {
                name: (one.at_ms, one.value) for name, one in found.known.items()
            }


def test_of_a_child_of_several_ids_the_same_is_kept_whichever_id_was_told() -> None:
    days = range(len(OF_A_CHILD))
    everything = TRAITS_PART.pack(in_order(frozenset(days)))
    for owners in product(range(3), repeat=len(OF_A_CHILD)):
        ids = [in_order(frozenset(d for d in days if owners[d] == one)) for one in range(3)]

        assert everything == TRAITS_PART.pack(TRAITS_PART.united(ids, PARAMETERS)), owners


def test_a_child_comes_of_age_by_what_is_said_together_with_an_age() -> None:
    row = lived([said(0, age=13), said(1, gender="f")])
    assert {} == facts(row, 2)

    row = lived([said(400, birthday="2012-01-01", gender="f"), said(401, country="de")], row=row)
    assert {"age_class": "14-24", "gender": "female"} == facts(row, 402)
    # Fourteen years after the last word of it nobody is a child any more.
    row = lived([said(14 * 366, country="de")], row=row)
    assert "dach" == facts(row, 14 * 366)["region"]


def test_a_child_is_known_as_one_where_no_age_is_kept() -> None:
    parameters = load_parameters(assignments=["traits.kept=gender"])

    def told(day: float, **traits: Any) -> Event:
        return admit(line("identify", at(day), properties=traits), parameters, message_id="none")

    assert {} == facts(lived([told(2, gender="f"), told(0, age=13)]), 3)
    of_age = [told(1, gender="f"), told(2, age=14, gender="m"), told(0, age=13)]
    assert {"gender": "male"} == facts(lived(of_age), 3)


def test_a_visitor_is_a_child_if_who_they_turn_out_to_be_is_one() -> None:
    """On a tablet that is shared: what the visitor said, and what is known of who logs in."""
    parameters = load_parameters(assignments=[*KEPT, "traits.shown_from=1"])
    visit = by_visitor(at(1), "tablet", gender="f", country="de", plan="pro")
    child = line("identify", at(0), customer="ada", properties={"age": 13})
    login = by_visitor(at(2), "tablet", "ada")
    for lines in permutations((visit, child, login)):
        replay = replayed(*lines, parameters=parameters)

        assert {'keepstream_customers_by_trait{trait="plan",class="pro"}': 1.0} == measures(replay)
        [view] = [view for view in replay.profiles() if view.user_id == "ada"]
        assert {"plan"} == view.traits.keys()


@pytest.mark.parametrize(
    ("child_day", "left"),
    [(9, {"plan:pro": 1}), (0, {"plan:pro": 1, "age:25-34": 1, "gender:female": 1})],
)
def test_who_turns_out_to_be_a_child_is_not_counted_by_who_they_are(
    child_day: int, left: dict[str, int]
) -> None:
    grown = [said(1, age=34, gender="f"), said(2, plan="pro"), said(3, gender="m")]

    assert left == told(lived_with_effects([*grown, said(child_day, age=13)])[1])


def test_a_row_of_before_is_read() -> None:
    before = msgpack.encode([{"age": [at(), "1992"], "plan": [at(), "pro"]}, "25-34", True])
    found = TRAITS_PART.readers[1](before)

    assert ("1992", "pro") == (found.known["age"].value, found.known["plan"].value)
    assert ("25-34", True, 0) == (found.age, found.is_counted, found.child_ms)


def test_who_says_nothing_has_nothing() -> None:
    """The silent customer: identifies with each login, and never says who they are."""
    row = lived([said(day, name="Ada", email="a@example.com") for day in range(5)])

    assert {} == facts(row, 6)
    assert TRAITS_PART.empty == TRAITS_PART.pack(row.read(TRAITS_PART))
    assert NOTHING == said(0, name="Ada").properties
    assert b"traits" not in encode_log_event(said(0, name="Ada"))


def test_no_trait_is_in_the_log_and_its_class_is() -> None:
    event = said(0, birthday="1991-02-03", address={"country": "AT", "city": "Wien"}, plan="Ada L.")
    record = encode_log_event(replace(event, message_id="m"))

    assert {"born": 1991, "region": "dach", "plan": "other"} == orjson.loads(record)["traits"]
    for trace in (b"02-03", b"AT", b"Wien", b"Ada"):
        assert trace not in record
    assert 1991 == orjson.loads(bytes(decode_log_line(record).traits))["born"]


def told(effects: list[Any]) -> dict[str, int]:
    """The sums of all customers."""
    sums: dict[str, int] = {}
    for one in effects:
        if isinstance(one, Tally) and one.part == TRAITS_PART.name:
            for key, day, amount in one.sums:
                assert NO_DAY == day
                sums[key] = sums.get(key, 0) + amount
    return {key: count for key, count in sums.items() if count}


def test_customers_are_counted_by_what_they_are_now() -> None:
    _, effects = lived_with_effects(
        [said(0, age=34, plan="x"), said(1, plan="pro"), said(2, age=36)]
    )

    assert {"plan:pro": 1, "age:35-44": 1} == told(effects)


def test_the_years_move_who_is_looked_at_from_one_class_to_the_next() -> None:
    bought = [
        happened("Order Completed", at(day), order_id=f"o-{day}", revenue=9)
        for day in (1, 200, 300)
    ]
    row, effects = lived_with_effects([said(0, age=34), *bought])
    assert {"age:25-34": 1} == told(effects)
    _, more = waited(row, at(380))

    assert {"age:35-44": 1} == told([*effects, *more])


def replayed(*lines: bytes, parameters: Parameters = PARAMETERS) -> Replay:
    replay = Replay(parameters)
    for number, content in enumerate(lines, 1):
        replay.feed(content, number)
    return replay


def measures(replay: Replay) -> dict[str, float]:
    found = replay.summary().measures
    return {name: value for name, value in found.items() if "by_trait" in name}


def by_visitor(at_ms: int, visitor: str, user: str | None = None, **traits: Any) -> bytes:
    content = orjson.loads(line("identify", at_ms, properties=traits))
    content |= {"anonymousId": visitor, "userId": user}
    return orjson.dumps(content)


def test_a_class_of_few_is_not_shown() -> None:
    """The trap: one firm of a size in the town is a firm that everybody knows."""
    lines = [
        line("identify", at(n), customer=f"c-{n}", properties={"plan": "pro"}) for n in range(2)
    ]
    rare = line("identify", at(3), customer="c-3", properties={"plan": "rare", "age": 40})

    assert {'keepstream_customers_by_trait{trait="plan",class="pro"}': 2.0} == measures(
        replayed(*lines, rare)
    )


def test_visitors_are_no_customers_until_they_log_in_and_one_person_counts_once() -> None:
    """The trap: a form that a visitor fills in on two devices."""
    parameters = load_parameters(assignments=[*KEPT, "traits.shown_from=1"])
    pro = 'keepstream_customers_by_trait{trait="plan",class="pro"}'
    visits = [by_visitor(at(n), f"anon-{n}", plan="pro") for n in range(2)]
    assert {} == measures(replayed(*visits, parameters=parameters))

    logins = [by_visitor(at(3, hours=n), f"anon-{n}", "ada") for n in range(2)]
    replay = replayed(*visits, *logins, parameters=parameters)
    assert {pro: 1.0} == measures(replay)
    [view] = [view for view in replay.profiles() if view.user_id == "ada"]
    assert "pro" == view.traits["plan"].value


def test_the_sums_have_room_for_the_most_classes_there_may_be() -> None:
    told_of = TRAITS_PART.population
    assert told_of is not None
    most = load_parameters(assignments=[*KEPT, *(f"traits.region.r-{n}=x{n}" for n in range(70))])

    assert 100 < len(told_of.keys(most)) <= KEYS_MAX


def test_a_class_that_is_no_longer_declared_is_other() -> None:
    row = lived([said(0, plan="pro", age=40)])
    later = load_parameters(assignments=["traits.plan.team=x"])
    now = scene(row, at(1), context(parameters=later))

    assert ("other", "35-44") == (now["plan"], now["age_class"])


@pytest.mark.parametrize("kind", ["identify", "group"])
@pytest.mark.parametrize(
    "junk", [b'"Ada"', b"[]", b"7", b'{"plan":[1],"born":"x"}', b'{"born":-4}']
)
def test_junk_costs_no_identity(kind: str, junk: bytes) -> None:
    raw = b'{"type":"%b","userId":"ada","timestamp":"2026-01-01T10:00:00Z","traits":%b}'
    event = admit(raw % (kind.encode(), junk), PARAMETERS, message_id="m")

    assert ("ada", NOTHING) == (event.customer, event.properties)
