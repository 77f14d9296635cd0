"""The alert rules ask for metrics that exist and tell people what to do."""

import re
from typing import Any

import pytest
import yaml

from tests.house.commands import unknown_words
from tests.house.repository import ROOT, files
from tests.house.test_compose import SERVICES

FOLDER = ROOT / "config/prometheus"
SCRAPING: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
GROUPS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]

every_rule = pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])


def exported_names() -> str:
    """The code that can name a metric."""
    sources = [path for path in files("streams", "agents") if path.suffix == ".py"]
    return "\n".join(path.read_text() for path in sources)


@every_rule
def test_metrics_are_ones_we_export(rule: dict[str, Any]) -> None:
    # prometheus_client adds _total to the name of a counter by itself.
    names = {name.removesuffix("_total") for name in re.findall(r"keepstream_\w+", rule["expr"])}
    code = exported_names()

    assert set() == {name for name in names if not re.search(rf'"{name}(_total)?"', code)}


@every_rule
def test_it_says_what_it_means_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert len(rule["annotations"]["summary"]) <= 80
    assert len(rule["annotations"]["description"].split()) >= 20
    assert re.fullmatch(r"\d+[mh]", rule.get("for", "0m"))


@every_rule
def test_commands_it_names_exist(rule: dict[str, Any]) -> None:
    named = re.findall(r"`(keepstream [^`]+)`", rule["annotations"]["description"])

    assert [] == [word for command in named for word in unknown_words(command.split())]


@every_rule
def test_parentheses_close(rule: dict[str, Any]) -> None:
    assert rule["expr"].count("(") == rule["expr"].count(")")


def test_names_are_unique() -> None:
    names = [rule["alert"] for rule in RULES]

    assert len(names) == len(set(names))


def test_workers_are_scraped_where_compose_runs_them() -> None:
    job = SCRAPING["scrape_configs"][0]
    discovery = job["dns_sd_configs"][0]
    environment = SERVICES["worker"]["environment"]

    assert ["worker"] == discovery["names"]
    assert environment["KEEPSTREAM_WEB_PORT"] == str(discovery["port"])
    assert f'job="{job["job_name"]}"' in RULES[0]["expr"]


def test_the_rules_are_mounted_where_they_are_read() -> None:
    mounts = SERVICES["prometheus"]["volumes"]
    inside = {mount.split(":")[1] for mount in mounts}

    assert set(SCRAPING["rule_files"]) <= inside
