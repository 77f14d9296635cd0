"""The recipes of docs/segments.md are valid files, and do what the page says."""

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from config.rules import load_actions, load_triggers
from config.segments import announcing, load_segments
from models.decisions.policy import compile_policy
from models.decisions.trigger import NextBestAction, Trigger
from models.events.times import iso
from tests.house.repository import ROOT
from tests.models.lines import PARAMETERS
from tests.models.test_segments import JANUARY_1, JANUARY_10, Life, at, order

PAGE = (ROOT / "docs/segments.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
ACTION = """\
version: 1
holdout: 0
caps: []
actions:
  - name: call
    channel: phone
    owner: desk
    due: 2d
    {answers}
    when: orders > 0
    propensity: 0.3
    value: "100"
    cost: 3
    cooldown: 3d
"""


def lived(directory: Path, segments: str, actions: str = "") -> Life:
    """A customer, with only these segments."""
    file = directory / "segments.yaml"
    file.write_text(segments if segments.startswith("segments:") else f"segments:\n{segments}")
    declared = load_segments(file)
    triggers = replace(PARAMETERS.triggers, triggers=announcing(declared))
    catalogue = directory / "actions.yaml"
    catalogue.write_text(actions or "version: 1\nholdout: 0\ncaps: []\nactions: []\n")
    parameters = replace(
        PARAMETERS, segments=declared, triggers=triggers, actions=load_actions(catalogue)
    )
    compile_policy(parameters)
    return Life(parameters)


def recipe(*names: str) -> str:
    """The block that declares these segments."""
    [found] = [block for block in BLOCKS if re.findall(r"- name: (\S+)", block) == list(names)]
    return found


def test_ada_slips_and_comes_back_as_the_page_tells(tmp_path: Path) -> None:
    life = lived(tmp_path, recipe("slipping"))
    life.then(order(JANUARY_1, "A"), order(JANUARY_10, "B"))
    life.until(at("2026-02-12T08:59:00Z")).then(order(at("2026-02-12T09:00:00Z"), "C"))

    assert [
        ("segment-slipping-entered", "2026-02-09T10:00:00.000Z"),
        ("segment-slipping-left", "2026-02-12T09:00:00.000Z"),
    ] == life.told
    assert "February 9 at 10:00:00.000" in PAGE


def test_a_slipping_vip_is_called_by_their_own_rhythm_and_somebody_slow_is_not(
    tmp_path: Path,
) -> None:
    [answers] = re.findall(r"`(for: \{segment-vip-slipping-entered: 1.0\})`", PAGE)
    action = ACTION.format(answers=answers)
    weekly = lived(tmp_path, recipe("loyal", "vip-slipping"), action)
    slow = lived(tmp_path, recipe("loyal", "vip-slipping"), action)
    for number in range(12):
        weekly.then(order(JANUARY_1 + number * 7 * 86_400_000, f"w-{number}", 60.0))
    for number in range(5):
        slow.then(order(JANUARY_1 + number * 60 * 86_400_000, f"s-{number}", 60.0))

    for life in (weekly, slow):
        life.until(life.row.latest_ms + 40 * 86_400_000)
    assert ["segment-vip-slipping-entered"] == [kind for kind, _ in weekly.told]
    assert ["call"] == [o.action for o in weekly.effects if isinstance(o, NextBestAction)]
    assert [] == slow.told


def test_a_rule_of_the_moment_time_fires_after_a_year(tmp_path: Path) -> None:
    file = tmp_path / "triggers.yaml"
    file.write_text(f"triggers:\n{recipe('anniversary-of-silence')}")
    life = lived(tmp_path, "segments: []\n")
    life.edited(replace(life.within.parameters, triggers=load_triggers(file)))
    life.then(order(JANUARY_1, "A")).until(JANUARY_1 + 800 * 86_400_000)

    fired = [(o.kind, o.timestamp) for o in life.effects if isinstance(o, Trigger)]
    assert [("anniversary-of-silence", iso(JANUARY_1 + 365 * 86_400_000))] == fired


@pytest.mark.parametrize("block", [block for block in BLOCKS if "moment:" not in block])
def test_every_recipe_can_be_used(block: str, tmp_path: Path) -> None:
    lived(tmp_path, block)
