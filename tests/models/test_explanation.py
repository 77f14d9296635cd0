"""Why a score is what it is: parts that add up to it, in words with the customer's own numbers."""

from collections.abc import Callable
from math import exp
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace

from config.parameters import Parameters
from models.customer import scores
from models.customer.evidence import reason
from models.customer.part import SCORE
from models.customer.row import Row
from models.customer.scene import Scene
from models.decisions.decide import BASE, look, reasons
from models.events.event import Event
from models.learning.bgnbd import BgNbd
from models.learning.churn import Churn, Source
from models.learning.churn_models import ChurnModels, ChurnScoring, LinearModel
from models.learning.explanation import GROUP_OF, Direction, Explanation, Group
from models.learning.feature_names import NAMES
from models.learning.population import Population
from models.learning.purchases_ahead import p_no_purchase
from models.learning.scorers import LOG_ODDS_MAX, SCORERS, Scorer
from models.learning.snapshot import Snapshot
from tests.models.lines import PARAMETERS, PRIOR, at, context, happened, lived, scene, seen

T = TypeVar("T")

FORMULA = BgNbd(0.5, 5.0, 0.6, 2.5)
MODEL = ChurnModels(
    means=(0.5,) * len(NAMES),
    deviations=(0.0, *(1.0 + n / 10 for n in range(1, len(NAMES)))),
    logistic=LinearModel(0.3, tuple(0.07 * (-1) ** n * (n + 1) for n in range(len(NAMES)))),
    bayesian=LinearModel(-0.4, tuple(0.02 * (-1) ** n * (n + 2) for n in range(len(NAMES)))),
    shift=0.2,
    champion=Scorer.LOGISTIC,
    examples=500,
)
POPULATION = replace(PRIOR.of(Population), gap_days=20.0, bgnbd=FORMULA)
SERVED = PRIOR.replace(POPULATION, ChurnScoring({"28": MODEL}), version=3)
HORIZONS = replace(PARAMETERS, churn=replace(PARAMETERS.churn, horizon_days=(28.0, 90.0)))


def ordered(day: float, revenue: float = 50.0) -> Event:
    return happened("Order Completed", at(days=day), order_id=f"O-{day}", revenue=revenue)


BUYER = lived([ordered(0.5), ordered(9.5), ordered(21.5)])


def explained(
    row: Row = BUYER,
    day: float = 30.0,
    snapshot: Snapshot = SERVED,
    parameters: Parameters = PARAMETERS,
) -> tuple[Explanation, ...]:
    within = context(snapshot=snapshot, parameters=parameters)
    return scores.explanations(scene(row, at(days=day), within))


def churn_of(snapshot: Snapshot, parameters: Parameters = PARAMETERS) -> tuple[Churn, ...]:
    """The scores of the buyer a month after their start."""
    within = context(snapshot=snapshot, parameters=parameters)
    found = scores.assessment(scene(BUYER, at(days=30), within))
    assert found is not None
    return found.churn


def said(group: Group, row: Row, day: float, **more: Any) -> str:
    """The words of one group, when the learnt model serves."""
    [told] = explained(row, day, **more)
    [words] = [part.words for part in told.groups if part.group == group]
    return words


def test_every_feature_is_told_with_a_group() -> None:
    assert set(NAMES) == GROUP_OF.keys()
    assert set(Group) - {Group.LIMIT} == set(GROUP_OF.values())


@pytest.mark.parametrize(
    ("snapshot", "sources"),
    [
        (PRIOR, [Source.PRIOR, Source.PRIOR]),
        (SERVED.replace(ChurnScoring()), [Source.BASELINE, Source.BASELINE]),
        (
            SERVED.replace(ChurnScoring({"28": replace(MODEL, champion="baseline")})),
            [Source.BASELINE, Source.BASELINE],
        ),
        (SERVED, [Source.CHAMPION, Source.BASELINE]),
    ],
)
def test_base_and_groups_add_up_to_the_score_whoever_gave_it(
    snapshot: Snapshot, sources: list[Source]
) -> None:
    given = churn_of(snapshot, HORIZONS)
    assert sources == [churn.source for churn in given]

    told = explained(snapshot=snapshot, parameters=HORIZONS)
    assert len(told) == len(given)
    for churn, found in zip(given, told, strict=True):
        total = found.base + sum(part.contribution for part in found.groups)
        assert pytest.approx(found.log_odds, abs=1e-9) == total
        assert pytest.approx(churn.probability, rel=1e-12) == 1 / (1 + exp(-found.log_odds))
        groups = {part.group for part in found.groups}
        match churn.source:
            case Source.PRIOR:
                assert set() == groups
            case Source.BASELINE:
                # A longer horizon is limited by what the model says of the shorter one.
                assert {Group.PATTERN} == groups - {Group.LIMIT}
            case Source.CHAMPION:
                assert set(Group) - {Group.LIMIT} == groups


@pytest.mark.parametrize("champion", SCORERS)
@pytest.mark.parametrize("formula", [FORMULA, None])
def test_any_scorers_word_can_be_taken_apart(champion: Scorer, formula: BgNbd | None) -> None:
    models = replace(MODEL, champion=champion)
    snapshot = SERVED.replace(replace(POPULATION, bgnbd=formula), ChurnScoring({"28": models}))
    [churn] = churn_of(snapshot)
    [told] = explained(snapshot=snapshot)

    total = told.base + sum(part.contribution for part in told.groups)
    assert pytest.approx(told.log_odds, abs=1e-9) == total
    assert pytest.approx(churn.probability, rel=1e-9) == 1 / (1 + exp(-total))
    assert Group.LIMIT not in {part.group for part in told.groups}


def test_the_strongest_group_comes_first_and_says_which_way_it_moves_the_score() -> None:
    [told] = explained()
    sizes = [abs(part.contribution) for part in told.groups]

    assert sorted(sizes, reverse=True) == sizes
    for part in told.groups:
        is_raised = part.contribution > 0
        assert (Direction.RAISES if is_raised else Direction.LOWERS) == part.direction
    assert {Direction.RAISES, Direction.LOWERS} == {part.direction for part in told.groups}


def test_a_feature_that_never_varied_moves_nothing() -> None:
    still = replace(MODEL, deviations=(0.0,) * len(NAMES))
    [told] = explained(snapshot=SERVED.replace(ChurnScoring({"28": still})))

    assert () == told.groups
    assert pytest.approx(MODEL.logistic.intercept, abs=1e-12) == told.log_odds


@pytest.mark.parametrize(("intercept", "served"), [(900.0, LOG_ODDS_MAX), (-900.0, -LOG_ODDS_MAX)])
def test_what_was_cut_off_of_too_sure_a_score_is_a_group_that_says_so(
    intercept: float, served: float
) -> None:
    sure_model = replace(MODEL.logistic, intercept=intercept)
    sure = SERVED.replace(ChurnScoring({"28": replace(MODEL, logistic=sure_model)}))
    [told] = explained(snapshot=sure)

    assert served == pytest.approx(told.log_odds, abs=1e-9)
    assert pytest.approx(served, abs=1e-9) == told.base + sum(p.contribution for p in told.groups)
    assert Group.LIMIT == told.groups[0].group
    assert "never surer" in told.groups[0].words
    assert Group.LIMIT not in {part.group for part in explained()[0].groups}


WEEKLY = lived([ordered(7.0 * week) for week in range(12)])
#: 100 a week for eight weeks, then 40.
THRIFTY = lived([ordered(7.0 * week, 100.0 if week < 8 else 40.0) for week in range(12)])


@pytest.mark.parametrize(
    ("group", "row", "day", "words"),
    [
        (Group.RHYTHM, WEEKLY, 81.0, "bought on time: usually every 8 days, now 4"),
        (Group.RHYTHM, WEEKLY, 88.0, "late: usually every 8 days, now 11"),
        (Group.RHYTHM, WEEKLY, 100.0, "overdue: usually every 8 days, now 23"),
        (Group.RHYTHM, lived([ordered(0)]), 23, "bought once, 23 days ago; others usually again"),
        (Group.FREQUENCY, lived([ordered(0)]), 23, "one purchase so far"),
        (Group.FREQUENCY, BUYER, 30.0, "2 orders in 28 days"),
        (Group.FREQUENCY, WEEKLY, 98.0, "1 order in 28 days, usually 3.4"),
        (Group.SPEND, BUYER, 30.0, "spent 100.00 in the last 28 days"),
        (Group.SPEND, THRIFTY, 83.9, "spends 50% less than in the last 12 weeks"),
        (Group.SPEND, WEEKLY, 83.9, "spends as in the last 12 weeks"),
        (Group.SPEND, WEEKLY, 110.0, "spent nothing in 28 days, 400.00 in the last 12 weeks"),
        (Group.SPEND, WEEKLY, 170.0, "spent nothing in the last 12 weeks"),
        (Group.TREND, BUYER, 30.0, "too new for a trend"),
        (Group.TREND, WEEKLY, 98.0, "1 order in 28 days, 8 in the 56 before"),
        (Group.TENURE, BUYER, 30.0, "customer for 30 days"),
        (Group.TENURE, BUYER, 426.0, "customer for 14 months"),
        (Group.TENURE, BUYER, 1000.0, "customer for 2.7 years"),
        (Group.ENGAGEMENT, BUYER, 33.6, "not seen for 12 days"),
        (Group.ENGAGEMENT, BUYER, 22.6, "not seen for 1 day"),
        (Group.ENGAGEMENT, BUYER, 21.6, "seen within a day"),
        (Group.SERVICE, BUYER, 30.0, "no open tickets"),
    ],
)
def test_words_are_the_customers_own_numbers(
    group: Group, row: Row, day: float, words: str
) -> None:
    assert said(group, row, day).startswith(words)


def test_service_is_told_by_tickets_and_answers() -> None:
    row = lived(
        [
            ordered(0),
            happened("Ticket Opened", at(days=2), ticket_id="T", priority="low"),
            happened("Ticket Opened", at(days=1), ticket_id="U", priority="urgent"),
            happened("Survey Responded", at(days=2), kind="nps", score=3),
            happened("Survey Responded", at(days=2), kind="csat", score=2),
        ]
    )

    words = said(Group.SERVICE, row, 2.5)
    assert "2 open tickets, 1 past the promised time, NPS 3 of 10, CSAT 2" == words


def test_the_pattern_is_told_with_what_the_formula_says() -> None:
    formula = p_no_purchase(FORMULA, 2, 21 / 7, 30 / 7, 4)

    words = f"by the pattern of purchases alone {formula:.0%} likely not to buy within 28 days"
    assert words == said(Group.PATTERN, BUYER, 30.0)


def test_a_pattern_that_is_not_learnt_says_so() -> None:
    unknown = SERVED.replace(replace(POPULATION, bgnbd=None))
    words = said(Group.PATTERN, BUYER, 30.0, snapshot=unknown)

    assert "the pattern of purchases is not learnt yet" == words


def test_an_order_after_the_moment_is_in_no_words() -> None:
    later = lived([ordered(40.5, 999.0)], row=BUYER)

    for group in set(Group) - {Group.LIMIT, Group.ENGAGEMENT}:
        assert said(group, BUYER, 30.0) == said(group, later, 30.0)


def test_money_is_told_in_the_shops_currency() -> None:
    yen = replace(PARAMETERS, money=replace(PARAMETERS.money, currency="JPY"))
    row = lived([ordered(0, 500.0), ordered(1, 200.0)], within=context(parameters=yen))

    assert "spent 700 in the last 28 days" == said(Group.SPEND, row, 9, parameters=yen)


def test_a_receipt_has_every_group_and_the_base_and_sums_to_the_score() -> None:
    now = scene(BUYER, at(days=30), context(snapshot=SERVED))
    told = reasons(now, ("orders", "churn_probability"))

    assert ["orders", "churn_probability"] == [r.code for r in told if r.contribution is None]
    parts = [r for r in told if r.contribution is not None]
    assert {*Group, BASE} - {Group.LIMIT} == {part.code for part in parts}
    assert (BASE, None) == (parts[-1].code, parts[-1].value)
    assert {"raises", "lowers"} == {part.value for part in parts[:-1]}
    total = sum(part.contribution or 0.0 for part in parts)
    churn = scores.churn(now)
    assert churn is not None
    assert pytest.approx(churn.probability, rel=1e-9) == 1 / (1 + exp(-total))


class Asked(Scene):
    """Remembers the facts that were read."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.readings: set[Any] = set()

    def of(self, reading: Callable[[Scene], T]) -> T:
        self.readings.add(reading)
        return super().of(reading)


def test_a_score_that_decides_nothing_is_not_explained() -> None:
    calm = replace(MODEL, logistic=LinearModel(-9.0, (0.0,) * len(NAMES)))
    within = context(snapshot=SERVED.replace(ChurnScoring({"28": calm})))
    # When the next purchase is overdue: before, no score is asked for.
    now = Asked(BUYER, "ada", at(days=120), within.present)

    assert [] == look(now, within.plan.policy.triggers[SCORE], SCORE)
    assert scores.churn in now.readings
    assert not {scores.assessment, scores.explanation, reason} & now.readings


def test_a_profile_explains_each_of_its_scores() -> None:
    def view(row: Row) -> Any:
        return seen(row, at(days=30), context(snapshot=SERVED, parameters=HORIZONS))

    assert explained(parameters=HORIZONS) == view(BUYER).explanations
    assert 2 == len(view(BUYER).explanations)
    visitor = view(lived([happened("page", at())]))
    assert ((), None) == (visitor.explanations, visitor.churn_reason)
