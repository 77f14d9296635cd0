"""The recipes for marketers, step by step: what the page shows really happens."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from config.parameters import Parameters
from config.rules import Actions, load_actions, load_triggers
from models.decisions.policy import compile_policy
from models.decisions.trigger import NextBestAction, Trigger
from models.parameters import load_parameters
from models.replay import Output, Replay
from tests.house.documents import Block, blocks, commands
from tests.house.repository import ROOT

PAGE = ROOT / "docs/value-and-lifecycle.md"
BLOCKS = blocks(PAGE.read_text())
COMMANDS = [line for line in commands(PAGE.read_text(), "keepstream") if line[1:2] == ["replay"]]
STORIES = [command[2] for command in COMMANDS]


def replayed(
    command: list[str], parameters: Parameters | None = None
) -> tuple[Replay, list[Output]]:
    """The replay of the page's command, with its settings."""
    sets = command[command.index("--set") + 1 :] if "--set" in command else []
    replay = Replay(parameters or load_parameters(assignments=sets))
    lines = (ROOT / command[2]).read_bytes().splitlines()
    return replay, [
        out for number, line in enumerate(lines, 1) for out in replay.feed(line, number)
    ]


def told(outputs: list[Output]) -> list[str]:
    """Each trigger in a line, followed by the decision about the first one of a moment."""
    answers = {
        (out.user_id, out.timestamp, out.triggers[0]): out.action or "nothing"
        for out in outputs
        if isinstance(out, NextBestAction)
    }
    lines = []
    for out in outputs:
        if isinstance(out, Trigger):
            line = f"{out.timestamp[:10]} {out.user_id} {out.kind}"
            lines += [line, f"{line} → {answers.get((out.user_id, out.timestamp, out.kind))}"]
    return lines


def shown_after(story: str) -> list[str]:
    """The lines of the text block that follows the command."""
    place = next(n for n, b in enumerate(BLOCKS) if b.language == "sh" and story in b.text)
    following: Block = BLOCKS[place + 1]
    return following.text.splitlines() if following.language == "text" else []


@pytest.mark.parametrize("command", COMMANDS, ids=STORIES)
def test_a_recipe_tells_what_a_replay_of_its_file_tells(command: list[str]) -> None:
    replay, outputs = replayed(command)
    measures = [f"{name} {value:.2f}" for name, value in replay.summary().measures.items()]
    found = [*told(outputs), *measures]

    assert shown_after(command[2])
    assert [] == [line for line in shown_after(command[2]) if line not in found]


def test_there_are_four_recipes() -> None:
    assert 4 == len(STORIES)


def added(rules: str, name: str, tmp_path: Path) -> Path:
    """The shipped file, with the page's block appended."""
    [block] = [b.text for b in BLOCKS if b.language == "yaml" and name in b.text]
    mine = tmp_path / rules
    mine.write_text(f"{(ROOT / 'config' / rules).read_text()}\n{block}")
    return mine


def test_the_trigger_that_is_shown_fires_before_the_shipped_one(tmp_path: Path) -> None:
    shipped = load_parameters()
    mine = load_triggers(added("triggers.yaml", "vip-drifting", tmp_path))
    mine = replace(shipped.triggers, triggers=(*shipped.triggers.triggers, mine.triggers[-1]))
    _, outputs = replayed(COMMANDS[0], replace(shipped, triggers=mine))
    first = {
        out.kind: out.timestamp
        for out in reversed(outputs)
        if isinstance(out, Trigger) and out.user_id == "vera"
    }

    assert first["vip-drifting"] < first["vip-slipping"]


def test_the_answer_that_is_shown_is_chosen(tmp_path: Path) -> None:
    shipped = load_parameters()
    actions: Actions = load_actions(added("actions.yaml", "guide-to-choosing", tmp_path))
    parameters = replace(shipped, actions=actions)
    compile_policy(parameters)
    _, outputs = replayed(COMMANDS[2], parameters)
    chosen = [
        out.action
        for out in outputs
        if isinstance(out, NextBestAction) and "interest-faded" in out.triggers
    ]

    assert ["guide-to-choosing"] == chosen


def test_a_vip_hears_from_the_shop_by_the_channel_and_at_the_hour_that_they_prefer(
    tmp_path: Path,
) -> None:
    actions: Actions = load_actions(added("actions.yaml", "vip-hello", tmp_path))
    [command] = [command for command in COMMANDS if "contact-due" in command[2]]
    _, outputs = replayed(command, replace(load_parameters(), actions=actions))
    chosen = [
        (out.user_id, out.action, out.channel, out.timestamp[:13], out.not_before)
        for out in outputs
        if isinstance(out, NextBestAction) and "contact-due" in out.triggers
    ]

    # Seven in the evening in Berlin: it is her hour.
    assert [("vera", "vip-hello", "app", "2026-02-25T18", None)] == chosen


def test_the_traits_that_are_shown_become_the_classes_that_are_said(tmp_path: Path) -> None:
    [toml] = [b.text for b in BLOCKS if b.language == "toml" and "[traits]" in b.text]
    [said] = [b.text for b in BLOCKS if b.language == "json" and '"birthday"' in b.text]
    mine = tmp_path / "mine.toml"
    mine.write_text(toml)
    replay = Replay(load_parameters(mine))
    replay.feed(said.encode(), 1)
    [view] = replay.profiles()

    shown = {name: trait.value for name, trait in view.traits.items()}
    assert {"age": "30-49", "region": "north"} == shown
    assert all(f'"{value}"' in PAGE.read_text() for value in shown.values())
