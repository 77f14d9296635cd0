"""NPS, CSAT and CES: whose answer counts, where, for how long, and the totals."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from config.parameters import ParameterError, Parameters
from models.admission import decode_event
from models.customer.evidence import said_by
from models.customer.evidence_words import EvidenceParameters
from models.customer.part import KEYS_MAX
from models.customer.profile import encode_profile
from models.customer.registry import PARTS
from models.customer.row import Row, encode_row
from models.customer.satisfaction import SATISFACTION
from models.customer.satisfaction_measures import net_promoter_score
from models.customer.satisfaction_state import OPINIONS_MAX, Satisfaction, SatisfactionParameters
from models.decisions.trigger import NextBestAction, Trigger, does_nothing
from models.engine import record
from models.events.event import Event
from models.events.wire import encode_event
from models.learning.lessons import Tally, decode_lesson, encode_lesson
from models.learning.tallies import Tallies
from models.learning.trainer import Trainer
from models.parameters import load_parameters
from models.population import MEASURES_OF_PARTS, samples_of_parts
from models.replay import Replay
from streams.metrics import Metrics
from tests.models.lines import (
    DAY_MS,
    PARAMETERS,
    PRIOR,
    at,
    context,
    copied,
    line,
    lived,
    lived_with_effects,
    scene,
    seen,
)

SHIPPED = PARAMETERS.of(SatisfactionParameters)
ANSWERED, REQUESTED = "Survey Responded", "Survey Requested"
#: Ten people's answers in the specification: promoters 5, passives 3, detractors 2.
TEN = (10, 9, 9, 8, 7, 7, 6, 3, 10, 9)


def having(**changed: Any) -> Parameters:
    return PARAMETERS.with_section(replace(SHIPPED, **changed))


OFF = having(enabled=False)


def answer(
    day: float,
    score: float,
    *,
    kind: str = "nps",
    customer: str = "ada",
    message: str | None = None,
    **said: Any,
) -> bytes:
    properties = {"kind": kind, "score": score, **said}
    return line(ANSWERED, at(days=day), customer=customer, message=message, properties=properties)


def request(day: float, *, kind: str = "nps", customer: str = "ada", **said: Any) -> bytes:
    return line(REQUESTED, at(days=day), customer=customer, properties={"kind": kind, **said})


def replayed(lines: Iterable[bytes], parameters: Parameters = PARAMETERS) -> Replay:
    replay = Replay(parameters)
    for number, content in enumerate(lines, 1):
        replay.feed(content, number)
    return replay


def measured(lines: Iterable[bytes], parameters: Parameters = PARAMETERS) -> dict[str, float]:
    """The part's measures in a replay's summary, without the prefix ``keepstream_``."""
    assert SATISFACTION.population is not None
    ours = {measure.name for measure in SATISFACTION.population.measures}
    found = replayed(lines, parameters).summary().measures
    return {
        name.removeprefix("keepstream_"): value
        for name, value in found.items()
        if name.partition("{")[0] in ours
    }


def everybody(scores: Sequence[float], **said: Any) -> list[bytes]:
    """One answer per person."""
    return [answer(0, score, customer=f"c{n}", **said) for n, score in enumerate(scores)]


def as_event(content: bytes) -> Event:
    return decode_event(content, message_id="none")


def told(effects: Iterable[Any]) -> Counter[tuple[str, int]]:
    """The sums of the tallies, by key and day of the story."""
    sums: Counter[tuple[str, int]] = Counter()
    for effect in effects:
        if isinstance(effect, Tally) and effect.part == SATISFACTION.name:
            for key, day, amount in effect.sums:
                sums[key, day - at() // DAY_MS] += amount
    return Counter({key: amount for key, amount in sums.items() if amount})


def kinds(effects: Iterable[Any]) -> list[str]:
    return [str(effect.kind) for effect in effects if isinstance(effect, Trigger)]


# What the scores are.


@pytest.mark.parametrize(
    ("promoters", "passives", "detractors", "score", "margin"),
    [
        (5, 3, 2, 30.0, 48.40842902),
        (6, 3, 1, 50.0, 41.57787873),
        (10, 0, 0, 100.0, 0.0),
        (0, 0, 10, -100.0, 0.0),
        (0, 10, 0, 0.0, 0.0),
        (5, 0, 5, 0.0, 61.98064214),
        (500, 300, 200, 30.0, 4.840842902),
    ],
)
def test_nps_is_promoters_less_detractors_of_all_who_answered(
    promoters: int, passives: int, detractors: int, score: float, margin: float
) -> None:
    found = net_promoter_score(promoters, passives, detractors)

    assert (score, pytest.approx(margin)) == found


def test_ten_answers_and_one_that_is_replaced_a_week_later() -> None:
    first = everybody(TEN, touchpoint="delivery")
    before = measured(first)
    after = measured([*first, answer(7, 9, customer="c7", touchpoint="delivery")])

    assert 30.0 == before['nps{touchpoint="delivery"}']
    assert 48 == round(before['nps_margin{touchpoint="delivery"}'])
    assert 50.0 == after['nps{touchpoint="delivery"}']
    for found, counts in ((before, (5, 3, 2)), (after, (6, 3, 1))):
        assert 10 == found['survey_answers{kind="nps",touchpoint="delivery"}']
        verdicts = ("promoter", "passive", "detractor")
        names = [f'nps_answers{{touchpoint="delivery",verdict="{name}"}}' for name in verdicts]
        assert counts == tuple(found[name] for name in names)


def test_csat_is_the_share_that_is_satisfied_and_the_mean_share_of_the_scale() -> None:
    found = measured(everybody([1, 5, 4, 3, 5], kind="csat"), having(answers_min=5))

    assert 0.6 == found['csat{touchpoint="all"}']
    assert 0.65 == found['csat_mean_share{touchpoint="all"}']
    assert 5 == found['survey_answers{kind="csat",touchpoint="all"}']


@pytest.mark.parametrize(
    ("low", "high", "satisfied"),
    [
        (1, 5, [4, 5]),
        (1, 7, [5, 6, 7]),
        (1, 4, [3, 4]),
        (1, 3, [3]),
        (1, 10, [6, 7, 8, 9, 10]),
        (0, 10, [6, 7, 8, 9, 10]),
        (0, 1, [1]),
    ],
)
def test_the_upper_half_of_a_scale_leaves_its_middle_out(
    low: int, high: int, satisfied: list[int]
) -> None:
    for is_turned in (False, True):
        found = []
        for score in range(low, high + 1):
            said = {"scale_min": low, "scale_max": high, "higher_is_better": not is_turned}
            given_score = low + high - score if is_turned else score
            row = lived([as_event(answer(0, given_score, kind="csat", **said))])
            [view] = seen(row, at(days=1)).satisfaction.answers
            if view.verdict == "satisfied":
                found.append(score)
        assert satisfied == found


def test_ces_is_the_mean_share_whichever_way_it_was_asked() -> None:
    asked = having(answers_min=1)
    easy = measured(everybody([7, 7, 4], kind="ces", higher_is_better=True), asked)
    turned = measured(everybody([1, 1, 4], kind="ces", higher_is_better=False), asked)

    assert pytest.approx(2.5 / 3, abs=1e-6) == easy['ces{touchpoint="all"}']
    assert easy == turned


@pytest.mark.parametrize(
    ("score", "verdict"),
    [(0, "detractor"), (6, "detractor"), (7, "passive"), (8, "passive"), (9, "promoter")],
)
def test_an_nps_answer_is_one_of_three(score: float, verdict: str) -> None:
    row = lived([as_event(answer(0, score))])

    [view] = seen(row, at(days=1)).satisfaction.answers
    assert (verdict, score / 10) == (view.verdict, view.share)
    assert verdict == scene(row, at(days=1))["nps_class"]


@pytest.mark.parametrize(
    ("score", "low", "high", "verdict"),
    [
        (6.5, 0, 10, "detractor"),
        (6.99, 0, 10, "detractor"),
        (8.99, 0, 10, "passive"),
        (5, 1, 5, "promoter"),
        (4, 1, 5, "passive"),
        (3, 1, 5, "detractor"),
        (4.6, 1, 5, "promoter"),
        (3.4, 1, 5, "detractor"),
        (60, 0, 100, "detractor"),
        (61, 0, 100, "passive"),
        (90, 0, 100, "promoter"),
        (10, 1, 10, "promoter"),
        (1, -1, 1, "promoter"),
    ],
)
def test_an_nps_is_judged_on_the_scale_it_was_asked_on(
    score: float, low: float, high: float, verdict: str
) -> None:
    asked = as_event(answer(0, score, scale_min=low, scale_max=high))
    row, effects = lived_with_effects([asked])

    assert verdict == scene(row, at(days=1))["nps_class"]
    assert verdict == scene(row, asked.occurred_at_ms, event=asked)["survey_band"]
    assert {("nps:all:answered", 0): 1, (f"nps:none:{verdict}", 0): 1} == told(effects)
    poor = said_by(asked, PARAMETERS.of(EvidenceParameters))
    assert (verdict == "detractor") == bool(poor)
    fired = [one.kind for one in effects if isinstance(one, Trigger)]
    assert (verdict == "detractor") == ("low-satisfaction" in fired)


def test_the_nps_of_all_is_of_all_answers_and_no_mean_of_touchpoints() -> None:
    support = everybody([10] * 10, touchpoint="support")
    delivery = [answer(0, 0, customer=f"d{n}", touchpoint="delivery") for n in range(30)]

    found = measured([*support, *delivery])

    assert 100.0 == found['nps{touchpoint="support"}']
    assert -100.0 == found['nps{touchpoint="delivery"}']
    assert -50.0 == found['nps{touchpoint="all"}']


def test_a_score_is_told_from_ten_answers_on_and_their_number_always() -> None:
    nine = measured(everybody(TEN[:9]))
    ten = measured(everybody(TEN))

    assert 9 == nine['survey_answers{kind="nps",touchpoint="all"}']
    assert 'nps{touchpoint="all"}' not in nine
    assert 'nps_margin{touchpoint="all"}' not in nine
    assert 30.0 == ten['nps{touchpoint="all"}']


def test_how_many_answer_of_those_who_were_asked() -> None:
    asked = [request(0, customer=f"c{n}", touchpoint="delivery") for n in range(20)]
    answered = [answer(1, 8, customer=f"c{n}") for n in range(5)]

    found = measured([*asked, *answered, request(0, kind="csat"), request(0, kind="cei")])

    assert 20 == found['survey_requests{kind="nps"}']
    assert 0.25 == found['survey_response_ratio{kind="nps"}']
    assert 1 == found['survey_requests{kind="csat"}']
    assert 'survey_response_ratio{kind="csat"}' not in found
    assert not any("cei" in name for name in found)


# Whose answer counts, and for how long.


def test_a_person_counts_once_per_kind_touchpoint_and_window() -> None:
    events = [answer(0, 3), answer(1, 8, touchpoint="delivery"), answer(2, 10), answer(3, 9)]

    for arrival in permutations(events):
        _, effects = lived_with_effects(map(as_event, arrival))
        assert {
            ("nps:none:promoter", 3): 1,
            ("nps:delivery:passive", 1): 1,
            **{("nps:all:answered", day): 1 for day in range(4)},
        } == told(effects)


def test_of_one_moment_the_unhappiest_answer_counts() -> None:
    for arrival in permutations([answer(0, 9), answer(0, 2), answer(0, 7)]):
        _, effects = lived_with_effects(map(as_event, arrival))
        assert {("nps:none:detractor", 0): 1, ("nps:all:answered", 0): 3} == told(effects)


def test_the_operator_may_count_every_answer() -> None:
    within = context(parameters=having(count="all"))
    events = [as_event(content) for content in (answer(0, 3), answer(2, 10), answer(1, 9))]

    _, effects = lived_with_effects(events, within=within)

    assert {
        ("nps:none:detractor", 0): 1,
        ("nps:none:promoter", 1): 1,
        ("nps:none:promoter", 2): 1,
        **{("nps:all:answered", day): 1 for day in range(3)},
    } == told(effects)


def test_answers_leave_the_window_by_when_they_were_given() -> None:
    """The answer of the hundredth day comes last; the late one was given on the second."""
    first = everybody(TEN[:9])
    late = answer(2, 10, customer="late")
    known = 'survey_answers{kind="nps",touchpoint="all"}'

    def on(day: float, *more: bytes) -> dict[str, float]:
        return measured([*first, answer(2.5, 1, customer="x"), *more, request(day, customer="y")])

    assert 11 == on(89, late)[known]
    assert 2 == on(90, late)[known]
    assert 2 == on(91, late)[known]
    assert 0 == on(92, late)[known]
    assert 1 == on(92, answer(3, 9, customer="x"))[known]


def test_an_answer_that_is_replaced_long_after_leaves_nothing_behind() -> None:
    days = (0.0, 120.0, 121.0, 400.0)
    found = measured([answer(day, 10) for day in days])

    assert 1 == found['survey_answers{kind="nps",touchpoint="all"}']


def test_touchpoints_that_are_not_listed_are_told_together() -> None:
    found = measured(
        [
            answer(0, 9, touchpoint="delivery"),
            answer(0, 9, touchpoint="lobby"),
            answer(0, 9, touchpoint="parking", customer="bob"),
            answer(0, 9, customer="eve"),
        ]
    )

    counts = {
        name.partition("touchpoint=")[2]: value
        for name, value in found.items()
        if name.startswith("survey_answers")
    }
    assert {'"all"}': 4, '"delivery"}': 1, '"none"}': 1, '"other"}': 2} == counts


def test_what_was_told_is_taken_back_where_it_was_told_although_the_list_has_changed() -> None:
    row, first = lived_with_effects([as_event(answer(0, 9, touchpoint="lobby"))])
    listed = context(parameters=having(touchpoints=("lobby",)))

    _, then = lived_with_effects(
        [as_event(answer(1, 8, touchpoint="lobby"))], row=row, within=listed
    )

    assert {("nps:lobby:passive", 1): 1} == {
        key: amount for key, amount in told([*first, *then]).items() if "answered" not in key[0]
    }


def test_a_touchpoint_that_is_no_longer_listed_is_told_with_the_others() -> None:
    sums = {"nps:delivery:promoter": 6, "nps:other:detractor": 4}
    tallies = Tallies({SATISFACTION.name: sums})

    samples = list(samples_of_parts(tallies, having(touchpoints=())))

    found = {s.labels: s.value for s in samples if s.measure.name == "keepstream_nps"}
    assert {("all",): 20.0, ("other",): 20.0} == found


def test_sums_that_were_taken_back_twice_are_nothing() -> None:
    """As when a longer window brings back days of which only the corrections are left."""
    sums = {"nps:none:promoter": 12, "nps:none:detractor": -3, "csat:none:share": -5}

    samples = list(samples_of_parts(Tallies({SATISFACTION.name: sums}), PARAMETERS))

    assert 100.0 == {s.measure.name: s.value for s in samples}["keepstream_nps"]


# Order, repeats, bounds.

_ANSWERS = st.lists(
    st.tuples(
        st.sampled_from(["nps", "csat", "ces"]),
        st.sampled_from([None, "delivery", "support", *"abcdefgh"]),
        st.integers(0, 300),
        st.integers(1, 5),
    ),
    max_size=40,
)
Told = tuple[str, str | None, int, int]


def given_answer(said: Told) -> Event:
    kind, touchpoint, hour, score = said
    more: dict[str, Any] = {"higher_is_better": True} if kind == "ces" else {}
    if touchpoint is not None:
        more["touchpoint"] = touchpoint
    return as_event(answer(hour / 24, score, kind=kind, **more))


def expected_sums(answers: Iterable[Told]) -> Counter[tuple[str, int]]:
    """The right sums for one person, computed in another way than in the part."""
    latest: dict[tuple[str, str], tuple[int, int]] = {}
    for kind, touchpoint, hour, score in answers:
        key = kind, touchpoint or ""
        latest[key] = max(latest.get(key, (-1, 0)), (hour, -score))
    by_time = sorted(latest, key=lambda key: (latest[key][0], f"{key[0]}:{key[1]}"))
    sums: Counter[tuple[str, int]] = Counter()
    for key in by_time[-OPINIONS_MAX:]:
        (kind, touchpoint), (hour, score) = key, latest[key]
        listed = touchpoint if touchpoint in SHIPPED.touchpoints else "other"
        place, day = f"{kind}:{listed if touchpoint else 'none'}", hour // 24
        if kind == "nps":
            sums[f"{place}:detractor", day] += 1
            continue
        share = (-score - 1) / (4 if kind == "csat" else 6)
        sums[f"{place}:answers", day] += 1
        sums[f"{place}:share", day] += round(share * 1_000_000)
        sums[f"{place}:satisfied", day] += kind == "csat" and share >= 0.75
    return Counter({key: amount for key, amount in sums.items() if amount})


@given(answers=_ANSWERS, data=st.data())
def test_late_repeated_and_shuffled_answers_end_in_the_same_sums(
    answers: list[Told], data: st.DataObject
) -> None:
    events = {event.message_id: event for event in map(given_answer, answers)}
    again = [
        replace(event, message_id=f"again {event.message_id}")
        for event in events.values()
        if data.draw(st.booleans())
    ]
    arrival = data.draw(st.permutations([*events.values(), *again]))

    row, effects = lived_with_effects(arrival)

    found = {key: n for key, n in told(effects).items() if not key[0].endswith(":answered")}
    assert expected_sums(answers) == found
    orderly = lived(sorted(events.values(), key=lambda event: event.occurred_at_ms))
    assert orderly.packed().get(SATISFACTION.code) == row.packed().get(SATISFACTION.code)
    assert len(row.read(SATISFACTION).opinions) <= OPINIONS_MAX


@given(answers=_ANSWERS, data=st.data())
def test_a_log_in_any_order_tells_the_same_of_all_customers(
    answers: list[Told], data: st.DataObject
) -> None:
    lines = []
    for kind, touchpoint, hour, score in answers:
        said: dict[str, Any] = {"touchpoint": touchpoint, "higher_is_better": True}
        customer = data.draw(st.sampled_from(["ada", "bob", "eve"]))
        lines.append(answer(hour / 240, score, kind=kind, customer=customer, **said))
    end = request(3, customer="last")
    shuffled = data.draw(st.permutations([*lines, *lines]))

    assert measured([*lines, end]) == measured([*shuffled, end])


def test_the_oldest_of_too_many_touchpoints_goes_and_no_longer_counts() -> None:
    letters = "abcdefghijklmnopqrst"
    events = [answer(day, 9, touchpoint=letter) for day, letter in enumerate(letters)]

    row, effects = lived_with_effects(map(as_event, events))

    assert OPINIONS_MAX == len(row.read(SATISFACTION).opinions)
    counted = {day for (key, day), _ in told(effects).items() if key == "nps:other:promoter"}
    assert set(range(len(letters) - OPINIONS_MAX, len(letters))) == counted
    _, more = lived_with_effects([as_event(answer(0.5, 1, touchpoint="a"))], row=row)
    assert {("nps:all:answered", 0): 1} == told(more)


def test_of_too_many_touchpoints_of_one_moment_the_same_go_in_any_order() -> None:
    events = [as_event(answer(0, 9, touchpoint=letter)) for letter in "abcdefghijklmnopqrst"]

    there, back = lived(events), lived(reversed(events))

    assert set(there.read(SATISFACTION).opinions) == set(back.read(SATISFACTION).opinions)


def test_an_answer_that_comes_again_tells_nothing_new() -> None:
    row = lived([as_event(answer(0, 9))])

    _, effects = lived_with_effects([as_event(answer(0, 9, message="again"))], row=row)

    [tally] = [effect for effect in effects if isinstance(effect, Tally)]
    assert ["nps:all:answered"] == [key for key, _, _ in tally.sums]


def test_no_operator_can_ask_for_more_sums_than_a_part_may_tell() -> None:
    told_of = SATISFACTION.population
    assert told_of is not None

    most = having(touchpoints=("a", "b", "c", "d", "e"))
    assert len(told_of.keys(most)) <= KEYS_MAX
    assert len(set(told_of.keys(most))) == len(told_of.keys(most))
    with pytest.raises(ParameterError, match="are 5 at most"):
        load_parameters(None, ["satisfaction.touchpoints=a,b,c,d,e,f"])


@given(answers=_ANSWERS)
def test_nothing_is_told_under_a_key_that_was_not_announced(answers: list[Told]) -> None:
    told_of = SATISFACTION.population
    assert told_of is not None

    _, effects = lived_with_effects({e.message_id: e for e in map(given_answer, answers)}.values())

    assert {key for key, _ in told(effects)} <= set(told_of.keys(PARAMETERS))


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("touchpoints=a,a", "has one twice"),
        ("touchpoints=a,all", "'all' has a meaning of its own"),
        ('touchpoints=["at the till"]', "is no code"),
        ("window_days=0", "must be more than 0"),
        ("window_days=999", "is 366 at most"),
        ("answers_min=0", "must be more than 0"),
        ("count=some", "count"),
    ],
)
def test_what_cannot_be_used_is_refused(assignment: str, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        load_parameters(None, [f"satisfaction.{assignment}"])


# When to speak up, and when not.


def test_passives_and_promoters_are_told_of_once_in_a_quarter() -> None:
    replay = replayed([])
    days = [(0, 8), (1, 7), (2, 9), (3, 10), (50, 8), (91, 8), (93, 10)]

    outputs = []
    for number, (day, score) in enumerate(days, 1):
        outputs += replay.feed(answer(day, score), number)

    fired = [o.timestamp[:10] + " " + o.kind for o in outputs if isinstance(o, Trigger)]
    assert [
        "2026-01-01 nps-passive",
        "2026-01-03 nps-promoter",
        "2026-04-02 nps-passive",
        "2026-04-04 nps-promoter",
    ] == fired
    assert all(does_nothing(output) for output in outputs if isinstance(output, NextBestAction))


def test_one_answer_of_eight_from_someone_who_was_asked_yesterday_contacts_nobody() -> None:
    events = [request(0), answer(1, 8, touchpoint="a"), answer(1.1, 8, touchpoint="b")]

    row, effects = lived_with_effects(map(as_event, events))

    assert ["nps-passive"] == kinds(effects)
    assert all(does_nothing(effect) for effect in effects if isinstance(effect, NextBestAction))
    assert 0 == row.next_due_ms


def test_a_receipt_gives_no_reason_that_is_not_known() -> None:
    """What the answer was about, and what all customers say."""
    _, effects = lived_with_effects([as_event(answer(0, 8))])

    [trigger] = [effect for effect in effects if isinstance(effect, Trigger)]
    assert ["8 of 10"] == [reason.words for reason in trigger.reasons]


def raised(row: Row, content: bytes) -> list[str]:
    """The part's moments after one more event."""
    within = context()
    step = record(copied(row), as_event(content), within.present, within.plan)
    return [name for name in step.moments if name in SATISFACTION.moments]


def test_only_the_customers_last_word_is_news() -> None:
    row = lived([as_event(answer(5, 8))])

    assert ["nps-promoter"] == raised(row, answer(6, 9, touchpoint="delivery"))
    assert ["nps-passive"] == raised(row, answer(5, 7))
    # A detractor is not, nor is what came late, or again, or is no NPS.
    assert [] == raised(row, answer(6, 6))
    assert [] == raised(row, answer(4, 9, touchpoint="delivery"))
    assert [] == raised(row, answer(5, 8, message="again"))
    assert [] == raised(row, answer(6, 5, kind="csat"))


def test_a_customers_class_is_that_of_their_last_answer_within_the_window() -> None:
    row = lived([as_event(answer(0, 9, touchpoint="support")), as_event(answer(1, 7))])

    def facts(day: float) -> tuple[Any, Any]:
        here = scene(row, at(days=day))
        return here["nps_class"], here["nps_touchpoint"]

    assert ("passive", "") == facts(1)
    assert ("passive", "") == facts(90.9)
    assert ("", "") == facts(91)


def test_of_two_answers_of_one_moment_the_same_is_the_last_in_any_order() -> None:
    events = [as_event(answer(0, 9, touchpoint=name)) for name in ("support", "delivery")]

    found = [
        scene(lived(arrival), at(days=1))["nps_touchpoint"] for arrival in permutations(events)
    ]

    assert ["support", "support"] == found


def test_the_shops_nps_is_a_fact_from_ten_answers_on() -> None:
    def facts(**sums: int) -> tuple[Any, Any]:
        tallies = Tallies({SATISFACTION.name: {f"nps:none:{key}": n for key, n in sums.items()}})
        here = scene(Row(), at(), context(snapshot=PRIOR.replace(tallies)))
        return here["shop_nps"], here["shop_nps_answers"]

    assert (30.0, 10.0) == facts(promoter=5, passive=3, detractor=2)
    assert (pytest.approx(float("nan"), nan_ok=True), 9.0) == facts(promoter=5, passive=4)
    nothing = pytest.approx(float("nan"), nan_ok=True)
    assert (nothing, nothing) == facts()


# Off and on.


def test_switched_off_it_says_nothing_and_leaves_what_is_stored_as_it_is() -> None:
    row = lived([as_event(answer(0, 9, touchpoint="delivery"))])
    stored = row.packed()[SATISFACTION.code]
    off = context(parameters=OFF)
    events = [
        request(1),
        answer(2, 8, touchpoint="delivery"),
        answer(3, 7, kind="csat", scale_max=9),
    ]

    after, effects = lived_with_effects(map(as_event, events), row=row, within=off)

    assert stored == after.packed()[SATISFACTION.code]
    assert ([], {}) == (kinds(effects), told(effects))
    here = scene(after, at(days=3), off)
    assert ("", "") == (here["nps_class"], here["nps_touchpoint"])
    assert seen(after, at(days=3), off).satisfaction is None
    assert {} == measured([*everybody(TEN), request(1)], OFF)


def test_switched_on_again_it_goes_on_from_what_it_had_told() -> None:
    row, told_before = lived_with_effects([as_event(answer(0, 9))])
    row, _ = lived_with_effects([as_event(answer(1, 3))], row=row, within=context(parameters=OFF))
    _, told_after = lived_with_effects([as_event(answer(2, 8))], row=row)

    sums = told([*told_before, *told_after])
    assert {("nps:none:passive", 2): 1} == {
        key: n for key, n in sums.items() if not key[0].endswith("answered")
    }


# One person, words, privacy, metrics.


def test_the_answers_of_several_ids_are_those_of_one_person() -> None:
    lives = (
        [answer(0, 9), answer(4, 3, touchpoint="delivery")],
        [answer(2, 8), answer(3, 10, touchpoint="delivery"), answer(1, 5, kind="csat")],
        [],
    )
    together = lived(map(as_event, [content for life in lives for content in life]))
    states = [lived(map(as_event, life)).read(SATISFACTION) for life in lives]

    for order in permutations(states):
        one = SATISFACTION.united(order, PARAMETERS)
        assert SATISFACTION.pack(together.read(SATISFACTION)) == SATISFACTION.pack(one)
    nobody = SATISFACTION.united([], PARAMETERS)
    assert SATISFACTION.empty == SATISFACTION.pack(nobody)


def test_many_answers_of_several_ids_stay_within_the_bound() -> None:
    letters = "abcdefghijklmnop"
    lives = [
        [as_event(answer(n, 5, kind=kind, touchpoint=x)) for n, x in enumerate(letters)]
        for kind in ("nps", "csat")
    ]
    states = [lived(life).read(SATISFACTION) for life in lives]

    one = SATISFACTION.united(states, PARAMETERS)

    assert OPINIONS_MAX == len(one.opinions)
    assert {"nps:p", "csat:p", "nps:i", "csat:i"} <= set(one.opinions)


def test_a_state_is_read_as_it_was_written() -> None:
    row = lived([as_event(answer(0, 9)), as_event(answer(1, 4, kind="csat", touchpoint="a"))])
    state = row.read(SATISFACTION)

    again = SATISFACTION.unpack(SATISFACTION.pack(state))

    assert state.opinions == again.opinions
    assert b"" != SATISFACTION.pack(Satisfaction())


def test_a_profile_says_what_the_customer_said_and_what_all_say() -> None:
    [section] = [s for s in SATISFACTION.sections if s.name == "satisfaction"]
    assert section.in_words is not None
    row = lived(
        map(
            as_event,
            [
                answer(0, 8, touchpoint="delivery"),
                answer(2, 2, kind="csat"),
                answer(2, 7, kind="ces", higher_is_better=True),
            ],
        )
    )
    sums = {
        "nps:delivery:promoter": 5,
        "nps:none:passive": 3,
        "nps:none:detractor": 2,
        "csat:none:answers": 20,
        "csat:none:satisfied": 12,
        "csat:none:share": 13_000_000,
        "ces:none:answers": 1,
        "ces:none:share": 500_000,
    }
    snapshot = PRIOR.replace(Tallies({SATISFACTION.name: sums}))
    view = seen(row, at(days=4), context(snapshot=snapshot)).satisfaction

    lines = section.in_words(view, "2026-01-05T00:00:00.000Z", "EUR")

    assert [
        ("answer", "CES 100%, 2 days before"),
        ("answer", "CSAT 25%, 2 days before"),
        ("answer", "NPS 8 of 10, passive, about delivery, 4 days before"),
        ("all customers", "CES too few to say (1 answer)"),
        ("all customers", "CSAT 60% satisfied, 65% of the scale on average (20 answers)"),
        ("all customers", "NPS +30 ± 48 (10 answers)"),
    ] == list(lines)
    assert [] == list(section.in_words(None, "2026-01-05T00:00:00.000Z", "EUR"))
    assert seen(Row(), at(days=4)).satisfaction is None


@pytest.mark.parametrize("text", ["my canary died", "canary@example.com", "+49 30 canary", ""])
def test_a_touchpoint_that_a_person_wrote_does_not_travel(text: str) -> None:
    content = answer(0, 3, touchpoint=text)
    asked = request(0, kind="canary " + text, touchpoint=text)
    for raw in (content, asked):
        event = as_event(raw)
        # The message ids of these tests repeat what was said; a publisher's do not.
        assert b"canary" not in encode_event(replace(event, message_id="m"))

    row, effects = lived_with_effects([as_event(content)])

    assert b"canary" not in encode_row(row)
    assert b"canary" not in encode_profile(seen(row, at(days=1)))
    tallies = [effect for effect in effects if isinstance(effect, Tally)]
    assert tallies
    assert not any(b"canary" in encode_lesson(tally) for tally in tallies)


def test_a_code_travels_with_the_event() -> None:
    event = as_event(answer(0, 3, touchpoint="delivery", reason="too_slow"))

    again = as_event(encode_event(event))

    assert ("delivery", "too_slow") == (again.properties.touchpoint, again.properties.reason)


def exposed(trainer: Trainer, metrics: Metrics) -> set[str]:
    """The lines of /metrics, once the trainer has published what it learnt."""
    samples = samples_of_parts(trainer.tallies(trainer.heard_ms), PARAMETERS)
    metrics.set_samples(MEASURES_OF_PARTS, samples)
    return set(metrics.exposition().decode().splitlines())


def learn(trainer: Trainer, lines: Iterable[bytes], offset: int) -> None:
    """Learn the lessons of one person's events, as they travel: each lesson comes twice."""
    _, effects = lived_with_effects(map(as_event, lines))
    for index, effect in enumerate(effects):
        if isinstance(effect, Tally):
            effect.offset, effect.index = offset, index
            for _ in range(2):
                trainer.learn(decode_lesson(encode_lesson(effect)))


def test_metrics_tell_what_the_trainer_heard_and_forget_what_has_passed() -> None:
    trainer, metrics = Trainer(PARAMETERS), Metrics()
    for offset, score in enumerate(TEN):
        learn(trainer, [request(0), answer(0, score, touchpoint="delivery")], offset)

    told_first = exposed(trainer, metrics)
    learn(trainer, [request(95)], len(TEN))
    told_last = exposed(trainer, metrics)

    assert {
        'keepstream_nps{touchpoint="delivery"} 30.0',
        'keepstream_nps{touchpoint="all"} 30.0',
        'keepstream_nps_answers{touchpoint="delivery",verdict="passive"} 3.0',
        'keepstream_survey_answers{kind="nps",touchpoint="delivery"} 10.0',
        'keepstream_survey_response_ratio{kind="nps"} 1.0',
    } <= told_first
    assert 'keepstream_survey_answers{kind="nps",touchpoint="delivery"} 0.0' in told_last
    assert not any(line.startswith("keepstream_nps{") for line in told_last)


def test_the_part_stands_before_the_score_that_looks_at_everything() -> None:
    names = [part.name for part in PARTS]

    assert names.index("support") < names.index("satisfaction") < names.index("churn")
