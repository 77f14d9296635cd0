"""`keepstream webhooks`: which ones are accepted, and what a saved one would become."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agents.cli import app

WEBHOOKS = Path(__file__).parents[1] / "models" / "webhooks"
SOURCES = """
[webhooks.berlin]
vendor = "shopify"
secret_file = "nowhere.secret"
user = "note"
"""
TOPIC = ["--header", "X-Shopify-Topic: orders/create", "--header", "X-Shopify-Webhook-Id: d-1"]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("KEEPSTREAM_")]:
        monkeypatch.delenv(name)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["webhooks", *words])


def saved(folder: Path, **changes: Any) -> str:
    body = json.loads((WEBHOOKS / "shopify-orders-create.json").read_text())["body"]
    path = folder / "order.json"
    path.write_text(json.dumps({**body, "currency": "EUR", **changes}))
    return str(path)


def declared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sources.toml").write_text(SOURCES)
    monkeypatch.setenv("KEEPSTREAM_COLLECTOR_SOURCES", str(folder / "sources.toml"))


def test_the_events_of_a_saved_webhook_are_printed_as_lines(tmp_path: Path) -> None:
    result = run("check", saved(tmp_path), "--source", "shopify", *TOPIC)

    [event] = map(json.loads, result.stdout.splitlines())
    assert ("Order Completed", "115310627314723954") == (event["event"], event["userId"])
    assert (0, "") == (result.exit_code, result.stderr)


def test_a_header_that_webhooks_of_its_type_need_is_told_if_it_is_not_given(tmp_path: Path) -> None:
    (tmp_path / "redact.json").write_text('{"customer": {"id": 191167}}')
    topic = ("--header", "X-Shopify-Topic: customers/redact")
    result = run("check", str(tmp_path / "redact.json"), "--source", "shopify", *topic)

    assert 1 == result.exit_code
    assert "x-shopify-webhook-id" in result.stderr
    assert "x-shopify-triggered-at" in result.stderr
    assert "x-shopify-topic" not in result.stderr


def test_a_source_has_its_own_users_and_needs_no_secret_for_this(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared(tmp_path, monkeypatch)
    result = run("check", saved(tmp_path, note="ada"), "--source", "berlin", *TOPIC)

    event = json.loads(result.stdout)
    assert ("ada", "berlin:d-1:order-completed") == (event["userId"], event["messageId"])


@pytest.mark.parametrize(
    ("changes", "words", "exit_code", "told"),
    [
        ({"test": True}, TOPIC, 0, "nothing is made of it"),
        ({}, [], 1, "--header 'x-shopify-topic: …' --header 'x-shopify-webhook-id: …'"),
        ({"created_at": 0}, TOPIC, 1, "it would be a dead letter: required_missing at $: "),
        ({"currency": "CHF"}, TOPIC, 1, "it is refused: out_of_range at $.properties.currency"),
        ({}, [*TOPIC, "--header", "X-A"], 2, "write it as 'NAME: VALUE'"),
        ({}, [*TOPIC, "--source", "shopfy"], 2, "there is no vendor 'shopfy'; known: intercom"),
        ({"note": "n" * 600_000}, TOPIC, 2, "answered 413"),
    ],
)
def test_what_would_not_be_published_is_told(
    tmp_path: Path, changes: dict[str, Any], words: list[str], exit_code: int, told: str
) -> None:
    result = run("check", saved(tmp_path, **changes), "--source", "shopify", *words)

    assert exit_code == result.exit_code
    assert told in result.stderr


def test_vendors_and_addresses_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declared(tmp_path, monkeypatch)
    result = run("list")

    assert "shopify: orders/create, orders/paid" in result.stdout
    assert "POST http://127.0.0.1:8088/webhooks/berlin takes webhooks of shopify" in result.stdout
