"""The customer facts that decisions carry: those that the operator names, with the values at the
decision.
"""

import json
from pathlib import Path

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from config.parameters import ParameterError, Parameters
from config.rules import RuleError
from models.customer.registry import FACTS
from models.decisions.policy import FACTS_TOLD_MAX, compile_policy
from models.decisions.trigger import NextBestAction, Trigger, decode_decision, encode_decision
from models.events.event import Event
from models.parameters import load_parameters
from tests.models.lines import PARAMETERS, at, context, happened, lived, waited


def telling(*facts: str, base: Parameters = PARAMETERS) -> Parameters:
    return replace(base, rules=replace(base.rules, facts=facts))


def cart_left_alone(parameters: Parameters, *before: Event) -> tuple[Trigger, NextBestAction]:
    within = context(parameters=parameters)
    events = [
        *before,
        happened("Order Completed", at(hours=1), order_id="o", revenue=80.0),
        happened("Product Added", at(days=1), product_id="P", price=60.0),
    ]
    _, effects = waited(lived(events, within=within), at(days=1, hours=1), within=within)
    [trigger] = [found for found in effects if isinstance(found, Trigger)]
    [action] = [found for found in effects if isinstance(found, NextBestAction)]
    return trigger, action


def test_a_decision_tells_the_facts_that_are_asked_for() -> None:
    told = telling("net_365d", "segment", "cart_value", "nps", "churn_probability", "segments")

    for decision in cart_left_alone(told):
        assert decision.churn is not None
        assert decision.facts is not UNSET
        facts = dict(decision.facts)
        assert facts.pop("segment") in {str(name) for name in FACTS["segment"].values(told)}  # type: ignore[misc]
        assert {
            "net_365d": 80.0,
            "cart_value": 60.0,
            "segments": ("new-customers",),
            # There was no survey.
            "nps": None,
            "churn_probability": decision.churn.probability,
        } == facts
        assert decision == decode_decision(encode_decision(decision))


def test_a_decision_is_the_same_whatever_it_tells() -> None:
    for plain, telling_all in zip(
        cart_left_alone(PARAMETERS), cart_left_alone(telling("segment")), strict=True
    ):
        assert "facts" not in json.loads(encode_decision(plain))
        assert plain == replace(telling_all, facts=UNSET)


def test_nothing_is_told_of_who_refuses_that_who_they_are_decides() -> None:
    refused = happened("Consent Revoked", at(), purpose="personalisation")
    for decision in cart_left_alone(telling("segment"), refused):
        assert decision.facts is UNSET


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (("segmnt",), "rules.facts: there is no fact 'segmnt'; did you mean segment?"),
        (("survey_score",), "survey_score is known at the moment survey alone"),
        (tuple(FACTS)[: FACTS_TOLD_MAX + 1], "24 are the most"),
    ],
)
def test_what_cannot_be_told_is_refused(facts: tuple[str, ...], words: str) -> None:
    with pytest.raises(RuleError) as refused:
        compile_policy(telling(*facts))

    assert words in str(refused.value)


def test_the_parameter_is_one_name_or_several(tmp_path: Path) -> None:
    assert ("clv",) == load_parameters(None, ["rules.facts=clv"]).rules.facts
    assert ("clv", "nps") == load_parameters(None, ["rules.facts=clv,nps"]).rules.facts
    with pytest.raises(ParameterError):
        load_parameters(None, ["rules.facts=3"])
