"""A profile in words: the score and whose word it is, and what was decided and came of it."""

import io

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console

from agents.cli.profile_words import profile_in_words
from models.customer.anomaly import Anomaly
from models.customer.churn_reason import ChurnReason, ReasonKind
from models.customer.contacts import CONTROL, TREATED, Outcome
from models.customer.profile import ChurnView, DecisionView, Profile
from models.learning.churn import Source
from models.learning.explanation import Direction, Explanation, GroupContribution
from models.learning.explanation_words import Group
from models.learning.value import HorizonView, ValueView, Worth
from models.replay import Replay
from tests.models.lines import PARAMETERS, at, line


@pytest.fixture(scope="module")
def view() -> Profile:
    """A customer who bought now and then, and left a cart alone."""
    replay = Replay(PARAMETERS)
    cart = {"product_id": "p", "price": 30, "quantity": 2}
    lines = [
        line("Order Completed", at(0), properties={"revenue": 40}),
        line("Order Completed", at(20), properties={"revenue": 60}),
        line("Product Added", at(40), properties=cart),
        b'{"type":"watermark","timestamp":"2026-02-12T00:00:00Z"}',
    ]
    for number, raw in enumerate(lines, 1):
        replay.feed(raw, number)
    [found] = replay.profiles()
    return found


def rows(view: Profile) -> list[tuple[str, str]]:
    """(name, words) of every line."""
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(profile_in_words(view, "EUR"))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    found = [text_line.split("  ", 1) for text_line in text.splitlines()[1:]]
    return [(name.strip(), words.strip()) for name, words in found]


def said(view: Profile, name: str) -> list[str]:
    return [words for found, words in rows(view) if found == name]


def test_what_was_decided_is_told_with_what_came_of_it(view: Profile) -> None:
    [decision] = view.decisions
    [words] = said(view, "action")
    assert words.startswith(f"{decision.action} by {decision.channel}, ")
    assert "before" in words
    [churn] = said(view, "churn")
    assert "30% likely to buy nothing within 28 days: assumed, as nothing was learnt yet" in churn


@pytest.mark.parametrize(
    ("group", "outcome", "words"),
    [
        (TREATED, Outcome.NONE, "nothing heard of it yet"),
        (TREATED, Outcome.CLICKED, "clicked"),
        (TREATED, Outcome.FAILED, "could not be delivered"),
        (CONTROL, Outcome.NONE, "not taken, for the customer is in the control group"),
    ],
)
def test_every_outcome_and_both_groups_have_words(
    view: Profile, group: str, outcome: Outcome, words: str
) -> None:
    made = DecisionView("call", "phone", view.as_of, group, str(outcome))

    assert [f"call by phone, just before: {words}"] == said(
        replace(view, decisions=(made,)), "action"
    )


def test_the_latest_decisions_come_first_and_not_all_of_them(view: Profile) -> None:
    made = tuple(
        DecisionView(f"a{n}", "email", f"2026-01-{n:02d}T00:00:00.000Z", TREATED, "none")
        for n in range(1, 9)
    )

    shown = [words.split(" ")[0] for words in said(replace(view, decisions=made), "action")]
    assert ["a8", "a7", "a6", "a5", "a4"] == shown


@pytest.mark.parametrize("source", list(Source))
def test_a_score_says_whose_word_it_is(view: Profile, source: Source) -> None:
    scores = (
        ChurnView(0.734, 28.0, source, 12, "blend", {"blend": 0.734}),
        ChurnView(0.2, 90.0, source, 0, None, {}),
    )
    first, second = said(replace(view, churn=scores), "churn")

    assert first.startswith("73% likely to buy nothing within 28 days: ")
    named = "champion blend" if source is Source.CHAMPION else source
    assert first.endswith(f"({named}, version 12)")
    assert second.startswith("20% likely to buy nothing within 90 days: ")


def test_a_score_is_told_as_a_sum_and_with_the_reason_to_leave(view: Profile) -> None:
    groups = (
        GroupContribution(Group.RHYTHM, 1.25, Direction.RAISES, "late: usually every 9 days"),
        GroupContribution(Group.SERVICE, -0.5, Direction.LOWERS, "no open tickets"),
    )
    reason = ChurnReason(
        ReasonKind.PRICE, ("coupon denied, 2 days ago",), {"price": 0.75, "product": 0.25}
    )
    told = replace(view, explanations=(Explanation(-1.0, groups, -0.25),), churn_reason=reason)

    assert ["+1.25 rhythm: late: usually every 9 days"] == said(told, "raises")
    assert ["-0.50 service: no open tickets"] == said(told, "lowers")
    assert ["-0.25, of which everybody has -1.00"] == said(told, "log odds")
    assert ["price (price 75%, product 25% of what was heard)"] == said(told, "reason to leave")
    assert ["coupon denied, 2 days ago"] == said(told, "evidence")


def test_whoever_has_not_bought_has_no_score(view: Profile) -> None:
    visitor = replace(view, churn=(), explanations=(), churn_reason=None)

    for name in ("churn", "log odds", "reason to leave"):
        assert [] == said(visitor, name)
        assert 1 == len(said(view, name))


def test_a_profile_read_back_from_the_store_reads_the_same(view: Profile) -> None:
    stored = msgspec.json.decode(msgspec.json.encode(view), type=Profile)

    assert rows(view) == rows(stored)


@pytest.mark.parametrize(
    ("silent", "words"),
    [
        (0.1, "0.10 of 1: keeps to their own rhythm"),
        (0.7, "0.70 of 1: buys less than by their own rhythm"),
        (0.9, "0.90 of 1: is thinning out, by their own rhythm"),
    ],
)
def test_silent_churn_has_words(view: Profile, silent: float, words: str) -> None:
    assert [] == said(view, "silent churn")
    assert [words] == said(replace(view, silent_churn=silent), "silent churn")


@pytest.mark.parametrize(
    ("deviations", "ratio", "words"),
    [
        (-1.2, 0.5, "last 14 days as usual for this customer (-1.2 deviations)"),
        (-5.0, 0.5, "last 14 days half as often as usual for this customer (-5.0 deviations)"),
        (-3.0, 0.25, "last 14 days 25% as often as usual for this customer (-3.0 deviations)"),
        (-4.0, 0.0, "nothing in the last 14 days, unlike usual (-4.0 deviations)"),
        (3.0, 2.5, "last 14 days 2.5 times as often as usual for this customer (+3.0 deviations)"),
    ],
)
def test_what_is_unusual_has_words(
    view: Profile, deviations: float, ratio: float, words: str
) -> None:
    found = Anomaly(deviations, ratio)
    both = replace(view, activity_anomaly=found, purchase_anomaly=found)

    assert [words] == said(both, "activity") == said(both, "buying")
    assert [] == said(view, "activity") == said(view, "buying")


def test_a_lifetime_value_is_told_with_its_terms(view: Profile) -> None:
    horizons = (
        HorizonView(28.0, 0.4, 13.5, Worth.CHALLENGER),
        HorizonView(90.0, 1.25, 41.0, Worth.FORMULA),
    )
    valued = replace(view, value=ValueView(1_204.5, 0.3, 2.5, 12.0, 891.375, horizons))

    assert ["891.38 EUR = 1,204.50 a year x 30% margin x 2.50 years - 12.00 to win them"] == said(
        valued, "lifetime value"
    )
    first, second = said(valued, "expected")
    assert first.startswith("0.40 purchases, 13.50 EUR within 28 days: says the model")
    assert second.startswith("1.25 purchases, 41.00 EUR within 90 days: says the formula")
    assert [] == said(view, "lifetime value")
