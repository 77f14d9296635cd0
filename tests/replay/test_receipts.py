"""Every decision of a simulated shop carries its receipt, and the receipt is true."""

import re
from collections import Counter, defaultdict
from itertools import pairwise
from math import exp, isfinite
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from agents.trials.demo.shop import ShopConfig, simulate
from models.customer.churn_reason import ReasonKind
from models.customer.holdout import CONTROL, TREATED, is_control
from models.customer.registry import FACTS
from models.decisions.decide import BASE
from models.decisions.trigger import (
    NEXT_BEST_ACTION,
    Decision,
    NextBestAction,
    Priority,
    Trigger,
    decision_id,
)
from models.events.wire import decode_line, timestamp_ms
from models.learning.churn import Source
from models.learning.explanation import Direction, Group
from models.replay import Replay
from tests.models.lines import PARAMETERS, START_MS, of

SHOP = ShopConfig(seed=5, customers=110, start_ms=START_MS, days=130)
#: Nobody can be very late within so short a log.
EAGER = tuple(
    replace(rule, rises=replace(rule.rises, to=0.5, rearm=0.3))
    if rule.name == "churn-risk" and rule.rises is not None
    else rule
    for rule in PARAMETERS.triggers.triggers
)
#: So that the champion comes to serve within the log.
SMALL = replace(
    PARAMETERS,
    learning=replace(PARAMETERS.learning, minimum_examples=50, learning_rate=0.01),
    triggers=replace(PARAMETERS.triggers, triggers=EAGER),
)
TRIGGERS = {rule.name: rule for rule in PARAMETERS.triggers.triggers}
ACTIONS = {action.name: action for action in PARAMETERS.actions.actions}


class Shop(NamedTuple):
    decisions: list[Decision]
    triggers: list[Trigger]
    #: Next best actions, those that nothing is done included.
    moments: list[NextBestAction]
    #: Those of them that are somebody's work.
    actions: list[NextBestAction]
    replay: Replay


@pytest.fixture(scope="module")
def shop() -> Shop:
    replay = Replay(SMALL)
    decisions: list[Decision] = []
    for number, record in enumerate(simulate(SHOP), 1):
        outputs = replay.feed(record.value, number)
        decisions += [o for o in outputs if isinstance(o, Trigger | NextBestAction)]
    return Shop(
        decisions,
        [d for d in decisions if isinstance(d, Trigger)],
        [d for d in decisions if isinstance(d, NextBestAction)],
        [d for d in decisions if isinstance(d, NextBestAction) and d.action is not None],
        replay,
    )


def ms(timestamp: str) -> int:
    return timestamp_ms(decode_line(b'{"type":"page","timestamp":"%s"}' % timestamp.encode()))


def test_the_shop_fires_all_kinds_and_takes_most_actions(shop: Shop) -> None:
    fired = Counter(trigger.kind for trigger in shop.triggers)

    # Points last for a year, to depend on prices takes three purchases for less, and to be less
    # active than usual takes a usual; the shop lasts for months, improves nothing in them, and has
    # few customers who are that good, or that move.
    rare = {"points-expiring", "price-dependent", "drifting", "improved-for-them", "interest-faded"}
    rare |= {"anniversary", "channel-shift", "contact-due", "relationship-fell"}
    rare |= {"became-key-customer", "key-customer-slipping"}
    assert TRIGGERS.keys() - rare == fired.keys() - rare
    assert {"churn-risk", "purchase-overdue"} < {k for k, count in fired.items() if count > 10}
    assert len({action.action for action in shop.actions}) >= 5
    assert {TREATED, CONTROL} == {action.group for action in shop.actions}


def test_every_decision_has_what_a_receipt_promises(shop: Shop) -> None:
    for decision in shop.decisions:
        assert re.fullmatch("[0-9a-f]{32}", decision.id)
        assert re.fullmatch(r"c-\d{5}", decision.user_id)
        assert ms(decision.timestamp) >= START_MS
        assert (decision.cause.message_id is None) != (decision.cause.deadline is None)
        assert decision.reasons
        assert "cooldown" in decision.gates
        assert isfinite(decision.value_at_stake)
        assert decision.value_at_stake >= 0
    assert len({d.id for d in shop.decisions}) == len(shop.decisions)


def test_a_churn_score_says_whose_word_it_is_and_of_which_model(shop: Shop) -> None:
    scored = [d for d in shop.decisions if d.churn is not None]

    for decision in scored:
        assert decision.churn is not None
        assert 0 < decision.churn.probability < 1
        assert 28.0 == decision.churn.horizon_days
        assert decision.model_version == decision.churn.model_version
    sources = {d.churn.source for d in scored if d.churn is not None}
    assert {Source.PRIOR, Source.BASELINE, Source.CHAMPION} == sources
    # Models are made along the way, and each decision is by the latest.
    versions = [decision.model_version for decision in shop.decisions]
    assert sorted(versions) == versions
    assert versions[-1] > 10


def test_ids_follow_from_the_rule_the_customer_and_the_cause(shop: Shop) -> None:
    for trigger in shop.triggers:
        rule = TRIGGERS[trigger.kind]
        assert rule.version == trigger.rule_version
        assert trigger.id == decision_id(rule.name, rule.version, trigger.user_id, trigger.cause)
    for action in shop.moments:
        version = PARAMETERS.actions.version
        assert version == action.catalogue_version
        assert action.id == decision_id(NEXT_BEST_ACTION, version, action.user_id, action.cause)


def test_a_trigger_names_its_gates_and_stays_silent_within_its_cooldown(shop: Shop) -> None:
    last: dict[tuple[str, str], int] = {}
    for trigger in shop.triggers:
        rule, at_ms = TRIGGERS[trigger.kind], ms(trigger.timestamp)
        threshold = ("threshold",) if rule.rises is not None else ()
        assert ("condition", *threshold, "cooldown") == trigger.gates
        before_ms = last.get((trigger.user_id, trigger.kind))
        assert before_ms is None or at_ms - before_ms >= rule.cooldown
        last[trigger.user_id, trigger.kind] = at_ms
        if trigger.kind == "churn-risk":
            assert trigger.churn is not None
            risk = trigger.reasons[0]
            assert "churn_risk" == risk.code
            assert isinstance(risk.value, float)
            assert risk.value >= 0.5


def test_reasons_can_be_read_and_computed_with(shop: Shop) -> None:
    for decision in shop.decisions:
        for reason in decision.reasons:
            assert reason.words.strip()
            assert not re.search(r"[{}_]|nan|inf\b|None", reason.words)
            if reason.contribution is not None:
                sign = Direction.RAISES if reason.contribution > 0 else Direction.LOWERS
                assert (None if reason.code == BASE else sign) == reason.value
                assert reason.code in {*Group, BASE}
                continue
            assert reason.code in FACTS
            assert isinstance(reason.value, FACTS[reason.code].kind)
            assert isinstance(reason.value, str) or isfinite(reason.value)
            assert FACTS[reason.code].told(reason.value) == reason.words


def test_reasons_are_those_that_the_rule_gives_and_what_the_score_is_the_sum_of(
    shop: Shop,
) -> None:
    sources = set()
    for trigger in shop.triggers:
        facts = [reason.code for reason in trigger.reasons if reason.contribution is None]
        # But for those that are not known, such as an NPS of a shop with few answers.
        assert [name for name in TRIGGERS[trigger.kind].because if name in facts] == facts
        assert TRIGGERS[trigger.kind].because[0] in facts
        parts = {r.code: r.contribution for r in trigger.reasons if r.contribution is not None}
        assert ("churn_probability" in facts) == (BASE in parts)
        if trigger.churn is None or BASE not in parts:
            continue
        total = sum(parts.values())
        assert pytest.approx(trigger.churn.probability, rel=1e-9) == 1 / (1 + exp(-total))
        moved = [part for code, part in parts.items() if code != BASE]
        assert sorted(moved, key=lambda part: -abs(part)) == moved
        assert len(moved) >= 6 or trigger.churn.source != Source.CHAMPION
        sources.add(trigger.churn.source)
    assert {Source.BASELINE, Source.CHAMPION} <= sources


def test_a_decision_with_a_score_says_why_the_customer_may_leave(shop: Shop) -> None:
    found = Counter[str]()
    for decision in shop.decisions:
        assert (decision.churn is None) == (decision.churn_reason is None)
        if decision.churn_reason is not None:
            found[decision.churn_reason.kind] += 1
            shares = decision.churn_reason.shares
            assert not shares or pytest.approx(1) == sum(shares.values())
    # The shop's tickets are about payments and products, and some wait for too long.
    assert set(ReasonKind) == set(found)


def test_chosen_outranked_and_suppressed_are_all_actions_once(shop: Shop) -> None:
    gates = set()
    for decision in shop.moments:
        chosen = [decision.action] if decision.action is not None else []
        others = [ranked.action for ranked in decision.outranked]
        shut = [suppressed.action for suppressed in decision.suppressed]
        assert sorted(ACTIONS) == sorted([*chosen, *others, *shut])
        gates |= {suppressed.by for suppressed in decision.suppressed}
        assert set(decision.gates) >= {suppressed.by for suppressed in decision.suppressed}
    assert {"answers", "eligibility", "contact-cap", "priority"} <= gates
    assert any(decision.outranked for decision in shop.actions)


def recomputed(found: Priority) -> float:
    return found.propensity * found.context_weight * found.value * found.lever - found.cost


def test_a_priority_is_recomputed_from_its_factors_and_the_highest_was_chosen(shop: Shop) -> None:
    for decision in shop.actions:
        ranked = [(decision.action, decision.priority)]
        ranked += [(other.action, other.priority) for other in decision.outranked]
        for name, priority in ranked:
            rule = ACTIONS[name]
            assert pytest.approx(recomputed(priority), rel=1e-12) == priority.priority
            assert 0 < priority.priority <= decision.priority.priority
            assert (rule.propensity, rule.lever, rule.cost) == (
                priority.propensity,
                priority.lever,
                priority.cost,
            )
            weights = [rule.contexts.get(kind, 0.0) for kind in decision.triggers]
            assert max(weights) == priority.context_weight
        assert 1.0 == decision.chosen_probability


def test_an_action_says_who_takes_it_how_and_until_when(shop: Shop) -> None:
    for decision in shop.actions:
        rule = ACTIONS[decision.action]
        assert (rule.channel, rule.owner) == (decision.channel, decision.owner)
        assert rule.due == ms(decision.due_at) - ms(decision.timestamp)


def test_an_action_answers_the_triggers_of_its_moment(shop: Shop) -> None:
    moments: dict[tuple[str, str], list[Trigger]] = defaultdict(list)
    for trigger in shop.triggers:
        moments[trigger.user_id, trigger.timestamp].append(trigger)
    assert moments.keys() == {(made.user_id, made.timestamp) for made in shop.moments}
    for decision in shop.moments:
        answered = moments[decision.user_id, decision.timestamp]
        assert [trigger.kind for trigger in answered] == list(decision.triggers)
        assert [r for trigger in answered for r in trigger.reasons] == list(decision.reasons)


def test_nobody_is_contacted_beyond_the_caps_or_within_a_cooldown(shop: Shop) -> None:
    by_customer: dict[str, list[NextBestAction]] = defaultdict(list)
    for decision in shop.actions:
        by_customer[decision.user_id].append(decision)
    for decisions in by_customer.values():
        contacts = [ms(d.timestamp) for d in decisions if not ACTIONS[d.action].service]
        for cap in PARAMETERS.actions.caps:
            for first, beyond in zip(contacts, contacts[cap.at_most :], strict=False):
                assert beyond - first >= cap.per
        for name, rule in ACTIONS.items():
            times = [ms(d.timestamp) for d in decisions if d.action == name]
            assert all(later - earlier >= rule.cooldown for earlier, later in pairwise(times))
    assert max(map(len, by_customer.values())) > 5


def test_the_holdout_stands_and_is_decided_for_like_everybody_else(shop: Shop) -> None:
    groups: dict[str, set[str]] = defaultdict(set)
    for decision in shop.decisions:
        groups[decision.user_id].add(decision.group)
        held_out = is_control(decision.user_id, PARAMETERS.actions.holdout)
        assert (CONTROL if held_out else TREATED) == decision.group
    assert {1} == {len(found) for found in groups.values()}
    contacts_of = {row_id: of(row).contacts for row_id, row in shop.replay.rows().items()}
    for decision in shop.actions:
        kept = contacts_of[decision.user_id].latest
        assert {decision.group == TREATED} == {made.treated for made in kept}
