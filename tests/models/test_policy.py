"""The marketer's rules, compiled: what is refused, and that the message names the line."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from config.parameters import Parameters
from config.rules import RuleError, load_actions, load_triggers
from models.customer.contacts import COOLDOWN_OVER
from models.customer.identities import IDENTITY_LINKED, IDENTITY_SPLIT
from models.customer.named_events import EVENT
from models.customer.registry import FACT_KINDS, FACTS, MOMENTS
from models.customer.segments import SEGMENT_ENTERED, SEGMENT_LEFT, TIME
from models.decisions.policy import compile_policy
from models.parameters import load_parameters
from tests.models.lines import PARAMETERS

RULE = """\
triggers:
  - name: quiet
    version: 1
    moment: silence
    when: orders > 0
    cooldown: 7d
    because: [orders]
"""
ACTION = """\
version: 1
holdout: 0
caps: []
actions:
  - name: call
    channel: phone
    owner: desk
    due: 2d
    for: {quiet: 1.0}
    when: orders >= 1
    propensity: 0.3
    value: average_order
    cost: 3
    cooldown: 3d
"""


def parameters_of(directory: Path, triggers: str = RULE, actions: str = ACTION) -> Parameters:
    """The shipped parameters with these rules."""
    files = directory / "triggers.yaml", directory / "actions.yaml"
    for file, text in zip(files, (triggers, actions), strict=True):
        file.write_text(text)
    return replace(PARAMETERS, triggers=load_triggers(files[0]), actions=load_actions(files[1]))


def test_what_is_shipped_compiles_and_every_moment_is_looked_at() -> None:
    policy = compile_policy(PARAMETERS)

    looked_at = {moment for moment, found in policy.triggers.items() if found}
    # Which events and segments mean something is for the shop to say, and what it is that ids are
    # united.
    of_the_shop = {EVENT, SEGMENT_ENTERED, SEGMENT_LEFT, TIME}
    nobody_asks = {*of_the_shop, IDENTITY_LINKED, IDENTITY_SPLIT}
    assert {*MOMENTS, COOLDOWN_OVER} - nobody_asks == looked_at
    assert len(PARAMETERS.actions.actions) == len(policy.actions)


def test_rules_are_kept_by_their_moment_in_the_order_of_the_file(tmp_path: Path) -> None:
    _, _, entry = RULE.partition("\n")
    second = entry.replace("quiet", "quieter")
    other = entry.replace("quiet", "scored").replace("moment: silence", "moment: score")
    policy = compile_policy(parameters_of(tmp_path, RULE + other + second))

    names = {moment: [t.rule.name for t in found] for moment, found in policy.triggers.items()}
    assert {"silence": ["quiet", "quieter"], "score": ["scored"]} == {
        moment: found for moment, found in names.items() if found
    }


@pytest.mark.parametrize(
    ("wrong", "right", "words"),
    [
        ("moment: silence", "moment: silent", "moment is one of cart-idle, silence, "),
        ("because: [orders]", "because: [order]", "because names 'order', which is no fact; did "),
        ("when: orders > 0", "when: order > 0", "when: there is no fact 'order'; did you mean o"),
        ("when: orders > 0", "when: orders >", "when: cannot be read (invalid syntax): 'orders >"),
        ("when: orders > 0", "when: orders > 'a'", "a number and a text do not go together"),
        ("when: orders > 0", "when: orders", "needs a condition, and orders is a number"),
        ("when: orders > 0", "when: abs(orders) > 0", "no calls"),
        ("when: orders > 0", "when: survey_score > 0", "known at the moment survey alone"),
        ("name: quiet", "name: Quiet Customers", "a name is lower case letters, digits and -"),
        ("name: quiet", "name: next-best-action", "rename it"),
        (
            "cooldown: 7d",
            "rises: {fact: orders, to: 1, rearm: 2}\n    cooldown: 7d",
            "rearm must not be above `to`",
        ),
        (
            "cooldown: 7d",
            "rises: {fact: orders, to: .nan, rearm: 2}\n    cooldown: 7d",
            "rearm must not be above `to`",
        ),
        (
            "cooldown: 7d",
            "rises: {fact: segment, to: 1, rearm: 0}\n    cooldown: 7d",
            "needs a fact that is a number, segment is a text",
        ),
        (
            "cooldown: 7d",
            "rises: {fact: churn, to: 1, rearm: 0}\n    cooldown: 7d",
            "rises names 'churn', which is no fact; did you mean churn_probability?",
        ),
        (
            "cooldown: 7d",
            "rises: {fact: churn_probability, to: 50, rearm: 40}\n    cooldown: 7d",
            "rises to 50 never: churn_probability is from 0 to 1; did you mean 0.5?",
        ),
        (
            "cooldown: 7d",
            "rises: {fact: shop_nps, to: 150, rearm: 40}\n    cooldown: 7d",
            "rises to 150 never: shop_nps is from -100 to 100; did you mean 100?",
        ),
        ("when: orders > 0", "when: orders < 0", "can never be true: `orders < 0` is never true"),
        (
            "when: orders > 0",
            "when: net_365d > 5 and net_365d < 3",
            "when: can never be true: `net_365d < 3` contradicts what else is asked of net_365d",
        ),
        (
            "when: orders > 0",
            "when: segment == 'loyall'",
            "when: segment is never 'loyall'; did you mean loyal?",
        ),
        (
            "when: orders > 0",
            "when: churn_reason in ('price', 'servise')",
            "when: churn_reason is never 'servise'; did you mean service?",
        ),
        (
            "when: orders > 0",
            "when: level != 'platinum'",
            "when: level is never 'platinum': it is bronze or gold or silver",
        ),
        (
            "when: orders > 0",
            "when: silent_days < 30\n    rises: {fact: silent_days, to: 60, rearm: 50}",
            "`silent_days < 30` contradicts what else is asked of silent_days",
        ),
    ],
)
def test_a_rule_that_can_not_be_used_is_refused_with_its_line(
    tmp_path: Path, wrong: str, right: str, words: str
) -> None:
    assert wrong in RULE
    with pytest.raises(RuleError) as refused:
        compile_policy(parameters_of(tmp_path, RULE.replace(wrong, right)))

    assert str(refused.value).startswith(f"{tmp_path / 'triggers.yaml'}:2: ")
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("wrong", "right", "words"),
    [
        ("for: {quiet: 1.0}", "for: {quite: 1.0}", "for names 'quite', which is no trigger: quiet"),
        ("for: {quiet: 1.0}", "for: {}", "for names no trigger"),
        ("for: {quiet: 1.0}", "for: {quiet: -1}", "the weight of quiet is a number, 0 or more"),
        ("propensity: 0.3", "propensity: 1.3", "propensity is a probability, from 0 to 1"),
        ("propensity: 0.3", "propensity: .nan", "propensity is a probability, from 0 to 1"),
        ("cost: 3", "cost: .inf", "cost is a number, 0 or more, not inf"),
        ("cost: 3", "cost: 3\n    lever: -1", "lever is a number, 0 or more, not -1"),
        ("value: average_order", "value: orders > 1", "value: needs a number, and orders > 1 is"),
        ("value: average_order", "value: segment", "value: needs a number, and segment is a text"),
        ("when: orders >= 1", "when: average_order", "when: needs a condition"),
        (
            "cost: 3",
            "cost: 3\n    service: true\n    offer: discount",
            "what offers something (discount) is no service message",
        ),
        (
            "cost: 3",
            "cost: 3\n    plays: prize",
            "plays names 'prize', which is no reason",
        ),
        ("cost: 3", "cost: 3\n    plays: [any, prize]", "did you mean price?"),
        ("cost: 3", "cost: 3\n    list: ' '", "list is empty: name one"),
        ("when: orders >= 1", "when: orders < 0", "when: can never be true: `orders < 0`"),
        ("when: orders >= 1", "when: segment == 'nwe'", "segment is never 'nwe'; did you mean new"),
    ],
)
def test_an_action_that_can_not_be_used_is_refused_with_its_line(
    tmp_path: Path, wrong: str, right: str, words: str
) -> None:
    assert 1 == ACTION.count(wrong)
    with pytest.raises(RuleError) as refused:
        compile_policy(parameters_of(tmp_path, actions=ACTION.replace(wrong, right)))

    assert str(refused.value).startswith(f"{tmp_path / 'actions.yaml'}:5: call")
    assert words in str(refused.value)


def test_a_name_may_be_there_once(tmp_path: Path) -> None:
    _, _, rule = RULE.partition("\n")
    with pytest.raises(RuleError, match=r"triggers.yaml:8: quiet is there already, on line 2"):
        compile_policy(parameters_of(tmp_path, RULE + rule))
    action = ACTION.partition("actions:\n")[2]
    with pytest.raises(RuleError, match=r"actions.yaml:15: call is there already, on line 5"):
        compile_policy(parameters_of(tmp_path, actions=ACTION + action))


@pytest.mark.parametrize(
    ("cap", "words"),
    [
        ("{at_most: 1, per: 1d, channel: fax}", "channel 'fax' is of no action that caps count: p"),
        ("{at_most: 1, per: 1d, channel: phon}", "count; did you mean phone?"),
        ("{at_most: 1, per: 1d, action: cal}", "action 'cal' is of no action that caps count; did"),
    ],
)
def test_a_cap_of_what_nobody_is_contacted_by_is_refused(
    tmp_path: Path, cap: str, words: str
) -> None:
    with pytest.raises(RuleError) as refused:
        compile_policy(
            parameters_of(tmp_path, actions=ACTION.replace("caps: []", f"caps:\n  - {cap}"))
        )

    assert str(refused.value).startswith(f"{tmp_path / 'actions.yaml'}:4: the cap's ")
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "cap", ["{at_most: -1, per: 1d}", "{at_most: 1, per: 0d}", "{at_most: 24, per: 1d}"]
)
def test_a_cap_that_can_not_be_kept_is_refused(tmp_path: Path, cap: str) -> None:
    with pytest.raises(RuleError, match=r"actions.yaml:4: a cap is at_most 0 or more, per a time"):
        compile_policy(
            parameters_of(tmp_path, actions=ACTION.replace("caps: []", f"caps:\n  - {cap}"))
        )


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        ("{from: '21:00', to: '21:00'}", "no hour is left"),
        ("{from: '21:00', to: '08:00', channels: [fone]}", "'fone'; did you mean phone?"),
        ("{from: '21:00', to: '8:00'}\n  - {from: '1:00', to: '2:00'}", "already; keep one"),
    ],
)
def test_quiet_hours_that_cannot_be_kept_are_refused(
    tmp_path: Path, hours: str, words: str
) -> None:
    with pytest.raises(RuleError) as refused:
        compile_policy(
            parameters_of(
                tmp_path, actions=ACTION.replace("caps: []", f"caps: []\nquiet_hours:\n  - {hours}")
            )
        )

    assert str(refused.value).startswith(f"{tmp_path / 'actions.yaml'}:")
    assert words in str(refused.value)


def test_every_fact_can_be_named_and_is_told_apart() -> None:
    words = [fact.about for fact in FACTS.values()]

    assert len(words) == len(set(words))
    assert {float, str, list} == set(FACT_KINDS.values())


@pytest.mark.parametrize(
    ("wrong", "right", "line", "words"),
    [
        ("when: orders > 0", "when: orders > 0", 0, ""),
        (
            "when: orders > 0",
            "when: orders > 0 or churn_probability > 50",
            2,
            "`churn_probability > 50` is never true, for churn_probability is from 0 to 1, so that",
        ),
        (
            "cooldown: 7d",
            "rises: {fact: silent_days, to: 90, rearm: -1}\n    cooldown: 7d",
            2,
            "fires once and never again, for silent_days is 0 or more and never falls to -1",
        ),
        (
            "name: quiet",
            "name: noisy",
            2,
            "no action answers it: nothing is ever done about it unless",
        ),
    ],
)
def test_what_is_probably_not_meant_is_told_with_its_line(
    tmp_path: Path, wrong: str, right: str, line: int, words: str
) -> None:
    action = ACTION if "noisy" not in right else ACTION.replace("{quiet: 1.0}", "{other: 1.0}")
    _, _, entry = RULE.partition("\n")
    other = "" if action is ACTION else entry.replace("quiet", "other")
    policy = compile_policy(parameters_of(tmp_path, RULE.replace(wrong, right) + other, action))

    if not line:
        assert () == policy.warnings
        return
    [warning] = policy.warnings
    assert warning.startswith(f"{tmp_path / 'triggers.yaml'}:{line}: ")
    assert words in warning


@pytest.mark.parametrize(
    ("wrong", "right", "words"),
    [
        ("propensity: 0.3", "propensity: 0", "call: is never chosen, for propensity is 0"),
        ("cost: 3", "cost: 3\n    lever: 0", "call: is never chosen, for lever is 0"),
        ("for: {quiet: 1.0}", "for: {quiet: 0}", "is never chosen, for every weight in `for` is 0"),
        (
            "value: average_order",
            "value: average_order * price_sensitivity\n    offer: discount",
            "an offer must not be worth more or less by how much the price decides",
        ),
    ],
)
def test_an_action_that_is_never_chosen_is_told(
    tmp_path: Path, wrong: str, right: str, words: str
) -> None:
    policy = compile_policy(parameters_of(tmp_path, actions=ACTION.replace(wrong, right)))

    assert any(words in warning and "actions.yaml:5: " in warning for warning in policy.warnings)


def test_shipped_rules_are_as_they_are_meant() -> None:
    assert () == compile_policy(PARAMETERS).warnings


def test_shipped_triggers_that_own_actions_do_not_answer_are_told_in_one_line(
    tmp_path: Path,
) -> None:
    own = tmp_path / "actions.yaml"
    own.write_text(ACTION.replace("{quiet: 1.0}", "{cart-abandoned: 1.0}"))
    policy = compile_policy(load_parameters(None, [f'rules.actions="{own}"']))

    [one] = policy.warnings
    assert one.startswith("config/triggers.yaml: no action answers ")
    assert {"churn-risk", "purchase-overdue"} <= set(one.replace(",", "").replace(":", "").split())
    assert "cart-abandoned" not in one
    # What parts tell besides is news for whoever reads triggers.
    assert "points-earned" not in one
