"""The collector's sources: read from a file and the environment; errors name the fix."""

from pathlib import Path
from typing import Any

import pytest

from config.rules import RuleError
from config.settings import SettingsError, load_settings
from config.sources import SOURCES_MAX, hash_of, load_senders

ONE, OTHER = hash_of("c-one"), hash_of("c-other")


def senders_of(directory: Path, text: str, **more: Any) -> Any:
    path = directory / "sources.toml"
    path.write_text(text)
    return load_senders(load_settings({}, collector_sources=str(path), **more))


def test_a_write_key_is_known_by_its_hash_wherever_it_stands(tmp_path: Path) -> None:
    text = f'[sources.shop-web]\nkeys = ["{ONE}"]\nburst = 10\n'
    found = senders_of(tmp_path, text, collector_keys=f"app={OTHER}")

    assert ["shop-web", "app", None] == [found.name_of(k) for k in ("c-one", "c-other", ONE)]
    assert 10 == found.sources["shop-web"].burst
    assert not found.sources["app"].is_trusted


def test_a_source_may_have_an_old_key_and_a_new_one() -> None:
    found = load_senders(load_settings({}, collector_keys=f"app={ONE},app={OTHER}"))

    assert ["app", "app"] == [found.name_of(key) for key in ("c-one", "c-other")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "keepstream collector key NAME --add sources.toml"),
        ("[sources.a", "a source is a table"),
        ("a = " + "9" * 5_000, "a number is too long"),
        ("a = " + "[" * 3_000, "nested too deeply"),
        (f'[sources.a]\nkeys = ["{ONE}\\n"]', "keys"),
        ("[source.a]", "source"),
        ('[sources.a]\nkeys = ["c-one"]', "keys"),
        ("[sources.a]\nkeys = []", "keys"),
        (f'[sources.a]\nkeys = ["{ONE}"]\nevents_per_minute = 3', "events_per_minute"),
        (f'[sources.a]\nkeys = ["{ONE}"]\nburst = 0', "burst"),
        (f'[sources."A B"]\nkeys = ["{ONE}"]', "no name of a source"),
        (f'[sources.a]\nkeys = ["{ONE}"]\n[sources.b]\nkeys = ["{ONE}"]', "give each its own"),
        (
            "\n".join(
                f'[sources.a{n}]\nkeys = ["{hash_of(str(n))}"]' for n in range(SOURCES_MAX + 1)
            ),
            "join some",
        ),
    ],
)
def test_what_can_not_be_used_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        senders_of(tmp_path, text)


def test_a_file_that_is_missing_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"KEEPSTREAM_COLLECTOR_SOURCES .*no such file"):
        load_settings({}, collector_sources="nowhere.toml")


WEBHOOKS = '[webhooks.shop]\nvendor = "shopify"\nsecret_file = '

IN_BASE64 = """
[vendors.erp]
type = "a"
id = "a"
user = "a"
timestamp = "a"
signature = {header = "A", key = "base64"}
events = [{type = "a", event = "Order Completed"}]
"""


def test_webhooks_have_a_vendor_and_one_secret_or_two(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"secret-{name}\n")
    found = senders_of(tmp_path, WEBHOOKS + '["one", "two"]\nuser = "email"')

    assert ("secret-one", "secret-two") == found.webhooks["shop"].secrets
    assert "email" == found.webhooks["shop"].rule.user
    assert "secret" not in f"{found.webhooks!r}"
    assert {"shop"} == set(found.limits)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('""', r"sources.toml: webhooks.shop: secret_file is empty: name the file"),
        ('" "', "secret_file is empty"),
        ("[]", "secret_file names one file, or two"),
        ('["one", "one", "one"]', "secret_file names one file, or two"),
        ('"nowhere"', "nowhere can't be read"),
        ('"empty"', "empty holds nothing"),
        ("7", r"webhooks.shop: secret_file: expected a text or a list"),
        ('"one"\nvender = "x"', "webhooks.shop: .*vender"),
        ('"one"\nburst = 0', "webhooks.shop: .*burst"),
        ('"one"\n[webhooks."A B"]\nvendor = "stripe"\nsecret_file = "one"', "no name of a source"),
        (
            '"one"\n[webhooks.b]\nvendor = "sripe"\nsecret_file = "one"',
            r"webhooks.b: there is no vendor 'sripe'; known: intercom, .*\[vendors.sripe\]",
        ),
        (f'"one"\n[sources.shop]\nkeys = ["{ONE}"]', "name one of them otherwise"),
        ('"one"\n[vendors.stripe]\n', "vendors.stripe: a vendor of this name is shipped"),
        ('"one"\n[vendors.erp]\ntype = "a"', "vendors.erp: .*docs/vendors.md"),
        (
            f'"one"\n[webhooks.erp]\nvendor = "erp"\nsecret_file = "blank"\n{IN_BASE64}',
            "webhooks.erp: its secret is no base64",
        ),
    ],
)
def test_webhooks_that_can_not_be_used_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "one").write_text("secret")
    (tmp_path / "blank").write_text("a-b")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises((SettingsError, RuleError), match=words):
        senders_of(tmp_path, WEBHOOKS + text)


def test_a_key_that_is_no_hash_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        senders_of(tmp_path, '[sources.a]\nkeys = ["c-one"]')

    assert "expected the SHA-256 of a write key" in str(refused.value)
    assert "regex" not in str(refused.value)


@pytest.mark.parametrize("keys", ["app", "app=abc", f"A={ONE}", f"app={ONE};b={OTHER}"])
def test_keys_in_the_environment_have_a_form(keys: str) -> None:
    with pytest.raises(SettingsError, match="KEEPSTREAM_COLLECTOR_KEYS"):
        load_settings({"KEEPSTREAM_COLLECTOR_KEYS": keys})
