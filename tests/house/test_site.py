"""The site that `make docs` builds: complete, and usable without a network."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.house.documents import DOCUMENTS
from tests.house.repository import ROOT

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(300)]

SPHINX = ROOT / ".venv-docs/bin/sphinx-build"
#: What a page loads by itself, and not when somebody follows a link.
LOADED = re.compile(r'<(?:script|img|iframe)[^>]*\bsrc="([^"]+)"|<link[^>]*\bhref="([^"]+)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [SPHINX, "--fail-on-warning", "--keep-going", "--quiet", "--jobs", "auto"]
    command += ["--conf-dir", "docs/site", "--doctree-dir", folder / ".doctrees", ".", folder]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == made.returncode, made.stderr
    return folder


def test_every_document_is_a_page_of_it(site: Path) -> None:
    pages = [document.relative_to(ROOT).with_suffix(".html") for document in DOCUMENTS]

    assert [] == [str(page) for page in pages if not (site / page).exists()]


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    loaded = {
        address
        for page in site.rglob("*.html")
        for found in LOADED.findall(page.read_text())
        for address in found
        if address
    }

    assert loaded
    assert [] == [address for address in loaded if re.match(r"(https?:)?//", address)]


def test_it_can_be_searched_without_a_server(site: Path) -> None:
    index = (site / "searchindex.js").read_text()

    assert "docs/limits" in index
    assert "holdout" in index
