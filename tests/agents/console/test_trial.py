"""A rule tried on a log shows which decisions would differ, and changes nothing."""

import asyncio
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from agents.console.pages.trial import compared, rule_block, rules_file
from agents.console.trial import RuleTrials, TrialFailed, environment, replayed, rule_text, run
from config.rules import RuleError, load_triggers
from config.settings import load_settings
from models.decisions.trigger import Decision
from tests.agents.console.conftest import SmallShop
from tests.models.lines import PARAMETERS

RULES = {rule.name: rule for rule in PARAMETERS.triggers.triggers}
CARTS = {"ada": 60.0, "bob": 5.0}


def log_of_carts() -> str:
    """Two carts that are abandoned for two hours."""
    lines = [
        {
            "type": "track",
            "event": "Product Added",
            "messageId": customer,
            "userId": customer,
            "timestamp": "2026-03-04T18:20:00Z",
            "properties": {"product_id": "p", "price": price, "quantity": 1},
        }
        for customer, price in CARTS.items()
    ]
    lines.append({"type": "watermark", "timestamp": "2026-03-04T20:20:00Z"})
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def test_every_rule_in_force_is_found_in_its_file_and_a_file_of_them_is_the_same(
    tmp_path: Path,
) -> None:
    file = tmp_path / "triggers.yaml"
    file.write_text(rules_file(rule_text(rule) for rule in RULES.values()))

    again = load_triggers(file).triggers
    fields = [f for f in again[0].__struct_fields__ if f not in ("file", "line")]
    assert [[getattr(rule, f) for f in fields] for rule in RULES.values()] == [
        [getattr(rule, f) for f in fields] for rule in again
    ]


def test_an_entry_ends_where_the_next_one_begins() -> None:
    text = "triggers:\n  - name: a\n    when: x\n\n  # of b\n  - name: b\n    when: y\n"

    assert "- name: a\n  when: x\n" == rule_block(text, 2)
    assert "- name: b\n  when: y\n" == rule_block(text, 6)


def test_another_version_of_the_same_is_no_difference(small_shop: SmallShop) -> None:
    decided: list[Decision] = [t for found in small_shop.moments for t in found.triggers]
    others: list[Decision] = [replace(one, id="0" * 32) for one in decided]

    assert ((), 0, 0) == (
        compared(decided, others).counts,
        compared(decided, others).gained_in_all,
        compared(decided, others).lost_in_all,
    )
    view = compared(decided[1:], decided[:-1])
    assert (1, 1) == (view.gained_in_all, view.lost_in_all)
    assert decided[0].user_id == view.gained[0].customer
    assert decided[-1].user_id == view.lost[0].customer


def test_a_rule_is_tried_on_a_log(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(log_of_carts())
    (tmp_path / "models").mkdir()
    dearer = rule_text(RULES["cart-abandoned"]).replace("cart_items > 0", "cart_value > 50")
    blocks = [dearer if n == "cart-abandoned" else rule_text(r) for n, r in RULES.items()]
    triggers = tmp_path / "triggers.yaml"
    triggers.write_text(rules_file(blocks))
    environ = environment(load_settings({}))

    view = asyncio.run(replayed(tmp_path / "log.jsonl", tmp_path / "models", triggers, (), environ))
    assert ("cart abandoned", 2, 1) in view.counts
    assert {"bob"} == {one.customer for one in view.lost}
    assert () == view.gained


def test_what_is_no_rule_is_refused_at_once(tmp_path: Path) -> None:
    trials = RuleTrials(load_settings({}), ())
    wrong = rule_text(RULES["cart-abandoned"]).replace("cart_items", "cart_itmes")

    with pytest.raises(RuleError, match="the rules:.*cart_items"):
        trials.start("cart-abandoned", wrong, tuple(RULES.values()))
    assert trials.latest is None


def test_a_trial_that_cannot_be_made_says_why() -> None:
    with pytest.raises(TrialFailed, match="keepstream replay ended: .*no-such-file"):
        asyncio.run(run(["replay", "no-such-file", "--out", "o"], environment(load_settings({}))))
