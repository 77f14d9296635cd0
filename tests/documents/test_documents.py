"""docs/openapi.json and docs/asyncapi.json meet their specifications, and are complete."""

import json
import lzma
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import copy, which
from typing import Any

import jsonschema
import pytest
from aiohttp import web
from msgspec.structs import replace
from openapi_spec_validator import OpenAPIV31SpecValidator

from agents.collector.site import collecting_site, operators_site
from agents.documents import DOCUMENTS, document_text
from agents.web.segments import SegmentAnswers
from agents.web.server import LiveCustomers, Readiness, process_site, routes
from agents.webhooks.examples import TRIGGER
from config import topics
from models.event_schema import event_names
from models.events.erasure_record import ErasureNotice
from models.parameters import load_parameters
from models.plan import plan_for
from streams.cloud_events import decision_headers, notice_headers
from streams.metrics import Metrics
from streams.trace_headers import TRACEPARENT
from tests.documents.collectors import a_collector
from tests.house.repository import ROOT

OPENAPI: dict[str, Any] = json.loads((ROOT / "docs/openapi.json").read_text())
ASYNCAPI: dict[str, Any] = json.loads((ROOT / "docs/asyncapi.json").read_text())
#: Of the npm package @asyncapi/specs, as it is there.
SPECIFICATION = Path(__file__).with_name("asyncapi-3.0.0.json.xz")
METHODS = ("get", "post", "options")


def operations(tag: str) -> set[tuple[str, str]]:
    """Method and path of the operations with a tag."""
    return {
        (method.upper(), path)
        for path, item in OPENAPI["paths"].items()
        for method in METHODS
        if tag in item.get(method, {}).get("tags", ())
    }


def routed(site: web.Application) -> set[tuple[str, str]]:
    """The routes of a site; an address with a final slash counts as the one without."""
    found = set()
    for route in site.router.routes():
        path = route.resource.canonical if route.resource is not None else ""
        # aiohttp has HEAD wherever it has GET.
        if route.method != "HEAD":
            found.add((route.method, path.rstrip("/")))
    return found


def references(part: Any) -> Iterator[str]:
    if isinstance(part, list):
        for inner in part:
            yield from references(inner)
    elif isinstance(part, dict):
        for name, inner in part.items():
            if name == "$ref" and isinstance(inner, str):
                yield inner
            else:
                yield from references(inner)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_committed_document_is_what_the_code_says(name: str) -> None:
    assert (ROOT / f"docs/{name}.json").read_text() == document_text(name), "run 'make documents'"


@pytest.mark.parametrize("document", [OPENAPI, ASYNCAPI], ids=["openapi", "asyncapi"])
def test_every_reference_leads_somewhere_and_every_schema_is_referred_to(
    document: dict[str, Any],
) -> None:
    referred = set(references(document))
    for one in referred:
        found = document
        for step in one.removeprefix("#/").split("/"):
            found = found[step]
    named = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert named == {one for one in referred if one.startswith("#/components/schemas/")}


def test_openapi_is_what_its_specification_asks_for() -> None:
    OpenAPIV31SpecValidator(OPENAPI).validate()
    for schema in OPENAPI["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_asyncapi_is_what_its_specification_asks_for() -> None:
    specification = json.loads(lzma.decompress(SPECIFICATION.read_bytes()))
    judge = jsonschema.Draft7Validator(specification)
    assert [] == [error.message for error in judge.iter_errors(ASYNCAPI)]
    for schema in ASYNCAPI["components"]["schemas"].values():
        jsonschema.Draft7Validator.check_schema(schema)
    misspelt = {**ASYNCAPI, "channels": {"customers": {"adress": "customers"}}}
    assert not judge.is_valid(misspelt)


def test_whatever_is_routed_is_documented_and_nothing_else() -> None:
    nobody: Any = None
    live = LiveCustomers(
        lambda _: None,
        listed=lambda _: pytest.fail("not asked"),
        segments=SegmentAnswers(nobody, plan_for(load_parameters())),
        tried=lambda *_: pytest.fail("not asked"),
    )
    worker = routes(Metrics(), Readiness(list), live, lambda: None)
    everywhere = operations("process")
    assert operations("worker") | everywhere == routed(worker)
    assert everywhere == routed(process_site(bytes, Readiness(list)))
    collector, metrics, outbox = a_collector()
    assert operations("collector") == routed(collecting_site(collector))
    assert everywhere == routed(operators_site(collector, metrics, outbox))


def test_every_topic_and_every_event_is_documented() -> None:
    declared = topics.topics(4, 1, has_archive=True)
    assert [topic.name for topic in declared] == list(ASYNCAPI["channels"])
    for channel in ASYNCAPI["channels"].values():
        assert channel["messages"]
    names = {message["name"] for message in ASYNCAPI["components"]["messages"].values()}
    assert set(event_names()) <= names


def headers_of(message: str) -> dict[str, Any]:
    found: dict[str, Any] = ASYNCAPI["components"]["messages"][message]["headers"]
    return found


def test_the_headers_of_decisions_and_erasures_are_those_that_are_written() -> None:
    notice = ErasureNotice(id="i", fingerprint="f", timestamp="t", mode="m", was_known=True)
    everything = replace(TRIGGER, contaminated=True)
    for message, written in (
        (
            "retention-triggers.trigger",
            # A profile adds the last one.
            [*decision_headers(everything, "a.type", 7), (TRACEPARENT, b"")],
        ),
        ("retention-triggers.erasurenotice", notice_headers(notice)),
    ):
        assert set(headers_of(message)["properties"]) == {name for name, _ in written}
    # Of what no event caused, and without a group, the rest.
    least = {name for name, _ in decision_headers(replace(TRIGGER, group=None), "a.type", None)}
    assert set(headers_of("retention-triggers.trigger")["required"]) == least


def test_names_of_schemas_are_ones_that_both_specifications_allow() -> None:
    for document in (OPENAPI, ASYNCAPI):
        allowed = re.compile(r"[A-Za-z0-9._-]+")
        assert all(allowed.fullmatch(name) for name in document["components"]["schemas"])


@pytest.mark.nightly
def test_the_official_parser_reads_asyncapi(tmp_path: Path) -> None:
    for path in (Path(__file__).with_name("node")).iterdir():
        copy(path, tmp_path)
    npm = which("npm")
    assert npm is not None, "install Node.js 20 or newer with npm"
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=300, capture_output=True)

    read = subprocess.run(
        ["node", "check.mjs", str(ROOT / "docs/asyncapi.json")],
        cwd=tmp_path,
        check=True,
        timeout=120,
        capture_output=True,
        text=True,
    )

    messages = len(ASYNCAPI["components"]["messages"])
    assert f"{len(ASYNCAPI['channels'])} {messages}\n" == read.stdout
    # The copy by which every change is judged is still the published one.
    published = tmp_path / "node_modules/@asyncapi/specs/schemas/3.0.0.json"
    assert lzma.decompress(SPECIFICATION.read_bytes()) == published.read_bytes()
