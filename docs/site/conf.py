"""The site that `make docs` makes of README.md, ARCHITECTURE.md and docs/, as they are.

The pages are written for a reader of the repository, so what only a site needs is added here: the
list of pages, and what becomes of links that a site cannot follow.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
#: What the list beside each page has, by heading.
PAGES = {
    "Sending events": (
        "first-steps",
        "publishing",
        "collector",
        "vendors",
        "going-live",
        "loyalty-and-surveys",
    ),
    "Acting on decisions": (
        "decisions",
        "segments",
        "value-and-lifecycle",
        "webhooks",
        "console",
        "scores",
        "learning",
    ),
    "Running it": ("operating", "faults", "runbook", "security", "privacy"),
    "What it can do": ("limits", "promises", "performance"),
    "Reference": (
        "reference/settings",
        "reference/commands",
        "reference/parameters",
        "reference/metrics",
        "reference/topics",
        "catalogue",
    ),
    "Changing it": ("/ARCHITECTURE", "extending", "/CONTRIBUTING", "/CHANGELOG", "/SECURITY"),
}

project = "Keepstream"
author = "the contributors to Keepstream"
extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "docs/adr/*.md", "docs/reference/*.md"]
# As forges make them.
myst_heading_anchors = 6
html_theme = "furo"
html_title = "Keepstream"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"top_of_page_buttons": []}


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _as_a_page)
    app.connect("build-finished", _begin_with_the_readme)


def _as_a_page(_app: Sphinx, name: str, source: list[str]) -> None:
    if name == root_doc:
        source[0] += "".join(_list_of(heading, pages) for heading, pages in PAGES.items())
        named = {page for pages in PAGES.values() for page in pages}
        there = sorted(path.stem for path in (ROOT / "docs").glob("*.md"))
        source[0] += _list_of("More", tuple(page for page in there if page not in named))
        source[0] += _list_of("Records of decisions", ("adr/*",))
    folder = (ROOT / name).parent

    def link(found: re.Match[str]) -> str:
        words, target = found.groups()
        # A directory is nothing that a browser could open; a file can be downloaded.
        return words if (folder / target).is_dir() else found[0]

    source[0] = re.sub(r"(?<!!)\[([^\]]*)\]\(([^)#:\s]+)\)", link, source[0])


def _begin_with_the_readme(app: Sphinx, error: Exception | None) -> None:
    if error is None:
        first = f'<meta http-equiv="refresh" content="0; url={root_doc}.html">\n'
        (Path(app.outdir) / "index.html").write_text(first)


def _list_of(heading: str, pages: tuple[str, ...]) -> str:
    if not pages:
        return ""
    lines = "\n".join(page if page.startswith("/") else f"/docs/{page}" for page in pages)
    return f"\n```{{toctree}}\n:hidden:\n:glob:\n:caption: {heading}\n\n{lines}\n```\n"
