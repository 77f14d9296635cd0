"""The marketer's files: read with their lines, and every mistake named with line and fix."""

from pathlib import Path

import pytest

import config
from config.rules import RuleError, load_actions, load_triggers, read_tree

TRIGGERS = """\
# The first line is a comment.
triggers:
  - name: quiet
    version: 1
    moment: silence
    when: orders > 0
    cooldown: 7d
    because: [orders]

  - name: risky
    version: 2
    moment: score
    when: orders >= 2
    rises: {fact: churn_probability, to: 0.7, rearm: 0.6}
    cooldown: 28d
    because: [churn_probability]
"""
ACTIONS = """\
version: 3
holdout: 0.2
caps:
  - {at_most: 1, per: 1d}
actions:
  - name: call
    channel: phone
    owner: desk
    due: 2d
    for: {quiet: 1.0}
    when: orders >= 1
    propensity: 0.3
    value: spend
    cost: 3
    cooldown: 3d
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.yaml"


def refusal(file: Path, text: str) -> str:
    """The error for a file with this text; one line, so that it fits in a log."""
    file.write_text(text, "utf-8")
    load = load_triggers if "triggers:" in text else load_actions
    with pytest.raises(RuleError) as refused:
        load(file)
    assert 1 == len(str(refused.value).splitlines())
    return str(refused.value)


def test_what_is_shipped_can_be_used() -> None:
    names = {rule.name for rule in load_triggers().triggers}
    kinds = {"cart-abandoned", "purchase-overdue", "ticket-overdue", "low-satisfaction"}

    assert kinds | {"churn-risk", "silent-churn"} == names
    assert len(load_actions().actions) >= 5


SHIPPED = Path(config.__file__).parent
READ_AT_EVERY_START = ["triggers.yaml", "actions.yaml", "segments.yaml", "parts/*.yaml"]


@pytest.mark.parametrize(
    "file",
    sorted(file for name in READ_AT_EVERY_START for file in SHIPPED.glob(name)),
    ids=lambda file: file.name,
)
def test_what_is_shipped_reads_as_a_copy_of_it_does(file: Path) -> None:
    # Another parser reads the files of users: one that explains what is wrong with them.
    shipped, copied = read_tree(None, str(file.relative_to(SHIPPED))), read_tree(file, "")

    assert shipped.values == copied.values
    assert shipped.lines == copied.lines


def test_every_rule_knows_its_line(file: Path) -> None:
    file.write_text(TRIGGERS)
    quiet, risky = load_triggers(file).triggers

    assert (3, 10) == (quiet.line, risky.line)
    assert (7 * 86_400_000, None) == (quiet.cooldown, quiet.rises)
    assert risky.rises is not None
    assert 0.7 == risky.rises.to


def test_every_action_knows_its_line(file: Path) -> None:
    file.write_text(ACTIONS)
    actions = load_actions(file)
    [call] = actions.actions
    [cap] = actions.caps

    assert (6, 4) == (call.line, cap.line)
    assert {"quiet": 1.0} == call.contexts
    assert (1.0, False) == (call.lever, call.service)


@pytest.mark.parametrize(
    ("wrong", "right", "line", "words"),
    [
        ("    cooldown: 7d", "    cooldwn: 7d", 3, "quiet: there is no 'cooldwn'; did you mean co"),
        ("    version: 2", "    colour: red", 10, "risky: there is no 'colour'; known: because, "),
        ("    version: 2\n", "", 10, "risky: version is missing"),
        (
            "    version: 2",
            "    version: two",
            10,
            "risky: version: expected a whole number, got a text",
        ),
        ("    cooldown: 7d", "    cooldown: soon", 3, "expected a duration such as '90s'"),
        ("    when: orders > 0", "    when: 3", 3, "when: expected a text, got a whole number"),
        ("to: 0.7", "too: 0.7", 10, "rises: object contains unknown field `too`"),
        ("triggers:", "version: 1\ntriggers:", 2, "there is no 'version'; known: triggers"),
        ("  - name: risky", "  - risky", 11, "not valid YAML"),
        (
            "[orders]",
            "[orders",
            10,
            "expected ',' or ']', but got ':' while parsing a flow sequence that begins on line 8",
        ),
        ("  - name: quiet", "\t- name: quiet", 3, "not valid YAML"),
        ("    version: 2", "    version: 2\n    version: 3", 12, "'version' is there already"),
        ("when: orders >= 2", "when: !!python/name:os.system x", 13, "could not determine a con"),
        ("because: [orders]", "because: &a [*a]", 8, "recursive"),
    ],
)
def test_a_mistake_is_named_with_its_line(
    file: Path, wrong: str, right: str, line: int, words: str
) -> None:
    assert 1 == TRIGGERS.count(wrong)
    said = refusal(file, TRIGGERS.replace(wrong, right))

    assert said.startswith(f"{file}:{line}: "), said
    assert words in said


@pytest.mark.parametrize(
    ("wrong", "right", "line", "words"),
    [
        ("holdout: 0.2", "holdot: 0.2", 2, "there is no 'holdot'; did you mean holdout?"),
        ("holdout: 0.2", "holdout: 1", 2, "from 0 to less than 1"),
        ("holdout: 0.2", "holdout: .nan", 2, "from 0 to less than 1"),
        ("holdout: 0.2", "holdout: a tenth", 2, "expected a number, got a text"),
        ("at_most: 1", "at_mots: 1", 4, "there is no 'at_mots'; did you mean at_most?"),
        ("at_most: 1, per: 1d", "at_most: 1", 4, "per is missing"),
        (
            "for: {quiet: 1.0}",
            "for: [quiet]",
            6,
            "for: expected a group of names and values",
        ),
        ("    channel: phone", "    chanel: phone", 6, "did you mean channel?"),
    ],
)
def test_a_mistake_in_the_catalogue_is_named_with_its_line(
    file: Path, wrong: str, right: str, line: int, words: str
) -> None:
    assert 1 == ACTIONS.count(wrong)
    said = refusal(file, ACTIONS.replace(wrong, right))

    assert said.startswith(f"{file}:{line}: "), said
    assert words in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected `actions:` at the top"),
        ("# triggers:\n#   - name: a\n", "at the top, and every line is a comment: remove the #"),
        ("- a", "expected `actions:` at the top"),
        ("triggers:", "triggers is a list"),
        ("triggers: 5", "triggers is a list"),
        ("triggers: {name: a}", "triggers is a list"),
        ("triggers: [5]", "an entry is a group"),
        ("triggers: [[a, b]]", "an entry is a group"),
        ("triggers: " + "[" * 5_000, "not valid YAML: nested too deeply"),
        ("triggers:\n  - name: \x07", "not valid YAML"),
        ("? [a]\n: 1\ntriggers: []", "not valid YAML"),
        ("triggers: []\n---\ntriggers: []", "not valid YAML"),
    ],
)
def test_what_is_no_such_file_is_refused(file: Path, text: str, words: str) -> None:
    said = refusal(file, text)

    assert str(file) in said
    assert words in said


def test_a_bomb_of_references_is_refused_in_few_words(file: Path) -> None:
    layers = [f"  - &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
    said = refusal(file, "triggers:\n  - &l0 [boom, boom]\n" + "\n".join(layers))

    assert len(said) < 300


def test_bytes_that_are_no_text_are_refused(file: Path) -> None:
    file.write_bytes(b"triggers:\n  - name: \xff\xfe")
    with pytest.raises(RuleError, match="no text in UTF-8"):
        load_triggers(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for load in (load_triggers, load_actions):
        with pytest.raises(RuleError, match="none.yaml: cannot be read .No such file"):
            load(tmp_path / "none.yaml")


def test_an_entry_may_take_what_another_has(file: Path) -> None:
    merged = TRIGGERS.replace("- name: quiet", "- &quiet\n    name: quiet")
    file.write_text(merged + "\n  - {<<: *quiet, name: quieter}\n")
    quiet, _, quieter = load_triggers(file).triggers

    assert (quiet.when, quiet.cooldown) == (quieter.when, quieter.cooldown)
    assert quieter.line > quiet.line


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        ("{from: '25:00', to: '08:00'}", "expected a time of day such as '08:00' or '21:30'"),
        ("{from: late, to: '08:00'}", "expected a time of day"),
        ("{form: '21:00', to: '08:00'}", "there is no 'form'; did you mean from?"),
        ("{from: '21:00'}", "to is missing"),
    ],
)
def test_quiet_hours_are_times_of_day(file: Path, hours: str, words: str) -> None:
    said = refusal(file, ACTIONS.replace("caps:", f"quiet_hours:\n  - {hours}\ncaps:"))

    assert words in said
    assert f"{file}:4: " in said


def test_a_time_of_day_may_stand_without_quotes(file: Path) -> None:
    file.write_text(ACTIONS.replace("caps:", "quiet_hours:\n  - {from: 21:30, to: 08:00}\ncaps:"))
    [hours] = load_actions(file).quiet_hours

    assert (21 * 60 + 30, 8 * 60) == (hours.begin, hours.end)


@pytest.mark.parametrize(
    "value",
    [
        "9" * 5_000, "2026-99-99", "2026-01-01T00:00:00+99:99", "!!int x", "!!float x", "!!bool x",
        "!!timestamp x", "[1, {a: 2026-13-01}]",
    ],
)  # fmt: skip
def test_a_value_that_is_not_what_its_form_says_is_refused_with_its_line(
    file: Path, value: str
) -> None:
    file.write_text(f"# rules\ntriggers: {value}\n")
    with pytest.raises(RuleError, match=f"{file}:2: not valid YAML: a number or a time"):
        load_triggers(file)
