"""Alerts fire when they should and only then; each has a way out."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.house.documents import code, headings
from tests.house.prometheus_tools import run
from tests.house.repository import ROOT
from tests.house.test_compose import SERVICES
from tests.house.test_prometheus import FOLDER, RULES, SCRAPING

RUNBOOK = ROOT / "docs/runbook.md"
ALERTING: dict[str, Any] = yaml.safe_load((FOLDER / "alertmanager.yml").read_text())
STORIES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
NAMES = [rule["alert"] for rule in RULES]

every_rule = pytest.mark.parametrize("rule", RULES, ids=NAMES)


def firing(look: dict[str, Any]) -> set[str]:
    """The alerts that a story expects at one time."""
    return {re.findall(r'"(\w+)"', sample["labels"])[0] for sample in look.get("exp_samples", [])}


def test_alerts_make_of_each_story_what_they_should() -> None:
    tried = run("promtool", "test", "rules", FOLDER / "alerts_test.yml")

    assert 0 == tried.returncode, tried.stdout + tried.stderr


def test_a_threshold_that_is_moved_is_noticed(tmp_path: Path) -> None:
    rules = (FOLDER / "alerts.yml").read_text()
    (tmp_path / "alerts.yml").write_text(
        rules.replace("_silence_seconds) > 30", "_silence_seconds) > 300")
    )
    stories = [s for s in STORIES if "no broker answers" in s["name"]]
    told = {"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": stories}
    (tmp_path / "alerts_test.yml").write_text(yaml.safe_dump(told))
    assert rules != (tmp_path / "alerts.yml").read_text()

    tried = run("promtool", "test", "rules", tmp_path / "alerts_test.yml")
    assert "KeepstreamBrokerSilent" in tried.stdout + tried.stderr
    assert 0 != tried.returncode


def test_a_source_is_silent_against_its_own_days_and_weeks(tmp_path: Path) -> None:
    """In half hours, over nine days: a source that is closed on that day of the week, one that
    falls silent, one with an event in two hours that falls silent, and one with too few events to
    tell.
    """
    (tmp_path / "alerts.yml").write_text((FOLDER / "alerts.yml").read_text())
    # Each goes on for eight days, but for the closed day, the second.
    sent = {
        "closed": "0+20x47 940x48 940+20x288 6700x96",
        "silent": "0+20x384 7680x48",
        "slow": "0+1x336 336x96",
        "rare": "0 1x96 2x96 3x96 4x143",
    }
    begun = 'keepstream_collector_events_total{{source="{}", fate="accepted", instance="c1"}}'
    day = 48
    looks = [
        # On the closed day of the second week, when the silent one has been so for two hours.
        (8 * day + 4, {"silent", "slow"}),
        (7 * day, set()),
    ]
    story = {
        "interval": "30m",
        "input_series": [
            {"series": begun.format(name), "values": values} for name, values in sent.items()
        ],
        "promql_expr_test": [
            {
                "expr": 'count by (source) (ALERTS{alertname="KeepstreamSourceSilent", '
                'alertstate="firing"})',
                "eval_time": f"{turns * 30}m",
                "exp_samples": [
                    {"labels": f'{{source="{name}"}}', "value": 1} for name in sorted(expected)
                ],
            }
            for turns, expected in looks
        ],
    }
    told = {"rule_files": ["alerts.yml"], "evaluation_interval": "30m", "tests": [story]}
    (tmp_path / "alerts_test.yml").write_text(yaml.safe_dump(told))

    tried = run("promtool", "test", "rules", tmp_path / "alerts_test.yml")
    assert 0 == tried.returncode, tried.stdout + tried.stderr


@every_rule
def test_each_alert_has_a_story_before_it_fires_and_one_in_which_it_does(
    rule: dict[str, Any],
) -> None:
    alone = [
        [rule["alert"] in firing(look) for look in story["promql_expr_test"]] for story in STORIES
    ]

    assert any(True in looks for looks in alone)
    assert any(True in looks and False in looks for looks in alone)


def test_prometheus_can_read_the_rules() -> None:
    # The file that tries them is beside them, and is no file of rules.
    tried = run("promtool", "check", "rules", FOLDER / "alerts.yml")

    assert 0 == tried.returncode, tried.stdout + tried.stderr


@every_rule
def test_it_names_its_entry_in_the_runbook(rule: dict[str, Any]) -> None:
    assert f"docs/runbook.md#{rule['alert'].lower()}" == rule["annotations"]["runbook"]


def test_the_runbook_has_an_entry_for_each_alert_in_their_order() -> None:
    entries = headings(RUNBOOK.read_text(), "###")

    assert NAMES == entries


def test_the_runbook_says_page_and_ticket_as_the_rules_do() -> None:
    text = RUNBOOK.read_text()
    said = dict(re.findall(r"^### (\w+)\n\n\*(Page|Ticket)\.\*", text, re.MULTILINE))

    assert {rule["alert"]: rule["labels"]["severity"].capitalize() for rule in RULES} == said


def test_metrics_that_the_runbook_names_exist(exported: set[str]) -> None:
    named = {
        re.sub("_(bucket|sum|count)$", "", name)
        for text in code(RUNBOOK.read_text())
        for name in re.findall(r"(?:keepstream|process)_\w+", text)
    }

    assert set() == named - exported


def test_alertmanager_can_read_its_file_and_sends_each_severity_somewhere_of_its_own() -> None:
    path = FOLDER / "alertmanager.yml"
    assert 0 == (checked := run("amtool", "check-config", path)).returncode, checked.stderr
    routed = {
        severity: run(
            "amtool", "config", "routes", "test", f"--config.file={path}", f"severity={severity}"
        ).stdout.strip()
        for severity in ("page", "ticket")
    }
    assert {"page": "pages", "ticket": "tickets"} == routed


def test_what_is_left_out_for_another_alert_exists() -> None:
    for rule in ALERTING["inhibit_rules"]:
        [source] = rule["source_matchers"]
        [target] = rule["target_matchers"]
        assert source.partition("=")[2].strip('"') in NAMES
        wanted = re.compile(target.partition("=")[2].lstrip("~").strip('"'))
        left_out = {name for name in NAMES if wanted.fullmatch(name)}
        # Each name of a pattern is one that there is.
        assert wanted.pattern.count("|") + 1 == len(left_out)


def test_alerts_go_where_compose_runs_alertmanager() -> None:
    [manager] = SCRAPING["alerting"]["alertmanagers"]
    [target] = manager["static_configs"][0]["targets"]
    service, _, port = target.partition(":")

    assert [f"127.0.0.1:{port}:{port}"] == SERVICES[service]["ports"]
    mounted = {mount.split(":")[1] for mount in SERVICES[service]["volumes"]}
    assert "/etc/alertmanager/alertmanager.yml" in mounted
