"""The command line about rules, facts and schemas, and bad rules wherever they are loaded."""

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agents.cli import app
from agents.documents import DOCUMENTS, document_text
from agents.words.rules import duration
from agents.words.segments import segments_in_words
from config.rules import load_actions, load_triggers
from models.customer.registry import FACTS
from models.parameters import load_parameters
from models.schemas import documents, slug
from streams.embedded.ports import free_ports

TRIGGERS = """\
triggers:
  - name: quiet
    version: 4
    moment: score
    when: orders > 3 and segment == "loyal"
    rises: {fact: churn_probability, to: 0.75, rearm: 0.5}
    cooldown: 36h
    because: [orders]
"""
ACTIONS = """\
version: 1
holdout: 0.25
caps:
  - {at_most: 2, per: 7d}
actions:
  - name: letter
    channel: post
    owner: desk
    due: 90min
    for: {quiet: 0.5}
    when: net_365d > 100
    propensity: 0.2
    value: net_365d / 12
    cost: 1.5
    lever: 2
    cooldown: 30d
    service: true
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("KEEPSTREAM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def triggers(tmp_path: Path) -> Path:
    (tmp_path / "triggers.yaml").write_text(TRIGGERS)
    return tmp_path / "triggers.yaml"


@pytest.fixture
def actions(tmp_path: Path) -> Path:
    (tmp_path / "actions.yaml").write_text(ACTIONS)
    return tmp_path / "actions.yaml"


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_every_fact_is_listed_with_its_kind() -> None:
    result = invoke("facts")
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}

    assert 0 == result.exit_code, result.output
    assert set(FACTS) <= set(rows)
    assert " text " in rows["segment"]
    assert " number " in rows["cart_value"]
    assert "worth 12.00" in rows["cart_value"]
    assert "42% likely not to buy" in rows["churn_probability"]


def test_the_rules_in_force_are_told_in_words() -> None:
    result = invoke("rules", "check")

    assert 0 == result.exit_code, result.output
    for rule in load_triggers().triggers:
        assert f"  {rule.name} (version {rule.version}, line {rule.line})" in result.stdout
        assert f"    fires if {rule.when}" in result.stdout
    for action in load_actions().actions:
        assert f"  {action.name} (line {action.line}): {action.channel}" in result.stdout


def test_rules_of_one_s_own_are_told_in_words(triggers: Path, actions: Path) -> None:
    result = invoke("rules", "check", "--triggers", triggers, "--actions", actions)

    assert 0 == result.exit_code, result.output
    assert f"""\
{triggers}: 1 trigger
  quiet (version 4, line 2)
    looked at when the churn score may have changed
    fires if orders > 3 and segment == "loyal"
    once churn_probability climbs to 0.75, and again only after it fell to 0.5
    then stays silent for 36 hours
    because of orders
shipped, but not in your file, so they never fire:
{shipped_in_words()}

{actions}: 1 action, 25% of customers are never treated
  at most 2 contacts in 7 days
  letter (line 6): post, a service message: exempt from the caps
    answers quiet (weight 0.5)
    allowed if net_365d > 100
    works 20% of the time, worth net_365d / 12, costs 1.5, lever 2
    desk has 90 minutes; not again within 30 days

{segments_as_shipped()}
""" == (result.stdout)


def segments_as_shipped() -> str:
    return "\n".join(segments_in_words(load_parameters()))


def shipped_in_words() -> str:
    """A line for each shipped file: a rule in none of them has the name of one in `TRIGGERS`."""
    names: dict[str, list[str]] = defaultdict(list)
    for rule in load_parameters().triggers.triggers:
        names[rule.file].append(rule.name)
    assert "config/parts/loyalty.yaml" in names
    return "\n".join(f"  {file}: {', '.join(found)}" for file, found in names.items())


def test_the_shipped_rules_leave_none_out() -> None:
    assert "never fire" not in invoke("rules", "check").stdout


def test_a_rule_about_events_is_told_with_their_names(triggers: Path, actions: Path) -> None:
    moment = "moment: event\n    on: [asset_downloaded, Video Watched]"
    triggers.write_text(TRIGGERS.replace("moment: score", moment))
    result = invoke("rules", "check", "--triggers", triggers, "--actions", actions)

    assert 0 == result.exit_code, result.output
    assert "    looked at when Asset Downloaded or Video Watched happens\n" in result.stdout
    assert "on names 'Video Watched', which no part knows" in result.stderr


@pytest.mark.parametrize(
    ("wrong", "right", "line", "words"),
    [
        ("orders > 3", "order > 3", 2, "did you mean orders?"),
        ("version: 4", "version: four", 2, "expected a whole number"),
        ("[orders]", "[orders", 9, "not valid YAML"),
    ],
)
def test_a_bad_rule_is_one_line_with_its_place(
    triggers: Path, actions: Path, wrong: str, right: str, line: int, words: str
) -> None:
    triggers.write_text(TRIGGERS.replace(wrong, right))
    result = invoke("rules", "check", "--triggers", triggers, "--actions", actions)

    assert 2 == result.exit_code
    assert result.stderr.startswith(f"{triggers}:{line}: ")
    assert words in result.stderr
    assert 1 == len(result.stderr.splitlines())
    assert "" == result.stdout


def test_actions_must_answer_triggers_that_there_are(triggers: Path) -> None:
    result = invoke("rules", "check", "--triggers", triggers)

    assert 2 == result.exit_code
    assert "which is no trigger: quiet" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["parameters"],
        ["replay", "LOG", "--out", "OUT"],
        ["worker"],
        ["doctor"],
        ["rules", "check"],
    ],
)
@pytest.mark.parametrize("is_there", [True, False])
def test_bad_rules_keep_every_command_from_starting(
    tmp_path: Path,
    triggers: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    is_there: bool,
) -> None:
    # Before the broker is asked for: nobody listens there.
    closed = f"127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setenv("KEEPSTREAM_BOOTSTRAP_SERVERS", closed)
    (tmp_path / "LOG").write_bytes(b"")
    if is_there:
        triggers.write_text(TRIGGERS.replace("orders > 3", "open('/etc/passwd') == 1"))
    else:
        triggers.unlink()
    named = [str(tmp_path / a) if a in ("LOG", "OUT") else a for a in command]
    result = invoke(*named, "--set", f"rules.triggers={triggers}")

    assert 2 == result.exit_code, result.output
    assert 1 == len(result.stderr.splitlines()), result.stderr
    assert f"{triggers}:" in result.stderr
    assert ("no calls" if is_there else "cannot be read") in result.stderr
    assert not (tmp_path / "OUT").exists()


@pytest.mark.parametrize("value", ["5", "true", "[1]"])
def test_a_rules_file_that_is_no_name_is_refused(value: str) -> None:
    result = invoke("parameters", "--set", f"rules.actions={value}")

    assert 2 == result.exit_code
    assert 1 == len(result.stderr.splitlines())


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (86_400_000, "1 day"),
        (36 * 3_600_000, "36 hours"),
        (90_000, "90 seconds"),
        (1_500, "1500 ms"),
        (0, "0 ms"),
    ],
)
def test_a_time_span_reads_as_it_was_written(ms: int, words: str) -> None:
    assert words == duration(ms)


def test_schemas_are_listed_printed_and_written(tmp_path: Path) -> None:
    listed = invoke("schema")
    assert 0 == listed.exit_code
    assert all(f"\n{document.name} " in f"\n{listed.stdout}" for document in documents())

    printed = invoke("schema", "Order Completed")
    assert 0 == printed.exit_code
    schema = json.loads(printed.stdout)
    assert {"const": "Order Completed"} == schema["properties"]["event"]
    assert printed.stdout == invoke("schema", "order-completed").stdout

    for name in DOCUMENTS:
        assert f"\n{name} " in listed.stdout
        assert document_text(name) == invoke("schema", name).stdout

    written = invoke("schema", "--all", "--out", tmp_path / "schemas")
    assert 0 == written.exit_code
    files = {path.name: path.read_text() for path in (tmp_path / "schemas").iterdir()}
    assert {f"{slug(document.name)}.json" for document in documents()} == set(files)
    assert printed.stdout == files["order-completed.json"]
    assert f"{len(files)} schemas written" in written.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["Order Complete"], "did you mean 'Order Completed'?"),
        (["xyzzy"], "`keepstream schema` lists all"),
        (["--all"], "--all --out DIR"),
        (["--out", "x"], "--all --out DIR"),
        (["page", "--all", "--out", "x"], "--all --out DIR"),
    ],
)
def test_a_schema_that_there_is_not_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("schema", *arguments)

    assert 2 == result.exit_code
    assert words in result.stderr
    assert 1 == len(result.stderr.splitlines())
    assert [] == list(tmp_path.iterdir())


def test_what_can_never_fire_is_refused_and_what_is_probably_not_meant_is_told(
    triggers: Path, actions: Path
) -> None:
    within = ("--triggers", triggers, "--actions", actions)
    well = invoke("rules", "check", *within)
    assert (0, "") == (well.exit_code, well.stderr)

    actions.write_text(ACTIONS.replace("lever: 2", "lever: 0"))
    doubtful = invoke("rules", "check", *within)
    assert 0 == doubtful.exit_code
    assert f"warning: {actions}:6: letter: is never chosen, for lever is 0\n" == doubtful.stderr

    actions.write_text(ACTIONS.replace("net_365d > 100", "segment == 'loyall'"))
    refused = invoke("rules", "check", *within)
    assert 2 == refused.exit_code
    assert "segment is never 'loyall'; did you mean loyal?" in refused.stderr
