"""The generated pages match the code."""

from functools import cache

import pytest

from agents import catalogue as pages
from agents.reference import PAGES
from models.customer.registry import PARTS
from models.learning.registry import LEARNERS
from tests.house.repository import ROOT

catalogue = cache(pages.catalogue)


def test_the_page_is_what_the_registries_say() -> None:
    """If not: `make catalogue`, and read the difference."""
    assert (ROOT / "docs/catalogue.md").read_text() == catalogue()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_the_reference_is_what_the_code_says(name: str) -> None:
    """If not: `make reference`, and read the difference."""
    assert (ROOT / f"docs/reference/{name}.md").read_text() == PAGES[name]()


def test_no_page_of_the_reference_is_left_over() -> None:
    assert set(PAGES) == {path.stem for path in (ROOT / "docs/reference").glob("*.md")}


def test_everything_that_is_registered_is_in_it() -> None:
    page = catalogue()
    names = [name for part in PARTS for name in (*part.facts, *part.moments)]

    assert [] == [part.name for part in PARTS if f"### {part.name}\n" not in page]
    assert [] == [name for name in names if f"| `{name}` |" not in page]
    assert [] == [one.name for one in LEARNERS if f"\n| {one.name} |" not in page]


def test_every_part_has_its_sections() -> None:
    page = catalogue()
    sections = page.split("\n### ")[1:]

    assert [part.name for part in PARTS] == [text.partition("\n")[0] for text in sections]
    for part, text in zip(PARTS, sections, strict=True):
        assert [] == [t.code for t in part.timers if f"`{t.code}`" not in text]
        assert [] == [r.__name__ for r in part.reads if f"`{r.__name__}`" not in text]
        assert [] == [name for name in (*part.events, *part.adds) if name not in text]
        if part.parameters is not None:
            fields = part.parameters.__struct_fields__
            assert [] == [f for f in fields if f"`{part.parameters.section}.{f}" not in text]
