"""The alert rules query existing metrics, and tell people what to do."""

import re
from typing import Any

import pytest
import yaml

from models.customer.contacts import Outcome
from models.customer.holdout import CONTROL, TREATED
from models.decisions.trigger import NEXT_BEST_ACTION
from models.engine import Fate
from models.events.refusals import LOUD_LINES_MIN, LOUD_SHARE
from models.learning.churn_models import CHAMPION
from models.learning.scorers import SCORERS
from streams.collector.metrics import CollectorMetrics
from streams.metrics import Metrics
from streams.webhooks.metrics import FATES, WebhookMetrics
from tests.house.commands import unknown_words
from tests.house.repository import ROOT
from tests.house.test_compose import SERVICES

FOLDER = ROOT / "config/prometheus"
SCRAPING: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
GROUPS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
ALL_RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
RULES = [rule for rule in ALL_RULES if "alert" in rule]
#: What alerts and the dashboard may ask for besides what is exported.
RECORDED = {rule["record"] for rule in ALL_RULES if "record" in rule}

#: Of a worker, a collector and a deliverer.
REGISTRIES = (Metrics().registry, CollectorMetrics(()).registry, WebhookMetrics().registry)

every_rule = pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
either_kind = pytest.mark.parametrize(
    "rule", ALL_RULES, ids=[rule.get("alert") or rule["record"] for rule in ALL_RULES]
)


def labels_of(name: str) -> set[str]:
    """The labels of a metric as it is exposed."""
    collectors = {
        found: collector
        for registry in REGISTRIES
        for collector, names in registry._collector_to_names.items()
        for found in names
    }
    return set(collectors[name]._labelnames)  # type: ignore[attr-defined]


@either_kind
def test_metrics_are_ones_we_export(rule: dict[str, Any], exported: set[str]) -> None:
    # A histogram is asked for by its parts.
    names = {
        re.sub("_(bucket|sum|count)$", "", name)
        for name in re.findall(r"keepstream_\w+", rule["expr"])
    }

    assert set() == names - exported
    assert set() == set(re.findall(r"keepstream:[\w:]+", rule["expr"])) - RECORDED


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
def test_labels_are_ones_the_metric_has(rule: dict[str, Any]) -> None:
    """A rule with a label that a metric lacks never fires, and nobody notices."""
    asked = re.findall(r"(keepstream_\w+)\{([^}]*)\}", rule["expr"])
    missing = [
        (name, label)
        for name, matchers in asked
        for label in re.findall(r"(\w+)=", matchers)
        if label not in labels_of(name)
    ]

    assert [] == missing
    shown = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))) - {"instance"}
    kept = {
        label.strip()
        for labels in re.findall(r"by \(([^)]*)\)", rule["expr"])
        for label in labels.split(",")
    }
    assert shown <= kept


@every_rule
def test_values_of_labels_are_ones_we_give(rule: dict[str, Any]) -> None:
    values = {
        "kind": {"all", "purchase", "check-in", NEXT_BEST_ACTION},
        "scorer": {CHAMPION, *SCORERS},
        "outcome": {str(outcome) for outcome in Outcome},
        "fate": {*Fate, *FATES, "dead_letter", "fired", TREATED, CONTROL},
    }
    asked = re.findall(r"(\w+)=\"([^\"]*)\"", rule["expr"])

    assert [] == [(label, value) for label, value in asked if value not in values.get(label, value)]


def test_what_models_and_decisions_need_watching_is_watched() -> None:
    watched = " ".join(rule["expr"] for rule in RULES)
    names = ("model_serves", "model_calibration_error", "model_version", "snapshot_age_seconds")

    assert [] == [name for name in names if f"keepstream_{name}" not in watched]


def test_the_alert_of_refusals_has_the_limits_that_the_commands_have() -> None:
    [expr] = [r["expr"] for r in RULES if r["alert"] == "KeepstreamRefusedForOneReason"]

    [share], [least] = re.findall(r"> ([\d.]+) \* scalar", expr), re.findall(r">= (\d+)$", expr)
    assert (LOUD_SHARE, LOUD_LINES_MIN) == (float(share), int(least))


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_recorded_counts_hold_what_was_not_there_before(name: str) -> None:
    """In this order: for Prometheus, a series that was not there before has no increase."""
    [expr] = [rule["expr"] for rule in ALL_RULES if rule.get("record") == name]
    form = r"\((\w+) unless last_over_time\(\1\[6h\] offset (\w+)\)\) or increase\(\1\[\2\]\)"

    assert re.fullmatch(form, expr)


def test_the_form_of_metrics() -> None:
    """Base units; times of day are timestamps; no series for when a counter was created."""
    for registry in REGISTRIES:
        for metric in registry.collect():
            assert not metric.name.endswith(("_ms", "_milliseconds", "_created"))
            assert [] == [s.name for s in metric.samples if s.name.endswith("_created")]
            is_moment = "as a Unix time" in metric.documentation
            assert is_moment == metric.name.endswith("_timestamp_seconds")
    for registry in REGISTRIES:
        assert {"process_cpu_seconds", "process_resident_memory_bytes"} <= {
            metric.name for metric in registry.collect()
        }


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


def test_deliverers_are_scraped_where_compose_runs_them() -> None:
    job = SCRAPING["scrape_configs"][2]
    [discovery] = job["dns_sd_configs"]

    assert ["deliverer"] == discovery["names"]
    assert SERVICES["deliverer"]["environment"]["KEEPSTREAM_WEB_PORT"] == str(discovery["port"])


def test_jobs_that_rules_ask_for_are_scraped() -> None:
    asked = {job for rule in ALL_RULES for job in re.findall(r'job="([^"]+)"', rule["expr"])}

    assert asked == {job["job_name"] for job in SCRAPING["scrape_configs"]}


def test_collectors_are_scraped_where_compose_runs_them() -> None:
    [discovery] = SCRAPING["scrape_configs"][1]["dns_sd_configs"]
    environment = SERVICES["collector"]["environment"]

    assert ["collector"] == discovery["names"]
    assert environment["KEEPSTREAM_WEB_PORT"] == str(discovery["port"])
    assert [f"127.0.0.1:{environment['KEEPSTREAM_COLLECTOR_PORT']}:8088"] == (
        SERVICES["collector"]["ports"]
    )


def test_the_rules_are_mounted_where_they_are_read() -> None:
    mounts = SERVICES["prometheus"]["volumes"]
    inside = {mount.split(":")[1] for mount in mounts}

    assert set(SCRAPING["rule_files"]) <= inside
