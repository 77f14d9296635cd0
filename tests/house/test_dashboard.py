"""The dashboard's queries are valid PromQL and use existing metrics."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.house.prometheus_tools import run
from tests.house.repository import ROOT
from tests.house.test_compose import SERVICES
from tests.house.test_prometheus import RECORDED, labels_of

FOLDER = ROOT / "config/grafana"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboards/keepstream.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [(p["title"], target) for p in PANELS for target in p["targets"]]

every_expression = pytest.mark.parametrize(
    "target", [target for _, target in EXPRESSIONS], ids=[title for title, _ in EXPRESSIONS]
)


def names_in(expr: str) -> set[str]:
    return {
        re.sub("_(bucket|sum|count)$", "", name)
        for name in re.findall(r"\b(?:keepstream|process)_\w+", expr)
    }


def test_prometheus_understands_every_expression(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": target["expr"]}
        for number, (_, target) in enumerate(EXPRESSIONS)
    ]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    checked = run("promtool", "check", "rules", "--lint=none", path)
    assert 0 == checked.returncode, checked.stdout + checked.stderr


@every_expression
def test_metrics_are_ones_we_export(target: dict[str, Any], exported: set[str]) -> None:
    assert set() == names_in(target["expr"]) - exported
    assert set() == set(re.findall(r"keepstream:[\w:]+", target["expr"])) - RECORDED


@every_expression
def test_labels_are_ones_the_metric_has(target: dict[str, Any]) -> None:
    shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    grouped = re.findall(r"by \(([^)]*)\)", target["expr"])
    kept = {label.strip() for labels in grouped for label in labels.split(",")}
    if grouped:
        assert shown <= kept
    # Prometheus' own, and those of the parts of a histogram and of a recorded sum.
    given = {"instance", "job", "le", "alertstate", "alertname"}
    names = {name for name in names_in(target["expr"]) if name.startswith("keepstream_")}
    had = {label for name in names for label in labels_of(name.removesuffix("_total"))}
    asked = set(re.findall(r"(\w+)=~?\"", target["expr"])) | kept
    if names:
        assert asked <= had | given


def test_panels_are_told_apart_and_do_not_lie_on_each_other() -> None:
    titles, ids = [p["title"] for p in PANELS], [p["id"] for p in DASHBOARD["panels"]]
    assert len(titles) == len(set(titles))
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not taken & cells
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_compose_provisions_what_is_here() -> None:
    mounts = dict(mount.split(":")[:2] for mount in SERVICES["grafana"]["volumes"])
    providers = yaml.safe_load((FOLDER / "provisioning/dashboards/keepstream.yaml").read_text())
    sources = yaml.safe_load((FOLDER / "provisioning/datasources/prometheus.yaml").read_text())

    assert "/etc/grafana/provisioning" == mounts["./config/grafana/provisioning"]
    [provider], [source] = providers["providers"], sources["datasources"]
    assert mounts["./config/grafana/dashboards"] == provider["options"]["path"]
    assert "http://prometheus:9090" == source["url"]
    assert {source["uid"]} == {panel["datasource"]["uid"] for panel in PANELS}
