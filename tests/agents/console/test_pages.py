"""The pages say in words what the documents say, with nothing left out."""

import csv
import io

import pytest
from msgspec.structs import replace

from agents.console.memory import MOMENTS_MAX, DecisionMemory
from agents.console.pages.customer import customer_view
from agents.console.pages.customer_lists import EXAMPLES, ListView, list_as_csv, list_view, shown
from agents.console.pages.figures import (
    WIDTH,
    day_and_time,
    diverging,
    from_left,
    listed,
    money,
    percent,
)
from agents.console.pages.live import TONES, entry_of
from agents.console.pages.model import model_views
from agents.console.pages.pipeline import rate_view, reason_views, retried_in_words, worst_first
from agents.console.pages.receipt import receipt_of
from agents.console.pages.rhythm import rhythm_drawing
from agents.console.pages.rules import rules_view
from agents.words.decision_lines import words_of
from models.customer.contacts import DecisionView, Outcome
from models.customer.holdout import CONTROL
from models.customer_list import CustomerList, Listed, PartitionAsOf, Unanswered, question
from models.decisions.audit import ranked, recomputed
from models.decisions.gates import GATE_NAMES
from models.decisions.policy import compile_policy
from models.decisions.trigger import NextBestAction
from models.events.dead_letter import dead_letter
from models.events.rejection import Reason, Rejected
from models.learning.churn_models import (
    ALL_KINDS,
    CHAMPION,
    ChurnModels,
    ChurnScoring,
    LinearModel,
    Quality,
)
from streams.dead_letters import StoredLetter
from streams.decision_ledger import Found
from streams.findings import Finding, Severity, notice, ok, problem
from tests.agents.console.conftest import SmallShop, withdrawal_of
from tests.contract.parts import present
from tests.models.lines import PARAMETERS, at, context, happened, lived, seen


def chosen(actions: list[NextBestAction]) -> NextBestAction:
    """An action that was chosen and outranked another."""
    return next(one for one in actions if one.outranked and one.group != CONTROL)


def test_every_moment_is_a_sentence_with_its_customer_and_what_is_done(
    small_shop: SmallShop,
) -> None:
    tones = set()
    for found in small_shop.moments:
        entry = entry_of(found, "EUR")
        assert entry is not None
        assert entry.signs
        assert entry.outcome
        tones.add(entry.tone)
        if entry.tone in ("nothing", "control"):
            assert entry.because

    assert {"action", "control", "nothing"} == tones
    assert tones < TONES.keys()


def test_a_receipt_accounts_for_every_action(small_shop: SmallShop) -> None:
    catalogue = {words_of(action.name) for action in PARAMETERS.actions.actions}
    for found in small_shop.moments:
        receipt = receipt_of(found, "EUR", ())
        told = [one.action for one in receipt.candidates]
        told += [action for gate in receipt.shut for action, _ in gate.actions]
        assert sorted(catalogue) == sorted([*told, *receipt.others])
        assert () == receipt.faults


def test_the_chosen_action_is_first_and_priorities_are_recomputed(
    actions: list[NextBestAction],
) -> None:
    action = chosen(actions)
    receipt = receipt_of(Found((), action), "EUR", ())

    assert [one.is_chosen for one in receipt.candidates] == [
        not place for place, _ in enumerate(receipt.candidates)
    ]
    for view, one in zip(receipt.candidates, ranked(action), strict=True):
        assert money(recomputed(one.priority), "EUR") == view.sum
        assert percent(one.priority.propensity) == view.factors[0].figure
    assert WIDTH == receipt.candidates[0].bar.width


def test_a_priority_that_does_not_add_up_is_told(actions: list[NextBestAction]) -> None:
    action = chosen(actions)
    assert action.priority is not None
    wrong = replace(action, priority=replace(action.priority, priority=1e6))

    assert receipt_of(Found((), wrong), "EUR", ()).faults


@pytest.mark.parametrize("outcome", Outcome)
def test_what_came_of_an_action_is_told(outcome: Outcome, actions: list[NextBestAction]) -> None:
    action = chosen(actions)
    known = DecisionView(action.action or "", "email", action.timestamp, "treated", outcome)

    steps = [step.words for step in receipt_of(Found((), action), "EUR", (known,)).steps]
    others = {
        tuple(
            step.words
            for step in receipt_of(
                Found((), action),
                "EUR",
                (DecisionView(known.action, "email", known.at, "treated", another),),
            ).steps
        )
        for another in Outcome
        if another != outcome
    }
    assert "Decided" == steps[0]
    assert tuple(steps) not in others


def test_a_withdrawal_is_told_with_its_decision(actions: list[NextBestAction]) -> None:
    action = chosen(actions)
    withdrawal = withdrawal_of(action)

    entry = entry_of(Found((), None, withdrawal), "EUR")
    assert entry is not None
    assert ("withdrawn", withdrawal.id) == (entry.tone, entry.id)
    steps = receipt_of(Found((), action), "EUR", (), withdrawal).steps
    assert any("Withdrawn" in step.words for step in steps)


def test_the_parts_of_a_score_are_told_the_largest_first(small_shop: SmallShop) -> None:
    receipts = [receipt_of(found, "EUR", ()) for found in small_shop.moments]
    scored = [one.score for one in receipts if one.score is not None and one.score.bars]

    assert scored
    for score in scored:
        sizes = [abs(float(bar.figure)) for bar in score.bars]
        assert sorted(sizes, reverse=True) == sizes


def test_every_customer_has_a_page(small_shop: SmallShop) -> None:
    for customer, profile in small_shop.profiles.items():
        moments = [f for f in small_shop.moments if f.action and f.action.user_id == customer]
        view = customer_view(profile, "EUR", moments[::-1])
        assert customer == view.id
        assert len(moments) == len(view.entries)
        assert len(profile.decisions) == len(view.actions)
        assert len(profile.suppressions) == len(view.held_back)
        assert len(profile.timeline) == len(view.timeline)
        for score in view.scores:
            assert score.bars


@pytest.mark.parametrize(
    ("currency", "said"),
    [("EUR", "1,204.00 EUR"), ("JPY", "1,204 JPY"), ("KWD", "1,204.000 KWD")],
)
def test_a_customer_s_page_says_amounts_in_the_shop_s_currency(currency: str, said: str) -> None:
    parameters = replace(PARAMETERS, money=replace(PARAMETERS.money, currency=currency))
    within = context(parameters=parameters)
    order = happened("Order Completed", at(), order_id="o", revenue=1_204)
    cart = happened("Product Added", at(1), product_id="p", price=1_204, quantity=1)
    row = lived([order, cart], within=within)

    view = customer_view(seen(row, at(2), within), currency, [])
    tiles = {tile.name: tile.figure for tile in view.tiles}
    assert (said, said) == (tiles["Spent in a year"], tiles["In the cart"])
    assert {said} == {one.more for one in view.timeline}


def test_bars_stay_within_their_drawing() -> None:
    assert () == diverging([])
    up, down, none = diverging([("up", 2.0), ("down", -1.0), ("none", 0.0)])
    assert (50.0, 50.0, "raises") == (up.x, up.width, up.tone)
    assert (25.0, 25.0, "lowers") == (down.x, down.width, down.tone)
    assert 0.0 == none.width
    best, below = from_left([("a", 4.0, "plain"), ("b", -1.0, "plain")])
    assert (WIDTH, 0.0) == (best.width, below.width)
    assert [0.0] == [bar.width for bar in from_left([("a", -1.0, "plain")])]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (percent(0.164), "16%"),
        (percent(0.004), "0.4%"),
        (percent(0.0), "0%"),
        (money(1204.5, "EUR"), "1,204.50 EUR"),
        (money(1204.0, "JPY"), "1,204 JPY"),
        (money(1204.5, "KWD"), "1,204.500 KWD"),
        (day_and_time("2026-11-06T20:46:28.958Z"), "6 Nov 2026, 20:46 UTC"),
        (listed([]), ""),
        (listed(["a"]), "a"),
        (listed(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_figures_are_written_for_people(told: str, words: str) -> None:
    assert words == told


@pytest.mark.parametrize("example", EXAMPLES, ids=[one.name for one in EXAMPLES])
def test_every_example_of_a_list_can_be_asked(example: tuple[str, str, str, str]) -> None:
    _, where, by, show = example

    assert question(PARAMETERS, where=where, by=by, shown=show.split(",")).where


def test_a_list_is_a_table_that_says_what_is_missing() -> None:
    listed_ones = (
        Listed("ada", 12.5, {"segment": "loyal", "orders": 3.0}),
        Listed("bob", None, {"segment": None, "orders": 1.0}),
    )
    found = CustomerList(
        listed_ones,
        2,
        "more",
        (PartitionAsOf(0, "2026-01-01T00:00:00Z", 1, 9, 2),),
        (Unanswered(1, "away"),),
    )

    view = list_view(found)
    assert ("by", "segment", "orders") == view.columns
    assert (("ada", (12.5, "loyal", 3.0)), ("bob", (None, None, 1.0))) == view.rows
    assert ("2 of 9 customers", "more", ("partition 1: away",)) == (
        view.words,
        view.next,
        view.missing,
    )
    # What it is ordered by is one column, though the condition names it, too.
    assert ("orders", "segment") == list_view(found, "orders").columns
    assert ["customer,orders,segment", "ada,12.5,loyal"] == list_as_csv(
        list_view(found, "orders")
    ).splitlines()[:2]


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (None, ""),
        ("loyal", "loyal"),
        (3.0, "3"),
        (5520.39, "5,520.39"),
        (1561.1, "1,561.10"),
        (0.903713, "0.904"),
        (-0.25, "-0.250"),
        (1_204.0, "1,204"),
    ],
)
def test_a_page_shows_what_a_reader_needs_of_a_number(cell: float | str | None, told: str) -> None:
    assert told == shown(cell)


def test_a_spreadsheet_runs_nothing_of_a_list() -> None:
    cells = ("=1+1", "+49", "-5.2", "@x", "loyal")
    view = ListView(("a", "b", "c", "d", "e"), (("=cmd()", cells),), "", "", ())

    _, row = csv.reader(io.StringIO(list_as_csv(view)))
    assert ["'=cmd()", "'=1+1", "+49", "-5.2", "'@x", "loyal"] == row
    amounts = ListView(("a", "b"), (("ada", (123_456.78, 3.0)),), "", "", ())
    assert "ada,123456.78,3" == list_as_csv(amounts).splitlines()[1]


def test_a_model_is_told_with_every_scorer_and_its_curve() -> None:
    linear = LinearModel(0.0, ())
    models = ChurnModels((), (), linear, linear, 0.0, "blend", 1_200)
    curve = ((0.1, 0.0), (0.9, 1.0))
    quality = (
        Quality(28.0, ALL_KINDS, CHAMPION, 900, 0.5, 0.8, 0.02, curve),
        Quality(28.0, ALL_KINDS, "blend", 900, 0.5, 0.8, None),
        Quality(28.0, ALL_KINDS, "baseline", 900, 0.6, 0.7, 0.03),
        Quality(28.0, "check-in", "blend", 90, 0.1, 0.1, 0.1),
        Quality(90.0, ALL_KINDS, "blend", 9, 0.1, 0.1, 0.1),
    )
    snapshot = present().snapshot.replace(ChurnScoring({"28": models}, quality))

    [view] = model_views(snapshot)
    assert "blend serves, learnt from 1,200 examples." == view.lead
    assert [("blend", True, "0.500", "not yet"), ("baseline", False, "0.600", "0.030")] == [
        (one.name, one.serves, one.log_loss, one.calibration) for one in view.scorers
    ]
    # From the lower left to the upper right.
    assert [(10.0, 100.0), (90.0, 0.0)] == [(point.x, point.y) for point in view.curve]
    assert () == model_views(None)


def test_a_rhythm_is_drawn_in_the_order_of_time(small_shop: SmallShop) -> None:
    drawn = [rhythm_drawing(profile) for profile in small_shop.profiles.values()]
    drawings = [one for one in drawn if one is not None]
    buyers = [p for p in small_shop.profiles.values() if p.rfm.last_order_at is not None]

    assert len(buyers) == len(drawings)
    assert {True, False} == {one.is_overdue for one in drawings}
    for one in drawings:
        places = [dot.x for dot in one.purchases]
        assert sorted(places) == places
        assert one.last < one.expected
        assert one.last < one.overdue
        assert one.is_overdue == (one.overdue < one.now)
        assert all(0 <= place <= 600 for place in (*places, one.now, one.expected, one.overdue))


def test_every_rule_and_every_gate_is_on_the_page_of_rules() -> None:
    view = rules_view(compile_policy(PARAMETERS), PARAMETERS)

    names = [words_of(rule.name) for rule in PARAMETERS.triggers.triggers]
    assert sorted(names) == sorted(one.name for one in view.triggers)
    assert len(PARAMETERS.actions.actions) == len(view.actions)
    segments = PARAMETERS.segments.segments
    assert [(one.name, one.when) for one in segments] == list(view.segments)
    assert len(GATE_NAMES) == len([words for _, words in view.gates if words])


def test_dead_letters_are_grouped_by_reason_and_show_what_they_hold() -> None:
    wrong = Rejected(Reason.WRONG_TYPE, "$.event", "expected text")
    late = Rejected(Reason.TOO_LATE, "$.timestamp", "4 days late")
    letters = [
        StoredLetter(1_000, 0, 0, dead_letter(wrong, b'{"event": 7}\x1b[2J', step="ingest")),
        StoredLetter(2_000, 0, 1, dead_letter(wrong, b"{}", step="collector", sender="shop")),
        StoredLetter(3_000, 0, 2, dead_letter(late, b"{}", step="profile")),
        StoredLetter(4_000, 0, 3, None),
    ]

    first, second = reason_views(letters)
    assert [("wrong_type", 2), ("too_late", 1)] == [
        (one.reason, one.times) for one in (first, second)
    ]
    newest, oldest = first.letters
    assert "from shop" in newest.where
    assert r'{"event": 7}\x1b[2J' == oldest.content


def test_what_an_operator_put_back_is_told_with_what_stays() -> None:
    assert "3 events refused as bad_json went back" in retried_in_words(3, "bad_json", 0)
    assert "webhooks" not in retried_in_words(3, "bad_json", 0)
    assert "2 webhooks stay" in retried_in_words(0, "bad_json", 2)


def test_problems_are_told_first() -> None:
    found = [ok("a", ""), notice("b", "", ""), problem("c", "", ""), notice("d", "", "")]

    assert ["c", "b", "d", "a"] == [one.check for one in worst_first(found)]
    every = [Finding(level, level, "", "") for level in Severity]
    assert {"problem", "unseen", "notice", "ok"} == {one.check for one in worst_first(every)}
    assert "problem" == worst_first(every)[0].check


def test_a_rate_is_a_line_with_its_highest_value_at_the_top() -> None:
    view = rate_view("clickstream", [0.0, 5.0, 10.0], 7)

    heights = [float(point.split(",")[1]) for point in view.line.split()]
    assert sorted(heights, reverse=True) == heights
    assert (7, "now 10.0 a second, at most 10.0") == (view.waiting, view.words)
    assert "not known yet" == rate_view("clickstream", [], None).words


def test_the_latest_moments_are_remembered_once_and_found_by_any_of_their_ids(
    small_shop: SmallShop, actions: list[NextBestAction]
) -> None:
    memory = DecisionMemory()
    for found in small_shop.moments:
        decided = [*found.triggers, *([found.action] if found.action else [])]
        memory.take({0: decided})
    number = memory.number
    assert len(small_shop.moments) == number
    action = chosen(actions)
    # A ledger is read again after an outage.
    memory.take({0: [action]})
    memory.take({})
    assert number == memory.number
    found_again = memory.find(action.id)
    assert found_again is not None
    assert [found_again] * len(found_again.triggers) == [
        memory.find(one.id) for one in found_again.triggers
    ]

    for place in range(MOMENTS_MAX):
        memory.take({1: [replace(action, id=f"{place:032x}")]})
    assert memory.find(action.id) is None
    assert MOMENTS_MAX == len(list(memory.newest_first()))
    assert [number + MOMENTS_MAX] == [one.number for one in memory.after(memory.number - 1)]
