"""Everything that the documents name exists."""

import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from shutil import copy
from typing import Any

import pytest

from config.settings import known_variables
from models.parameters import load_parameters
from streams.collector.metrics import CollectorMetrics
from streams.metrics import Metrics
from streams.webhooks.metrics import WebhookMetrics
from tests.house.commands import unknown_words
from tests.house.documents import (
    ADRS,
    ARCHITECTURE,
    DOCUMENTS,
    broken_links,
    code,
    commands,
    headings,
    links,
    prose,
)
from tests.house.repository import ROOT, files

ADR_SECTIONS = ["Status", "Context", "Decision", "Consequences", "How we would know it was wrong"]
ADR_WORDS_MAX = 600
#: File names that are no parameters, though they have a dot in them.
FILE = re.compile(r".*\.(toml|yaml|py|jsonl?|md)")

every_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS]
)
every_adr = pytest.mark.parametrize("adr", ADRS, ids=[path.stem for path in ADRS])


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def parameter_names() -> set[str]:
    def walk(table: dict[str, Any], path: str = "") -> Iterator[str]:
        for name, value in table.items():
            yield path + name
            if isinstance(value, dict):
                yield from walk(value, f"{path}{name}.")

    return set(walk(tomllib.loads((ROOT / "config/parameters.toml").read_text())))


@every_document
def test_links_lead_somewhere(document: Path) -> None:
    assert [] == broken_links(document)


def test_a_link_that_leads_nowhere_is_noticed(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(
        "# A part\n[a](no-file.md) [b](https://example.com) [c](#a-part) [d](#none)"
    )

    assert ["no-file.md", "#none"] == broken_links(document, tmp_path)


@every_document
def test_make_targets_exist(document: Path) -> None:
    words = {word for line in commands(document.read_text(), "make") for word in line[1:]}

    assert set() == {word for word in words if "=" not in word} - make_targets()


@every_document
def test_keepstream_commands_exist(document: Path) -> None:
    found = commands(document.read_text(), "keepstream")

    assert [] == [word for command in found for word in unknown_words(command)]


def test_commands_are_found_where_they_are_shown() -> None:
    text = "`keepstream a`\n\n```sh\nmake b ARGS='c d'\nKEEPSTREAM_GROUP=e keepstream f  # g\n```\n"

    assert [["make", "b", "ARGS=c d"]] == commands(text, "make")
    assert [["keepstream", "f"], ["keepstream", "a"]] == commands(text, "keepstream")


@every_document
def test_variables_are_settings(document: Path) -> None:
    named = set(re.findall(r"KEEPSTREAM_[A-Z_]+", document.read_text()))

    assert set() == named - known_variables()


@every_document
def test_metrics_are_ones_we_export(document: Path) -> None:
    registries = (Metrics().registry, CollectorMetrics(()).registry, WebhookMetrics().registry)
    exported = {metric.name for registry in registries for metric in registry.collect()}
    named = re.findall(r"`(keepstream_[a-z_]+)`", document.read_text())

    assert [] == [name for name in named if name.removesuffix("_total") not in exported]


@every_document
def test_alerts_are_rules(document: Path) -> None:
    rules = (ROOT / "config/prometheus/alerts.yml").read_text()
    named = re.findall(r"`(Keepstream[A-Z]\w+)`", document.read_text())

    assert [] == [name for name in named if f"alert: {name}\n" not in rules]


@every_document
def test_files_named_in_code_exist(document: Path) -> None:
    named = {
        path
        for line in code(document.read_text())
        for path in re.findall(r"(?<![\w/.])(?:config|models|streams|agents|tests)/[\w./-]+", line)
    }
    # What `keepstream export --models models` writes is not ours, nor is a part to come.
    named -= {"models/1.json", "config/parts/NAME.yaml"}

    assert [] == sorted(path for path in named if not (ROOT / path).exists())


@every_document
def test_modules_run_by_name_exist(document: Path) -> None:
    named = re.findall(r"-m ([a-z_]+(?:\.[a-z_]+)+)", document.read_text())

    assert [] == [m for m in named if not (ROOT / m.replace(".", "/")).with_suffix(".py").exists()]


@every_document
def test_parameters_that_are_set_can_be_set(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Files that the reader is told to make from the shipped one.
    (tmp_path / "my-shop").mkdir()
    for mine in ("my-triggers.yaml", "my-shop/triggers.yaml"):
        copy(ROOT / "config/triggers.yaml", tmp_path / mine)
    monkeypatch.chdir(tmp_path)
    for command in commands(document.read_text(), "keepstream"):
        if assignments := [value for option, value in pairwise(command) if option == "--set"]:
            load_parameters(None, assignments)


def test_parameters_that_are_named_exist() -> None:
    known = parameter_names()
    sections = {name.partition(".")[0] for name in known}
    named = {
        name
        for document in DOCUMENTS
        for name in re.findall(r"`([a-z_]+\.[a-z_.-]+)`", prose(document.read_text()))
        if name.partition(".")[0] in sections and not FILE.fullmatch(name)
    }

    assert {"time.lateness", "bounds.messages"} <= named
    assert set() == named - known


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [f"{number:04}" for number in range(1, len(ADRS) + 1)] == [p.name[:4] for p in ADRS]


@every_adr
def test_a_decision_has_its_parts_on_one_page(adr: Path) -> None:
    text = adr.read_text()

    assert text.startswith(f"# {int(adr.name[:4])}. ")
    assert ADR_SECTIONS == headings(text, "##")
    assert len(text.split()) <= ADR_WORDS_MAX


def test_decisions_are_linked_from_the_architecture() -> None:
    linked = links(ARCHITECTURE.read_text())

    assert [] == [adr.name for adr in ADRS if str(adr.relative_to(ROOT)) not in linked]


def test_the_architecture_names_every_room() -> None:
    linked = links(ARCHITECTURE.read_text())
    rooms = {
        str(path.parent.relative_to(ROOT))
        for path in files("config", "models", "streams", "agents")
        if path.name == "__init__.py"
    }
    # The demo and the evaluation are rooms of what tries the engine out.
    rooms -= {"agents/trials/demo", "agents/trials/evaluation"}

    assert rooms
    assert [] == sorted(room for room in rooms if room not in linked)
