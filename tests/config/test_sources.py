"""The collector's sources: read from a file and the environment, and refused with what to do."""

from pathlib import Path
from typing import Any

import pytest

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


@pytest.mark.parametrize("keys", ["app", "app=abc", f"A={ONE}", f"app={ONE};b={OTHER}"])
def test_keys_in_the_environment_have_a_form(keys: str) -> None:
    with pytest.raises(SettingsError, match="KEEPSTREAM_COLLECTOR_KEYS"):
        load_settings({"KEEPSTREAM_COLLECTOR_KEYS": keys})
