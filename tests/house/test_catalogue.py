"""The catalogue of parts is what the registries say."""

from agents.words.catalogue import catalogue
from models.customer.registry import PARTS
from models.learning.registry import LEARNERS
from tests.house.repository import ROOT


def test_the_page_is_what_the_registries_say() -> None:
    """If it is not: `make catalogue`, and read the difference."""
    assert (ROOT / "docs/catalogue.md").read_text() == catalogue()


def test_everything_that_is_registered_is_in_it() -> None:
    page = catalogue()
    names = [name for part in PARTS for name in (*part.facts, *part.moments)]

    assert [] == [part.name for part in PARTS if f"### {part.name}\n" not in page]
    assert [] == [name for name in names if f"| `{name}` |" not in page]
    assert [] == [one.name for one in LEARNERS if f"\n| {one.name} |" not in page]
