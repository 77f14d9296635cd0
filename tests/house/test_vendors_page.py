"""The declarations on the page of vendors work as they stand."""

import re
from pathlib import Path

import pytest

from config.settings import load_settings
from config.sources import load_senders
from streams.collector.mappings import mapping_of
from tests.house.documents import blocks
from tests.house.repository import ROOT

PAGE = list(blocks((ROOT / "docs/vendors.md").read_text()))


@pytest.mark.parametrize("text", [one.text for one in PAGE if "[webhooks" in one.text])
def test_what_the_page_declares_can_be_used(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sources.toml"
    path.write_text(text)
    for name in re.findall(r"[a-z-]+\.secret", text):
        (tmp_path / name).write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    senders = load_senders(load_settings({}, collector_sources=str(path)))
    assert [mapping_of(one).types for one in senders.webhooks.values()]
