"""Segments that cannot be used are refused with the fix; and rules that refer to segments."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from agents.words.segments import changes_in_words, segments_in_words
from config.duration import DAY_MS, HOUR_MS
from config.parameters import ParameterError, Parameters
from config.rules import RuleError, load_actions, load_triggers
from config.segments import SEGMENTS_MAX, load_segments
from models.customer.segments import LOOK, SEGMENTS
from models.decisions.policy import compile_policy
from models.decisions.trigger import NextBestAction, Trigger
from models.events.times import iso
from models.parameters import load_parameters
from tests.models.lines import happened, scene
from tests.models.test_segments import (
    FEBRUARY_9,
    JANUARY_1,
    JANUARY_10,
    SLIPPING,
    Life,
    declared,
    order,
)

SEGMENT = """\
segments:
  - name: regular
    version: 1
    when: orders_90d >= 3
"""


@pytest.mark.parametrize(
    ("wrong", "right", "words"),
    [
        ("regular", "Regular!", ":2: Regular!: a name is lower case letters, digits and -"),
        ("regular", "r" * 49, "lower case letters, digits and -, 48 at most"),
        ("version: 1", "version: 0", ":2: regular: version is a whole number from 1 on"),
        ("version: 1", "version: one", ":2: regular: "),
        ("orders_90d >= 3", "ordres >= 3", "there is no fact 'ordres'; did you mean orders?"),
        ("orders_90d >= 3", "orders_90d >", ":2: regular: when: cannot be read"),
        ("orders_90d >= 3", "orders_90d", "needs a condition"),
        ("orders_90d >= 3", "orders_90d < 0", "can never be true"),
        ("orders_90d >= 3", "survey_score > 3", "known at the moment survey alone"),
        ("orders_90d >= 3", "'x' in segments", "put all of it in quotes of the other kind"),
        ("orders_90d >= 3", "not 'x' in segments", "'x' is never in segments; there are regular"),
        ("orders_90d >= 3", "orders > 1 or 'regula' in segments", "did you mean regular?"),
        ("orders_90d >= 3", "orders > 1 and 'regular' in segments", "regular asks for regular"),
        ("orders_90d >= 3", "segments == 'regular'", "do not go together"),
        ("orders_90d >= 3", "level in segments", 'needs a name, such as "vip" in segments'),
        (
            "orders_90d >= 3",
            "orders > 1 and 'regular' in level",
            '`in` needs a list, such as ("new", "loyal")',
        ),
        ("orders_90d >= 3", "segment == 'kings'", "segment is never 'kings'"),
        ("version: 1", "version: 1\n    hold: -1h", "hold"),
        ("version: 1", "version: 1\n    backfill: true", "needs `announce: true`"),
        ("version: 1", "version: 1\n    holds: 1h", "there is no 'holds'; did you mean hold?"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_fix(
    wrong: str, right: str, words: str, tmp_path: Path
) -> None:
    assert 1 == SEGMENT.count(wrong)
    with pytest.raises(RuleError) as refused:
        compile_policy(declared(tmp_path, SEGMENT.replace(wrong, right)))

    assert words in str(refused.value)
    assert str(tmp_path / "segments.yaml") in str(refused.value)


def test_a_circle_of_segments_is_told_whole(tmp_path: Path) -> None:
    circle = """\
segments:
  - {name: a, version: 1, when: '"b" in segments'}
  - {name: b, version: 1, when: 'orders > 1 or "c" not in segments'}
  - {name: c, version: 1, when: '"a" in segments and orders > 1'}
"""
    with pytest.raises(RuleError, match="a asks for b asks for c asks for a|b asks for c asks for"):
        compile_policy(declared(tmp_path, circle))


def test_two_of_one_name_and_too_many_are_refused(tmp_path: Path) -> None:
    twice = SEGMENT + SEGMENT.partition("\n")[2]
    with pytest.raises(RuleError, match="segments.yaml:5: regular is there already, on line 2"):
        compile_policy(declared(tmp_path, twice))
    many = "".join(
        SEGMENT.partition("\n")[2].replace("regular", f"r-{n}") for n in range(SEGMENTS_MAX + 1)
    )
    with pytest.raises(RuleError, match="64 segments at most"):
        declared(tmp_path, f"segments:\n{many}")


def test_a_rule_or_an_action_that_asks_for_no_segment_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "triggers.yaml"
    file.write_text(
        """\
triggers:
  - name: mine
    version: 1
    moment: score
    when: '"lapst" in segments'
    cooldown: 1d
    because: [segments]
"""
    )
    named = [f"rules.triggers={file}", f"rules.actions={no_actions(tmp_path)}"]
    mine = load_parameters(assignments=named)
    with pytest.raises(RuleError, match="triggers.yaml:2: mine: when: 'lapst' is never in segment"):
        compile_policy(mine)


def no_actions(directory: Path) -> Path:
    file = directory / "none.yaml"
    file.write_text("version: 1\nholdout: 0\ncaps: []\nactions: []\n")
    return file


def test_a_file_of_ones_own_is_a_parameter(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(SLIPPING)
    mine = load_parameters(assignments=[f"rules.segments={file}"])

    assert ["slipping"] == [one.name for one in mine.segments.segments]
    names = {rule.name for rule in mine.triggers.triggers}
    assert {"segment-slipping-entered", "segment-slipping-left"} <= names
    with pytest.raises(ParameterError, match="segments.spread must be more than 0"):
        load_parameters(assignments=["segments.spread=0s"])


MOVES = "all customers are like; that overdue_ratio moves with a new model"
RULES = """\
triggers:
  - name: half-a-month
    version: 1
    moment: time
    when: orders >= 1 and silent_days > 15
    cooldown: 0s
    because: [silent_days, orders]
  - name: any-segment
    version: 1
    moment: segment-entered
    when: silent_days >= 30
    cooldown: 0s
    because: [segment_entered, segments]
  - name: gone-again
    version: 1
    moment: segment-left
    when: segment_left == "slipping"
    cooldown: 0s
    because: [segment_left]
"""
ACTIONS = """\
version: 1
holdout: 0
caps: []
actions:
  - name: call
    channel: phone
    owner: desk
    due: 2d
    for: {any-segment: 1.0}
    when: '"slipping" in segments'
    propensity: 0.3
    value: "100"
    cost: 3
    cooldown: 3d
"""


def ruled(directory: Path, segments: str = SLIPPING) -> Parameters:
    """These rules and actions, and segments."""
    files = directory / "triggers.yaml", directory / "actions.yaml"
    for file, text in zip(files, (RULES, ACTIONS), strict=True):
        file.write_text(text)
    parameters = declared(directory, segments)
    triggers, actions = load_triggers(files[0]), load_actions(files[1])
    return replace(parameters, triggers=triggers, actions=actions)


def test_rules_fire_at_the_time_at_which_they_become_true_and_when_segments_change(
    tmp_path: Path,
) -> None:
    life = Life(ruled(tmp_path)).then(order(JANUARY_1, "A"), order(JANUARY_10, "B"))
    again_ms = FEBRUARY_9 + DAY_MS
    life.until(again_ms - 1).then(order(again_ms, "C")).until(again_ms + 20 * DAY_MS)

    fired = [(one.kind, one.timestamp) for one in life.effects if isinstance(one, Trigger)]
    assert [
        # More than 15 days, which a millisecond makes.
        ("half-a-month", iso(JANUARY_10 + 15 * DAY_MS + 1)),
        ("any-segment", iso(FEBRUARY_9)),
        ("gone-again", iso(again_ms)),
        ("half-a-month", iso(again_ms + 15 * DAY_MS + 1)),
    ] == fired
    [entered] = [o for o in life.effects if isinstance(o, Trigger) and o.kind == "any-segment"]
    assert ["slipping", "slipping"] == [reason.value for reason in entered.reasons]
    assert ["now in slipping", "in slipping"] == [reason.words for reason in entered.reasons]
    assert ["call"] == [
        one.action for one in life.effects if isinstance(one, NextBestAction) and one.action
    ]
    # The condition of a rule is no segment.
    assert "" == scene(life.row, again_ms, life.within)["segments"]


def test_a_rule_that_rises_is_not_of_the_moment_time(tmp_path: Path) -> None:
    parameters = ruled(tmp_path)
    rises = RULES.replace(
        "cooldown: 0s", "rises: {fact: silent_days, to: 9, rearm: 1}\n    cooldown: 0s", 1
    )
    file = tmp_path / "triggers.yaml"
    file.write_text(rises)
    with pytest.raises(RuleError, match="write `when: silent_days >= 9` and take `rises` away"):
        compile_policy(replace(parameters, triggers=load_triggers(file)))


def test_several_segments_at_one_moment_fire_a_rule_of_any_once(tmp_path: Path) -> None:
    both = SLIPPING + SLIPPING.partition("\n")[2].replace("slipping", "sleeping")
    life = Life(ruled(tmp_path, both)).then(order(JANUARY_1, "A"), order(JANUARY_10, "B"))
    life.until(FEBRUARY_9)

    kinds = [one.kind for one in life.effects if isinstance(one, Trigger)]
    assert ["half-a-month", "any-segment"] == kinds
    assert "sleeping slipping" == scene(life.row, FEBRUARY_9, life.within)["segments"]


def test_a_late_event_that_puts_somebody_out_does_so(tmp_path: Path) -> None:
    """It came after the deadline that it would have prevented: what is false now is announced."""
    life = Life(declared(tmp_path)).then(order(JANUARY_1, "A"), order(JANUARY_10, "B"))
    life.until(FEBRUARY_9 + HOUR_MS)
    late = order(FEBRUARY_9 - HOUR_MS, "late")
    life.then(late).until(FEBRUARY_9 + 29 * DAY_MS)

    assert ["segment-slipping-entered", "segment-slipping-left"] == [kind for kind, _ in life.told]
    assert iso(late.occurred_at_ms + 30 * DAY_MS) == iso(life.row.due(LOOK).due_ms)


def test_somebody_who_is_refunded_leaves_with_it(tmp_path: Path) -> None:
    life = Life(declared(tmp_path)).then(order(JANUARY_1, "A"), order(JANUARY_10, "B"))
    life.until(FEBRUARY_9)
    life.then(happened("Order Refunded", FEBRUARY_9 + 1, message="back", order_id="B"))

    assert [] == life.names
    assert {"slipping": 0} == life.counted


def test_switched_off_nobody_is_looked_at_and_what_is_stored_stays(tmp_path: Path) -> None:
    parameters = declared(tmp_path)
    life = Life(parameters).then(order(JANUARY_1, "A"), order(JANUARY_10, "B")).until(FEBRUARY_9)
    stored = life.row.packed()[SEGMENTS.code]
    off = load_parameters(assignments=["segments.enabled=false"])
    life.edited(replace(off, segments=parameters.segments)).then(order(FEBRUARY_9 + 1, "C"))

    assert stored == life.row.packed()[SEGMENTS.code]
    assert "" == scene(life.row, FEBRUARY_9 + 1, life.within)["segments"]
    said = list(segments_in_words(life.within.parameters))
    assert "  nobody is looked at: segments.enabled is false" == said[-1]


def test_each_segment_is_told_with_how_exact_it_is(tmp_path: Path) -> None:
    file = """\
segments:
  - name: exact
    version: 1
    when: silent_days >= 2 * unseen_days or net_90d < 10
  - name: by-model
    version: 1
    when: overdue_ratio >= 1.5
  - name: late
    version: 1
    when: silent_days >= 9 and churn_risk > 0.5
  - name: curved
    version: 1
    when: silent_days * unseen_days > 100
"""
    said = list(segments_in_words(declared(tmp_path, file)))

    exact = [line for line in said if "millisecond" in line or "every 7 days" in line]
    seen = "is seen at events and every 7 days"
    assert [
        "to the millisecond, also when nothing happens",
        f"`overdue_ratio >= 1.5` to the millisecond by what {MOVES} {seen}",
        f"`churn_risk > 0.5` {seen}, for nobody can say when churn_risk changes by itself",
        f"`silent_days * unseen_days > 100` {seen}, for it is no straight line",
    ] == [line.strip() for line in exact]


def test_an_edit_is_told_and_that_its_version_should_rise(tmp_path: Path) -> None:
    before = load_segments(tmp_path / "segments.yaml") if declared(tmp_path) else None
    assert before is not None
    (tmp_path / "segments.yaml").write_text(SLIPPING.replace("30", "60"))
    after = load_segments(tmp_path / "segments.yaml")

    assert [
        "changed: slipping: was orders >= 2 and silent_days >= 30",
        "                   is  orders >= 2 and silent_days >= 60",
        "         raise its version, which is 1 still",
    ] == list(changes_in_words(before, after))
    assert [] == list(changes_in_words(before, before))
