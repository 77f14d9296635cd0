"""The files that `keepstream init` writes mean the same as the shipped ones, until they are
edited.
"""

import subprocess
from pathlib import Path
from shlex import quote
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from agents.cli import app
from agents.own_files import ACTIONS, ENDPOINTS, PARAMETERS, SETTINGS, TRIGGERS
from agents.webhooks.checks import require_usable
from config.endpoints import load_endpoints
from config.settings import describe
from models.parameters import load_parameters


@pytest.fixture
def own(tmp_path: Path) -> Path:
    directory = tmp_path / "my shop"
    assert 0 == CliRunner().invoke(app, ["init", str(directory)]).exit_code
    return directory


def meaning(file: Path | None) -> dict[str, Any]:
    """Parameters and rules, without the places where they are written."""
    found: dict[str, Any] = msgspec.to_builtins(load_parameters(file), enc_hook=str)
    del found["rules"]
    return _without_places(found)


def _without_places(found: Any) -> Any:
    if isinstance(found, dict):
        return {k: _without_places(v) for k, v in found.items() if k not in ("file", "line")}
    if isinstance(found, list | tuple):
        return [_without_places(one) for one in found]
    return found


def test_they_mean_what_is_shipped(own: Path) -> None:
    ours, shipped = meaning(own / PARAMETERS), meaning(None)

    for name, entries in (("triggers", "triggers"), ("actions", "actions")):
        for found in (ours, shipped):
            found[name][entries].sort(key=lambda entry: str(entry["name"]))
    assert shipped == ours


def test_a_line_without_its_sign_overrides_the_shipped_value(own: Path) -> None:
    text = (own / PARAMETERS).read_text()

    (own / PARAMETERS).write_text(text.replace('# lateness = "72h"', 'lateness = "24h"'))

    assert 24 * 3_600_000 == load_parameters(own / PARAMETERS).time.lateness


def test_every_line_that_is_a_comment_can_be_taken_in(own: Path) -> None:
    def taken_in(line: str) -> str:
        return line.removeprefix("# ") if " = " in line and line.startswith("# ") else line

    text = "\n".join(map(taken_in, (own / PARAMETERS).read_text().split("\n")))
    (own / PARAMETERS).write_text(text.replace("USD = ", "# USD = ").replace("GBP = ", "# GBP = "))

    assert meaning(None)["time"] == meaning(own / PARAMETERS)["time"]


def test_the_endpoints_that_are_shown_can_be_taken_in(own: Path) -> None:
    lines = (own / ENDPOINTS).read_text().split("\n")
    begin = lines.index("# endpoints:")
    [secret] = [line.removeprefix("#   echo ") for line in lines if "crm.secret" in line][:1]
    (own / ENDPOINTS).write_text("\n".join(line.removeprefix("# ") for line in lines[begin:]))
    subprocess.run(["sh", "-c", f"echo {secret}"], cwd=own, check=True)
    (own / "slack.url").write_text("https://hooks.slack.com/services/T/B/x")

    endpoints = load_endpoints(own / ENDPOINTS, {})

    require_usable(endpoints, load_parameters())
    assert ["crm", "team"] == [endpoint.name for endpoint in endpoints]


def test_settings_name_every_variable_and_the_file_of_parameters(own: Path) -> None:
    lines = (own / SETTINGS).read_text().split("\n")
    shell = f'. {quote(str(own / SETTINGS))}; printf %s "$KEEPSTREAM_PARAMETERS"'
    said = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout

    assert str(own / PARAMETERS) == said
    assert [v.name for v in describe()] == [
        line.removeprefix("# ").partition("=")[0] for line in lines if "KEEPSTREAM_" in line
    ]


def test_what_is_there_is_never_written_over(own: Path) -> None:
    (own / TRIGGERS).write_text("mine")
    (own / ACTIONS).unlink()

    told = CliRunner().invoke(app, ["init", str(own)])

    assert (2, "mine") == (told.exit_code, (own / TRIGGERS).read_text())
    assert "triggers.yaml" in told.output
    assert not (own / ACTIONS).exists()
